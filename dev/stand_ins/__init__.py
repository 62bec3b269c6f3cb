"""Small real servers that stand in for Azure on one machine.

They are Entra's tokens and the managed identity endpoint, Microsoft Graph, Key Vault, and the
proxies that put them where the app expects them. Each is a context manager. It listens on its own
port of 127.0.0.1, in threads of the calling process. It records the requests, and a test can order
faults from it.

They share no code with the app: a stand-in that shares an error with the app would not show it.
"""
