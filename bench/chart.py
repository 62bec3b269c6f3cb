"""A bar chart of the cost of a link, written as SVG without a library."""

from collections.abc import Sequence
from html import escape

_WIDTH, _LEFT, _BAR, _GAP = 720, 210, 20, 8
_ROOM = _WIDTH - _LEFT - 70  # for the longest bar and its value
_OURS, _OTHERS, _INK = "#0f6cbd", "#9aa0a6", "#242424"


def bars(title: str, values: Sequence[tuple[str, float]], *, unit: str, ours: str) -> str:
    """Draw a bar for each value.

    Args:
        title: The title above the bars, also for screen readers.
        values: Names and values, in order.
        unit: The unit after each value.
        ours: The name of the highlighted bar.
    """
    most = max(value for _, value in values)
    height = 50 + len(values) * (_BAR + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"',
        f'aria-label="{escape(title)}" font-family="Segoe UI, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="26" font-size="15" fill="{_INK}">{escape(title)}</text>',
    ]
    for place, (name, value) in enumerate(values):
        y = 44 + place * (_BAR + _GAP)
        width = max(1.0, _ROOM * value / most)
        colour = _OURS if name == ours else _OTHERS
        parts += [
            _text(_LEFT - 8, y, name, anchor="end"),
            f'<rect x="{_LEFT}" y="{y}" width="{width:.0f}" height="{_BAR}" fill="{colour}"/>',
            _text(_LEFT + width + 6, y, f"{value:,.0f} {unit}", anchor="start"),
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: int, text: str, *, anchor: str) -> str:
    place = f'x="{x:.0f}" y="{y + 15}" text-anchor="{anchor}"'
    return f'<text {place} fill="{_INK}">{escape(text)}</text>'
