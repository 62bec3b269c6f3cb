"""`python dev.py demo`: shows the main job step by step, and checks each result."""

import json
import textwrap
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import requests

from dev import demo_deliveries, demo_sign_in, demo_webhooks
from dev.func_host import FuncRun
from dev.local_run import FUNCTION_KEY, LocalApp, LocalRun
from dev.sign_in_app import sign_in_app
from dev.stand_ins.graph_faults import throttle
from dev.stand_ins.receiver import Receiver
from dev.terminal import COLUMNS, green, red, ticking, working, wrapped

_WAIT = 30.0  # seconds for a result on the queue


@dataclass(frozen=True)
class Step:
    """One step: its title, its action, and the expected result."""

    title: str
    run: Callable[[LocalApp], Mapping[str, Any]]
    expected: Callable[[LocalApp, Mapping[str, Any]], bool]


def demo(*, host: str = "own") -> int:
    """Run each step and return 0 if all results are as expected.

    Args:
        host: The host that runs the app: the project's own, or `func`.

    Raises:
        StartError: func is missing or has ended, or a service that the app needs did not start.
    """
    with ExitStack() as parts:
        with working("Starting the app, its queues and its stand-ins"):
            receiver = parts.enter_context(Receiver(secret=demo_deliveries.SECRET))
            deliveries = {"demo": demo_deliveries.destination(receiver)}
            settings = {"DELIVERIES": json.dumps(deliveries)}
            app = FuncRun(settings=settings) if host == "func" else LocalRun(settings=settings)
            run = parts.enter_context(app)
            run.vault.set_secret(demo_deliveries.SECRET_NAME, demo_deliveries.SECRET)
            sign_in_url = parts.enter_context(sign_in_app(run))
        print(f"The app is up at {run.url}.", flush=True)
        steps = (*STEPS, *_sign_in_steps(sign_in_url), *_delivery_steps(receiver))
        wrong = [step.title for step in steps if not _show(step, run)]
    print()
    if wrong:
        print(red(wrapped(f"{len(wrong)} of {len(steps)} came out wrong: {'; '.join(wrong)}.")))
        return 1
    print(green(f"All {len(steps)} came out right."), "To try it yourself: python dev.py serve")
    return 0


def _show(step: Step, run: LocalApp) -> bool:
    print(f"\n== {step.title}", flush=True)
    with ticking():
        answer = step.run(run)
    for name in ("code", "detail", "fix", "virtualAppointmentJoinWebUrl"):
        if answer.get(name):
            print(_wrapped(f"   {name}: {answer[name]}"))
    right = step.expected(run, answer)
    print("  ", green("as it should be") if right else red("WRONG:"), flush=True)
    if not right:
        print(f"      {json.dumps(answer)}", flush=True)
    return right


