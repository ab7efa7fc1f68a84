"""Answers in JSON: what was asked, what range is there, the rows, where the next page is."""

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response

from api.v1.caching import CHANGING, Kept, encoded, matches
from api.v1.cursors import Cursor, encode_cursor
from api.v1.plans import ACCEPTED, Plan
from api.v1.times import EPOCH, parse_time, utc_text

_encoder: Final = msgspec.json.Encoder()
VARY: Final = "Accept, Accept-Encoding"
_MICROSECOND: Final = timedelta(microseconds=1)


class Answer(msgspec.Struct, frozen=True):
    """Rows, and what they answer."""

    query: dict[str, Any]
    from_: str | None = msgspec.field(name="from")
    """Start of the oldest row."""
    to: str | None
    """End of the newest row."""
    rows: Sequence[Any]
    next: str | None


def page_body(
    request: Request[Any, Any, Any], plan: Plan, found: list[Any]
) -> tuple[bytes, str | None]:
    """Return the JSON of one page of intervals, and the address of the next one.

    Args:
        request: Whose address is gone on from.
        plan: Of the question.
        found: The rows, one more than a page holds where there are more.
    """
    question = plan.question
    rows = found[: question.limit] if plan.covers_range else found
    cursor = None
    if plan.resumes_at is not None:
        cursor = _cursor(plan, (plan.resumes_at - EPOCH) // _MICROSECOND)
    elif len(found) > question.limit:
        cursor = _cursor(plan, (parse_time(rows[-1].time, EPOCH) - EPOCH) // _MICROSECOND, rows[-1])
    next_url = None if cursor is None else _next_url(request, plan, cursor)
    times = [row.time for row in (rows[0], rows[-1])] if rows else []
    answer = Answer(
        query=question.understood(ACCEPTED[plan.route]),
        from_=min(times, default=None),
        to=utc_text(parse_time(max(times), EPOCH) + question.step) if times else None,
        rows=rows,
        next=next_url,
    )
    return _encoder.encode(answer), next_url


async def answer_list(
    request: Request[Any, Any, Any], query: dict[str, Any], rows: list[Any]
) -> Response[bytes]:
    """Return the answer of a list that has no further page."""
    body = _encoder.encode(Answer(query, None, None, rows, None))
    body, headers = await encoded(body, request.headers.get("accept-encoding", ""))
    headers |= {"cache-control": CHANGING, "vary": VARY}
    return conditional(request, Kept(body, headers))


def conditional(request: Request[Any, Any, Any], kept: Kept) -> Response[bytes]:
    """Return an answer, or that the client has it already."""
    if matches(request.headers.get("if-none-match", ""), kept.headers["etag"]):
        headers = {
            name: value for name, value in kept.headers.items() if name != "content-encoding"
        }
        return Response(b"", status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(kept.body, media_type="application/json", headers=kept.headers)


def _cursor(plan: Plan, time_us: int, last: Any = None) -> Cursor:
    return Cursor(
        plan.question.identity(plan.route),
        time_us,
        getattr(last, "exchange", ""),
        getattr(last, "symbol", ""),
    )


def _next_url(request: Request[Any, Any, Any], plan: Plan, cursor: Cursor) -> str:
    """Return the address of the next page: the same question with its times made absolute."""
    question = plan.question
    parameters = {
        name: values
        for name in ACCEPTED[plan.route]
        if name != "cursor" and (values := request.query_params.getall(name, []))
    }
    parameters["from"] = [utc_text(question.start)]
    parameters["to"] = [utc_text(question.end)]
    if question.as_of is not None:
        parameters["as_of"] = [utc_text(question.as_of)]
    if "anchor" in parameters:
        parameters["anchor"] = [utc_text(question.anchor)]
    parameters["cursor"] = [encode_cursor(cursor)]
    pairs = [(name, value) for name, values in parameters.items() for value in values]
    return f"{plan.route}?{urlencode(pairs)}"
