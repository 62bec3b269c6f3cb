"""Destinations: what DELIVERIES may hold, and which outcomes each destination takes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.configuration import shown_name
from shared.deliveries.destinations import Destination, Endpoint, Filter, read_destinations

URL = "https://crm.example/hooks/links?tenant=7&sig=k%2Fy"
CRM = {"url": URL, "secret": "delivery-crm"}


def destination(**members: Any) -> Destination:  # noqa: ANN401
    """Read a valid destination."""
    destinations = read_destinations({"crm": {**CRM, **members}})
    assert destinations.invalid == {}
    return destinations.valid["crm"]


def places(value: object, name: str = "crm") -> list[str]:
    """Give the pointers of an invalid destination's field errors."""
    destinations = read_destinations({name: value})
    assert destinations.valid == {}
    return sorted(field_error.pointer for field_error in destinations.invalid[shown_name(name, 1)])


def test_a_destination_needs_a_url_and_a_secret() -> None:
    """By default it takes each outcome, and must have a public address."""
    crm = destination()

    assert crm.endpoint == Endpoint(
        secure=True, host="crm.example", port=443, target="/hooks/links?tenant=7&sig=k%2Fy"
    )
    assert (crm.secret, crm.url_secret, crm.private) == ("delivery-crm", None, False)
    assert crm.filter == Filter()


def test_a_url_that_is_a_secret_stays_in_the_vault() -> None:
    """The settings name only the secret."""
    (flow,) = read_destinations({"flow": {"urlSecret": "flow-url", "secret": "s"}}).valid.values()

    assert (flow.endpoint, flow.url_secret) == (None, "flow-url")


def test_a_url_is_never_shown() -> None:
    """It may hold a key."""
    assert "sig" not in repr(destination())
    assert "crm.example" not in repr(destination())


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("https://a.example", "a.example", "/"),
        ("HTTPS://A.Example:443/", "a.example", "/"),
        ("https://a.example:8443?x=1", "a.example:8443", "/?x=1"),
        (
            "https://[2606:4700::1]:444/%3a/%2F..//x?a=%zz",
            "[2606:4700::1]:444",
            "/%3a/%2F..//x?a=%zz",
        ),
    ],
)
def test_a_url_is_taken_apart_and_its_target_kept_as_written(
    url: str, authority: str, target: str
) -> None:
    """A key in it must arrive exactly as it was written."""
    endpoint = Endpoint.parse(url, private=False)

    assert (endpoint.authority, endpoint.target) == (authority, target)


BAD_URLS = [
    "",
    "crm.example/hooks",
    "http://crm.example/hooks",
    "http://127.0.0.1/hooks",
    "ftp://crm.example/",
    "https://",
    "https:///hooks",
    "https://user@crm.example/",
    "https://user:password@crm.example/",
    "https://crm.example/#part",
    "https://crm.example\\@evil.example/",
    "https://crm.example/a b",
    "https://crm.example/\r\nX: y",
    "https://crm.example/\x00",
    "https://crm.exämple/",
    "https://crm.example:0/",
    "https://crm.example:65536/",
    "https://crm.example:port/",
    "https://crm.example./",
    "https://[::1/",
    "https://crm..example/",
    f"https://{'a' * 64}.example/",
    f"https://{'a.' * 130}example/",
    "https://crm.example%00.evil/",
    "https://crm.example/" + "a" * 8192,
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_is_not_allowed_is_a_field_error(url: str) -> None:
    """The error does not quote it."""
    destinations = read_destinations({"crm": {**CRM, "url": url}})

    (fault,) = destinations.invalid["crm"]
    assert fault.pointer == "/url"
    assert not url or url not in fault.detail


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "http://localhost/", "http://[::1]:1/"])
def test_without_tls_a_destination_is_on_this_machine_and_private(url: str) -> None:
    """Only for local runs."""
    assert destination(url=url, private=True).endpoint is not None
    assert places({**CRM, "url": url}) == ["/url"]


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "http://crm.example/", "http://localhost.example/"]
)
def test_a_private_destination_elsewhere_needs_tls(url: str) -> None:
    """Because whoever has a link can join the meeting."""
    assert places({**CRM, "url": url, "private": True}) == ["/url"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://crm.example", ["", "", "/secret"]),
        ({"secret": "s"}, [""]),
        ({**CRM, "urlSecret": "flow-url"}, [""]),
        ({"url": URL}, ["/secret"]),
        ({**CRM, "url": 1}, ["/url"]),
        ({**CRM, "secret": "whsec_c2VjcmV0"}, ["/secret"]),
        ({"urlSecret": "https://x", "secret": "s"}, ["/urlSecret"]),
        ({**CRM, "headers": {}}, ["/#3"]),
        ({**CRM, "whsec_c2VjcmV0": "s"}, ["/#3"]),
        ({**CRM, "private": "yes"}, ["/private"]),
        ({**CRM, "sources": "calcom"}, ["/sources"]),
        ({**CRM, "sources": []}, ["/sources"]),
        ({**CRM, "sources": [None, "a b"]}, ["/sources/1"]),
        ({**CRM, "sources": [["calcom"]]}, ["/sources/0"]),
        ({**CRM, "outcomes": "failed"}, ["/outcomes"]),
        ({**CRM, "outcomes": []}, ["/outcomes"]),
        ({**CRM, "outcomes": ["resolved", "retried"]}, ["/outcomes"]),
        ({**CRM, "outcomes": [{}]}, ["/outcomes"]),
    ],
)
def test_a_field_error_has_a_pointer(value: object, expected: list[str]) -> None:
    """Each disables its destination."""
    assert places(value) == expected


