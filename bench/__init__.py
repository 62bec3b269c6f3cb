"""Side-by-side measurements: this app, what one would use instead, and the floor beneath both."""

NAMES = ("cold", "warm", "burst", "drain")
