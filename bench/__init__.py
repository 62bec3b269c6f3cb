"""Side-by-side measurements: this app, what one would use instead, and the floor beneath both."""
