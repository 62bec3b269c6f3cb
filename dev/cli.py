"""The commands of `python dev.py`, and their arguments."""

import argparse
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dev.checks import NAMES, SLOW
from dev.errors import StartError
from dev.terminal import COLUMNS, complain, wrapped

_DESCRIPTION = """\
Runs this project on one machine, without an Azure account: the app in the
real Functions Python worker, real storage queues, and stand-ins for the rest.
"""
_EPILOG = """\
examples:
  python dev.py demo
  python dev.py serve --port 7071
  python dev.py prepare
  python dev.py test unit types
  python dev.py soak --messages 600 --seconds 480
  python dev.py bench warm
  python dev.py lock

Each says more with --help, and Ctrl-C ends it at any time. Exit codes:
0 all is well, 1 something is not, 2 there is no such command, 130 Ctrl-C.
"""
_SOURCES_EXAMPLE = """

FILE holds for instance:
  {"practice": {"preset": "standard", "secret": "webhook-practice"}}
Members: docs/webhooks.md. The secret's value, and a signed curl, are printed."""
BENCHES = ("cold", "warm", "batch", "burst", "deliveries", "readers", "drain")
"""The measurements of `bench`. It is started as a program, so that dev does not import it."""
_LOCAL_RUN = ("demo", "serve", "soak", "bench")  # these need no packages of the checks
_ROOT = Path(__file__).resolve().parents[1]
_NEEDS = "exactly Python 3.13, and Node 20 or newer; the network only the first time"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parse(arguments)
    try:
        return _run(options)
    except StartError as error:
        complain(error)
        return 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the arguments, with nothing but the standard library.

    Raises:
        SystemExit: Help was printed, or the arguments are wrong.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        parser.exit()
    sources = getattr(options, "sources", None)
    if sources and not sources.exists():
        parser.error(f"there is no file {sources}")
    return options


def needs_checks(options: argparse.Namespace) -> bool:
    """Say whether a command needs more packages than the local run."""
    return options.command not in _LOCAL_RUN


