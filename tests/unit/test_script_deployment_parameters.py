"""The parameters for a deployment by Azure CLI, filled as azd does."""

import json
import re
from pathlib import Path

import pytest

from scripts.deployment_parameters import ValueInvalid, parameters

INFRA = Path(__file__).parents[2] / "infra"


def test_each_value_has_its_parameters_type() -> None:
    """Texts unchanged, all others as JSON. Without a value the default counts."""
    filled = parameters(
        {
            "AZURE_ENV_NAME": "007",
            "MAXIMUM_INSTANCE_COUNT": "50",
            "VNET_ENABLED": "true",
            "QUEUE_SENDERS": '[{"id": "x", "type": "User"}]',
            "WEBHOOK_SOURCES": "{}",
            "ALERT_EMAIL": "",
        }
    )

    assert filled["parameters"] == {
        "environmentName": {"value": "007"},
        "maximumInstanceCount": {"value": 50},
        "vnetEnabled": {"value": True},
        "queueSenders": {"value": [{"id": "x", "type": "User"}]},
        "webhookSources": {"value": {}},
    }
    assert "deploymentParameters.json" in filled["$schema"]


def test_every_parameter_can_be_filled() -> None:
    """With a value of its type."""
    declared = re.findall(
        r"^param (\w+) (\w+)", (INFRA / "main.bicep").read_text(encoding="utf-8"), re.MULTILINE
    )
    text = (INFRA / "main.parameters.json").read_text(encoding="utf-8")
    entries = json.loads(text)["parameters"].items()
    variables = {name: entry["value"].strip("${}") for name, entry in entries}
    values = {"string": "x", "int": "1", "bool": "true", "array": "[]", "object": "{}"}
    kinds = dict(declared)

    filled = parameters({variable: values[kinds[name]] for name, variable in variables.items()})

    assert filled["parameters"].keys() == variables.keys()


def test_an_invalid_value_is_reported_by_its_variable() -> None:
    """The value is not quoted."""
    with pytest.raises(ValueInvalid) as caught:
        parameters({"QUEUE_SENDERS": "somebody@clinic.example"})

    assert str(caught.value) == "QUEUE_SENDERS has to be JSON for a parameter of type array."
