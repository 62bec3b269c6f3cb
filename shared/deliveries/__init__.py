"""Deliveries of outcomes to the destinations in DELIVERIES: their content, signing, sending."""
