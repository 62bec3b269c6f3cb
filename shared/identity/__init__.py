"""Tokens and secrets: the app's own tokens, callers' tokens, on behalf of a person, Key Vault."""
