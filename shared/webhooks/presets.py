"""The presets for booking systems: how they sign, and where their events name the meeting.

A preset has the members of a source's own configuration (docs/webhooks.md). Each member that the
source gives itself replaces the preset's. Only a preset may have `linkMissing` and
`organizerMissing`: the fix where a booking for Teams names no meeting or no organizer.
"""

from collections.abc import Mapping

_TEAMS = (
    "type(@) == 'string' && (contains(@, 'teams.microsoft.') || contains(@, 'Teams.microsoft.')"
    " || contains(@, 'teams.cloud.microsoft') || contains(@, 'teams.live.com'))"
)
"""True for a text that holds a Teams link, also a rewritten one."""

_CALCOM_LINKS = "[payload.metadata.videoCallUrl, payload.videoCallData.url, payload.location]"
_CALENDLY_LINKS = "payload.scheduled_event.location.[join_url, location]"
_BOOKING = "(body || @)"
"""The appointment. A flow may post all of a trigger's outputs, and it is their `body`."""
_BOOKINGS_LINKS = "JoinWebURL, JoinWebUrl, joinWebUrl, anonymousJoinWebUrl"

PRESETS: Mapping[str, Mapping[str, object]] = {
    # https://cal.com/docs/developing/guides/automation/webhooks, version 2021-10-20, with the
    # default payload. The link can be missing when the booking is made. `location` can be a link or
    # the token `integrations:office365_video`. Cal.com's own test event is a booking without id.
    "calcom": {
        "scheme": {"type": "body-hmac", "header": "X-Cal-Signature-256", "encoding": "hex"},
        "mapping": {
            "when": {
                "default_payload": "triggerEvent && payload",
                "test": "triggerEvent != 'PING' && (payload.uid || payload.type != 'Test')",
                "event": (
                    'contains(`["BOOKING_CREATED", "BOOKING_RESCHEDULED"]`, triggerEvent)'
                    ' && !contains(`["CANCELLED", "REJECTED"]`, payload.status)'
                ),
                "teams": (
                    "payload.location == 'integrations:office365_video'"
                    " || payload.videoCallData.type == 'office365_video'"
                    f" || {_CALCOM_LINKS}[?{_TEAMS}]"
                ),
            },
            "deliveryId": "[triggerEvent, payload.uid, createdAt]",
            "sentAt": "createdAt",
            "organizer": (
                "[payload.organizer.email,"
                " payload.destinationCalendar[?integration == 'office365_calendar'].primaryEmail,"
                " payload.team.members[].email][]"
            ),
            "onlineMeetingId": "[payload.videoCallData][?type=='office365_video'].id | [0]",
            "joinWebUrl": f"{_CALCOM_LINKS}[?{_TEAMS}]",
            "language": "payload.attendees[0].language.locale",
            "context": (
                "payload.{bookingId: uid, replaces: rescheduleUid, start: startTime, end: endTime,"
                " attendees: attendees[:10].{name: name, email: email}}"
            ),
        },
        "linkMissing": (
            "Cal.com posts a booking once, at times before its Teams link is there. Look at the "
            "booking in Cal.com. If it has its Teams link by now, send the link and the organizer "
            "to POST /api/join-link or to the queue. If it gets none, connect Teams in Cal.com "
            "again."
        ),
    },
    # https://developer.calendly.com/api-docs: webhook signatures, and the invitee payload. The
    # conference's own id is not documented to be Graph's, so only the link is used. A location of
    # any other type can be free text with a link in it.
    "calendly": {
        "scheme": {
            "type": "timestamped",
            "header": "Calendly-Webhook-Signature",
            "toleranceSeconds": 180,
        },
        "mapping": {
            "when": {
                "event": (
                    "event == 'invitee.created' && payload.status != 'canceled'"
                    " && payload.scheduled_event.status != 'canceled'"
                ),
                "teams": (
                    "payload.scheduled_event.location.type == 'microsoft_teams_conference'"
                    f" || {_CALENDLY_LINKS}[?{_TEAMS}]"
                ),
            },
            "deliveryId": "[payload.uri, event]",
            "organizer": "payload.scheduled_event.event_memberships[].user_email",
            "joinWebUrl": f"{_CALENDLY_LINKS}[?{_TEAMS}]",
            "context": (
                "payload.{bookingId: uri, replaces: old_invitee, start: scheduled_event.start_time,"
                " end: scheduled_event.end_time,"
                " attendees: [{name: name, email: email}][?name || email] || `null`}"
            ),
        },
        "linkMissing": (
            "Calendly posts a booking once, at times before its Teams link is there. Ask Calendly "
            "for the event (GET on the address in context.bookingId, up to /invitees). When its "
            "location has a join_url, send that and the organizer to POST /api/join-link or to "
            "the queue. "
            "If its location's status is failed, connect Teams in Calendly again."
        ),
    },
    # A Power Automate flow passes on the event of the Bookings connector's trigger, and cannot
    # sign. Its triggers for new, updated and cancelled appointments give the same form. The event's
    # organizer is not documented, so the link or `defaultUserId` names it. Graph's own form
    # differs, and says as well whether there should be a link:
    # https://learn.microsoft.com/graph/api/resources/bookingappointment
    "msbookings": {
        "scheme": {"type": "token", "header": "X-Webhook-Token"},
        "mapping": {
            "when": {
                "appointment": (
                    f"{_BOOKING}.[SelfServiceAppointmentId, Id, id, {_BOOKINGS_LINKS}][?@]"
                ),
                "event": f"!({_BOOKING}.CancelReason)",
                "teams": (
                    f"{_BOOKING}.[{_BOOKINGS_LINKS}][?@]"
                    f" || {_BOOKING}.[IsLocationOnline, isLocationOnline]"
                    """[?contains(`[true, "true", "True"]`, @)]"""
                ),
            },
            "joinWebUrl": f"{_BOOKING}.[{_BOOKINGS_LINKS}]",
            "context": (
                f"{_BOOKING}."
                "{bookingId: SelfServiceAppointmentId || Id || id, replaces: `null`,"
                " start: StartTime || startDateTime.dateTime,"
                " end: EndTime || endDateTime.dateTime,"
                " attendees: customers[:10].{name: name, email: emailAddress}"
                " || [{name: CustomerName || customerName,"
                " email: CustomerEmail || customerEmailAddress}][?name || email]"
                # Of a booking for several, as the connector of Power Automate names them.
                " || Customers[:10].{name: Name, email: Email} || `null`}"
            ),
        },
        "linkMissing": (
            "The appointment is online, and has no Teams link yet. Let the flow wait, and get the "
            "appointment again before it posts it. If it never has one, look at the service in "
            "Bookings: its online meetings must be switched on."
        ),
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
        "linkMissing": (
            "Send the meeting in the event's `data`, as onlineMeetingId, joinWebUrl or "
            "joinMeetingId, and give the corrected event another webhook-id."
        ),
        "organizerMissing": (
            "Send the organizer in the event's `data`, as userId or as organizer (an e-mail "
            "address), and give the corrected event another webhook-id. Or give the source a "
            "defaultUserId."
        ),
    },
}
