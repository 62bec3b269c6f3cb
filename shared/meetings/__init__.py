"""Requests for join links: reading them, Teams links, the caller's rights, resolving."""
