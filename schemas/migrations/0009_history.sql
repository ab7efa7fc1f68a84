-- What became of a minute: every version that was replaced, the order in which minutes became
-- final or were corrected, and the hours whose sums must be made again. Triggers keep all three,
-- so that no writer can forget it.

-- Versions of final minutes that were replaced, each with the time for which it was the newest
-- one: [recorded_at, superseded_at). Estimates are not kept.
CREATE TABLE taker_volume_superseded (
    exchange_id smallint NOT NULL,
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
    is_complete boolean,
    recorded_at timestamptz NOT NULL,
    superseded_at timestamptz NOT NULL
) PARTITION BY RANGE (minute);
CREATE INDEX ON taker_volume_superseded (exchange_id, symbol, minute);

CREATE TABLE orderbook_minute_superseded (
    LIKE orderbook_minute,
    recorded_at timestamptz NOT NULL,
    superseded_at timestamptz NOT NULL
) PARTITION BY RANGE (minute);
ALTER TABLE orderbook_minute_superseded DROP COLUMN created_at, DROP COLUMN updated_at;
CREATE INDEX ON orderbook_minute_superseded (exchange_id, symbol, minute);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is not allowed', TG_TABLE_NAME, TG_OP;
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON taker_volume_superseded
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON orderbook_minute_superseded
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Minutes in the order in which they became final or were corrected. A reader that goes by
-- (xid, seq), and no further than the oldest transaction that still runs, misses none; by seq
-- alone it would, since transactions end in another order than they began.
CREATE TABLE taker_volume_changes (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    exchange_id smallint NOT NULL,
    symbol text NOT NULL,
    minute timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (xid, seq)
);
-- Up to where the log was cut off: a reader that stopped before it must begin anew.
CREATE TABLE taker_volume_changes_cut (
    xid xid8 NOT NULL,
    seq bigint NOT NULL
);
INSERT INTO taker_volume_changes_cut VALUES ('0', 0);

-- Sums of hours, made by refresh_hours once an hour is over. An hour that is marked as dirty has
-- minutes that are not in its sums yet: readers take the minutes themselves.
CREATE TABLE taker_volume_hour (
    exchange_id smallint NOT NULL,
    symbol text NOT NULL,
    hour timestamptz NOT NULL,
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
    is_complete boolean,
    revision integer NOT NULL,
    minutes integer NOT NULL,
    PRIMARY KEY (exchange_id, symbol, hour)
);
CREATE TABLE taker_volume_hour_dirty (
    exchange_id smallint NOT NULL,
    symbol text NOT NULL,
    hour timestamptz NOT NULL,
    PRIMARY KEY (exchange_id, symbol, hour)
);

CREATE FUNCTION hour_of(moment timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_bin('1 hour', moment, '1970-01-01 00:00:00+00');

-- A mark that is there already is locked all the same: it must not be taken off by somebody who
-- does not see this transaction's minutes.
CREATE FUNCTION note_taker_volume() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF EXISTS (SELECT FROM old_rows WHERE is_final) THEN
            PERFORM ensure_month('taker_volume_superseded', minute)
                FROM (SELECT DISTINCT date_trunc('month', minute, 'UTC') AS minute
                      FROM old_rows WHERE is_final) AS months;
            INSERT INTO taker_volume_superseded
                SELECT exchange_id, symbol, minute, taker_buy_volume, taker_sell_volume,
                       taker_buy_notional, taker_sell_notional, buy_count, sell_count, open,
                       high, low, close, vwap, is_final, revision, late_trades,
                       duplicate_trades, is_complete, updated_at, now()
                FROM old_rows WHERE is_final;
        END IF;
    END IF;
    INSERT INTO taker_volume_changes (exchange_id, symbol, minute)
        SELECT exchange_id, symbol, minute FROM new_rows WHERE is_final
        ORDER BY minute, exchange_id, symbol;
    INSERT INTO taker_volume_hour_dirty (exchange_id, symbol, hour)
        SELECT DISTINCT exchange_id, symbol, hour_of(minute) FROM new_rows
        WHERE is_final OR TG_OP = 'INSERT'
        ORDER BY 1, 2, 3
        ON CONFLICT (exchange_id, symbol, hour)
            DO UPDATE SET symbol = excluded.symbol WHERE false;
    PERFORM pg_notify('marketflow_minutes', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER note_insert AFTER INSERT ON taker_volume
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_taker_volume();
CREATE TRIGGER note_update AFTER UPDATE ON taker_volume
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_taker_volume();

-- By name, as the columns of the two tables are in the same order but for those at the end.
CREATE FUNCTION note_orderbook_minute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM old_rows) THEN
        PERFORM ensure_month('orderbook_minute_superseded', minute)
            FROM (SELECT DISTINCT date_trunc('month', minute, 'UTC') AS minute
                  FROM old_rows) AS months;
        INSERT INTO orderbook_minute_superseded
            SELECT (jsonb_populate_record(
                NULL::orderbook_minute_superseded,
                to_jsonb(old_rows)
                    || jsonb_build_object('recorded_at', updated_at, 'superseded_at', now())
            )).*
            FROM old_rows;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_update AFTER UPDATE ON orderbook_minute
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_orderbook_minute();

-- The time before which no transaction can change anything any more: what an answer as of an
-- earlier time says will never be another. With the rights of the owner, who alone sees when the
-- sessions of the writers began.
CREATE FUNCTION settled_until() RETURNS timestamptz
    LANGUAGE sql SECURITY DEFINER STABLE
    SET search_path = pg_catalog
    RETURN (
        SELECT least(now() - interval '10 seconds', min(xact_start))
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_xid IS NOT NULL
    );

-- Makes the sums of dirty hours that are over and have no estimates left; tells how many.
CREATE FUNCTION refresh_hours(most integer) RETURNS integer LANGUAGE plpgsql AS $$
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
    INSERT INTO taker_volume_hour AS stored
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
                   max(revision), count(*)
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
            revision = excluded.revision, minutes = excluded.minutes;
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
