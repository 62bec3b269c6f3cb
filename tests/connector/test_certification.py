"""Microsoft's rules for connectors, with the names of its validator's rules where there are any."""

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator
from PIL import Image

from shared.core.identifiers import is_language_tag
from tests.connector.definitions import (
    FOLDER,
    named_properties,
    nodes,
    operations,
    read,
    resolved,
)

MEDIA_TYPES = {
    "application/json",
    "text/plain",
    "multipart/form-data",
    "application/x-www-form-urlencoded",
}
FORMATS = {"uuid", "uri", "date-time", "int32", "int64", "float", "double", "byte", "binary"}
PRODUCTS = ("power apps", "powerapps", "power automate", "logic apps", "copilot", "power platform")
"""Names that no text of a connector may contain."""
CATEGORIES = {
    *("AI", "Business Intelligence", "Business Management", "Collaboration", "Commerce"),
    *("Communication", "Content and Files", "Data", "Finance", "Human Resources"),
    *("IT Operations", "Internet of Things", "Lifestyle and Entertainment", "Marketing"),
    *("Productivity", "Sales and CRM", "Security", "Social Media", "Website"),
}
HEADINGS = [
    "## Publisher:",
    "## Prerequisites",
    "## Supported Operations",
    "## Obtaining Credentials",
    "## Known Issues and Limitations",
    "## Deployment Instructions",
]
SMALL_WORDS = {"a", "an", "and", "by", "for", "in", "of", "or", "the", "to", "with"}


@pytest.fixture(scope="module")
def definition() -> Any:  # noqa: ANN401 - JSON is anything
    """The Swagger document."""
    return read("apiDefinition.swagger.json")


def is_title_case(text: str) -> bool:
    """Tell whether each word except the small ones starts with a capital."""
    first, *rest = text.split()
    return all(word[0].isupper() for word in (first, *(w for w in rest if w not in SMALL_WORDS)))


def test_it_is_swagger_2_by_an_independent_validator(definition: Any) -> None:  # noqa: ANN401
    """Structure, references and parameters."""
    assert definition["swagger"] == "2.0"
    assert [error.message for error in OpenAPIV2SpecValidator(definition).iter_errors()] == []


def test_it_is_smaller_than_a_megabyte() -> None:
    """The portal's limit."""
    assert (FOLDER / "apiDefinition.swagger.json").stat().st_size < 1_000_000


def test_the_title_names_no_microsoft_product(definition: Any) -> None:  # noqa: ANN401
    """At most 30 characters, without these words, ending in a letter or digit."""
    title = definition["info"]["title"]

    assert len(title) <= 30
    assert not re.search(r"\b(api|connector|flow)\b", title.lower())
    assert title[-1].isalnum()


@pytest.mark.parametrize(
    "name",
    ["apiDefinition.swagger.json", "apiProperties.key.json", "apiProperties.entra.json"],
)
def test_no_text_names_a_microsoft_product(name: str) -> None:
    """ValueContainsRestrictedWords. A connector can be used in all of the products."""
    text = (FOLDER / name).read_text(encoding="utf-8").lower()

    assert [word for word in PRODUCTS if word in text] == []


def test_the_description_has_an_allowed_length(definition: Any) -> None:  # noqa: ANN401
    """30 to 500 characters, about what it does, in whole sentences."""
    description = definition["info"]["description"]

    assert 30 <= len(description) <= 500
    assert description.endswith(".")


def test_there_is_a_contact(definition: Any) -> None:  # noqa: ANN401
    """Name, address and e-mail."""
    contact = definition["info"]["contact"]

    assert set(contact) == {"name", "url", "email"}
    assert contact["url"].startswith("https://")
    assert "@" in contact["email"]


def test_the_metadata_have_the_three_entries(definition: Any) -> None:  # noqa: ANN401
    """Website, privacy policy, at most two categories."""
    metadata = {
        entry["propertyName"]: entry["propertyValue"]
        for entry in definition["x-ms-connector-metadata"]
    }

    assert list(metadata) == ["Website", "Privacy policy", "Categories"]
    categories = metadata["Categories"].split(";")
    assert set(categories) <= CATEGORIES
    assert 1 <= len(categories) <= 2


