"""The local host connects to storage by the app's settings, as Azure's host does."""

from pathlib import Path

from azure.storage.queue import QueueServiceClient

from dev.azurite import Azurite
from dev.stand_ins.authority import Authority
from dev.stand_ins.certificates import make_certificates
from dev.stand_ins.identity_endpoint import IdentityEndpoint
from tests.integration.sample_host import events, eventually, make_host


def test_an_identity_opens_the_queues(tmp_path: Path) -> None:
    """`__queueServiceUri`, `__credential` and `__clientId` replace a connection string."""
    tls = make_certificates("localhost", folder=tmp_path)
    with (
        Azurite(folder=tmp_path, tls=tls) as azurite,
        IdentityEndpoint(
            Authority(tenant_id="the-tenant"), client_id="the-client", object_id="the-object"
        ) as identity,
    ):
        identity.system_assigned = False
        settings = identity.environment | {
            "AzureWebJobsStorage__queueServiceUri": azurite.queue_service_uri,
            "AzureWebJobsStorage__credential": "managedidentity",
            "AzureWebJobsStorage__clientId": "the-client",
            "REQUESTS_CA_BUNDLE": str(tls.ca),
            "WORK_QUEUE": "by-identity",
            "AzureWebJobs.work.Disabled": "false",
        }
        service = QueueServiceClient.from_connection_string(
            azurite.connection_string, connection_verify=str(tls.ca)
        )
        with (
            service,
            make_host(settings) as host,
        ):
            made = service.create_queue("by-identity")
            made.send_message("hello")
            eventually(
                lambda: events(host) and made.get_queue_properties().approximate_message_count == 0
            )

    assert events(host)[0]["body"] == "hello"
