"""``pipeline.yaml`` as types: what the pipeline is made of, refused at the start if it is wrong.

Where to connect is decided by the environment alone (``connectors.process.environment``).
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal, TypeAlias

import msgspec

from schemas.errors import SettingsError
from schemas.exchanges import EXCHANGES
from schemas.feed_status import FEED_STATUS_TOPIC
from schemas.feeds import Feed, TradeIds
from schemas.records import Product
from schemas.symbols import SYMBOL_PATTERN

RawKind: TypeAlias = Literal["ticker", "orderbook", "trade"]
RAW_KINDS: tuple[RawKind, ...] = ("ticker", "orderbook", "trade")
RAW_TOPICS: tuple[str, ...] = (*RAW_KINDS, "kline")
"""The kinds of raw data that have a topic; klines feed the audit alone."""

Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
"""A name that Kafka accepts for a topic or a group."""
Milliseconds: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]
Partition: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=9_999)]
PartitionCount: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Url: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+(/\S*)?$")]
WebSocketUrl: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^wss?://[^\s/]+(/\S*)?$")]
Symbol: TypeAlias = Annotated[str, msgspec.Meta(pattern=f"^{SYMBOL_PATTERN}$")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    pass


class PerKind(_Strict, frozen=True):
    """A topic name for each kind of raw data."""

    ticker: Name
    orderbook: Name
    trade: Name
    kline: Name

    @property
    def snapshot_requests(self) -> str:
        """The topic on which the collector is asked for snapshots of order books."""
        return f"{self.orderbook}.requests"


class Groups(_Strict, frozen=True):
    """The consumer groups of a region, as lag tools see them."""

    ticker: Name
    orderbook: Name
    trade: Name
    kline: Name
    audit: Name
    """The group of the audit, which reads taker volumes."""


class PartitionCounts(_Strict, frozen=True):
    """How many partitions the topics of a region have, raw and processed alike."""

    ticker: PartitionCount
    orderbook: PartitionCount
    trade: PartitionCount
    kline: PartitionCount


class ProcessedTopics(_Strict, frozen=True):
    """The topics that the dataflows of a region write."""

    ticker: Name
    orderbook: Name
    taker_volume: Name
    audit: Name


class Region(_Strict, frozen=True):
    """One region: its topics and its consumer groups."""

    topics: PerKind
    partitions: PartitionCounts
    processed: ProcessedTopics
    groups: Groups


class Urls(_Strict, frozen=True):
    """The addresses of an exchange, by product."""

    ws: Mapping[Product, WebSocketUrl] = {}
    rest: Mapping[Product, Url] = {}


class Top(_Strict, frozen=True):
    """The symbols with the largest turnover."""

    top: Annotated[int, msgspec.Meta(ge=1, le=10_000)]


SymbolChoice: TypeAlias = tuple[Symbol, ...] | Literal["all"] | Top
Collect: TypeAlias = Literal["websocket", "rest", "both", "off"]


class ExchangeSettings(_Strict, frozen=True):
    """One exchange: its name in records, the partitions it owns, what is collected from where."""

    market: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    region: str
    partitions: Annotated[tuple[Partition, ...], msgspec.Meta(min_length=1)]
    quote: Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{2,10}$")]
    primary_symbol: Symbol
    kinds: tuple[RawKind, ...] = RAW_KINDS
    trade_ids: Mapping[Product, TradeIds] = {}
    contract_sizes: Mapping[str, Decimal] = {}
    urls: Urls = Urls()
    symbols: Mapping[Product, SymbolChoice] = {}
    """What is collected, in canonical names."""
    collect: Collect | bool = "websocket"
    """By which interfaces; YAML reads a bare `off` as false."""

    @property
    def is_collected(self) -> bool:
        """Return whether anything is asked of the exchange."""
        return self.collect not in ("off", False)


class TakerVolumeSettings(_Strict, frozen=True):
    """When a minute is final, and how long it can still be corrected."""

    lateness_ms: Milliseconds = 10_000
    correction_horizon_ms: Milliseconds = 3_600_000
    future_limit_ms: Milliseconds = 60_000
    idle_close_ms: Milliseconds = 30_000
    estimate_interval_ms: Milliseconds = 1_000


class OrderbookSettings(_Strict, frozen=True):
    """How much of an order book is published."""

    conflation_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 0


class KafkaSettings(_Strict, frozen=True):
    """Batch sizes and limits of the Kafka connectors."""

    batch_messages: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    fetch_buffer_kbytes: Annotated[int, msgspec.Meta(ge=1_024, le=2_097_151)] = 65_536
    delivery_timeout_ms: Milliseconds = 60_000
    tools_group: Name = "marketflow"
    """Of consumers that read no topic for a dataflow: metadata, the collector's look back."""

    @property
    def replay_group(self) -> str:
        """The group that remembers which dead letters were replayed."""
        return f"{self.tools_group}-dlq-replay"

    def with_batch_messages(self, most: int) -> "KafkaSettings":
        """Return these settings with at most so many messages a batch."""
        return msgspec.structs.replace(self, batch_messages=min(self.batch_messages, most))