def test_operation_ids_are_in_pascal_case(definition: Any) -> None:  # noqa: ANN401
    """OperationIdSanitized: letters and digits, and no id twice."""
    ids = [operation["operationId"] for _, _, operation in operations(definition)]

    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]*", operation_id) for operation_id in ids)
    assert len(set(ids)) == len(ids) <= 256


def test_summaries_and_descriptions_differ(definition: Any) -> None:  # noqa: ANN401
    """A summary has no punctuation, and a description is a sentence."""
    for _, _, operation in operations(definition):
        summary, description = operation["summary"], operation["description"]
        assert re.fullmatch(r"[A-Za-z0-9() ]{1,80}", summary)
        assert description.endswith(".")
        assert description.rstrip(".").lower() != summary.lower()
        for response in operation["responses"].values():
            assert response["description"].endswith("."), response


@pytest.mark.parametrize("kind", ["key", "entra"])
def test_connections_are_described_in_whole_sentences(kind: str) -> None:
    """Except the tenant's, whose text Microsoft prescribes."""
    parameters = read(f"apiProperties.{kind}.json")["properties"]["connectionParameters"]
    described = {
        name: found["uiDefinition"]
        for name, found in parameters.items()
        if "uiDefinition" in found and name != "token:TenantId"
    }

    assert described
    for name, found in described.items():
        for text in {found["description"], found.get("tooltip", found["description"])}:
            assert text.endswith("."), name
            assert text != found["displayName"] + "."


def test_titles_of_a_steps_outputs_are_unique(definition: Any) -> None:  # noqa: ANN401
    """A maker chooses an output by its title."""
    for _, _, operation in operations(definition):
        for response in operation["responses"].values():
            schema = resolved(definition, response.get("schema", {}))
            titles = [found["x-ms-summary"] for _, found in named_properties(schema)]
            assert len(titles) == len(set(titles)), operation["operationId"]


def test_every_parameter_and_property_has_a_title_and_a_description(
    definition: Any,  # noqa: ANN401
) -> None:
    """In title case and at most 80 characters, because makers see them."""
    parameters = [
        (parameter["name"], parameter)
        for _, _, operation in operations(definition)
        for parameter in operation["parameters"]
    ]
    properties = list(named_properties(definition))
    assert len(properties) > 30
    for name, described in [*parameters, *properties]:
        summary, description = described["x-ms-summary"], described["description"]
        assert is_title_case(summary), name
        assert len(summary) <= 80, name
        assert description.endswith("."), name
        assert description.rstrip(".") != summary, name


def test_texts_for_makers_have_no_programmers_terms(definition: Any) -> None:  # noqa: ANN401
    """For an object ID they say where to find it, and none says GUID."""
    text = json.dumps(definition)

    assert not re.search(r"\b(GUID|UUID|JSON pointer|BCP 47|RFC|UPN)\b", text)
    organizers = [
        d for name, d in named_properties(definition) if name == "userId" and "example" in d
    ]
    assert len(organizers) == 1
    assert all("Microsoft Entra admin center" in found["description"] for found in organizers)


def test_the_two_main_fields_are_always_shown(definition: Any) -> None:  # noqa: ANN401
    """Organizer and Teams link. The others are behind "Show advanced"."""
    (body,) = definition["paths"]["/join-link"]["post"]["parameters"]
    shown = {
        name
        for name, described in resolved(definition, body["schema"])["properties"].items()
        if described["x-ms-visibility"] == "important"
    }

    assert shown == {"userId", "joinWebUrl"}


