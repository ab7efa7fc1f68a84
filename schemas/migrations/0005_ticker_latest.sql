-- The newest ticker of each market, by the exchange's own time. Null: the exchange does not say.
CREATE TABLE ticker_latest (
    exchange_id smallint NOT NULL REFERENCES dim_exch,
    symbol text NOT NULL,
    region text NOT NULL,
    market text NOT NULL,
    coin_symbol text NOT NULL,
    "timestamp" timestamptz NOT NULL,
    opening_price numeric,
    trade_price numeric,
    max_price numeric,
    min_price numeric,
    prev_closing_price numeric,
    acc_trade_volume_24h numeric,
    signed_change_price numeric,
    signed_change_rate numeric,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (exchange_id, symbol)
);
