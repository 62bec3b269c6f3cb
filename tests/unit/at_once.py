"""Calls from many threads at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def at_once[Result, Failure: Exception](
    count: int, ask: Callable[[], Result], *, failure: type[Failure]
) -> list[Result | Failure]:
    """Ask from so many threads, and give the result or the failure of each."""
    barrier = threading.Barrier(count)

    def asked(_: int) -> Result | Failure:
        barrier.wait(10)
        try:
            return ask()
        except failure as error:
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(asked, range(count)))