def test_visibility_is_one_of_the_three(definition: Any) -> None:  # noqa: ANN401
    """Only the connection test is internal, because makers do not use it."""
    internal = [node for node in nodes(definition) if node_visibility(node) == "internal"]
    found = {node_visibility(node) for node in nodes(definition)} - {None}

    assert found == {"important", "advanced", "internal"}
    assert internal == [definition["paths"]["/connection"]["get"]]


def node_visibility(node: Any) -> str | None:  # noqa: ANN401
    """Give a node's `x-ms-visibility`, if it has one."""
    return node.get("x-ms-visibility") if isinstance(node, dict) else None


def test_a_connection_is_tested_by_a_call_without_parameters(definition: Any) -> None:  # noqa: ANN401
    """`x-ms-capabilities` names an existing operation."""
    found = {
        operation["operationId"]: (method, operation["parameters"])
        for _, method, operation in operations(definition)
    }

    capability = definition["x-ms-capabilities"]["testConnection"]
    assert capability == {"operationId": "TestConnection", "parameters": {}}
    assert found["TestConnection"] == ("get", [])


def test_languages_are_a_list_with_names(definition: Any) -> None:  # noqa: ANN401
    """Each value has a display name, and the service accepts it."""
    language = definition["definitions"]["Meeting"]["properties"]["language"]
    named = {entry["value"]: entry["displayName"] for entry in language["x-ms-enum-values"]}

    assert list(named) == language["enum"]
    assert len(set(named.values())) == len(named) > 30
    assert all(is_language_tag(value) for value in named)


def test_each_action_says_when_to_use_it(definition: Any) -> None:  # noqa: ANN401
    """People and agents choose by the description."""
    for _, method, operation in operations(definition):
        if method == "post":
            assert "Use it " in operation["description"], operation["operationId"]
    meeting = definition["definitions"]["Meeting"]["properties"]
    assert "Prefer this one" in meeting["joinWebUrl"]["description"]
    for name in ("joinMeetingId", "onlineMeetingId"):
        assert meeting[name]["description"].startswith("Only where there is no Teams link")


def test_only_the_200_has_a_schema(definition: Any) -> None:  # noqa: ANN401
    """OperationHasManyResponsesWithSchema, SchemaDefinitionSetIncorrectly.

    Microsoft's designer reads the outputs of a step from 200, else 201, else default: a schema on
    202 would show a maker nothing. An operation that nobody sees has no outputs.
    """
    for _, _, operation in operations(definition):
        with_schema = {
            code: response["schema"]
            for code, response in operation["responses"].items()
            if "schema" in response
        }
        if operation["x-ms-visibility"] == "internal":
            assert with_schema == {}
            assert "200" in operation["responses"]
        else:
            assert list(with_schema) == ["200"]
            assert resolved(definition, with_schema["200"])["properties"]


def test_the_default_response_has_no_schema(definition: Any) -> None:  # noqa: ANN401
    """DefaultResponseHasSchema. Each operation has a default response."""
    for _, _, operation in operations(definition):
        assert list(operation["responses"]["default"]) == ["description"]


def test_path_parameters_are_encoded_once(definition: Any) -> None:  # noqa: ANN401
    """`x-ms-url-encoding` single. No operation has path parameters now."""
    for path, _, operation in operations(definition):
        placed = [p for p in operation["parameters"] if p["in"] == "path"]
        assert path.count("{") == len(placed)
        assert all(parameter["x-ms-url-encoding"] == "single" for parameter in placed)


def test_a_reference_has_no_other_members(definition: Any) -> None:  # noqa: ANN401
    """They would be ignored."""
    references = [node for node in nodes(definition) if "$ref" in node]

    assert references
    assert all(list(node) == ["$ref"] for node in references)


def test_no_get_has_a_body_and_no_parameter_a_reserved_name(definition: Any) -> None:  # noqa: ANN401
    """Power Automate reserves `connectionId`."""
    for _, method, operation in operations(definition):
        places = [parameter["in"] for parameter in operation["parameters"]]
        assert not (method == "get" and "body" in places)
    names = [parameter["name"] for node in nodes(definition) for parameter in _parameters(node)]
    assert "connectionId" not in [*names, *(name for name, _ in named_properties(definition))]


