-- Each of our minutes held against the exchange's own kline. The figures of the kline are the
-- exchange's, the differences ours minus theirs. Null: one side does not have it.
CREATE TABLE audit_minute (
    exchange_id smallint NOT NULL REFERENCES dim_exch,
    symbol text NOT NULL,
    minute timestamptz NOT NULL,
    verdict text NOT NULL
        CONSTRAINT verdict_is_known CHECK (verdict IN ('equal', 'explained', 'different', 'unknown')),
    reason text NOT NULL,
    revision integer,
    kline_open numeric,
    kline_high numeric,
    kline_low numeric,
    kline_close numeric,
    kline_volume numeric,
    kline_notional numeric,
    kline_taker_buy_volume numeric,
    kline_taker_buy_notional numeric,
    kline_trade_count bigint,
    open_difference numeric,
    high_difference numeric,
    low_difference numeric,
    close_difference numeric,
    volume_difference numeric,
    notional_difference numeric,
    taker_buy_volume_difference numeric,
    taker_buy_notional_difference numeric,
    trade_count_difference bigint,
    -- How much the verdict knows: of two on one minute the greater is the newer.
    known bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (exchange_id, symbol, minute)
) PARTITION BY RANGE (minute);
