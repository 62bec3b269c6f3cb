"""What holds for all unit tests."""

from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
