"""The diagnostics' routes, in plain values: the climb, and the page that asks for it."""

import base64
import hashlib
import re
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from shared import strict_json
from shared.application import Application
from shared.diagnostics.ascent import Ascent, Subject
from shared.diagnostics.ladder import climb
from shared.diagnostics.rungs import RUNGS
from shared.errors import DiagnosticsBusy, ServiceError
from shared.http_answers import HttpAnswer, json_answer, problem_answer
from shared.http_api import parse_body

_PAGE = Path(__file__).with_name("page.html")
_MAX_BODY_BYTES = 8 * 1024


_climbing = threading.Lock()


def run(application: Application, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
    """Answer `POST /api/diagnostics`: 200 with the verdict inside, within 20 seconds.

    One climber at a time in this process. A problem is only what is wrong with the request, and
    429 while another one climbs.

    Args:
        application: the app, sound or with faulty settings.
        headers: by name, in any case.
        body: as it came; none is as good as an empty object.
    """
    try:
        subject = _subject({name.lower(): value for name, value in headers.items()}, body)
        if not _climbing.acquire(blocking=False):
            raise DiagnosticsBusy("Somebody is running the diagnostics just now.")
    except ServiceError as error:
        return problem_answer(error)
    try:
        ascent = Ascent.of(application, subject)
        report = climb(RUNGS, ascent, faulty_settings=ascent.faulty_settings)
    finally:
        _climbing.release()
    return json_answer(200, report.to_json())


@cache
def page() -> HttpAnswer:
    """Answer `GET /api/diagnostics`: a static page, which may do nothing but call the POST."""
    html = _PAGE.read_text(encoding="utf-8")
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        f"script-src {_hash(html, 'script')}; style-src {_hash(html, 'style')}"
    )
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    return HttpAnswer(200, headers, html.encode())


def _subject(headers: Mapping[str, str], body: bytes) -> Subject:
    if not body:
        return Subject()
    return Subject.from_document(parse_body(strict_json.read, headers, body, most=_MAX_BODY_BYTES))


def _hash(html: str, element: str) -> str:
    """Name the page's one inline script or style, as a policy does (CSP Level 3, §2.3.1)."""
    match = re.search(f"<{element}>(.*?)</{element}>", html, re.DOTALL)
    content = match[1] if match else ""
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
