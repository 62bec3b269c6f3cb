"""Writes the report of the diagnostics for a terminal, and as a file to send to others."""

import html
from collections.abc import Iterator, Mapping
from typing import Any

WORDS = {"pass": "pass", "warn": "WARNING", "fail": "FAIL", "not_reached": "not reached"}
"""The results of a check."""
VERDICTS = {
    "pass": "PASS",
    "warn": "PASS, with a warning",
    "incomplete": "INCOMPLETE",
    "fail": "FAIL",
}
"""The results of all checks together."""
_LEFT = 14
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Diagnostics of {where}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 46rem; }}
.warn, .incomplete {{ color: light-dark(#855000, #f2b960); }}
.fail {{ color: light-dark(#b3261e, #ff968d); }}
.pass {{ color: light-dark(#146c37, #74d391); }}
li {{ margin: 1rem 0; overflow-wrap: anywhere; }}
pre {{ white-space: pre-wrap; border: 1px solid; padding: .7rem; border-radius: .4rem; }}
p {{ margin: .2rem 0; }}
</style>
<h1>Diagnostics of {where}</h1>
<p>{when}. Verdict: <strong class="{tone}">{verdict}</strong>. {summary}</p>
<ol>
{checks}
</ol>
</html>
"""


def printable(text: object) -> str:
    """Remove characters that a terminal would execute."""
    return "".join(letter for letter in str(text) if letter.isprintable())


def as_text(report: Mapping[str, Any]) -> str:
    """Write the checks for a terminal."""
    lines = []
    for check in report["checks"]:
        word = WORDS.get(check["status"], check["status"])
        lines.append(f"{word:<{_LEFT}}{check['title']}")
        told = [check["detail"], *(_seen(check) if check["status"] in ("warn", "fail") else ())]
        for number, (part, is_command) in enumerate(_parts(check.get("fix", ""))):
            margin = "  " if is_command else "" if number else "Next step: "
            told.append(f"{margin}{part}")
        lines += [" " * _LEFT + line for line in told]
    lines += ["", f"Verdict: {VERDICTS[report['verdict']]}. {report['summary']}"]
    return "\n".join(map(printable, lines))


def as_html(report: Mapping[str, Any], *, where: str, when: str) -> str:
    """Write the checks as one HTML file. Each value is escaped."""
    return _PAGE.format(
        where=html.escape(where),
        when=html.escape(when),
        tone=html.escape(report["verdict"]),
        verdict=html.escape(VERDICTS[report["verdict"]]),
        summary=html.escape(report["summary"]),
        checks="\n".join(map(_check, report["checks"])),
    )


def _seen(check: Mapping[str, Any]) -> list[str]:
    seen = [f"{name}: {value}" for name, value in check.get("seen", {}).items()]
    if "graphRequestId" in check:
        seen.append(f"Graph request id: {check['graphRequestId']}")
    return seen


def _parts(fix: str) -> Iterator[tuple[str, bool]]:
    """Split a fix into its sentences and its commands, which are between backticks.

    A single word between backticks is a name, and stays in its sentence.
    """
    sentences = ""
    for number, part in enumerate(fix.split("`")):
        if number % 2 == 1 and len(part.split()) > 1:
            yield from _sentences(sentences)
            yield part.strip(), True
            sentences = ""
        else:
            sentences += part
    yield from _sentences(sentences)


def _sentences(text: str) -> Iterator[tuple[str, bool]]:
    if told := text.lstrip(".;, ").rstrip():
        yield told, False


def _check(check: Mapping[str, Any]) -> str:
    paragraphs = [check["detail"], *_seen(check)]
    told = "".join(f"<p>{html.escape(text)}</p>" for text in paragraphs)
    for part, is_command in _parts(check.get("fix", "")):
        tag = "pre" if is_command else "p"
        told += f"<{tag}>{html.escape(part)}</{tag}>"
    word, tone = (
        html.escape(text) for text in (WORDS.get(check["status"], check["status"]), check["status"])
    )
    head = f'<strong class="{tone}">{word}: {html.escape(check["title"])}</strong>'
    if check["status"] == "pass":
        return f"<li><details><summary>{head}</summary>{told}</details></li>"
    return f"<li>{head}{told}</li>"
