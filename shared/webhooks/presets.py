"""What is known about booking systems: how they sign, and where the meeting stands.

Each preset is written as a source's own configuration would be (docs/webhooks.md), so that
whatever a source gives itself takes a preset's place, member by member.
"""

from collections.abc import Mapping

_TEAMS = "type(@)=='string' && starts_with(@, 'https://teams.')"

PRESETS: Mapping[str, Mapping[str, object]] = {
    # https://cal.com/docs/developing/guides/automation/webhooks, version 2021-10-20, with the
    # default payload. The link can be missing when the booking is made; `location` can be one, or
    # the token `integrations:office365_video`.
    "calcom": {
        "scheme": {"type": "body-hmac", "header": "X-Cal-Signature-256", "encoding": "hex"},
        "mapping": {
            "when": (
                'contains(`["BOOKING_CREATED", "BOOKING_RESCHEDULED"]`, triggerEvent)'
                " && (!(payload.videoCallData.type)"  # `!` binds closer than a dot
                " || payload.videoCallData.type == 'office365_video')"
            ),
            "deliveryId": "[triggerEvent, payload.uid, createdAt]",
            "organizer": "payload.organizer.email",
            "onlineMeetingId": "[payload.videoCallData][?type=='office365_video'].id | [0]",
            "joinWebUrl": (
                "[payload.metadata.videoCallUrl, payload.videoCallData.url, payload.location]"
                f"[?{_TEAMS}] | [0]"
            ),
            "language": "payload.attendees[0].language.locale",
            "context": (
                "payload.{bookingId: uid, start: startTime, end: endTime,"
                " attendees: attendees[:10].{name: name, email: email}}"
            ),
        },
    },
    # https://developer.calendly.com/api-docs: webhook signatures, and the invitee payload. The
    # conference's own id is not documented to be Graph's, so the link alone is used.
    "calendly": {
        "scheme": {
            "type": "timestamped",
            "header": "Calendly-Webhook-Signature",
            "toleranceSeconds": 180,
        },
        "mapping": {
            "when": (
                "event == 'invitee.created'"
                " && payload.scheduled_event.location.type == 'microsoft_teams_conference'"
            ),
            "deliveryId": "[payload.uri, event]",
            "organizer": "payload.scheduled_event.event_memberships[0].user_email",
            "joinWebUrl": "payload.scheduled_event.location.join_url",
            "context": (
                "payload.{bookingId: uri, start: scheduled_event.start_time,"
                " end: scheduled_event.end_time, attendees: [{name: name, email: email}]}"
            ),
        },
    },
    # A Power Automate flow passes on what the Bookings connector's trigger gave it; it cannot
    # sign. Who organizes the meetings is not documented: the link says, or `defaultUserId`.
    "msbookings": {
        "scheme": {"type": "token", "header": "X-Webhook-Token"},
        "mapping": {
            "joinWebUrl": "JoinWebURL || joinWebUrl",
            "context": (
                "{bookingId: SelfServiceAppointmentId || Id || id,"
                " start: StartTime || startDateTime.dateTime,"
                " attendees: [{name: CustomerName, email: CustomerEmail}]}"
            ),
        },
    },
    # For a system of one's own: the request's members as the event's `data`.
    "standard": {
        "scheme": {"type": "standard"},
        "mapping": {
            "userId": "data.userId",
            "organizer": "data.organizer",
            "onlineMeetingId": "data.onlineMeetingId",
            "joinWebUrl": "data.joinWebUrl",
            "joinMeetingId": "data.joinMeetingId",
            "language": "data.language",
            "context": "data.context",
        },
    },
}
