"""`python dev.py`: what it can do, and its arguments."""

import argparse
import signal
import sys
from collections.abc import Sequence

from dev.errors import StartError

_DESCRIPTION = """\
Runs this project on one machine, without an Azure account: the app in the
real Functions Python worker, real storage queues, and stand-ins for the rest.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    # Whoever ends it politely gets the same end as Ctrl-C: nothing stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        return _run(options)
    except StartError as error:
        print(error, file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    # Each command imports what it needs only when it is the one.
    match options.command:
        case "demo":
            from dev.demo import demo  # noqa: PLC0415

            return demo()
        case "serve":
            from dev.serve import serve  # noqa: PLC0415

            return serve(port=options.port)
        case "test":
            from dev.checks import check  # noqa: PLC0415

            return check(names=options.names, everything=options.all)
        case "soak":
            from dev.soak import soak  # noqa: PLC0415

            return soak(messages=options.messages, seconds=options.seconds)
        case _:
            from dev.lock import lock  # noqa: PLC0415

            return lock()


def _parser() -> argparse.ArgumentParser:
    from dev.checks import NAMES  # noqa: PLC0415 - as above

    parser = argparse.ArgumentParser(
        prog="python dev.py",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands.add_parser(
        "demo",
        help="show the main job: requests go in, join links come out",
        description="Start everything, send requests, show what comes back, and stop.",
    )
    serve = commands.add_parser(
        "serve",
        help="keep the app up, to try it with curl",
        description="Start everything, say how to call it, and stay up until Ctrl-C.",
    )
    serve.add_argument(
        "--port", type=int, default=0, help="where the app listens (default: any free port)"
    )
    test = commands.add_parser(
        "test",
        help="run the checks",
        description="Run the checks, all of them or those that are named.",
    )
    test.add_argument(
        "names", nargs="*", metavar="CHECK", help=f"which: {', '.join(NAMES)} (default: all)"
    )
    test.add_argument("--all", action="store_true", help="the slow ones too")
    soak = commands.add_parser(
        "soak",
        help="send thousands of messages while everything fails, and count the answers",
        description="Send messages while Graph misbehaves, services go away and workers are "
        "killed. Exit code 0 if every request is accounted for.",
    )
    soak.add_argument("--messages", type=int, default=10_000, help="how many (default: 10,000)")
    soak.add_argument(
        "--seconds", type=float, default=1800.0, help="how long at most (default: 1800)"
    )
    commands.add_parser(
        "lock",
        help="pin the requirements anew, from requirements.in and dev/requirements.in",
        description="Pin the requirements anew. Needs the network.",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
