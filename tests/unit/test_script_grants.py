"""The app roles in each script that needs them are the same list."""

import pytest

from scripts import azd_postprovision, grant_graph_permissions
from shared.core import remediation


def test_the_scripts_grant_the_app_roles_that_problems_speak_of() -> None:
    """The same names and ids, and of the same resource."""
    assert grant_graph_permissions.APP_ROLES == remediation.APP_ROLES
    assert grant_graph_permissions.GRAPH_APP_ID == remediation.GRAPH_APP_ID
    hook = {name: role_id for name, (_, role_id) in azd_postprovision.APP_ROLES.items()}
    assert hook == remediation.APP_ROLES
    assert azd_postprovision.GRAPH_APP_ID == remediation.GRAPH_APP_ID


def test_problems_name_the_flag_that_grants_the_role() -> None:
    """As azd's setting GRAPH_GRANTS does."""
    for name, (flag, _) in azd_postprovision.APP_ROLES.items():
        fix = remediation.grant_app_role(name, client_id="CLIENT")
        flags = f" --{flag}" if flag else ""
        assert f"`python scripts/grant_graph_permissions.py CLIENT{flags}`" in fix


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("2.128", 2.128), ("9999", 120.0), ("Sun, 01 Jan 2023 00:00:00 GMT", 0.0)],
)
def test_retry_after_of_graph_is_kept(header: str, seconds: float) -> None:
    """In whole and decimal seconds, or as a date, up to two minutes."""
    retry = grant_graph_permissions.PatientRetry(retry_after_max=120)

    assert retry.parse_retry_after(header) == seconds


def test_an_unreadable_retry_after_is_a_second() -> None:
    """Graph is asked again."""
    assert grant_graph_permissions.PatientRetry().parse_retry_after("soon") == 1.0
