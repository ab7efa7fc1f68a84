"""What a dataflow counts, as Prometheus metrics; served where ``METRICS_PORT`` says so."""

from typing import Final

from prometheus_client import Counter, Gauge

MESSAGES: Final = Counter("marketflow_messages", "Raw records read", ("topic", "partition"))
BYTES: Final = Counter("marketflow_bytes", "Bytes of raw records read", ("topic", "partition"))
LAG: Final = Gauge(
    "marketflow_lag", "Records of the partition that were not read yet", ("topic", "partition")
)
LOST_OFFSETS: Final = Counter(
    "marketflow_lost_offsets", "Offsets deleted before they were read", ("topic", "partition")
)
TRADES: Final = Counter("marketflow_trades", "Trades decoded", ("exchange",))
SKIPPED: Final = Counter(
    "marketflow_skipped",
    "Frames without data for this flow: control frames and others",
    ("exchange",),
)
DEAD_LETTERS: Final = Counter(
    "marketflow_dead_letters", "Records sent to a dead-letter topic", ("topic", "reason")
)
LATE: Final = Counter("marketflow_late_trades", "Trades that revised a final minute", ("exchange",))
DUPLICATES: Final = Counter("marketflow_duplicate_trades", "Trades seen before", ("exchange",))
ROWS: Final = Counter("marketflow_rows", "Rows written to PostgreSQL", ("table",))
PRODUCED: Final = Counter("marketflow_produced", "Records delivered to Kafka", ("topic",))
