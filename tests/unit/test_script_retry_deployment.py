"""Deploying again after temporary failures, and not after others."""

import sys

import pytest

from scripts.retry_deployment import PAUSES, deploy, reason_to_wait
from tests.unit.docs_pages import spans, table

REFUSED = "ERROR: BlobUploadFailedException: (403) This request is not authorized"
OTHER_PYTHON = """\
oryx build /tmp/zipdeploy/extracted --platform python --platform-version 3.11.8
ERROR: No matching distribution found for azure-functions==2.3.0
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (REFUSED, "roles are still spreading"),
        ("InaccessibleStorageException: Failed to access storage account", "roles"),
        ("deployment failed: Forbidden", "roles"),
        ("ErrorCode: AuthorizationPermissionMismatch", "roles"),
        ("RESPONSE 502: 502 Bad Gateway", "still starting"),
        ("Status Code: 503, Details: Site Unavailable", "still starting"),
        ("dial tcp: lookup func-x.scm.azurewebsites.net: no such host", "name is not known"),
        ("Failed to resolve 'func-x': [Errno -2] Name or service not known", "name is not known"),
        ("There is a deployment currently in progress. Please try again", "under way"),
        ("ERROR CODE: DeploymentActive", "under way"),
        ("Resource 'x' does not exist or one of its queried reference-property objects", None),
        ("or one of its queried reference-property objects are not present", "Entra"),
        ("code: NoBackingApplicationObject", "Entra"),
        ("PrincipalNotFound: Principal x does not exist in the directory", "Entra"),
        ("ERROR: failed building service 'api'", None),
        ("Deployed 1403 files, then failed", None),
        ("403: The client does not have authorization to perform action 'publish'", None),
        ("Forbidden: Insufficient privileges to complete the operation.", None),
        (OTHER_PYTHON, None),
        (OTHER_PYTHON + "502 Bad Gateway", None),
    ],
)
def test_only_temporary_failures_are_tried_again(output: str, reason: str | None) -> None:
    """The output says what is awaited. A missing role is never tried again."""
    told = reason_to_wait(output)

    assert told is None if reason is None else reason in (told or "")


@pytest.mark.parametrize(("failures", "code"), [(0, 0), (1, 0), (3, 0), (4, 7)])
def test_it_tries_as_often_as_there_are_pauses(
    failures: int, code: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And once more. Then the command's exit code counts."""
    counter = tmp_path_factory.mktemp("count") / "runs"
    program = (
        f"import pathlib, sys; file = pathlib.Path({str(counter)!r}); "
        "runs = int(file.read_text()) if file.exists() else 0; file.write_text(str(runs + 1)); "
        f"print({REFUSED!r}) if runs < {failures} else None; sys.exit(7 * (runs < {failures}))"
    )
    slept: list[float] = []

    result = deploy([sys.executable, "-c", program], pauses=(1, 2, 3), sleep=slept.append)

    assert result == code
    assert slept == [1, 2, 3][:failures]


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        (
            {"AZURE_RESOURCE_GROUP": "rg-clinic", "FUNCTION_APP_NAME": "func-clinic"},
            "--resource-group rg-clinic --name func-clinic",
        ),
        ({}, '--resource-group "$GROUP" --name "$APP"'),
    ],
)
def test_a_build_by_another_python_ends_with_the_commands_that_need_none(
    environment: dict[str, str],
    names: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At once, with this deployment's names where azd gives them, else as docs/setup.md does."""
    for name in ("AZURE_RESOURCE_GROUP", "FUNCTION_APP_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    program = f"import sys; print({OTHER_PYTHON!r}); sys.exit(1)"
    slept: list[float] = []

    code = deploy([sys.executable, "-c", program], pauses=(1, 2, 3), sleep=slept.append)

    said = capsys.readouterr().err
    assert (code, slept) == (1, [])
    assert "python scripts/build_package.py app.zip" in said
    assert names in said
    assert "--src app.zip --build-remote false" in said


WRONG = table("docs/deploy.md", "What can go wrong")


@pytest.mark.parametrize(("message", "what_to_do"), [(row[0], row[2]) for row in WRONG])
def test_the_documented_advice_for_a_message_is_right(message: str, what_to_do: str) -> None:
    """If the advice is to do nothing, the script tries again. Otherwise it does not."""
    waits = [reason_to_wait(sign) is not None for sign in spans(message)]

    if what_to_do == "nothing":
        assert waits
        assert all(waits)
    elif "again" not in what_to_do:  # by hand, what azd does without the script
        assert not any(waits)


def test_the_pauses_reach_as_far_as_roles_may_take() -> None:
    """Azure says up to 30 minutes, the tries themselves included."""
    assert 20 * 60 <= sum(PAUSES) <= 30 * 60
