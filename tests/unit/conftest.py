"""Settings of Hypothesis, and a fixture, for all unit tests."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import settings

# No deadline: the time of an example depends on the machine's load.
# The same examples in each run, so that only a change of the code changes the result.
settings.register_profile("project", deadline=None, derandomize=True)
# Other examples in each run, to search for errors: --hypothesis-profile=explore
settings.register_profile("explore", deadline=None, derandomize=False)
settings.load_profile("project")


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Servers that stop at the test's end."""
    with ExitStack() as servers:
        yield servers
