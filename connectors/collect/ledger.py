"""What feeds said of themselves last, from the end of `feed-status` and of the raw topics."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.collect.watch import UNJUDGED_MS
from schemas.errors import UnavailableError
from schemas.feed_status import REGIONS, FeedStatus
from schemas.settings import Settings

# Of a region of a hundred connections that break each minute this is an hour.
MAX_RECORDS: Final = 50_000
TIMEOUT_SECONDS: Final = 15.0
# What was received before the last record of the partition may still have been on its way.
MARGIN_MS: Final = 2_000

_decode: Final = msgspec.json.Decoder(FeedStatus).decode


class Ledger(msgspec.Struct, frozen=True):
    """What is known of the feeds of one exchange and product, by kind and symbol."""

    whole_until_ms: dict[tuple[str, str], int]
    """Of feeds that are not connected any more."""
    ended_silently: set[tuple[str, str]]
    """Those of them that did not say so: the collector was killed."""


EMPTY: Final = Ledger({}, set())


def read_ledgers(
    config: Mapping[str, str], settings: Settings, region: str
) -> dict[tuple[str, str], Ledger]:
    """Return what the feeds of a region said last, by exchange and product.

    Raises:
        UnavailableError: The broker does not answer.
    """
    group = settings.kafka.tools_group
    client = Consumer({**config, "group.id": group, "enable.auto.commit": False})
    found: dict[tuple[str, str], Ledger] = {}
    since: dict[tuple[str, str, str, str], int] = {}
    try:
        for status in _tail(client, settings.feed_status, REGIONS.index(region)):
            feed = (status.exchange, status.product)
            whole_until = found.setdefault(feed, Ledger({}, set())).whole_until_ms
            for symbol in status.symbols or ():
                if status.event == "connected":
                    since[*feed, status.kind, symbol] = status.first_good_ms or status.time_ms
                    whole_until.pop((status.kind, symbol), None)
                elif status.event == "disconnected":
                    since.pop((*feed, status.kind, symbol), None)
                    whole_until[status.kind, symbol] = status.last_good_ms or status.time_ms
        topics = msgspec.structs.asdict(settings.regions[region].topics)
        lasts: dict[tuple[str, str], int] = {}
        for (exchange, product, kind, symbol), since_ms in since.items():
            if exchange not in settings.exchanges:
                continue
            if (exchange, kind) not in lasts:
                partition = settings.exchanges[exchange].partitions[0]
                lasts[exchange, kind] = _last_time_ms(client, topics[kind], partition)
            ledger = found[exchange, product]
            margin_ms = MARGIN_MS + (UNJUDGED_MS if kind == "trade" else 0)
            until_ms = max(since_ms, lasts[exchange, kind] - margin_ms)
            ledger.whole_until_ms[kind, symbol] = until_ms
            ledger.ended_silently.add((kind, symbol))
    except KafkaException as error:
        raise UnavailableError(f"Kafka: {error.args[0].str()}") from error
    finally:
        client.close()
    return found


def _tail(client: Consumer, topic: str, partition: int) -> Iterator[FeedStatus]:
    where = TopicPartition(topic, partition)
    low, high = client.get_watermark_offsets(where, TIMEOUT_SECONDS)
    at = max(low, high - MAX_RECORDS)
    if at >= high:
        return
    client.assign([TopicPartition(topic, partition, at)])
    while at < high:
        messages = client.consume(min(10_000, high - at), TIMEOUT_SECONDS)
        if not messages or any(message.error() for message in messages):
            raise UnavailableError(f"Kafka: {topic} [{partition}]: not read to its end")
        for message in messages:
            at = (message.offset() or 0) + 1
            try:
                yield _decode(message.value() or b"")
            except msgspec.MsgspecError:
                continue  # of another program


def _last_time_ms(client: Consumer, topic: str, partition: int) -> int:
    """Return when the last record of a partition was received; 0 for an empty one."""
    where = TopicPartition(topic, partition)
    low, high = client.get_watermark_offsets(where, TIMEOUT_SECONDS)
    if low >= high:
        return 0
    client.assign([TopicPartition(topic, partition, high - 1)])
    message = client.poll(TIMEOUT_SECONDS)
    if message is None or message.error() is not None:
        return 0
    return message.timestamp()[1]