def _run(options: argparse.Namespace) -> int:  # noqa: PLR0911 - one for each command
    # Each command imports its modules only when it runs.
    match options.command:
        case "demo":
            from dev.demo import demo  # noqa: PLC0415

            return demo(host=options.host)
        case "serve":
            from dev.serve import serve, serve_by_func  # noqa: PLC0415

            start = serve_by_func if options.host == "func" else serve
            return start(port=options.port, sources=options.sources, deliver_to=options.deliver_to)
        case "prepare":
            return 0  # dev/environment.py has done it
        case "test":
            from dev.checks import check  # noqa: PLC0415

            return check(names=options.names, everything=options.all)
        case "bench":
            from dev import processes  # noqa: PLC0415

            rounds = [] if options.rounds is None else [f"--rounds={options.rounds}"]
            publish = ["--publish"] if options.publish else []
            beside = [] if options.beside is None else [f"--beside={options.beside.resolve()}"]
            return processes.run("bench", *options.names, *rounds, *publish, *beside, folder=_ROOT)
        case "soak":
            from dev.soak import soak  # noqa: PLC0415

            return soak(messages=options.messages, seconds=options.seconds)
        case _:
            from dev.lock import lock  # noqa: PLC0415

            return lock()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python dev.py", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_layout
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    demo = commands.add_parser(
        "demo",
        help="show the main job: requests go in, join links come out",
        **_told(
            "Start everything, send requests, show what comes back, and stop.",
            takes="a few seconds; the first time about two minutes more",
            examples=["demo"],
        ),
    )
    serve = commands.add_parser(
        "serve",
        help="keep the app up, to try it with curl",
        **_told(
            "Start everything, say how to call it, and stay up until Ctrl-C.",
            takes="a few seconds until it is up; the first time about two minutes more",
            examples=["serve", "serve --port 7071", "serve --sources sources.json"],
            more=_SOURCES_EXAMPLE,
        ),
    )
    serve.add_argument(
        "--port", type=int, default=0, help="where the app listens (default: any free port)"
    )
    serve.add_argument(
        "--sources",
        type=_path,
        metavar="FILE",
        help="booking systems of your own: the JSON of WEBHOOK_SOURCES",
    )
    serve.add_argument(
        "--deliver-to",
        metavar="URL",
        help="a program of your own that outcomes are delivered to, such as one of this machine",
    )
    for command in (demo, serve):
        command.add_argument(
            "--host",
            choices=("own", "func"),
            default="own",
            help="what runs the app: the project's own host (default), or func of Azure Functions "
            "Core Tools",
        )
    commands.add_parser(
        "prepare",
        help="install what the other commands need, and nothing else",
        **_told(
            "Set up .venv and Azurite, as every command does if they are missing or out of date. "
            "For editors and containers.",
            takes="no time; the first time about two minutes",
            examples=["prepare"],
        ),
    )
    test = commands.add_parser(
        "test",
        help="run the checks",
        **_told(
            "Run the checks: those that are named, else all but the slow ones. The last line says "
            "how many passed.",
            needs=f"{_NEEDS}. A Bicep compiler and Chromium for the tests of infra/ and of the "
            "page, which are skipped without",
            takes="less than six minutes; with --all four more, and the first time a few for tools",
            examples=["test", "test unit types", "test --all"],
        ),
    )
    test.add_argument(
        "names",
        nargs="*",
        metavar="CHECK",
        type=_one_of("check", NAMES),
        help=f"which: {', '.join(NAMES)}",
    )
    test.add_argument("--all", action="store_true", help=f"{', '.join(SLOW)} too")
    soak = commands.add_parser(
        "soak",
        help="send thousands of messages while everything fails, and count the answers",
        **_told(
            "Send messages while Graph misbehaves, services go away or fall silent, and workers "
            "are killed. All is well if every request is accounted for.",
            takes="about a quarter of an hour for 10,000 messages, two minutes for 600",
            examples=["soak", "soak --messages 600 --seconds 480"],
        ),
    )
    soak.add_argument("--messages", type=_count, default=10_000, help="how many (default: 10,000)")
    soak.add_argument(
        "--seconds", type=float, default=1800.0, help="how long at most (default: 1800)"
    )
    bench = commands.add_parser(
        "bench",
        help="measure cold start, warm path, batches, bursts and more, beside what one would use",
        **_told(
            "Measure this app, msgraph-sdk, requests, urllib3, http.client and a raw socket in "
            "turns, in the same worker, against the same local server. Tables and goals, met or "
            "missed, are shown and kept as JSON.",
            needs=f"{_NEEDS}. Linux, 1 GB of disk, and a machine that has nothing else to do",
            takes="about twenty minutes for all; the first time about three more",
            examples=["bench", "bench warm", "bench cold --rounds 3"],
        ),
    )
    bench.add_argument(
        "names",
        nargs="*",
        type=_one_of("measurement", BENCHES),
        metavar="NAME",
        help=f"which: {', '.join(BENCHES)} (default: all)",
    )
    bench.add_argument(
        "--rounds", type=_count, help="turns of each subject (default: enough for a median)"
    )
    bench.add_argument(
        "--publish",
        action="store_true",
        help="write the run to bench/results, and its figures into the documents",
    )
    bench.add_argument(
        "--beside",
        type=Path,
        metavar="FOLDER",
        help="another version of this app, checked out there, to compare with",
    )
    commands.add_parser(
        "lock",
        help="pin the requirements anew, from the short lists (*.in)",
        **_told(
            "Pin every package to the newest version that fits: requirements.txt, "
            "dev/requirements-run.txt, dev/requirements.txt, bench/requirements-*.txt.",
            needs="exactly Python 3.13, Node 20 or newer, and the network",
            takes="about ten seconds",
            examples=["lock"],
        ),
    )
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print the error in lines that fit the terminal, without the usage of all commands."""
        self.exit(2, f"{wrapped(f'{message}.')}\nMore: {self.prog} --help\n")


def _layout(prog: str) -> argparse.HelpFormatter:
    columns = min(COLUMNS, shutil.get_terminal_size().columns)
    return argparse.RawDescriptionHelpFormatter(prog, width=columns - 2)


def _told(
    purpose: str, *, needs: str = _NEEDS, takes: str, examples: Sequence[str], more: str = ""
) -> dict[str, Any]:
    """Give the texts of a command's --help around its options."""
    conditions = [
        wrapped(f"{line}.", indent="       ") for line in (f"Needs: {needs}", f"Takes: {takes}")
    ]
    return {
        "description": "\n".join([wrapped(purpose), "", *conditions]),
        "epilog": "\n".join(["examples:", *(f"  python dev.py {example}" for example in examples)])
        + more,
        "formatter_class": _layout,
    }


def _one_of(kind: str, names: Sequence[str]) -> Callable[[str], str]:
    def name(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(
                f"there is no {kind} {text!r}. There are: {', '.join(names)}"
            )
        return text

    return name


def _path(text: str) -> Path:
    """Read a path relative to the folder where dev.py was called."""
    return Path(os.environ.get("DEV_PY_CALLED_FROM", ""), text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
