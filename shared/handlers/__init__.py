"""What each trigger does."""
