"""`python -m bench`: started by `python dev.py bench`, which checks the arguments."""

import argparse
from pathlib import Path

from bench.run import bench
from dev.errors import StartError
from dev.processes import run_main
from dev.terminal import complain


def main() -> int:
    """Measure, and return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("--beside", type=Path)
    options = parser.parse_args()
    try:
        return bench(
            names=options.names,
            rounds=options.rounds,
            publish=options.publish,
            beside=options.beside and options.beside.resolve(),
        )
    except StartError as error:
        complain(error)
        return 1


if __name__ == "__main__":
    run_main(main)
