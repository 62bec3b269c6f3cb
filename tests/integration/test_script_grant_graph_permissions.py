"""Granting the permission on Microsoft Graph, against a directory that answers as Graph does."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev.stand_ins.authority import Authority
from dev.stand_ins.faults import Reset, Status
from dev.stand_ins.graph_directory import GRAPH, GraphDirectory, ServicePrincipal
from dev.stand_ins.graph_faults import throttle
from shared.core.remediation import APP_ROLES
from tests.integration.script_runs import VERSIONS, Administrator, Done

SCRIPT = "grant_graph_permissions.py"
CLIENT = "20000000-0000-4000-8000-000000000002"
LINK, LOOKUP, USERS = APP_ROLES.values()

type Grant = Callable[..., Done]


@pytest.fixture
def directory(authority: Authority) -> Iterator[GraphDirectory]:
    """A tenant's directory."""
    with GraphDirectory(authority) as directory:
        yield directory


@pytest.fixture
def identity(directory: GraphDirectory) -> ServicePrincipal:
    """The app's identity, without any permission."""
    return directory.add(ServicePrincipal(CLIENT))


@pytest.fixture
def administrator(directory: GraphDirectory, tmp_path: Path) -> Administrator:
    """A person with the directory role."""
    administrator = Administrator(tmp_path, {GRAPH: directory.token()})
    administrator.environment["GRAPH_ROOT"] = directory.url
    return administrator


