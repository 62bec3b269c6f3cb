"""What stands behind the triggers: from a meeting to its virtual appointment join link."""
