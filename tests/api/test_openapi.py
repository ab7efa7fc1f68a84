import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.v1.questions import SYMBOL_PATTERN
from schemas.exchanges import EXCHANGES

SHORT = "/taker_volume/{exchange}/from={from}/to={to}"
LONG = "/taker_volume/{exchange}/from={from}/to={to}/{limit}"


@pytest.fixture(scope="module")
def document(api: httpx.Client) -> dict[str, Any]:
    response = api.get("/openapi.json")
    assert response.headers["content-type"].startswith("application/json")
    described: dict[str, Any] = response.json()
    return described


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects(item)


def test_paths_are_those_of_the_contract(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    outside_v1 = {path for path in document["paths"] if not path.startswith("/v1/")}
    assert outside_v1 == {SHORT, LONG, "/health/live", "/health/ready", "/metrics"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = [item["$ref"] for item in objects(document) if "$ref" in item]
    assert references
    for reference in references:
        assert reference.startswith("#/components/schemas/")
        assert reference.rpartition("/")[2] in document["components"]["schemas"]


def test_every_part_of_a_path_is_a_described_parameter(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        (operation,) = item.values()
        described = {
            parameter["name"]
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "path" and parameter["required"] and parameter["description"]
        }
        assert described == set(re.findall(r"\{(\w+)\}", path)), path


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [item["get"]["operationId"] for item in document["paths"].values()]
    assert len(ids) == len(set(ids))


def test_parameters_have_types_bounds_and_examples(document: dict[str, Any]) -> None:
    parameters = {each["name"]: each for each in document["paths"][LONG]["get"]["parameters"]}
    second = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 4_102_444_800}
    assert {name: each["schema"] for name, each in parameters.items()} == {
        "exchange": {"type": "string", "enum": [*EXCHANGES, "all_exchange"]},
        "from": second,
        "to": second,
        "limit": {"type": "integer", "minimum": 10, "maximum": 100, "default": 10},
        "symbol": {"type": "string", "pattern": SYMBOL_PATTERN},
    }
    assert all(each["examples"] for each in parameters.values())
    assert parameters["symbol"]["required"] is False


def test_the_examples_are_a_request_that_is_answered(
    api: httpx.Client, document: dict[str, Any]
) -> None:
    path = LONG
    for parameter in document["paths"][LONG]["get"]["parameters"]:
        example = next(iter(parameter["examples"].values()))["value"]
        path = path.replace(f"{{{parameter['name']}}}", str(example))
    assert len(api.get(path).json()) == 10


def test_answers_and_problems_are_described(document: dict[str, Any]) -> None:
    responses = document["paths"][SHORT]["get"]["responses"]
    assert set(responses) == {"200", "400", "503"}
    assert responses["200"]["content"]["application/json"]["schema"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/TakerVolumeMinute"},
    }
    for status in ("400", "503"):
        assert responses[status]["content"] == {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        }
    schemas = document["components"]["schemas"]
    minute = schemas["TakerVolumeMinute"]["properties"]
    assert {name: schema["type"] for name, schema in minute.items()} == {
        "exchange_name": "string",
        "symbol": "string",
        "timestamp": "integer",
        "taker_buy_volume": "string",
        "taker_sell_volume": "string",
        "created_at": "string",
    }
    assert list(schemas["Problem"]["required"]) == sorted(
        ["type", "title", "status", "detail", "instance"]
    )


def test_the_document_does_not_show_how_paths_are_taken_apart(document: dict[str, Any]) -> None:
    assert "_segment" not in json.dumps(document)
