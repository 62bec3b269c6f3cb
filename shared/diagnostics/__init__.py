"""Setup that proves itself: a ladder of checks, from the settings up to the join link."""
