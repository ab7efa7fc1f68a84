-- How many minutes of an hour are known to be complete, and how many not: what /v1/coverage adds
-- up. Hours that have been summed without it are summed again.
ALTER TABLE taker_volume_hour
    ADD COLUMN complete_minutes integer NOT NULL DEFAULT 0,
    ADD COLUMN incomplete_minutes integer NOT NULL DEFAULT 0;
INSERT INTO taker_volume_hour_dirty SELECT exchange_id, symbol, hour FROM taker_volume_hour
    ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION refresh_hours(most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    marks taker_volume_hour_dirty[];
BEGIN
    -- First the marks, and then, in a statement that sees all that was written under them, the
    -- minutes.
    SELECT array_agg(mark) INTO marks FROM (
        SELECT dirty AS mark FROM taker_volume_hour_dirty AS dirty
        WHERE hour < hour_of(now()) AND NOT EXISTS (
            SELECT FROM taker_volume AS minutes
            WHERE minutes.exchange_id = dirty.exchange_id AND minutes.symbol = dirty.symbol
              AND minute >= dirty.hour AND minute < dirty.hour + interval '1 hour'
              AND NOT is_final
        )
        ORDER BY exchange_id, symbol, hour LIMIT most FOR UPDATE SKIP LOCKED
    ) AS taken;
    INSERT INTO taker_volume_hour AS stored (
        exchange_id, symbol, hour, taker_buy_volume, taker_sell_volume, taker_buy_notional,
        taker_sell_notional, buy_count, sell_count, open, high, low, close, is_complete,
        revision, minutes, complete_minutes, incomplete_minutes
    )
        SELECT mark.exchange_id, mark.symbol, mark.hour, sums.*
        FROM unnest(marks) AS mark
        CROSS JOIN LATERAL (
            SELECT sum(taker_buy_volume), sum(taker_sell_volume), sum(taker_buy_notional),
                   sum(taker_sell_notional), sum(buy_count), sum(sell_count),
                   (array_agg(open ORDER BY minute) FILTER (WHERE open IS NOT NULL))[1],
                   max(high), min(low),
                   (array_agg(close ORDER BY minute DESC) FILTER (WHERE close IS NOT NULL))[1],
                   CASE WHEN bool_or(NOT is_complete) THEN false
                        WHEN bool_and(is_complete IS TRUE) THEN true END,
                   max(revision), count(*), count(*) FILTER (WHERE is_complete),
                   count(*) FILTER (WHERE NOT is_complete)
            FROM taker_volume AS minutes
            WHERE minutes.exchange_id = mark.exchange_id AND minutes.symbol = mark.symbol
              AND minute >= mark.hour AND minute < mark.hour + interval '1 hour'
            HAVING count(*) > 0 AND bool_and(is_final)
        ) AS sums
        ON CONFLICT (exchange_id, symbol, hour) DO UPDATE SET
            taker_buy_volume = excluded.taker_buy_volume,
            taker_sell_volume = excluded.taker_sell_volume,
            taker_buy_notional = excluded.taker_buy_notional,
            taker_sell_notional = excluded.taker_sell_notional,
            buy_count = excluded.buy_count, sell_count = excluded.sell_count,
            open = excluded.open, high = excluded.high, low = excluded.low,
            close = excluded.close, is_complete = excluded.is_complete,
            revision = excluded.revision, minutes = excluded.minutes,
            complete_minutes = excluded.complete_minutes,
            incomplete_minutes = excluded.incomplete_minutes;
    -- One that got an estimate since it was chosen keeps its mark.
    DELETE FROM taker_volume_hour_dirty AS dirty USING unnest(marks) AS mark
    WHERE (dirty.exchange_id, dirty.symbol, dirty.hour)
        = (mark.exchange_id, mark.symbol, mark.hour)
      AND NOT EXISTS (
        SELECT FROM taker_volume AS minutes
        WHERE minutes.exchange_id = mark.exchange_id AND minutes.symbol = mark.symbol
          AND minute >= mark.hour AND minute < mark.hour + interval '1 hour' AND NOT is_final
    );
    RETURN coalesce(cardinality(marks), 0);
END
$$;
