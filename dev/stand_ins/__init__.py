"""Small real servers that stand in for Azure on one machine.

Entra's tokens and the managed identity endpoint, Microsoft Graph, Key Vault, and the proxies that
put them where the app expects them. Each is a context manager that listens on 127.0.0.1, on a port
of its own, in threads of the calling process, records what it was asked, and takes orders: what to
do wrong, and how often.

They share no code with the app: a stand-in that does proves nothing.
"""
