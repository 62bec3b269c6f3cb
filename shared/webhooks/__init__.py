"""Booking systems: their signatures, and where their events name the meeting."""
