"""Which links the app gives out: Microsoft's, and no others."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.graph.requests import is_microsoft_link


@pytest.mark.parametrize(
    "url",
    [
        "https://visit.teams.microsoft.com/webrtc-svc/api/route?tid=a796be92-&convId=19:meeting_=True",
        "https://visit.teams.cloud.microsoft/x",
        "https://microsoft.com/",
        "HTTPS://microsoft.com?x",
        "https://VISIT.Teams.Microsoft.com/x",
        "https://visit.teams.microsoft.com:443/x?a={b}",
    ],
)
def test_a_link_of_microsofts_is_given_out(url: str) -> None:
    """The text after the host is not checked."""
    assert is_microsoft_link(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://visit.teams.microsoft.com/x",
        "//visit.teams.microsoft.com/x",
        "javascript://visit.teams.microsoft.com/%0aalert(1)",
        "https:/visit.teams.microsoft.com/x",
        "https://evil.example/visit.teams.microsoft.com",
        "https://evil.example?.microsoft.com",
        "https://evil.example#.microsoft.com",
        "https://evil.example\\.microsoft.com",
        "https://evilmicrosoft.com/x",
        "https://microsoft.com.evil.example/x",
        "https://microsoft.example/x",
        "https://cloud.microsoft.example/x",
        "https://microsoft/x",
        "https://a@visit.teams.microsoft.com/x",
        "https://a:b@visit.teams.microsoft.com/x",
        "https://@visit.teams.microsoft.com/x",
        "https://visit.teams.microsoft.com:8443/x",
        "https://visit.teams.microsoft.com:0443/x",
        "https://visit.teams.microsoft.com:443.evil.example/x",
        "https://visit.teams.microsoft.com:443@evil.example/x",
        "https://micro\N{LATIN SMALL LETTER LONG S}oft.com/x",
        "https://visit.teams.microsoft.com:99999/x",
        "https://evil.example%2f.microsoft.com/x",
        "https://evil.example%5c.microsoft.com/x",
        "https://evil.example;.microsoft.com/x",
        "https://[::1].microsoft.com/x",
        "https://visit.teams.microsoft.com./x",
        " https://visit.teams.microsoft.com/x",
        "https://visit.teams.microsoft.com/x\n",
        "https://visit.teams.microsoft.com/a b",
        'https://visit.teams.microsoft.com/"><script>',
        "https://visit.teams.microsoft.com/\N{LATIN SMALL LETTER E WITH ACUTE}",
        "https://visit.teams.microsoft.com/" + "x" * 9000,
    ],
)
def test_any_other_link_is_refused(url: str) -> None:
    """Because a patient will open it."""
    assert not is_microsoft_link(url)


@given(
    st.one_of(
        st.text(),
        st.builds(
            "{}{}{}{}".format,
            st.sampled_from(["https://", "https:", "http://", "//"]),
            st.text(max_size=20),
            st.sampled_from([".microsoft.com", "microsoft.com", ".cloud.microsoft", ""]),
            st.text(max_size=20),
        ),
    )
)
def test_an_allowed_link_leads_to_microsoft_by_each_way_to_read_it(url: str) -> None:
    """Its host is under one of Microsoft's domains. No exception is raised."""
    if is_microsoft_link(url):
        authority = url.removeprefix("https://").split("/")[0].split("?")[0].split("#")[0]
        host = authority.removesuffix(":").removesuffix(":443").lower()
        assert f".{host}".endswith((".microsoft.com", ".cloud.microsoft"))
        assert urlsplit(url).hostname == host
