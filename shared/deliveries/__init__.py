"""Outcomes posted to the destinations that the settings name: what, signed how, and how sent."""
