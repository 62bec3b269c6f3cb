"""Deploying again while roles are spreading, and not otherwise."""

import sys

import pytest

from scripts.retry_deployment import PAUSES, deploy, is_passing

REFUSED = "ERROR: BlobUploadFailedException: (403) This request is not authorized"


@pytest.mark.parametrize(
    ("output", "passing"),
    [
        (REFUSED, True),
        ("InaccessibleStorageException: Failed to access storage account", True),
        ("deployment failed: Forbidden", True),
        ("ErrorCode: AuthorizationPermissionMismatch", True),
        ("ERROR: failed building service 'api'", False),
        ("Deployed 1403 files, then failed", False),
        ("403: The client does not have authorization to perform action 'publish'", False),
    ],
)
def test_only_a_refusal_that_may_pass_is_tried_again(output: str, passing: bool) -> None:
    """Not one by the resource manager, which means that a role is missing."""
    assert is_passing(output) is passing


@pytest.mark.parametrize(("failures", "code"), [(0, 0), (1, 0), (3, 0), (4, 7)])
def test_it_tries_as_often_as_there_are_pauses(
    failures: int, code: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And once more; then the command's own exit code counts."""
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


def test_the_pauses_reach_as_far_as_roles_may_take() -> None:
    """Azure says up to 30 minutes, the tries themselves included."""
    assert 20 * 60 <= sum(PAUSES) <= 30 * 60
