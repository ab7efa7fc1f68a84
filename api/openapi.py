"""The OpenAPI document: what Litestar knows of the routes, with paths as they are called."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar import Litestar
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import License

from api.parameters import ALL_EXCHANGES, DEFAULT_LIMIT, LARGEST_LIMIT, LATEST_SECONDS
from api.v1 import documents
from api.v1.questions import SYMBOL_PATTERN

# Of what the document says, not of the release that answers it.
_VERSION: Final = "1.0"

_DESCRIPTION: Final = """\
Exact market data of ten crypto exchanges. Volumes are sums of every trade, in base units, as the
text of an exact decimal. Times are UTC. A minute and an interval are named by their start.

Errors are `application/problem+json` (RFC 9457) and name the parameter that was wrong."""

_SECONDS: Final[dict[str, Any]] = {
    "type": "integer",
    "format": "int64",
    "minimum": 0,
    "maximum": LATEST_SECONDS,
}
_SEGMENTS: Final = {"from_segment": "from", "to_segment": "to"}


def describe(
    handlers: Sequence[HTTPRouteHandler],
    dependencies: Mapping[str, Provide],
    exchanges: Sequence[str],
) -> dict[str, Any]:
    """Return the document.

    Args:
        handlers: The routes to describe.
        dependencies: What the handlers get from the application and not from a request.
        exchanges: All exchange ids.
    """
    # An application of its own, never served: Litestar would answer next to the document with
    # pages and errors of a kind that ours are not.
    described = Litestar(
        handlers,
        dependencies=dict(dependencies),
        openapi_config=OpenAPIConfig(
            title="marketflow",
            version=_VERSION,
            description=_DESCRIPTION,
            license=License(name="Apache 2.0", identifier="Apache-2.0"),
        ),
        logging_config=None,
    )
    document = described.openapi_schema.to_schema()
    schemas: dict[str, dict[str, Any]] = {
        **dict.fromkeys(_SEGMENTS, _SECONDS),
        "exchange": {"type": "string", "enum": [*exchanges, ALL_EXCHANGES]},
        "limit": {
            "type": "integer",
            "minimum": DEFAULT_LIMIT,
            "maximum": LARGEST_LIMIT,
            "default": DEFAULT_LIMIT,
        },
        "symbol": {"type": "string", "pattern": SYMBOL_PATTERN},
    }
    document["paths"] = {
        _called(path): _with_parameters(item, schemas) for path, item in document["paths"].items()
    }
    document["paths"] |= documents.paths(exchanges)
    document["components"]["schemas"] |= documents.components()
    return document


def _called(path: str) -> str:
    for segment, name in _SEGMENTS.items():
        path = path.replace(f"{{{segment}}}", f"{name}={{{name}}}")
    return path


def _with_parameters(
    item: dict[str, Any], schemas: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    for operation in item.values():
        for parameter in operation.get("parameters", ()):
            name = parameter["name"]
            parameter["schema"] = schemas.get(name, parameter["schema"])
            parameter["name"] = _SEGMENTS.get(name, name)
    return item
