"""The source of the collector: a partition for each product of each exchange.

A socket cannot be rewound, so nothing is stored: what was received and not yet in Kafka at a
crash is missing, and is recorded as missing at the next start (:mod:`connectors.collect.ledger`).
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, cast
from urllib.request import getproxies

import msgspec
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from typing_extensions import override

from connectors.collect.feed import Feed
from connectors.collect.ledger import EMPTY, Ledger, read_ledgers
from connectors.collect.loop import shared_loop
from connectors.collect.sink import Run
from connectors.collect.watch import clock_verdict
from connectors.process.budgets import Budgets
from connectors.process.environment import Shard
from connectors.process.lifecycle import HEART, STOP
from connectors.websocket.interface import Options
from schemas.records import Product, SnapshotRequest
from schemas.settings import Settings

log: Final = logging.getLogger("marketflow.collect")

Item = tuple[str, list[Run]]

BUSY_PAUSE: Final = timedelta(milliseconds=2)
IDLE_PAUSE: Final = timedelta(milliseconds=5)
STOP_SECONDS: Final = 10.0
CLOCK_SECONDS: Final = 10.0

_request: Final = msgspec.json.Decoder(SnapshotRequest).decode


class CollectSource(FixedPartitionedSource[Item, None]):
    """Collects the exchanges of the settings.

    Args:
        kafka: librdkafka options.
        settings: What to collect.
        shard: Which exchanges are this process's, by the partition that they own.
        postgres_dsn: Where instruments are kept, if anywhere.
    """

    def __init__(
        self, kafka: Mapping[str, str], settings: Settings, shard: Shard, postgres_dsn: str | None
    ) -> None:
        self._kafka = dict(kafka)
        self._settings = settings
        self._shard = shard
        self._dsn = postgres_dsn
        self._budgets: Budgets | None = None
        self._feeds: dict[str, list[Feed]] = {}
        self._ledgers: dict[str, dict[tuple[str, str], Ledger]] = {}
        self._lock = threading.Lock()

    @override
    def list_parts(self) -> list[str]:
        return [
            f"{name}.{product}"
            for name, exchange in self._settings.exchanges.items()
            if exchange.collect not in ("off", False) and self._shard.owns(exchange.partitions[0])
            for product in exchange.symbols
        ]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Partition":
        del step_id, resume_state
        exchange, _, product_name = for_part.partition(".")
        product = cast("Product", product_name)
        collect = self._settings.collect
        with self._lock:
            if self._budgets is None:
                self._budgets = Budgets()
                self._listen()
            region = self._settings.exchanges[exchange].region
            if region not in self._ledgers:
                self._ledgers[region] = read_ledgers(self._kafka, self._settings, region)
        feed = Feed(
            self._settings,
            exchange,
            product,
            postgres_dsn=self._dsn,
            queue_bytes=collect.queue_kbytes * 1_024 // max(1, len(self.list_parts())),
            ledger=self._ledgers[region].get((exchange, product), EMPTY),
            budgets=self._budgets,
            options=Options(
                max_message_bytes=collect.max_message_kbytes * 1_024,
                proxy=_proxy(self._settings.exchanges[exchange].urls.ws.get(product, "")),
            ),
        )
        self._feeds.setdefault(exchange, []).append(feed)
        shared_loop().run(feed.start()).result(STOP_SECONDS)
        return _Partition(for_part, feed, self._stop)

    def _stop(self) -> None:
        """Stop all feeds at once, at the first call."""
        with self._lock:
            feeds = [feed for found in self._feeds.values() for feed in found]
            self._feeds = {}
            stopping = [shared_loop().run(feed.stop()) for feed in feeds]
            for each in stopping:
                each.result(STOP_SECONDS)

    def _listen(self) -> None:
        """Hear the requests for snapshots in a thread of their own, and watch the clocks."""
        thread = threading.Thread(target=self._hear, name="snapshot-requests", daemon=True)
        thread.start()
        shared_loop().run(self._watch_clocks())

    async def _watch_clocks(self) -> None:
        """Say whose clock is wrong, each time that the answer changes."""
        said: tuple[str, list[str]] | None = None
        while not STOP.is_set:
            await asyncio.sleep(CLOCK_SECONDS)
            offsets_ms = {
                name: min(known)
                for name, feeds in list(self._feeds.items())
                if (known := [f.clock_offset_ms for f in feeds if f.clock_offset_ms is not None])
            }
            verdict = clock_verdict(offsets_ms)
            if verdict is not None and verdict != said:
                whose, names = verdict
                shown = ", ".join(f"{name} {offsets_ms[name]} ms" for name in names)
                clock = "this host's clock is behind" if whose == "ours" else "its clock is ahead"
                log.warning("%s: frames come before they were sent: %s", clock, shown)
            said = verdict

    def _hear(self) -> None:
        quiet = {"log_level": 0, "error_cb": lambda _: None}
        config = {**self._kafka, **quiet, "group.id": self._settings.kafka.tools_group}
        consumer = Consumer({**config, "enable.auto.commit": False})
        consumer.assign(
            [
                TopicPartition(region.topics.snapshot_requests, partition, OFFSET_END)
                for region in self._settings.regions.values()
                for partition in range(region.partitions.orderbook)
            ]
        )
        while not STOP.is_set:
            for message in consumer.consume(100, 0.2):
                try:
                    request = _request(message.value() or b"")
                except msgspec.MsgspecError:
                    continue
                for feed in self._feeds.get(request.exchange, []):
                    shared_loop().loop.call_soon_threadsafe(
                        feed.request_snapshot, request.symbol, request.reason
                    )
        consumer.close()


class _Partition(StatefulSourcePartition[Item, None]):
    def __init__(self, name: str, feed: Feed, stop: Callable[[], None]) -> None:
        self._name = name
        self._feed = feed
        self._stop = stop
        self._pause = IDLE_PAUSE
        self._has_ended = False

    @override
    def next_batch(self) -> list[Item]:
        HEART.beat()
        if self._has_ended:
            raise StopIteration
        if STOP.is_set:
            self._stop()
            self._has_ended = True
        runs = self._feed.take()
        self._pause = BUSY_PAUSE if runs else IDLE_PAUSE
        return [(self._name, runs)] if runs else []

    @override
    def next_awake(self) -> datetime | None:
        return datetime.now(UTC) + self._pause

    @override
    def snapshot(self) -> None:
        self._feed.epochs += 1


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a socket, as it does for web pages."""
    proxies = getproxies()
    secure = url.startswith("wss:")
    host = url.partition("://")[2].partition("/")[0].partition(":")[0]
    if host in ("127.0.0.1", "localhost") or host in proxies.get("no", "").split(","):
        return None
    found = proxies.get("https" if secure else "http") or proxies.get("all")
    return found or None