class PostgresSettings(_Strict, frozen=True):
    """Batch sizes and limits of the PostgreSQL writer."""

    flush_rows: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2_000
    flush_timeout_ms: Milliseconds = 60_000


Records: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class ArchiveSettings(_Strict, frozen=True):
    """How much one object of the archive holds."""

    group: Name = "Archive_group_id"
    ticker_records: Records = 20
    orderbook_records: Records = 50
    taker_volume_records: Records = 100
    time_limit_ms: Milliseconds = 60_000


class CollectSettings(_Strict, frozen=True):
    """How the exchanges are collected, and how much waits while the broker is slow."""

    websocket_client: Literal["picows", "websockets"] = "picows"
    queue_kbytes: Annotated[int, msgspec.Meta(ge=1_024, le=8_388_608)] = 262_144
    max_message_kbytes: Annotated[int, msgspec.Meta(ge=64, le=1_048_576)] = 16_384
    poll_interval_ms: Annotated[int, msgspec.Meta(ge=500, le=600_000)] = 2_500
    instruments_interval_ms: Milliseconds = 600_000


class ApiSettings(_Strict, frozen=True):
    """What the API allows those who are not on its own machine."""

    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may read answers; `*`: all. None: pages of other sites cannot."""
    quota: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 1_200
    """Units that a client may use in a window: one a request, one more for 256 kB of answer."""
    quota_window_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 60


class Settings(_Strict, frozen=True):
    """The whole of ``pipeline.yaml``."""

    regions: Mapping[str, Region]
    exchanges: Mapping[str, ExchangeSettings]
    feed_status: Name = FEED_STATUS_TOPIC
    collect: CollectSettings = CollectSettings()
    taker_volume: TakerVolumeSettings = TakerVolumeSettings()
    orderbook: OrderbookSettings = OrderbookSettings()
    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    archive: ArchiveSettings = ArchiveSettings()
    api: ApiSettings = ApiSettings()

    @cached_property
    def exchange_of_market(self) -> Mapping[str, str]:
        """The exchange id by market name in lower case, which is what an envelope names."""
        return {exchange.market.lower(): name for name, exchange in self.exchanges.items()}

    def region_of(self, exchange: str) -> Region:
        """Return the region that an exchange belongs to."""
        return self.regions[self.exchanges[exchange].region]

    def owner(self, region: str, partition: int) -> str | None:
        """Return the exchange that owns a partition of a region's topics, if any."""
        for name, exchange in self.exchanges.items():
            if exchange.region == region and partition in exchange.partitions:
                return name
        return None

    def other_partitions(self, region: str, partition: int) -> list[tuple[str, int]]:
        """Return the owner of a partition of trades with each other one that it owns."""
        owner = self.owner(region, partition)
        if owner is None:
            return []
        return [(owner, other) for other in self.exchanges[owner].partitions if other != partition]

    def feed(
        self,
        exchange: str,
        product: Product | None = None,
        native_symbol: str | None = None,
        coin: str | None = None,
    ) -> Feed:
        """Return what a decoder needs to know of one feed of an exchange."""
        settings = self.exchanges[exchange]
        if product is None:
            product = EXCHANGES[exchange].default_product
        return Feed(
            exchange=exchange,
            product=product,
            native_symbol=native_symbol,
            coin=coin,
            quote=settings.quote,
            trade_ids=settings.trade_ids.get(product, "trade"),
            contract_sizes=settings.contract_sizes,
        )


