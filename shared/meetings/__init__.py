"""From a request to its join link."""
