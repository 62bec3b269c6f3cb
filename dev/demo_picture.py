"""Draws docs/pictures/demo.svg: some steps of the demo as on a terminal.

    .venv/bin/python -m dev.demo_picture

Needs the checks' packages (`python dev.py prepare`). Runs the demo and draws its output. The
answers of its stand-ins are made up, with the links.
"""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dev.terminal import COLUMNS

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "demo.svg"
STEPS = (
    "HTTP: what people have",
    "Webhook: a booking, signed by Cal.com",
    "HTTP: an organizer whom no access policy covers",
)
"""The beginnings of the titles of the drawn steps."""

# rich's own format without its fonts, which a browser would download.
_FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def chosen(output: str) -> Iterator[str]:
    """Give the lines of the steps to draw, and the demo's last line.

    Args:
        output: The demo's output.

    Raises:
        StopIteration: The demo has no step with such a title.
    """
    _, *steps = output.split("\n== ")
    for title in STEPS:
        step = next(step for step in steps if step.startswith(title))
        yield from f"== {step.rstrip()}".splitlines()
        yield ""
    yield output.rstrip().splitlines()[-1]


def styled(line: str) -> Text:
    """Colour a line as the demo does on a terminal, and colour its title and link."""
    text = Text(line)
    text.highlight_regex(r"as it should be|^All \d+ came out right\.", "green")
    text.highlight_regex(r"^== .*", "bold")
    text.highlight_regex(r"https://visit\.\S+", "cyan")
    return text


def draw(output: str) -> str:
    """Draw the chosen steps as SVG."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    for line in chosen(output):
        console.print(styled(line), no_wrap=True, overflow="ellipsis", crop=True)
    return console.export_svg(title="python dev.py demo", code_format=_FORMAT, unique_id="demo")


def main() -> int:
    """Run the demo and write the picture."""
    done = subprocess.run(
        [sys.executable, "-m", "dev", "demo"],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    if done.returncode:
        print(done.stdout)
        return done.returncode
    PICTURE.write_text(draw(done.stdout), encoding="utf-8")
    print(f"Written: {PICTURE.relative_to(ROOT)}, {PICTURE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