def _parameters(node: Any) -> list[Any]:  # noqa: ANN401
    found: list[Any] = node.get("parameters", []) if isinstance(node, dict) else []
    return found


def test_the_media_types_are_allowed_ones(definition: Any) -> None:  # noqa: ANN401
    """Microsoft allows four."""
    assert {*definition["consumes"], *definition["produces"]} <= MEDIA_TYPES


def test_arrays_have_items_and_required_lists_are_not_empty(definition: Any) -> None:  # noqa: ANN401
    """Each required property exists."""
    for node in nodes(definition):
        if not isinstance(node, dict):
            continue
        assert node.get("type") != "array" or "items" in node
        if isinstance(node.get("required"), list):
            assert node["required"]
            assert set(node["required"]) <= set(node["properties"])


def test_formats_are_known_ones(definition: Any) -> None:  # noqa: ANN401
    """`guid` is none."""
    formats = {node["format"] for node in nodes(definition) if "format" in node}

    assert formats <= FORMATS


def test_every_description_and_example_fits_its_field(definition: Any) -> None:  # noqa: ANN401
    """Examples keep to the limits of their fields."""
    for name, described in named_properties(definition):
        if isinstance(described, dict) and "example" in described:
            assert len(described["example"]) <= described["maxLength"], name


def test_only_https_is_used(definition: Any) -> None:  # noqa: ANN401
    """No other scheme is listed."""
    assert definition["schemes"] == ["https"]
    assert definition["basePath"] == "/api"


@pytest.mark.parametrize("kind", ["key", "entra"])
def test_the_properties_name_its_publisher(kind: str) -> None:
    """The organization that uses it. The colour is neither the default nor another publisher's."""
    properties = read(f"apiProperties.{kind}.json")["properties"]

    # No stackOwner: it is for published connectors, and paconn cannot create one with it.
    assert set(properties) == {
        "iconBrandColor",
        "capabilities",
        "connectionParameters",
        "policyTemplateInstances",
        "publisher",
    }
    assert properties["iconBrandColor"] == "#0b5a6e"


def test_the_key_is_asked_for_as_a_secret(definition: Any) -> None:  # noqa: ANN401
    """Under the definition's name. `required` is a string."""
    parameters = read("apiProperties.key.json")["properties"]["connectionParameters"]
    constraints = parameters["api_key"]["uiDefinition"]["constraints"]

    assert definition["securityDefinitions"] == {
        "api_key": {"type": "apiKey", "in": "header", "name": "x-functions-key"}
    }
    assert definition["security"] == [{"api_key": []}]
    assert parameters["api_key"]["type"] == "securestring"
    assert constraints == {"tabIndex": 2, "clearText": False, "required": "true"}
    assert set(parameters["api_key"]["uiDefinition"]) >= {"displayName", "description", "tooltip"}


def test_sign_in_is_per_connector() -> None:
    """New connectors must use `GlobalPerConnector`, and `resourceUri` is required."""
    settings = read("apiProperties.entra.json")["properties"]["connectionParameters"]["token"]
    oauth = settings["oAuthSettings"]

    assert settings["type"] == "oauthSetting"
    assert oauth["identityProvider"] == "aad"
    assert oauth["redirectMode"] == "GlobalPerConnector"
    assert "redirectUrl" not in oauth
    assert set(oauth["customParameters"]) >= {"loginUri", "tenantId", "resourceUri"}
    assert all(list(value) == ["value"] for value in oauth["customParameters"].values())


def test_copilot_studio_signs_in_on_behalf_of_its_user() -> None:
    """The resource is named, and on-behalf-of login is allowed."""
    settings = read("apiProperties.entra.json")["properties"]["connectionParameters"]["token"]
    oauth = settings["oAuthSettings"]

    assert oauth["properties"] == {
        "IsFirstParty": "False",
        "AzureActiveDirectoryResourceId": oauth["customParameters"]["resourceUri"]["value"],
        "IsOnbehalfofLoginSupported": True,
    }
    assert oauth["customParameters"]["enableOnbehalfOfLogin"] == {"value": "true"}


