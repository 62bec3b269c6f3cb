"""Settings of Hypothesis for all unit tests."""

from hypothesis import settings

# No deadline: how long an example takes depends on how busy the machine is.
# The same examples in every run: a change is judged by what it changes, and not by chance.
settings.register_profile("project", deadline=None, derandomize=True)
# Other examples in every run, for whoever looks for faults: --hypothesis-profile=explore
settings.register_profile("explore", deadline=None, derandomize=False)
settings.load_profile("project")
