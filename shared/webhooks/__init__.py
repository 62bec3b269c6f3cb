"""Booking systems: how they sign, and where the meeting stands in what they send."""
