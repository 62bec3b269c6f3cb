"""A Functions host around the real Python worker, by the rules of Microsoft's host.

`dev.host.host.Host` is the way in. This file imports nothing, because the worker process
runs as a module of this package and should load the app and little else.
"""
