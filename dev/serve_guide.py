"""The guide that `python dev.py serve` prints: commands to paste, organizers and meetings.

A new section is a new function in SECTIONS.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dev.booking_systems import DELIVERY_SECRET, PRESETS, event_of, scheme_of, secret_of
from dev.local_run import DIAGNOSTICS_KEY, FUNCTION_KEY, LocalAzure
from dev.signed_curl import signed_curl
from dev.stand_ins.graph import BUSY_SECONDS
from dev.terminal import wrapped

_APP_ROLE = "JoinLink.Read.All"
_MISTAKES = "Your sources have mistakes, and those are switched off. Correct them, and start again:"
_WEBHOOKS = """\
Bookings, signed as each source's system signs, for bash with curl and openssl.
Their results arrive on join-link-results, and show below:"""


@dataclass(frozen=True)
class Guide:
    """The content of the guide.

    Attributes:
        run: The services that the app needs.
        url: The app's address, without `/api`.
        sign_in_url: The address of the second app, whose callers sign in.
        sources: The booking systems in WEBHOOK_SOURCES.
        mistakes: What is wrong with the sources, to print first: a line for each mistake.
        notes: The notes to print after that.
        deliver_to: The URL that outcomes are delivered to, if there is one.
    """

    run: LocalAzure
    url: str
    sign_in_url: str
    sources: Mapping[str, Mapping[str, Any]]
    mistakes: Sequence[str] = field(default=())
    notes: Sequence[str] = field(default=())
    deliver_to: str | None = None

    def text(self) -> str:
        """Write the whole guide."""
        first = [wrapped(note) for note in self.notes]
        if self.mistakes:
            first.insert(0, "\n".join([_MISTAKES, *(f"  {mistake}" for mistake in self.mistakes)]))
        return "\n\n".join(["", *first, *_sections(self)])


def _sections(guide: Guide) -> list[str]:
    return [text for section in SECTIONS if (text := section(guide).strip("\n"))]


def _calls(guide: Guide) -> str:
    clinic = guide.run.clinic
    return f"""
The app is up. Try it:

curl -iw '\\n' {guide.url}/api/health

curl -iw '\\n' {guide.url}/api/join-link \\
  -H 'x-functions-key: {FUNCTION_KEY}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"userId": "{clinic.doctor.user_principal_name}",
       "joinWebUrl": "{clinic.meeting.join_web_url}"}}'
"""


def _deliveries(guide: Guide) -> str:
    if guide.deliver_to is None:
        return ""
    clinic = guide.run.clinic
    return f"""
Outcomes are delivered to {guide.deliver_to}, signed with the secret
{DELIVERY_SECRET}

Ask for a link for later, and its outcome is delivered:

curl -iw '\\n' {guide.url}/api/join-link-requests \\
  -H 'x-functions-key: {FUNCTION_KEY}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"userId": "{clinic.doctor.object_id}",
       "onlineMeetingId": "{clinic.meeting.id}"}}'
"""


def _throttled(guide: Guide) -> str:
    clinic = guide.run.clinic
    return f"""
A meeting whose organizer Graph throttles for {BUSY_SECONDS} seconds, then serves for as long,
and so on: 429 with Retry-After, to try a client with:

curl -iw '\\n' {guide.url}/api/join-link \\
  -H 'x-functions-key: {FUNCTION_KEY}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"userId": "{clinic.busy.object_id}",
       "onlineMeetingId": "{clinic.busy_meeting.id}"}}'
"""


def _sign_in(guide: Guide) -> str:
    run, clinic = guide.run, guide.run.clinic
    administrator = run.token_of(clinic.doctor, roles=[_APP_ROLE])
    application = run.authority.issue_to_application(audience=run.registration.client_id)
    return f"""
Signed in, at a second app with HTTP_AUTH=entra. A token decides whose meetings it
opens, and is valid for a day. The token of {clinic.locum.user_principal_name} opens a meeting of
his own, although no access policy covers him:

TOKEN={run.token_of(clinic.locum)}
curl -iw '\\n' {guide.sign_in_url}/api/join-link \\
  -H "Authorization: Bearer $TOKEN" \\
  -H 'Content-Type: application/json' \\
  -d '{{"userId": "me", "joinWebUrl": "{clinic.locum_meeting.join_web_url}"}}'

Tokens of others, to put in its place:

{clinic.doctor.user_principal_name}, who has the app role {_APP_ROLE}: any organizer's
{administrator}

an application with that app role: any organizer's, and no `me`
{application}

a guest: nothing, 403
{run.token_of(clinic.doctor, acct=1)}
"""


def _webhooks(guide: Guide) -> str:
    shown = [_webhook(guide, name, source) for name, source in guide.sources.items()]
    return "\n\n".join([_WEBHOOKS, *shown])


def _webhook(guide: Guide, name: str, source: Mapping[str, Any]) -> str:
    url = f"{guide.url}/api/webhooks/{name}"
    scheme, secret = scheme_of(source), secret_of(source)
    event = event_of(source, guide.run.clinic)
    head = f"== {name}\n   scheme   {scheme['type']}\n   address  {url}\n   secret   {secret}"
    if event is None:
        event = {"put here": "what your system posts"}
        head += "\n   No event can be made from its mapping. Put one of your system's in its place:"
        head += "\n   EVENT=$(cat event.json)"
    return f"{head}\n\n{signed_curl(url=url, scheme=scheme, secret=secret, event=event)}"


def _programs(guide: Guide) -> str:
    clinic = guide.run.clinic
    event = json.dumps(PRESETS["standard"].event(clinic))
    return f"""
For the programs in docs/webhooks.md (Standard Webhooks):

post("{guide.url}/api/webhooks/clinic",
     "{secret_of(guide.sources["clinic"])}",
     {event})
"""


def _diagnostics(guide: Guide) -> str:
    return f"""
The diagnostics, for a browser: {guide.url}/api/diagnostics
  key of the function: {DIAGNOSTICS_KEY}
"""


def _people(guide: Guide) -> str:
    clinic = guide.run.clinic
    return f"""
Who and what there is at this made-up clinic:

  organizer          {clinic.doctor.object_id}
                     {clinic.doctor.user_principal_name}
  her meeting        onlineMeetingId {clinic.meeting.id}
                     joinMeetingId {clinic.meeting.join_meeting_id}
                     joinWebUrl {clinic.meeting.join_web_url}
  one more           joinWebUrl {clinic.older_meeting.join_web_url}
  a deleted one      onlineMeetingId {clinic.deleted_meeting.id}
  organizer without
  an access policy   {clinic.locum.object_id}
  his meeting        onlineMeetingId {clinic.locum_meeting.id}
  organizer whom
  Graph throttles    {clinic.busy.object_id}
  her meeting        onlineMeetingId {clinic.busy_meeting.id}
"""


def _queues(guide: Guide) -> str:
    return f"""
Queues, for a storage client:
  {guide.run.azurite.connection_string}
"""


def _end(_: Guide) -> str:
    return "Ctrl-C stops everything. What the app logs:\n"


SECTIONS: Sequence[Callable[[Guide], str]] = (
    _calls,
    _deliveries,
    _throttled,
    _sign_in,
    _webhooks,
    _programs,
    _diagnostics,
    _people,
    _queues,
    _end,
)
