"""Settings of Hypothesis for all unit tests."""

from hypothesis import settings

# No deadline: the time of an example depends on the machine's load.
# The same examples in each run, so that only a change of the code changes the result.
settings.register_profile("project", deadline=None, derandomize=True)
# Other examples in each run, to search for errors: --hypothesis-profile=explore
settings.register_profile("explore", deadline=None, derandomize=False)
settings.load_profile("project")
