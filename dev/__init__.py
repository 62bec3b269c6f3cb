"""Runs the app on one machine. It is never deployed, and imports nothing of `shared/`."""
