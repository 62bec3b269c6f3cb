# /// script
# requires-python = ">=3.10"
# dependencies = ["resvg_py==0.5.0"]
# ///
"""Make icon.png from icon.svg: `uv run connector/make_icon.py`, after a change of the drawing."""

from pathlib import Path

import resvg_py

FOLDER = Path(__file__).resolve().parent
PIXELS = 230


def main() -> None:
    """Draw the picture at the one size that connectors have."""
    drawing = (FOLDER / "icon.svg").read_text(encoding="utf-8")
    picture = resvg_py.svg_to_bytes(svg_string=drawing, width=PIXELS, height=PIXELS)
    (FOLDER / "icon.png").write_bytes(bytes(picture))


if __name__ == "__main__":
    main()
