"""`/taker_volume/…`: the minutes of one exchange, or of all of them, newest first."""

from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter
from litestar.types import Method

from api.database import Database
from api.parameters import DEFAULT_LIMIT, LARGEST_LIMIT, parse_minutes_request
from api.problems import INVALID_RESPONSE, UNAVAILABLE_RESPONSE
from api.queries import TAKER_VOLUME, TakerVolumeMinute, taker_volume_parameters
from schemas.settings import Settings

# Litestar's path parameters are whole segments: `from=…` is taken apart by our own parser, and
# api.openapi shows the path as it is called.
PATH: Final = "/taker_volume/{exchange:str}/{from_segment:str}/{to_segment:str}"


def _operation_id(_handler: HTTPRouteHandler, _method: Method, path: list[Any]) -> str:
    return "takerVolumeLimited" if path[-1].name == "limit" else "takerVolume"


@get(
    [PATH, f"{PATH}/{{limit:str}}"],
    operation_id=_operation_id,
    summary="Taker volume of each minute, newest first",
    description=(
        "Both ends of the range are inclusive, for every exchange. Minutes of `all_exchange` with "
        "the same start are in the order of the exchanges' names. The minute that is still open "
        "is among them, as the estimate that it is at the moment."
    ),
    response_description="At most `limit` minutes, newest first",
    tags=["Taker volume"],
    responses={400: INVALID_RESPONSE, 503: UNAVAILABLE_RESPONSE},
)
async def taker_volume(
    *,
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    exchange: Annotated[
        str,
        PathParameter(
            description="An exchange id, or `all_exchange`",
            examples=[Example("binance", value="binance"), Example("all", value="all_exchange")],
        ),
    ],
    from_segment: Annotated[
        str,
        PathParameter(
            description="First second of the range, unix time",
            examples=[Example("from", value=1729678800)],
        ),
    ],
    to_segment: Annotated[
        str,
        PathParameter(
            description="Last second of the range, unix time",
            examples=[Example("to", value=1729682400)],
        ),
    ],
    limit: Annotated[
        str | None,
        PathParameter(
            description=(
                f"The most minutes to answer, {DEFAULT_LIMIT} to {LARGEST_LIMIT}; "
                f"outside it {DEFAULT_LIMIT}"
            ),
            examples=[Example("few", value=DEFAULT_LIMIT), Example("most", value=LARGEST_LIMIT)],
        ),
    ] = None,
    # The handler reads it from the whole query string, which may not hold anything else.
    symbol: Annotated[  # noqa: ARG001  # read from the path by hand
        str | None,
        QueryParameter(
            description="Another symbol than the exchange's primary one",
            examples=[
                Example("spot", value="BTC-USDT"),
                Example("perpetual", value="ETH-USDT-PERP"),
            ],
        ),
    ] = None,
) -> list[TakerVolumeMinute]:
    """Return the minutes of a range."""
    minutes = parse_minutes_request(
        {name: each.primary_symbol for name, each in settings.exchanges.items()},
        exchange=exchange,
        from_segment=from_segment,
        to_segment=to_segment,
        limit=limit,
        query=request.query_params.multi_items(),
    )
    return await database.fetch(TAKER_VOLUME, taker_volume_parameters(minutes), TakerVolumeMinute)
