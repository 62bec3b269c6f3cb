"""`python dev.py serve`: the app stays up, for somebody with curl."""

import threading

from dev.host.logs import LogLine
from dev.local_run import FUNCTION_KEY, LocalRun


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