def roles(directory: GraphDirectory, identity: ServicePrincipal) -> list[str]:
    """The app roles of Graph that the identity has."""
    return [
        role for resource, role in identity.assignments if resource == directory.graph.object_id
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_grants_the_one_that_the_join_link_needs(
    version: str,
    directory: GraphDirectory,
    identity: ServicePrincipal,
    administrator: Administrator,
) -> None:
    """No more without an option. The output says what was done and what follows."""
    done = administrator.run(SCRIPT, CLIENT, version=version)

    assert (done.code, done.complained) == (0, "")
    assert roles(directory, identity) == [LINK]
    assert identity.object_id in done.said
    assert "VirtualAppointment.Read.All: granted\n" in done.said
    assert "24 hours" in done.said


def test_grants_more_by_flag(
    directory: GraphDirectory, identity: ServicePrincipal, administrator: Administrator
) -> None:
    """What a Teams link needs, and what an e-mail address needs."""
    done = administrator.run(SCRIPT, CLIENT, "--lookup", "--users")

    assert done.code == 0
    assert roles(directory, identity) == [LINK, LOOKUP, USERS]


def test_a_second_run_changes_nothing(
    directory: GraphDirectory, identity: ServicePrincipal, administrator: Administrator
) -> None:
    """Also if the identity's roles fill several pages."""
    others = [(str(uuid.uuid4()), LINK), (directory.graph.object_id, str(uuid.uuid4()))]
    identity.assignments += [*others, (directory.graph.object_id, LINK)]

    done = administrator.run(SCRIPT, CLIENT)

    assert done.code == 0
    assert "VirtualAppointment.Read.All: granted already" in done.said
    assert directory.count(lambda call: call.method == "POST") == 0
    assert "nothing left to grant" in done.said


def test_a_role_that_somebody_grants_meanwhile_is_no_failure(
    directory: GraphDirectory, identity: ServicePrincipal, administrator: Administrator
) -> None:
    """Graph's 400 for it counts as done."""
    message = "Permission being assigned already exists on the object"
    refusal = Status(400, "Request_BadRequest", message)
    directory.order(refusal, when=lambda call: call.method == "POST")

    assert administrator.run(SCRIPT, CLIENT).code == 0
    assert identity.assignments == []


def test_what_if_changes_nothing_and_shows_the_need_in_its_exit_code(
    directory: GraphDirectory, identity: ServicePrincipal, administrator: Administrator
) -> None:
    """3 while something is missing, 0 once it is there: the end of `azd up` relies on it."""
    before = administrator.run(SCRIPT, CLIENT, "--what-if")
    administrator.run(SCRIPT, CLIENT)
    after = administrator.run(SCRIPT, CLIENT, "--what-if")

    assert (before.code, after.code) == (3, 0)
    assert "would be granted" in before.said
    assert roles(directory, identity) == [LINK]
    assert directory.count(lambda call: call.method == "POST") == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_waits_for_a_new_identity(
    version: str,
    directory: GraphDirectory,
    identity: ServicePrincipal,
    administrator: Administrator,
) -> None:
    """Reads do not find it at first, and the replica that grants even later."""
    identity.unseen_reads = 2
    identity.unseen_grants = 1

    done = administrator.run(SCRIPT, CLIENT, version=version)

    assert done.code == 0
    assert roles(directory, identity) == [LINK]
    assert done.said.count("a new identity takes some minutes") == 2


def test_fails_for_an_identity_that_does_not_exist(
    directory: GraphDirectory, administrator: Administrator
) -> None:
    """The error says what to check."""
    done = administrator.run(SCRIPT, CLIENT, "--wait", "0")

    assert done.code == 1
    assert "No managed identity has the client id" in done.complained
    assert "az account show" in done.complained
    assert directory.count(lambda call: call.method == "POST") == 0


def test_grants_nothing_to_other_principals_than_managed_identities(
    directory: GraphDirectory, administrator: Administrator
) -> None:
    """Somebody may paste the client id of an app registration."""
    application = directory.add(ServicePrincipal(CLIENT, kind="Application"))

    done = administrator.run(SCRIPT, CLIENT)

    assert done.code == 1
    assert "no managed identity: nothing was granted" in done.complained
    assert application.assignments == []


def test_names_the_role_that_is_missing(
    directory: GraphDirectory, identity: ServicePrincipal, tmp_path: Path
) -> None:
    """For an Owner of the subscription without a directory role."""
    owner = Administrator(tmp_path, {GRAPH: directory.token(roles=())})
    owner.environment["GRAPH_ROOT"] = directory.url

    done = owner.run(SCRIPT, CLIENT)

    assert done.code == 1
    assert "Privileged Role Administrator" in done.complained
    assert "Azure's Owner is not enough" in done.complained
    assert identity.assignments == []


def test_says_how_to_sign_in(directory: GraphDirectory, tmp_path: Path) -> None:
    """In one sentence, without a traceback."""
    stranger = Administrator(tmp_path, {})
    stranger.environment["GRAPH_ROOT"] = directory.url

    done = stranger.run(SCRIPT, CLIENT)

    assert done.code == 1
    assert done.complained.startswith("Not signed in: run `az login` first.")
    assert "Traceback" not in done.complained


@pytest.mark.parametrize("retry_after", ["1", "0.25", None])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_waits_when_graph_is_throttling(
    method: str,
    retry_after: str | None,
    directory: GraphDirectory,
    identity: ServicePrincipal,
    administrator: Administrator,
) -> None:
    """By its Retry-After, whole or decimal, or by its own judgement."""
    directory.order(throttle(retry_after), when=lambda call: call.method == method)

    done = administrator.run(SCRIPT, CLIENT)

    assert done.code == 0
    assert roles(directory, identity) == [LINK]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Status(401, "InvalidAuthenticationToken", "Expired."), "run `az login` again"),
        (Status(400, "Request_BadRequest", "Odd."), "400 Request_BadRequest: Odd."),
        (Status(302, headers={"Location": "https://elsewhere.example"}), "302"),
    ],
)
def test_ends_every_refusal_in_a_sentence(
    fault: Status,
    sentence: str,
    directory: GraphDirectory,
    identity: ServicePrincipal,
    administrator: Administrator,
) -> None:
    """Without a traceback. No redirect is followed with the token."""
    directory.always(fault)

    done = administrator.run(SCRIPT, CLIENT)

    assert done.code == 1
    assert sentence in done.complained
    assert "Traceback" not in done.complained
    assert identity.assignments == []


def test_a_connection_that_is_lost_is_tried_again(
    directory: GraphDirectory, identity: ServicePrincipal, administrator: Administrator
) -> None:
    """A second equal grant is harmless."""
    directory.order(Reset(), times=2)

    assert administrator.run(SCRIPT, CLIENT).code == 0
    assert roles(directory, identity) == [LINK]


def test_the_token_goes_to_graph_or_this_machine_only(administrator: Administrator) -> None:
    """GRAPH_ROOT may be a loopback address for tests."""
    administrator.environment["GRAPH_ROOT"] = "https://graph.example"

    done = administrator.run(SCRIPT, CLIENT)

    assert done.code == 1
    assert "GRAPH_ROOT must be https://graph.microsoft.com" in done.complained


def test_no_output_holds_the_token(
    directory: GraphDirectory, identity: ServicePrincipal, tmp_path: Path
) -> None:
    """For each result."""
    token = directory.token()
    administrator = Administrator(tmp_path, {GRAPH: token})
    administrator.environment["GRAPH_ROOT"] = directory.url

    good = administrator.run(SCRIPT, CLIENT)
    directory.always(Status(500, "", "Internal error"))
    bad = administrator.run(SCRIPT, CLIENT)

    assert (good.code, bad.code) == (0, 1)
    assert roles(directory, identity) == [LINK]
    for done in (good, bad):
        assert token not in done.said + done.complained
