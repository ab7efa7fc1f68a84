"""What a dataflow counts, as Prometheus metrics; served where ``METRICS_PORT`` says so."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

MESSAGES: Final = Counter("marketflow_messages", "Raw records read", ("topic", "partition"))
BYTES: Final = Counter("marketflow_bytes", "Bytes of raw records read", ("topic", "partition"))
BATCHES: Final = Counter("marketflow_batches", "Batches read", ("topic", "partition"))
EVENT_DELAY: Final = Gauge(
    "marketflow_event_delay_seconds",
    "How far the newest time of an exchange in the partition is behind the wall clock",
    ("topic", "partition"),
)
FLUSH_SECONDS: Final = Histogram(
    "marketflow_flush_seconds",
    "How long the end of an epoch waited for a sink to have everything",
    ("sink",),
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60),
)
REVISIONS: Final = Counter(
    "marketflow_revisions", "Final minutes that a late trade changed", ("exchange",)
)
LAG: Final = Gauge(
    "marketflow_lag", "Records of the partition that were not read yet", ("topic", "partition")
)
LOST_OFFSETS: Final = Counter(
    "marketflow_lost_offsets", "Offsets deleted before they were read", ("topic", "partition")
)
READER: Final = Counter(
    "marketflow_reader",
    "What the records of a partition held: trades, late, skipped, dead_letters",
    ("topic", "partition", "what"),
)
SYMBOLS: Final = Gauge(
    "marketflow_symbols", "Symbols whose minutes are kept: about a kilobyte each", ("exchange",)
)
DEAD_LETTERS: Final = Counter(
    "marketflow_dead_letters",
    "Raw records that were refused: not decoded, too late, or of the future",
    ("exchange", "why"),
)
DUPLICATES: Final = Counter(
    "marketflow_duplicate_trades", "Trades that were counted before", ("exchange",)
)
BOOKS_LOST: Final = Counter(
    "marketflow_books_lost",
    "Order books that became invalid: an update was missing (gap) or a checksum differed",
    ("exchange", "why"),
)
BOOKS_STALE: Final = Counter(
    "marketflow_books_stale", "Order book updates dropped as older than the book", ("exchange",)
)
CHECKSUMS: Final = Counter(
    "marketflow_books_verified", "Checksums of order books that matched", ("exchange",)
)
SNAPSHOT_REQUESTS: Final = Counter(
    "marketflow_snapshot_requests", "Snapshots that the collector was asked for", ("exchange",)
)
BOOKS: Final = Gauge(
    "marketflow_books",
    "Order books that are kept, by whether they are valid",
    ("exchange", "valid"),
)
TICKERS_LEFT_OUT: Final = Counter(
    "marketflow_tickers_left_out",
    "Ticker updates that made no ticker: late, duplicates, waiting for a whole ticker",
    ("exchange", "reason"),
)
AUDITED: Final = Counter(
    "marketflow_audited_minutes",
    "Minutes held against the exchange's own kline, by verdict",
    ("exchange", "verdict"),
)
ROWS: Final = Counter("marketflow_rows", "Rows written to PostgreSQL", ("table",))
PRODUCED: Final = Counter("marketflow_produced", "Records delivered to Kafka", ("topic",))
REFUSED: Final = Counter(
    "marketflow_refused", "Frames that were longer than their topic takes", ("topic",)
)
FRAMES: Final = Counter(
    "marketflow_frames", "Frames received from exchanges", ("exchange", "product", "kind")
)
FRAME_BYTES: Final = Counter(
    "marketflow_frame_bytes", "Bytes of these frames", ("exchange", "product", "kind")
)
QUEUED_BYTES: Final = Gauge(
    "marketflow_queued_bytes", "Bytes received and not handed to Kafka yet", ("exchange", "product")
)
CONNECTED: Final = Gauge(
    "marketflow_connected", "Connections that are open", ("exchange", "product", "kind")
)
FEED_EVENTS: Final = Counter(
    "marketflow_feed_events",
    "What happened to feeds: connected, disconnected, resubscribed, paused, gap, filled, no_data",
    ("exchange", "product", "kind", "event"),
)
SILENCE: Final = Gauge(
    "marketflow_silence_seconds",
    "How long the most silent stream of a connection has been silent",
    ("exchange", "product", "kind"),
)
CLOCK_OFFSET: Final = Gauge(
    "marketflow_clock_offset_seconds",
    "The least receive time minus event time of the last minute",
    ("exchange",),
)
POLLS: Final = Counter(
    "marketflow_polls", "Polls over REST: whole, gap, failed", ("exchange", "product", "what")
)
REST_REQUESTS: Final = Counter(
    "marketflow_rest_requests",
    "Requests to exchanges, by the status of the answer",
    ("exchange", "status"),
)
OBJECTS: Final = Counter("marketflow_objects", "Objects written to the archive", ("topic",))
