"""docs/openapi.yaml is valid, and has the app's routes and codes."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.readers import read_from_filename

from shared.core.errors import CODES, NotDelivered
from shared.core.identifiers import is_source_name
from shared.meetings import models
from tests.worker.test_functions import ROUTES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def document() -> Any:  # noqa: ANN401 - YAML is anything
    """The document."""
    return _read()


@cache
def _read() -> Any:  # noqa: ANN401 - YAML is anything
    document, _ = read_from_filename(str(ROOT / "docs" / "openapi.yaml"))
    return document


def test_it_is_openapi_3_1_by_an_independent_validator(document: Any) -> None:  # noqa: ANN401
    """Structure and references."""
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_it_describes_each_route_and_no_other(document: Any) -> None:  # noqa: ANN401
    """The routes that the real worker finds: tests/worker/test_functions.py."""
    told = {
        (path.strip("/"), method.upper())
        for path, item in document["paths"].items()
        for method in item
    }

    assert told == {(route, method) for route, methods, _ in ROUTES.values() for method in methods}


def test_it_says_which_routes_need_no_key(document: Any) -> None:  # noqa: ANN401
    """The others need a function key or a token."""
    without = {
        (path.strip("/"), method.upper())
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation.get("security") == []
    }

    assert without == {
        (route, method)
        for route, methods, level in ROUTES.values()
        for method in methods
        if level == "ANONYMOUS"
    }


def test_it_lists_each_code(document: Any) -> None:  # noqa: ANN401
    """All codes of a problem."""
    assert document["components"]["schemas"]["Code"]["enum"] == sorted(
        code for code, error in CODES.items() if not issubclass(error, NotDelivered)
    )


NAMES = [
    *map(chr, range(256)),  # each single character
    *(f"a{chr(number)}b" for number in range(256)),
    *("x" * length for length in (0, 1, 63, 64, 65, 100)),
    *(
        "own-source_2",
        "own\n",
        "\nown",
        "own/source",
        "\N{KELVIN SIGN}",
        "\N{ARABIC-INDIC DIGIT TWO}",
    ),
]


def test_a_sources_name_has_the_apps_pattern(document: Any) -> None:  # noqa: ANN401
    """An underscore is allowed. A newline at the end is not."""
    source, *_ = document["paths"]["/webhooks/{source}"]["post"]["parameters"]
    pattern = source["schema"]["pattern"].removeprefix("^").removesuffix("$")

    documented = [name for name in NAMES if re.fullmatch(pattern, name)]

    assert documented == [name for name in NAMES if is_source_name(name)]
    assert len(documented) > 100


def test_a_generated_client_has_one_model_for_each_body(document: Any) -> None:  # noqa: ANN401
    """Each body is one named schema, because generators make a class of each."""
    schemas = document["components"]["schemas"]
    unnamed = [
        f"{operation['operationId']} {media_type}"
        for item in document["paths"].values()
        for operation in item.values()
        for response in [operation.get("requestBody", {}), *operation["responses"].values()]
        for media_type, content in _json_bodies(document, response)
        if content["schema"] and "$ref" not in content["schema"]
    ]

    assert unnamed == []
    for name, schema in schemas.items():
        assert not {"oneOf", "anyOf", "allOf"} & schema.keys(), name
    assert schemas["JoinRequestList"]["properties"]["requests"]["items"] == {
        "$ref": "#/components/schemas/JoinRequest"
    }


def _json_bodies(document: Any, response: Any) -> list[tuple[str, Any]]:  # noqa: ANN401
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].split("/")[-1]]
    return [item for item in response.get("content", {}).items() if "json" in item[0]]


def test_the_request_has_all_members_of_the_app_and_no_other(document: Any) -> None:  # noqa: ANN401
    """With the app's limits. That there is exactly one meeting reference is the app's own check."""
    properties = document["components"]["schemas"]["JoinRequest"]["properties"]

    assert set(properties) == models._MEMBERS
    limits = {
        name: found["maxLength"] for name, found in properties.items() if "maxLength" in found
    }
    assert limits == {name: models._MAX_LENGTHS[name] for name in limits}
    assert set(models._MAX_LENGTHS) - set(limits) == {"requestId"}


def test_each_operation_has_a_tag_and_an_id_for_a_method_name(document: Any) -> None:  # noqa: ANN401
    """Generators make modules of tags, and functions or methods of ids."""
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    ids = [operation["operationId"] for operation in operations]
    tags = {tag["name"] for tag in document["tags"]}

    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", operation_id) for operation_id in ids)
    assert len(set(ids)) == len(ids)
    assert {tag for operation in operations for tag in operation["tags"]} == tags
    assert all(len(operation["tags"]) == 1 for operation in operations)


def test_the_hosts_responses_have_no_body(document: Any) -> None:  # noqa: ANN401
    """A generated client would fail on a body that is not described."""
    responses = document["components"]["responses"]

    for name in ("Unauthorized", "NotFound", "Fault"):
        assert "content" not in responses[name]
    for path, item in document["paths"].items():
        for operation in item.values():
            if operation.get("security") != []:
                assert operation["responses"]["401"]["$ref"].endswith("/Unauthorized"), path
                assert operation["responses"]["404"]["$ref"].endswith("/NotFound"), path
            if "500" in operation["responses"]:
                assert operation["responses"]["500"]["$ref"].endswith("/Fault"), path
