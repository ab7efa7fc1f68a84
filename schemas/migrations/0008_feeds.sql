-- What the collector saw of its feeds: one row for each record of the topic feed-status, which is
-- named by its place there, so that a record which is written twice is one row.
CREATE TABLE feed_status (
    kafka_partition smallint NOT NULL,
    kafka_offset bigint NOT NULL,
    exchange_id smallint NOT NULL REFERENCES dim_exch,
    product text NOT NULL,
    kind text NOT NULL,
    event text NOT NULL,
    symbols text[],
    "time" timestamptz NOT NULL,
    last_good timestamptz,
    first_good timestamptz,
    reason text NOT NULL,
    PRIMARY KEY (kafka_partition, kafka_offset)
);
CREATE INDEX feed_status_by_time ON feed_status (exchange_id, "time");

-- The markets of each exchange, from its own instrument list.
CREATE TABLE instrument (
    exchange_id smallint NOT NULL REFERENCES dim_exch,
    product text NOT NULL,
    native_symbol text NOT NULL,
    symbol text NOT NULL,
    status text NOT NULL,
    tick_size numeric,
    -- Units a contract: of the base currency, or of the quote for inverse contracts. Null: spot.
    contract_size numeric,
    -- Of the last 24 hours, in quote units, where the exchange says it.
    turnover numeric,
    listed_at timestamptz,
    delisted_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (exchange_id, product, native_symbol)
);
CREATE INDEX instrument_by_symbol ON instrument (symbol, exchange_id);
