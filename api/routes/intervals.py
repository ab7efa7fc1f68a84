"""`/v1/taker-volume`, `/v1/orderbook`, `/v1/premium`, `/v1/coverage`: rows of intervals."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.response import Stream

from api.database import Database
from api.v1.answers import VARY, conditional, page_body
from api.v1.caching import IMMUTABLE, AnswerCache, Kept, cache_control, encoded
from api.v1.exports import EXTRA, Exporter, can_make
from api.v1.plans import COVERAGE, ORDERBOOK, PREMIUM, TAKER_VOLUME, Plan, Planner, utc_now
from api.v1.pump import Pump
from api.v1.questions import FORMATS, Format
from schemas.settings import Settings

Plans = Callable[[Request[Any, Any, Any], Format], Awaitable[Plan]]


class Answerer:
    """Answers the questions that plans are made of, in the format that is asked for."""

    def __init__(
        self, database: Database, pump: Pump, planner: Planner, settings: Settings
    ) -> None:
        self.planner = planner
        self._database = database
        self._pump = pump
        self._cache = AnswerCache()
        self._exporter = Exporter(database)
        self._horizon = timedelta(milliseconds=settings.taker_volume.correction_horizon_ms)

    async def answer(
        self, request: Request[Any, Any, Any], plans: Plans
    ) -> Response[bytes] | Stream:
        """Return the answer to a request."""
        plan = await plans(request, _accepted_format(request))
        if plan.question.format != "json":
            return await self._export(plan)
        coding = request.headers.get("accept-encoding", "")
        key = (
            plan.question.identity(plan.route),
            plan.question.cursor,
            plan.question.limit,
            plan.question.numbers,
            request.url.query,
            coding,
        )
        kept = self._cache.get(key)
        if kept is None:
            kept = await self._ask(request, plan, coding)
            if kept.headers["cache-control"] == IMMUTABLE:
                self._cache.put(key, kept)
        return conditional(request, kept)

    async def _ask(self, request: Request[Any, Any, Any], plan: Plan, coding: str) -> Kept:
        # What a stream must tell to go on from this answer: taken before the answer is read.
        place = self._pump.place
        rows = await self._database.fetch(
            plan.statement,
            plan.parameters,
            plan.row,
            is_wide=plan.is_wide,
            keeps_plan=plan.keeps_plan,
        )
        body, next_url = page_body(request, plan, rows)
        body, headers = await encoded(body, coding)
        headers["vary"] = VARY
        headers["cache-control"] = cache_control(
            plan,
            rows[: plan.question.limit],
            utc_now(),
            self._horizon,
            has_more=next_url is not None,
        )
        if next_url is not None:
            headers["link"] = f'<{next_url}>; rel="next"'
        if place is not None:
            headers["stream-position"] = str(place)
        return Kept(body, headers)

    async def _export(self, plan: Plan) -> Stream:
        format_ = plan.question.format
        if not can_make(format_):
            raise HTTPException(
                f"{format_} needs pyarrow: install marketflow[{EXTRA}] where the API runs, or ask "
                "for csv, ndjson or json",
                status_code=HTTPStatus.NOT_ACCEPTABLE,
            )
        chunks = await self._exporter.open(plan)
        name = plan.route.rpartition("/")[2]
        headers = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{name}.{format_}"',
            "vary": VARY,
        }
        return Stream(chunks, media_type=FORMATS[format_], headers=headers)


@get(TAKER_VOLUME, operation_id="takerVolumeRows")
async def taker_volume(
    *,
    request: Request[Any, Any, Any],
    answerer: NamedDependency[Answerer],
) -> Response[bytes] | Stream:
    """Return what takers bought and sold in each interval."""
    return await answerer.answer(request, answerer.planner.taker_volume)


@get(ORDERBOOK, operation_id="orderbookRows")
async def orderbook(
    *,
    request: Request[Any, Any, Any],
    answerer: NamedDependency[Answerer],
) -> Response[bytes] | Stream:
    """Return what the order books were like in each interval."""
    return await answerer.answer(request, answerer.planner.orderbook)


@get(PREMIUM, operation_id="premiumRows")
async def premium(
    *,
    request: Request[Any, Any, Any],
    answerer: NamedDependency[Answerer],
) -> Response[bytes] | Stream:
    """Return how much dearer a coin is in Korea, in each interval."""
    return await answerer.answer(request, answerer.planner.premium)


@get(COVERAGE, operation_id="coverageRows")
async def coverage(
    *,
    request: Request[Any, Any, Any],
    answerer: NamedDependency[Answerer],
) -> Response[bytes] | Stream:
    """Return how much of each interval is there, and known to be whole."""
    return await answerer.answer(request, answerer.planner.coverage)


HANDLERS: Final = (taker_volume, orderbook, premium, coverage)


def _accepted_format(request: Request[Any, Any, Any]) -> Format:
    """Return the format that the request accepts best; JSON where it accepts anything.

    Raises:
        HTTPException: It accepts none of them.
    """
    accept = request.headers.get("accept", "*/*")
    best: Format | None = None
    best_quality = 0.0
    for part in accept.split(","):
        name, _, rest = part.strip().partition(";")
        quality = _quality(rest)
        for format_, media_type in FORMATS.items():
            fits = name in {media_type, "*/*", f"{media_type.partition('/')[0]}/*"}
            if fits and quality > best_quality:
                best, best_quality = format_, quality
    if best is None:
        raise HTTPException(
            f"Accept names none of {', '.join(FORMATS.values())}",
            status_code=HTTPStatus.NOT_ACCEPTABLE,
        )
    return best


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
