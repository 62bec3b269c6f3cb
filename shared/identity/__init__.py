"""Who calls and as whom: the app's tokens, callers' tokens, Key Vault."""