def _wrapped(text: str) -> str:
    """Wrap a text. Commands in it stay whole, so that they can be copied."""
    indent = " " * 6
    lines = []
    for number, part in enumerate(text.split("`")):  # commands stand between
        if number % 2:
            lines.append(f"{indent}  {part}")
        elif words := part.lstrip(".; ") if number else part:
            lines.append(
                textwrap.fill(
                    words,
                    COLUMNS,
                    initial_indent=indent if number else "",
                    subsequent_indent=indent,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )
    return "\n".join(lines)


def _brief(body: Mapping[str, Any]) -> str:
    """Show a request's members. Long ones are cut."""
    return json.dumps({name: _cut(value) for name, value in body.items()}, ensure_ascii=False)


def _cut(value: object) -> object:
    if isinstance(value, list):
        return f"{len(value)} of them"
    return f"{value[:32]}…" if isinstance(value, str) and len(value) > 40 else value


def _post(
    run: LocalApp, body: Mapping[str, Any], *, path: str = "/api/join-link"
) -> Mapping[str, Any]:
    print(_wrapped(f"   in:  POST {path} {_brief(body)}"))
    answer = requests.post(
        f"{run.url}{path}",
        json=body,
        headers={"x-functions-key": FUNCTION_KEY},
        timeout=30,
    )
    print(f"   out: {answer.status_code} {answer.headers['Content-Type']}")
    members: Mapping[str, Any] = answer.json()
    return members


def _enqueue(run: LocalApp, body: Mapping[str, Any]) -> Mapping[str, Any]:
    print(_wrapped(f"   in:  join-link-requests <- {_brief(body)}"))
    run.queue("join-link-requests").send_message(json.dumps(body))
    results = run.queue("join-link-results")
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        if (message := results.receive_message()) is None:
            time.sleep(0.1)
            continue
        results.delete_message(message)
        event = json.loads(message.content)
        print(f"   out: join-link-results -> {event['type']}")
        members: Mapping[str, Any] = event["data"]
        return members
    print(f"   out: nothing on join-link-results within {_WAIT:.0f} seconds")
    return {}


def _by_ids(run: LocalApp) -> dict[str, Any]:
    clinic = run.clinic
    return {"userId": clinic.doctor.object_id, "onlineMeetingId": clinic.meeting.id}


def _http(run: LocalApp) -> Mapping[str, Any]:
    return _post(run, {**_by_ids(run), "context": {"booking": 1}})


def _queue(run: LocalApp) -> Mapping[str, Any]:
    return _enqueue(run, {**_by_ids(run), "requestId": "booking-2"})


def _teams_link(run: LocalApp) -> Mapping[str, Any]:
    clinic = run.clinic
    return _post(
        run,
        {
            "userId": clinic.doctor.user_principal_name,
            "joinWebUrl": clinic.meeting.join_web_url,
        },
    )


def _safe_link(run: LocalApp) -> Mapping[str, Any]:
    # Outlook rewrites links like this. The long form of the link names its organizer.
    link = quote(run.clinic.older_meeting.join_web_url, safe="")
    return _post(
        run,
        {
            "joinWebUrl": "Join: <https://eur03.safelinks.protection.outlook.com/"
            f"?url={link}&data=05%7C02%7C&reserved=0>"
        },
    )


def _many(run: LocalApp) -> Mapping[str, Any]:
    clinic = run.clinic
    meetings = (clinic.meeting, clinic.older_meeting, clinic.deleted_meeting)
    run.graph.clear()
    answer = _post(
        run,
        {
            "requests": [
                {"userId": clinic.doctor.object_id, "onlineMeetingId": meeting.id}
                for meeting in meetings
            ]
        },
        path="/api/join-links",
    )
    for result in answer["results"]:
        print(f"   {result['status']} {result.get('problem', {}).get('code', 'a join link')}")
    return {**answer, "calls": run.graph.count()}


def _deleted(run: LocalApp) -> Mapping[str, Any]:
    clinic = run.clinic
    return _post(
        run, {"userId": clinic.doctor.object_id, "onlineMeetingId": clinic.deleted_meeting.id}
    )


def _no_policy(run: LocalApp) -> Mapping[str, Any]:
    clinic = run.clinic
    return _post(
        run, {"userId": clinic.locum.object_id, "onlineMeetingId": clinic.locum_meeting.id}
    )


def _throttled(run: LocalApp) -> Mapping[str, Any]:
    run.graph.order(throttle("1"))
    run.graph.clear()
    started = time.monotonic()
    answer = _post(run, _by_ids(run))
    seconds = time.monotonic() - started
    print(f"   {run.graph.count()} calls to Graph in {seconds:.1f} s: 429, then 200")
    return {**answer, "calls": run.graph.count()}


def _is_link(run: LocalApp, answer: Mapping[str, Any]) -> bool:
    return answer.get("virtualAppointmentJoinWebUrl") == run.graph.join_link(run.clinic.meeting)


def _is_problem(code: str) -> Callable[[LocalApp, Mapping[str, Any]], bool]:
    return lambda _, answer: answer.get("code") == code


def _sign_in_steps(url: str) -> tuple[Step, ...]:
    return (
        Step(
            "Sign-in: a person asks for a meeting of their own, on their own behalf",
            partial(demo_sign_in.own_meeting, url),
            lambda run, answer: (
                answer.get("virtualAppointmentJoinWebUrl")
                == answer["again"].get("virtualAppointmentJoinWebUrl")
                == run.graph.join_link(run.clinic.locum_meeting)
                and answer["exchanges"] == 1
            ),
        ),
        Step(
            "Sign-in: the same person is refused somebody else's meeting",
            partial(demo_sign_in.another_meeting, url),
            lambda _, answer: answer.get("code") == "forbidden" and answer["calls"] == 0,
        ),
    )


def _delivery_steps(receiver: Receiver) -> tuple[Step, ...]:
    return (
        Step(
            "Delivery: a link for later reaches your own system, signed",
            partial(demo_deliveries.delivered, receiver),
            lambda run, answer: _is_link(run, answer) and answer["statuses"] == [200],
        ),
        Step(
            "Delivery: the receiver is away at first, and gets it some seconds later",
            partial(demo_deliveries.second_try, receiver),
            lambda run, answer: _is_link(run, answer) and answer["statuses"] == [503, 200],
        ),
    )


STEPS = (
    Step(
        "HTTP: a meeting by its ids",
        _http,
        lambda run, answer: _is_link(run, answer) and answer["context"] == {"booking": 1},
    ),
    Step(
        "Queue: the same meeting, asked for by a workflow",
        _queue,
        lambda run, answer: _is_link(run, answer) and answer["requestId"] == "booking-2",
    ),
    Step("Webhook: a booking, signed by Cal.com", demo_webhooks.calcom, _is_link),
    Step(
        "Webhook: a Cal.com booking with an Outlook event id beside the Teams link",
        demo_webhooks.calcom_outlook,
        _is_link,
    ),
    Step(
        "Webhook: an event of a home-made system, signed as Standard Webhooks ask for",
        demo_webhooks.standard,
        _is_link,
    ),
    Step(
        "Webhook: the secret is rotated while bookings flow",
        demo_webhooks.rotated,
        lambda run, answer: (
            set(answer["statuses"]) == {202}
            and set(answer["links"]) == {run.graph.join_link(run.clinic.meeting)}
        ),
    ),
    Step("Webhook: a forged booking", demo_webhooks.forged, _is_problem("signature_invalid")),
    Step("HTTP: what people have, a Teams link and an e-mail address", _teams_link, _is_link),
    Step(
        "HTTP: a Safe Link of Outlook, pasted with what stood around it",
        _safe_link,
        lambda run, answer: (
            answer.get("virtualAppointmentJoinWebUrl")
            == run.graph.join_link(run.clinic.older_meeting)
        ),
    ),
    Step(
        "HTTP: several at once, one of which is gone; one batch to Graph for all",
        _many,
        lambda _, answer: (
            [result["status"] for result in answer["results"]] == [200, 200, 404]
            and answer["calls"] == 1
        ),
    ),
    Step("HTTP: a meeting that does not exist", _deleted, _is_problem("meeting_not_found")),
    Step(
        "HTTP: an organizer whom no access policy covers",
        _no_policy,
        lambda run, answer: (
            answer.get("code") == "access_policy_missing"
            and run.clinic.locum.object_id in answer["fix"]
        ),
    ),
    Step(
        "HTTP: Graph is busy at first",
        _throttled,
        lambda run, answer: _is_link(run, answer) and answer["calls"] == 2,
    ),
)
