"""Measurements of this app beside other clients and a raw socket."""