def parse_settings(text: bytes, source: str) -> Settings:
    """Return the settings in the text of a ``pipeline.yaml``.

    Args:
        text: YAML.
        source: The name of the file in messages.

    Raises:
        SettingsError: Names the file, the path of the wrong key, and what was expected.
    """
    try:
        settings = msgspec.yaml.decode(text, type=Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{source}: {_precise(text, error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{source}: not YAML: {error}") from error
    for problem in _problems(settings):
        raise SettingsError(f"{source}: {problem}")
    return settings


def _precise(text: bytes, error: msgspec.ValidationError) -> str:
    """Return the message with the region's or exchange's name, where msgspec writes `[...]`."""
    raw = msgspec.yaml.decode(text)
    sections: tuple[tuple[str, type[_Strict]], ...] = (
        ("regions", Region),
        ("exchanges", ExchangeSettings),
    )
    for section, section_type in sections:
        for name, value in raw.get(section, {}).items() if isinstance(raw, dict) else ():
            try:
                msgspec.convert(value, section_type)
            except msgspec.ValidationError as inner:
                return _with_expected(str(inner), section_type).replace("$", f"$.{section}.{name}")
    return _with_expected(str(error), Settings)


def _with_expected(message: str, at: type[_Strict]) -> str:
    """Return the message of an unknown field with the fields that are known there."""
    if "unknown field" not in message:
        return message
    path = message.rpartition("`$")[2].strip("`.").split(".") if "`$" in message else []
    for step in path:
        inner = next((f.type for f in msgspec.structs.fields(at) if f.name == step), None)
        if not (isinstance(inner, type) and issubclass(inner, _Strict)):
            break
        at = inner
    known = ", ".join(field.name for field in msgspec.structs.fields(at))
    where = message if "`$" in message else f"{message} - at `$`"
    head, _, tail = where.partition(" - at ")
    return f"{head}, expected one of {known} - at {tail}"


def _problems(settings: Settings) -> Iterator[str]:
    """Yield what is wrong and the types cannot say: references, ownership and counts."""
    for name, exchange in settings.exchanges.items():
        at = f"at `$.exchanges.{name}"
        if name not in EXCHANGES:
            yield f"unknown exchange `{name}`, expected one of {', '.join(EXCHANGES)} - {at}`"
        else:
            yield from _product_problems(name, exchange)
        if exchange.region not in settings.regions:
            known = ", ".join(settings.regions)
            yield f"unknown region `{exchange.region}`, expected one of {known} - {at}.region`"
        if exchange.collect is True:
            yield f"collect true, expected websocket, rest, both or off - {at}.collect`"
        for symbol, size in exchange.contract_sizes.items():
            if not (size.is_finite() and size > 0):
                where = f"{at}.contract_sizes.{symbol}`"
                yield f"contract size {size}, expected a positive number - {where}"
    for name, region in settings.regions.items():
        yield from _partition_problems(settings, name, region)
    yield from _duplicate_topics(settings)
    lateness_ms = settings.taker_volume.lateness_ms
    if settings.taker_volume.correction_horizon_ms < lateness_ms:
        yield (
            f"{settings.taker_volume.correction_horizon_ms}, expected at least lateness_ms "
            f"({lateness_ms}) - at `$.taker_volume.correction_horizon_ms`"
        )


def _product_problems(name: str, exchange: ExchangeSettings) -> Iterator[str]:
    offered = EXCHANGES[name].products
    for key, products in (
        ("urls.ws", exchange.urls.ws),
        ("urls.rest", exchange.urls.rest),
        ("symbols", exchange.symbols),
    ):
        for product in products:
            if product not in offered:
                yield (
                    f"product `{product}`, expected one of {', '.join(offered)} - "
                    f"at `$.exchanges.{name}.{key}`"
                )


def _partition_problems(settings: Settings, name: str, region: Region) -> Iterator[str]:
    for kind in RAW_KINDS:
        count = getattr(region.partitions, kind)
        at = f"at `$.regions.{name}.partitions.{kind}`"
        members = {
            exchange_name: exchange
            for exchange_name, exchange in settings.exchanges.items()
            if exchange.region == name and kind in exchange.kinds
        }
        if count < len(members):
            yield (
                f"{count} partitions, expected at least one for each of the {len(members)} "
                f"exchanges {', '.join(members)} - {at}"
            )
        owners: dict[int, str] = {}
        for exchange_name, exchange in members.items():
            for partition in exchange.partitions:
                where = f"at `$.exchanges.{exchange_name}.partitions`"
                if partition >= count:
                    yield f"partition {partition}, expected one below {count} ({kind}) - {where}"
                if partition in owners:
                    yield f"partition {partition} belongs to {owners[partition]} already - {where}"
                owners[partition] = exchange_name


def _duplicate_topics(settings: Settings) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name, region in settings.regions.items():
        for group in ("topics", "processed"):
            for kind, topic in msgspec.structs.asdict(getattr(region, group)).items():
                at = f"$.regions.{name}.{group}.{kind}"
                if topic in seen:
                    yield f"topic `{topic}` is named by `{seen[topic]}` already - at `{at}`"
                seen[topic] = at