def test_a_connection_can_sign_in_as_an_application() -> None:
    """By hidden parameters beside the token. Microsoft prescribes the tenant's text."""
    parameters = read("apiProperties.entra.json")["properties"]["connectionParameters"]
    hidden = {name: found for name, found in parameters.items() if name.startswith("token:")}

    assert set(hidden) == {
        *("token:clientId", "token:clientSecret", "token:TenantId"),
        *("token:resourceUri", "token:grantType"),
    }
    for found in hidden.values():
        constraints = found["uiDefinition"]["constraints"]
        assert (constraints["hidden"], constraints["required"]) == ("true", "false")
    assert hidden["token:clientSecret"]["type"] == "securestring"
    assert hidden["token:TenantId"] == {
        "type": "string",
        "metadata": {"sourceType": "AzureActiveDirectoryTenant"},
        "uiDefinition": {
            "displayName": "Tenant",
            "description": "The tenant ID of for the Azure Active Directory application",
            "constraints": {"required": "false", "hidden": "true"},
        },
    }
    grants = [entry["value"] for entry in hidden["token:grantType"]["allowedValues"]]
    assert grants == ["code", "client_credentials"]


@pytest.mark.parametrize("kind", ["key", "entra"])
def test_problems_arrive_as_plain_json(kind: str) -> None:
    """A policy sets `Accept` on each call, so the app answers `application/json`."""
    (policy,) = read(f"apiProperties.{kind}.json")["properties"]["policyTemplateInstances"]

    assert policy["templateId"] == "setheader"
    assert policy["parameters"] == {
        "x-ms-apimTemplateParameter.name": "Accept",
        "x-ms-apimTemplateParameter.value": "application/json",
        "x-ms-apimTemplateParameter.existsAction": "override",
        "x-ms-apimTemplate-policySection": "Request",
    }


def test_the_icon_has_the_required_size_and_colours() -> None:
    """230 by 230, opaque, not white, the drawing about 160 wide and in the middle."""
    with Image.open(FOLDER / "icon.png") as icon:
        picture = icon.convert("RGBA")
    pixels = [(x, y, picture.getpixel((x, y))) for x in range(230) for y in range(230)]
    ground = picture.getpixel((0, 0))
    drawn = [(x, y) for x, y, pixel in pixels if pixel != ground]

    assert picture.size == (230, 230)
    assert ground == (0x0B, 0x5A, 0x6E, 255)
    assert all(pixel[3] == 255 for _, _, pixel in pixels if isinstance(pixel, tuple))
    for places in ([x for x, _ in drawn], [y for _, y in drawn]):
        assert 140 <= max(places) - min(places) + 1 <= 170
        assert abs((min(places) + max(places)) / 2 - 115) <= 5


def test_the_readme_has_the_required_headings_in_order() -> None:
    """A title, a paragraph, then these. Each operation is described."""
    lines = (FOLDER / "readme.md").read_text(encoding="utf-8").splitlines()
    headings = [line for line in lines if line.startswith("## ")]

    assert lines[0].startswith("# ")
    assert lines[2]
    assert [found.split(":")[0] for found in headings] == [told.split(":")[0] for told in HEADINGS]
    for _, _, operation in operations(read("apiDefinition.swagger.json")):
        if operation["x-ms-visibility"] != "internal":
            assert f"### {operation['summary']}" in lines


def test_the_settings_name_the_made_files() -> None:
    """They are the arguments of the command-line tool."""
    settings = read("settings.sample.json")

    assert set(settings) == {
        "connectorId",
        "environment",
        "apiProperties",
        "apiDefinition",
        "icon",
        "powerAppsUrl",
        "powerAppsApiVersion",
    }
    assert settings["powerAppsApiVersion"] == "2016-11-01"
