"""The ASGI application: routes, their dependencies, and how errors are answered.

`api.app:app` is made from the environment when it is first asked for; `create_app` makes one
from given parts.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, Final

import msgspec
from litestar import Litestar, Response, get
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException, ValidationException

from api import problems
from api.database import Database
from api.front import Front
from api.keys import Keys
from api.metrics import RequestMetrics
from api.openapi import describe
from api.routes import health, intervals, lists, pages, stream
from api.routes.taker_volume import taker_volume
from api.v1.markets import Markets
from api.v1.plans import Planner
from api.v1.pump import Pump, cancelled
from connectors.process.environment import Environment, load_settings
from schemas.errors import UnavailableError
from schemas.settings import Settings

_DESCRIBED: Final = (taker_volume, health.live, health.ready, health.metrics)
_ROWS: Final = (*intervals.HANDLERS, *lists.HANDLERS, *stream.HANDLERS)
_COMPRESSED_BYTES: Final = 2_000


def create_app(settings: Settings, postgres_dsn: str, *, is_public: bool = False) -> Front:
    """Return the application; it starts whether or not the database answers.

    Args:
        settings: What the pipeline is made of.
        postgres_dsn: The database.
        is_public: It can be reached from other machines: keys and quotas hold.

    Raises:
        SettingsError: `postgres_dsn` cannot be read.
    """
    database = Database(postgres_dsn)
    markets = Markets(database)
    pump = Pump(database, markets)
    planner = Planner(database, markets, settings)
    answerer = intervals.Answerer(database, pump, planner, settings)
    dependencies: Mapping[str, Provide] = {
        "database": Provide(lambda: database, sync_to_thread=False),
        "markets": Provide(lambda: markets, sync_to_thread=False),
        "planner": Provide(lambda: planner, sync_to_thread=False),
        "answerer": Provide(lambda: answerer, sync_to_thread=False),
        "pump": Provide(lambda: pump, sync_to_thread=False),
        "settings": Provide(lambda: settings, sync_to_thread=False),
    }
    document = msgspec.json.encode(describe(_DESCRIBED, dependencies, list(settings.exchanges)))

    @get("/openapi.json", include_in_schema=False)
    async def openapi_json() -> Response[bytes]:
        return Response(document, media_type="application/json")

    @asynccontextmanager
    async def connected(_: Litestar) -> AsyncIterator[None]:
        await database.open()
        pumping = asyncio.ensure_future(pump.run())
        try:
            yield
        finally:
            await cancelled(pumping)
            await database.close()

    application = Litestar(
        [
            *_DESCRIBED,
            *intervals.HANDLERS,
            *lists.HANDLERS,
            *stream.HANDLERS,
            openapi_json,
            *pages.HANDLERS,
        ],
        dependencies=dict(dependencies),
        state=State({"pump": pump}),
        lifespan=[connected],
        middleware=[RequestMetrics()],
        exception_handlers={
            HTTPException: problems.on_http_exception,
            ValidationException: problems.on_invalid_parameters,
            UnavailableError: problems.on_unavailable,
            Exception: problems.on_unexpected,
        },
        compression_config=CompressionConfig(
            backend="gzip",
            minimum_size=_COMPRESSED_BYTES,
            gzip_compress_level=1,
            exclude=["^/v1/"],
        ),
        openapi_config=None,
        # Whoever runs the process decides what becomes of its log.
        logging_config=None,
    )
    return Front(application, settings.api, Keys(database).known, is_public=is_public)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address to listen on."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def __getattr__(name: str) -> Any:
    # Not at import: tests and tools import this module without servers in their environment.
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    environment = Environment.read()
    is_public = not is_loopback(os.environ.get("API_HOST") or "127.0.0.1")
    application = create_app(
        load_settings(environment), environment.require_postgres(), is_public=is_public
    )
    globals()["app"] = application
    return application
