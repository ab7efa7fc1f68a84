"""Errors as RFC 9457 `application/problem+json`: the one form in which a request is refused."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import ResponseSpec

from schemas.errors import BusyError, UnavailableError

MEDIA_TYPE: Final = "application/problem+json"
INVALID_PARAMETER: Final = "urn:marketflow:problem:invalid-parameter"
BUSY: Final = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
UNAVAILABLE: Final = "urn:marketflow:problem:unavailable"
RETRY_AFTER_SECONDS: Final = 5

_LOGGER: Final = logging.getLogger("marketflow.api")
_LONGEST_INSTANCE: Final = 500


class InvalidParameter(msgspec.Struct, frozen=True):
    """One parameter that was wrong."""

    parameter: str
    detail: str
    """What was sent and what was expected."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request was not answered (RFC 9457)."""

    type: str
    """What kind of problem it is; `about:blank` where the status says it all."""
    title: str
    status: int
    detail: str
    instance: str
    """The path that was asked for."""
    parameter: str | None = None
    """The parameter that was wrong, where one was."""
    errors: tuple[InvalidParameter, ...] = ()
    """All wrong parameters, where several were."""


def problem_response(
    request: Request[Any, Any, Any],
    status: int,
    detail: str,
    *,
    type_: str = "about:blank",
    title: str | None = None,
    errors: tuple[InvalidParameter, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """Return the answer to a request that failed."""
    problem = Problem(
        type=type_,
        title=title or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=quote(request.scope["path"], safe="/=")[:_LONGEST_INSTANCE],
        parameter=errors[0].parameter if errors else None,
        errors=errors if len(errors) > 1 else (),
    )
    return Response(
        msgspec.json.encode(problem),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers={"cache-control": "no-store", **(headers or {})},
    )


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what Litestar refuses: unknown routes, wrong methods, and the like."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return on_unexpected(request, error)
    details = {
        HTTPStatus.NOT_FOUND: "There is nothing at this path: /docs lists what there is.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not allowed here.",
    }
    detail = details.get(HTTPStatus(error.status_code), error.detail)
    return problem_response(request, error.status_code, detail, headers=error.headers)


def on_invalid_parameters(
    request: Request[Any, Any, Any], error: ValidationException
) -> Response[bytes]:
    """Answer a request whose parameters are wrong, and name them."""
    errors = tuple(
        InvalidParameter(parameter=item.get("key", ""), detail=f"{item.get('key')}: {message}")
        for item in error.extra or ()
        if isinstance(item, dict) and (message := item.get("message"))
    )
    return problem_response(
        request,
        error.status_code,
        "; ".join(each.detail for each in errors) or error.detail,
        type_=INVALID_PARAMETER,
        title="Invalid parameter",
        errors=errors,
    )


def on_unavailable(request: Request[Any, Any, Any], error: UnavailableError) -> Response[bytes]:
    """Answer while the database is down, not migrated or busy."""
    is_busy = isinstance(error, BusyError)
    return problem_response(
        request,
        HTTPStatus.SERVICE_UNAVAILABLE,
        str(error),
        type_=BUSY if is_busy else UNAVAILABLE,
        title="Temporarily reduced capacity" if is_busy else "Service unavailable",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )


def on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a defect of ours: the log gets all of it, the client none of it."""
    _LOGGER.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    return problem_response(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "This is a defect of the server; its log says more.",
    )


def _described(description: str) -> ResponseSpec:
    return ResponseSpec(
        Problem, description=description, media_type=MEDIA_TYPE, generate_examples=False
    )


INVALID_RESPONSE: Final = _described("A parameter is wrong: `parameter` and `detail` say which.")
UNAVAILABLE_RESPONSE: Final = _described("The database is down, or not migrated: try again later.")
