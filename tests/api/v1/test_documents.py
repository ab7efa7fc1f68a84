from typing import Any

import httpx
import pytest

from api.v1.plans import ACCEPTED
from tests.api.test_openapi import objects


@pytest.fixture(scope="module")
def document(api: httpx.Client) -> dict[str, Any]:
    described: dict[str, Any] = api.get("/openapi.json").json()
    return described


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, item["get"]) for path, item in document["paths"].items() if path.startswith("/v1/")
    ]


def test_every_route_of_v1_is_described(document: dict[str, Any]) -> None:
    assert {path for path, _ in operations(document)} == {*ACCEPTED, "/v1/stream"}


def test_every_parameter_and_answer_has_an_example(document: dict[str, Any]) -> None:
    for path, operation in operations(document):
        for parameter in operation["parameters"]:
            assert parameter["description"], (path, parameter["name"])
            assert parameter["examples"], (path, parameter["name"])
        for media_type, content in operation["responses"]["200"]["content"].items():
            assert content["examples"], (path, media_type)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for item in objects(document):
        if "$ref" in item:
            assert item["$ref"].rpartition("/")[2] in document["components"]["schemas"]


def test_every_example_is_a_parameter_that_is_taken(
    api: httpx.Client, document: dict[str, Any]
) -> None:
    for path, operation in operations(document):
        if path == "/v1/stream":
            continue
        for parameter in operation["parameters"]:
            value = parameter["examples"]["example"]["value"]
            text = ",".join(value) if isinstance(value, list) else value
            response = api.get(path, params={parameter["name"]: text})
            # A cursor belongs to its question, and history begins with the database.
            is_refused_for_a_reason = parameter["name"] in {"cursor", "as_of", "anchor"}
            assert response.status_code == 200 or is_refused_for_a_reason, response.text
