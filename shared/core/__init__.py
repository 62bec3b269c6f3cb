"""The basics that all other packages use: errors, settings, JSON, deadlines, events and HTTP."""
