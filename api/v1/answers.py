"""Answers in JSON: what was asked, what range is there, the rows, where the next page is."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response

from api.v1.cursors import Cursor, encode_cursor
from api.v1.questions import Question
from api.v1.times import EPOCH, parse_time, utc_text

_encoder: Final = msgspec.json.Encoder()


class Answer(msgspec.Struct, frozen=True):
    """Rows, and what they answer."""

    query: dict[str, Any]
    from_: str | None = msgspec.field(name="from")
    """Start of the oldest row."""
    to: str | None
    """End of the newest row."""
    rows: Sequence[Any]
    next: str | None


def answer_page(
    request: Request[Any, Any, Any],
    question: Question,
    rows: list[Any],
    *,
    route: str,
    accepted: Sequence[str],
    has_more: bool,
) -> Response[bytes]:
    """Return the answer of one page of intervals."""
    times = [row.time for row in (rows[0], rows[-1])] if rows else []
    next_url = _next_url(request, question, rows[-1], route, accepted) if has_more else None
    answer = Answer(
        query=question.understood(accepted),
        from_=min(times, default=None),
        to=_end(max(times), question.step) if times else None,
        rows=rows,
        next=next_url,
    )
    headers = {} if next_url is None else {"link": f'<{next_url}>; rel="next"'}
    return answer_bytes(_encoder.encode(answer), headers)


def answer_list(query: dict[str, Any], rows: list[Any]) -> Response[bytes]:
    """Return the answer of a list that has no range and no further page."""
    return answer_bytes(_encoder.encode(Answer(query, None, None, rows, None)), {})


def answer_bytes(body: bytes, headers: Mapping[str, str]) -> Response[bytes]:
    """Return a JSON answer of ready bytes."""
    return Response(body, media_type="application/json", headers=dict(headers))


def _end(start: str, step: timedelta) -> str:
    return utc_text(parse_time(start, EPOCH) + step)


def _next_url(
    request: Request[Any, Any, Any],
    question: Question,
    last: Any,
    route: str,
    accepted: Sequence[str],
) -> str:
    """Return the address of the next page: the same question with its times made absolute."""
    time_us = (parse_time(last.time, EPOCH) - EPOCH) // timedelta(microseconds=1)
    cursor = Cursor(question.identity(route), time_us, getattr(last, "exchange", ""), last.symbol)
    parameters = {
        name: values
        for name in accepted
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
    return f"{route}?{urlencode(pairs)}"
