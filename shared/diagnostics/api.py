"""The routes of the diagnostics, without azure.functions: the report and the page."""

import base64
import hashlib
import re
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from shared.app import Application
from shared.core import strict_json
from shared.core.errors import DiagnosticsBusy, ServiceError
from shared.diagnostics.checks import CHECKS
from shared.diagnostics.context import CheckContext, Target
from shared.diagnostics.runner import run_checks
from shared.handlers.join_links import MAX_BODY_BYTES, parse_body
from shared.handlers.responses import HttpResponse, json_response, problem_response

_PAGE = Path(__file__).with_name("page.html")
_running = threading.Lock()


def run(application: Application, headers: Mapping[str, str], body: bytes) -> HttpResponse:
    """Answer `POST /api/diagnostics`: 200 with the verdict in the body, within 20 seconds.

    The process runs one at a time. The response is a problem only if the request is invalid, or
    another run has not ended (429).

    Args:
        application: the app, with valid or invalid settings.
        headers: the request's headers, by name in any case.
        body: the raw body. An empty body counts as an empty object.
    """
    application.event_limiter.emit_due()
    try:
        target = _target({name.lower(): value for name, value in headers.items()}, body)
        if not _running.acquire(blocking=False):
            raise DiagnosticsBusy("Diagnostics are already running.")
    except ServiceError as error:
        return problem_response(error)
    try:
        context = CheckContext.of(application, target)
        report = run_checks(CHECKS, context, invalid_settings=context.invalid_settings)
    finally:
        _running.release()
    return json_response(200, report.to_json())


def page(application: Application) -> HttpResponse:
    """Answer `GET /api/diagnostics`: a static page. Its policy allows only a call to the POST."""
    application.event_limiter.emit_due()
    return _page()


@cache
def _page() -> HttpResponse:
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
    return HttpResponse(200, headers, html.encode())


def _target(headers: Mapping[str, str], body: bytes) -> Target:
    if not body:
        return Target()
    return Target.from_document(parse_body(strict_json.read, headers, body, most=MAX_BODY_BYTES))


def _hash(html: str, element: str) -> str:
    """Give the hash of the page's inline script or style, as a policy has it (CSP 3, §2.3.1)."""
    match = re.search(f"<{element}>(.*?)</{element}>", html, re.DOTALL)
    content = match[1] if match else ""
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
