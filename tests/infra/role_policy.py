"""Each role assignment, from a list of role, scope and principal."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from shared.queues import client
from tests.infra.protection_policy import QUEUES
from tests.infra.snapshots import COMPONENT, IDENTITY, ROLE, STORAGE, VAULT, Resource, Snapshot

BLOB_DATA_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
TABLE_DATA_CONTRIBUTOR = "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"
QUEUE_DATA_CONTRIBUTOR = "974c5e8b-45b9-4653-ba55-5f855dd0fb88"
QUEUE_MESSAGE_SENDER = "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a"
QUEUE_MESSAGE_PROCESSOR = "8a0f0c08-91a1-4084-bc3d-661d67233fed"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"

APP = "the app's identity"


class Assignment(NamedTuple):
    """One role assignment. The scope is the path below the resource group's providers."""

    role: str
    scope: str
    principal: str
    principal_type: str


def roles_are_from_the_list(snapshot: Snapshot) -> Iterator[str]:
    """No assignment is missing, unexpected, or there twice."""
    wanted = Counter(_wanted(snapshot))
    found = Counter(_assignment(resource, snapshot) for resource in snapshot.of_type(ROLE))
    for assignment in (wanted - found).elements():
        yield f"missing: {assignment}"
    for assignment in (found - wanted).elements():
        yield f"not allowed: {assignment}"


def _wanted(snapshot: Snapshot) -> Iterator[Assignment]:
    storage = f"{STORAGE}/{snapshot.one(STORAGE)['name']}"
    vault = f"{VAULT}/{snapshot.one(VAULT)['name']}"
    component = f"{COMPONENT}/{snapshot.one(COMPONENT)['name']}"
    queue = {name: f"{storage}/queueServices/default/queues/{name}" for name in QUEUES}
    service = "ServicePrincipal"
    yield Assignment(BLOB_DATA_OWNER, storage, APP, service)
    yield Assignment(TABLE_DATA_CONTRIBUTOR, storage, APP, service)
    for scope in queue.values():
        yield Assignment(QUEUE_DATA_CONTRIBUTOR, scope, APP, service)
    yield Assignment(SECRETS_USER, vault, APP, service)
    yield Assignment(METRICS_PUBLISHER, component, APP, service)
    operators = snapshot.parameters.operators
    for sender, kind in snapshot.parameters.senders | operators:
        yield Assignment(QUEUE_MESSAGE_SENDER, queue[client.REQUESTS], sender, kind)
    for reader, kind in snapshot.parameters.readers | operators:
        yield Assignment(QUEUE_MESSAGE_PROCESSOR, queue[client.RESULTS], reader, kind)
    for operator, kind in operators:
        yield Assignment(SECRETS_OFFICER, vault, operator, kind)
        yield Assignment(QUEUE_MESSAGE_PROCESSOR, queue[client.DEAD_LETTERS], operator, kind)
        yield Assignment(QUEUE_MESSAGE_SENDER, queue[client.DELIVERIES], operator, kind)


def _assignment(resource: Resource, snapshot: Snapshot) -> Assignment:
    # The name of the app's own assignments holds its principal id, which only Azure knows, so
    # that their ids are expressions; the scope is the first thing in them.
    scope = re.search(
        r"/resourceGroups/[^/']+/providers/(.+?)(?:'|/providers/)", resource["id"] + "'"
    )
    identity = snapshot.one(IDENTITY)["id"]
    properties = resource["properties"]
    of_app = re.fullmatch(
        re.escape(f"[reference('{identity}', ") + r"'[\d-]+'\)\.principalId\]",
        properties["principalId"],
    )
    return Assignment(
        role=properties["roleDefinitionId"].rpartition("/")[2],
        scope=scope[1] if scope else resource["id"],
        principal=APP if of_app else properties["principalId"],
        principal_type=properties.get("principalType", "none"),
    )
