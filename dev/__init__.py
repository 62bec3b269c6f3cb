"""Run the app for real on one machine; never deployed, and sharing no code with what is."""
