"""`python dev.py serve`: the app stays up, for somebody with curl."""

import threading

from dev.booking_systems import SECRETS, calcom_booking
from dev.host.logs import LogLine
from dev.local_run import DIAGNOSTICS_KEY, FUNCTION_KEY, LocalRun


def serve(*, port: int = 0) -> int:
    """Start everything, say how to call it, and stay until Ctrl-C. Returns an exit code."""
    print("Starting the app, its queues and its stand-ins ...", flush=True)
    with LocalRun(port=port, on_log=_show) as run:
        print(_guide(run), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("\nStopping ...", flush=True)
    return 0


def _show(line: LogLine) -> None:
    print(line, flush=True)


def _booking(run: LocalRun) -> str:
    return calcom_booking(run.clinic.meeting, run.clinic.doctor).decode()


def _guide(run: LocalRun) -> str:
    clinic = run.clinic
    return f"""
The app is up. Try it:

curl -i {run.url}/api/health

curl -i {run.url}/api/join-link \\
  -H 'x-functions-key: {FUNCTION_KEY}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"userId": "{clinic.doctor.user_principal_name}",
       "joinWebUrl": "{clinic.meeting.join_web_url}"}}'

A booking at Cal.com, signed; its result arrives on join-link-results:

BOOKING='{_booking(run)}'
curl -i {run.url}/api/webhooks/calcom -d "$BOOKING" -H 'Content-Type: application/json' \\
  -H "X-Cal-Signature-256: $(printf %s "$BOOKING" | openssl dgst -sha256 -r \\
      -hmac '{SECRETS["calcom-webhook"]}' | cut -d' ' -f1)"

The diagnostics, for a browser: {run.url}/api/diagnostics
  key of the function: {DIAGNOSTICS_KEY}

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

Queues, for a storage client:
  {run.azurite.connection_string}

Ctrl-C stops everything. What the app logs:
"""
