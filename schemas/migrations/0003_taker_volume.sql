-- The exact taker volume of each minute, in its newest state. Volumes are in base units,
-- notionals in quote units. Prices are null in a minute without trades.
CREATE TABLE taker_volume (
    exchange_id smallint NOT NULL REFERENCES dim_exch,
    symbol text NOT NULL,
    minute timestamptz NOT NULL,
    taker_buy_volume numeric NOT NULL,
    taker_sell_volume numeric NOT NULL,
    taker_buy_notional numeric NOT NULL,
    taker_sell_notional numeric NOT NULL,
    buy_count bigint NOT NULL,
    sell_count bigint NOT NULL,
    open numeric,
    high numeric,
    low numeric,
    close numeric,
    vwap numeric,
    is_final boolean NOT NULL,
    revision integer NOT NULL,
    late_trades bigint NOT NULL,
    duplicate_trades bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- Serves "newest first" as well: an index is read in both directions.
    PRIMARY KEY (exchange_id, symbol, minute),
    CONSTRAINT minute_is_whole
        CHECK (date_bin('1 minute', minute, '1970-01-01 00:00:00+00') = minute)
) PARTITION BY RANGE (minute);

-- One view for each exchange, as other tools know them: binance_taker_volume and so on.
DO $$
DECLARE
    exchange record;
BEGIN
    FOR exchange IN
        SELECT * FROM (VALUES
            (1, 'upbit'),
            (2, 'bithumb'),
            (3, 'korbit'),
            (4, 'coinone'),
            (5, 'okx'),
            (6, 'bybit'),
            (7, 'gateio'),
            (8, 'binance'),
            (9, 'kraken'),
            (10, 'bitmex')
        ) AS known (id, code)
    LOOP
        EXECUTE format(
            'CREATE VIEW %I AS
             SELECT dim_exch.name AS exchange_name, symbol, minute AS "timestamp",
                    taker_buy_volume, taker_sell_volume, created_at
             FROM taker_volume JOIN dim_exch USING (exchange_id)
             WHERE exchange_id = %s',
            exchange.code || '_taker_volume', exchange.id
        );
    END LOOP;
END
$$;