def test_a_field_error_disables_its_destination_and_no_other() -> None:
    """Outcomes wait for it, by the valid part of its filter."""
    destinations = read_destinations(
        {"crm": CRM, "flow": {"url": "no URL", "secret": "s", "outcomes": ["failed"]}}
    )

    assert list(destinations.valid) == ["crm"]
    assert list(destinations.invalid) == ["flow"]
    assert destinations.taking(source=None, outcome="failed") == ["crm", "flow"]
    assert destinations.taking(source=None, outcome="resolved") == ["crm"]


def test_a_destination_without_a_valid_name_takes_nothing() -> None:
    """A message could not name it."""
    destinations = read_destinations({"my crm": CRM})

    assert places(CRM, name="my crm") == [""]
    assert destinations.taking(source=None, outcome="resolved") == []


@pytest.mark.parametrize(
    ("sources", "outcomes", "taken"),
    [
        (None, None, {("a", "resolved"), ("a", "failed"), (None, "resolved"), (None, "failed")}),
        (["a"], None, {("a", "resolved"), ("a", "failed")}),
        ([None], ["failed"], {(None, "failed")}),
        (["a", None], ["resolved"], {("a", "resolved"), (None, "resolved")}),
        (["b"], None, set()),
    ],
)
def test_a_filter_says_which_outcomes_a_destination_takes(
    sources: object, outcomes: object, taken: set[tuple[str | None, str]]
) -> None:
    """By the source (null for HTTP and the queue), and by how the request ended."""
    crm = destination(sources=sources, outcomes=outcomes)

    assert taken == {
        (source, outcome)
        for source in ("a", None)
        for outcome in ("resolved", "failed")
        if crm.filter.takes(source=source, outcome=outcome)
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.text(max_size=5),
        JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "url": JSON | st.sampled_from([URL, *BAD_URLS]),
                "urlSecret": JSON | st.just("flow-url"),
                "secret": JSON | st.just("s"),
                "sources": JSON | st.just(["a", None]),
                "outcomes": JSON | st.just(["failed"]),
                "private": JSON,
            },
        ),
        max_size=3,
    )
)
def test_each_destination_is_either_valid_or_has_field_errors(
    configured: dict[str, object],
) -> None:
    """For any value of the setting. Nothing is raised."""
    destinations = read_destinations(configured)

    shown = {shown_name(name, place) for place, name in enumerate(configured, 1)}
    assert destinations.valid.keys() | destinations.invalid.keys() == shown
    assert not destinations.valid.keys() & destinations.invalid.keys()


@given(st.text())
def test_an_allowed_url_is_kept_as_it_was_written(rest: str) -> None:
    """Each character of its path and query."""
    try:
        endpoint = Endpoint.parse(f"https://crm.example/{rest}", private=False)
    except ValueError:
        return
    assert (endpoint.authority, endpoint.target) == ("crm.example", f"/{rest}")


@pytest.mark.parametrize(
    "configured",
    [
        {"https://flows.example/invoke?sig=canary": {"secret": "d"}},
        {"crm": {"https://flows.example/invoke?sig=canary": True}},
    ],
)
def test_a_url_in_the_place_of_a_name_is_never_shown(configured: dict[str, object]) -> None:
    """Health, the log and the diagnostics show names, and this one holds a key."""
    destinations = read_destinations(configured)

    assert destinations.valid == {}
    assert "canary" not in repr(destinations.invalid)


@pytest.mark.parametrize(
    ("entry", "claims"),
    [
        ({"url": "https://a.example/x", "secret": "d"}, True),
        ({"url": "http://a.example/x", "secret": "d"}, True),
        ({"url": "https://a.example/x", "secret": "d", "sources": ["cal com"]}, False),
        ({"url": "https://a.example/x", "secret": "d", "outcomes": "resolved"}, False),
        ("https://a.example/x", False),
    ],
)
def test_a_filter_that_cannot_be_read_claims_no_outcome(entry: object, claims: bool) -> None:
    """The corrected filter may take less, so the outcome also goes to the result queue."""
    destinations = read_destinations({"crm": entry})

    taking = destinations.taking(source=None, outcome="resolved")
    assert destinations.claim(taking) is claims
