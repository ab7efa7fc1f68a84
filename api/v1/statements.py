"""The SQL of `/v1`: which markets, which minutes, how they are summed, what is derived of them.

One statement answers a question, so that all of an answer is of one moment. Its parameters are
values; the texts that are put together here hold nothing of a request.
"""

from functools import cache
from typing import Final, LiteralString

from api.v1.rows import (
    CoverageRow,
    IncidentRow,
    OrderbookRow,
    PremiumRow,
    TakerVolumeRow,
    TakerVolumeSumRow,
    selected,
)

DIGITS: Final[LiteralString] = "12"

# The markets of a question, each with the part of the range that is still to be answered: what
# the pages before had is cut off here, not in the conditions below.
_WANTED: Final[LiteralString] = """
wanted AS (
    SELECT exchange.exchange_id, exchange.code, given.symbol, given.lo, given.hi
    FROM unnest(%(codes)s::text[], %(symbols)s::text[], %(los)s::timestamptz[],
                %(his)s::timestamptz[]) AS given (code, symbol, lo, hi)
    JOIN dim_exch AS exchange USING (code)
)"""

_MINUTE_COLUMNS: Final[LiteralString] = """
    exchange_id, symbol, minute, taker_buy_volume, taker_sell_volume, taker_buy_notional,
    taker_sell_notional, buy_count, sell_count, open, high, low, close, vwap, is_final,
    is_complete, revision"""

LIVE: Final[LiteralString] = "taker_volume"

# What was final at that time: the rows that have not changed since, and the versions that have.
AS_OF: Final[LiteralString] = f"""(
    SELECT {_MINUTE_COLUMNS} FROM taker_volume WHERE is_final AND updated_at <= %(as_of)s
    UNION ALL
    SELECT {_MINUTE_COLUMNS} FROM taker_volume_superseded
    WHERE recorded_at <= %(as_of)s AND superseded_at > %(as_of)s
)"""

_EACH_MINUTE: Final[LiteralString] = """
        SELECT minute AS time, taker_buy_volume, taker_sell_volume, taker_buy_notional,
               taker_sell_notional, buy_count, sell_count, open, high, low, close, vwap,
               is_final, is_complete, revision
        FROM {source} AS minutes
        WHERE exchange_id = wanted.exchange_id AND symbol = wanted.symbol
          AND minute >= wanted.lo AND minute < wanted.hi
        ORDER BY minute {order} LIMIT %(limit)s"""

# A first or last price is that of the first or last minute with trades. An interval is final when
# its minutes are and either all are there or it is long over; complete when all say so.
_EACH_INTERVAL: Final[LiteralString] = """
        SELECT date_bin(%(step)s, minute, %(origin)s) AS time,
               sum(taker_buy_volume) AS taker_buy_volume,
               sum(taker_sell_volume) AS taker_sell_volume,
               sum(taker_buy_notional) AS taker_buy_notional,
               sum(taker_sell_notional) AS taker_sell_notional,
               sum(buy_count)::bigint AS buy_count, sum(sell_count)::bigint AS sell_count,
               (array_agg(open ORDER BY minute) FILTER (WHERE open IS NOT NULL))[1] AS open,
               max(high) AS high, min(low) AS low,
               (array_agg(close ORDER BY minute DESC) FILTER (WHERE close IS NOT NULL))[1]
                   AS close,
               NULL::numeric AS vwap,
               bool_and(is_final) AND (
                   sum(minutes) >= %(minutes)s
                   OR date_bin(%(step)s, minute, %(origin)s) + %(step)s
                      <= %(now)s::timestamptz - interval '5 minutes'
               ) AS is_final,
               CASE WHEN bool_or(NOT is_complete) THEN false
                    WHEN bool_and(is_complete IS TRUE) AND sum(minutes) >= %(minutes)s THEN true
               END AS is_complete,
               max(revision) AS revision
        FROM {minutes} AS parts
        GROUP BY 1 ORDER BY 1 {order} LIMIT %(limit)s"""

_PARTS_OF_MINUTES: Final[LiteralString] = """(
            SELECT minute, taker_buy_volume, taker_sell_volume, taker_buy_notional,
                   taker_sell_notional, buy_count, sell_count, open, high, low, close,
                   is_final, is_complete, revision, 1 AS minutes,
                   (is_complete IS TRUE)::integer AS complete_minutes,
                   (is_complete IS FALSE)::integer AS incomplete_minutes
            FROM {source} AS minutes
            WHERE exchange_id = wanted.exchange_id AND symbol = wanted.symbol
              AND minute >= wanted.lo AND minute < wanted.hi
        )"""

# Whole hours from their sums; the minutes of those that are marked as dirty. Both are of one
# moment, as they are of one statement.
_PARTS_OF_HOURS: Final[LiteralString] = """(
            SELECT hour AS minute, taker_buy_volume, taker_sell_volume, taker_buy_notional,
                   taker_sell_notional, buy_count, sell_count, open, high, low, close,
                   true AS is_final, is_complete, revision, minutes, complete_minutes,
                   incomplete_minutes
            FROM taker_volume_hour AS hours
            WHERE exchange_id = wanted.exchange_id AND symbol = wanted.symbol
              AND hour >= wanted.lo AND hour < wanted.hi AND NOT EXISTS (
                SELECT FROM taker_volume_hour_dirty AS dirty
                WHERE dirty.exchange_id = wanted.exchange_id AND dirty.symbol = wanted.symbol
                  AND dirty.hour = hours.hour
            )
            UNION ALL
            SELECT minute, taker_buy_volume, taker_sell_volume, taker_buy_notional,
                   taker_sell_notional, buy_count, sell_count, open, high, low, close,
                   is_final, is_complete, revision, 1, (is_complete IS TRUE)::integer,
                   (is_complete IS FALSE)::integer
            FROM taker_volume_hour_dirty AS dirty CROSS JOIN LATERAL (
                SELECT * FROM taker_volume AS minutes
                WHERE minutes.exchange_id = wanted.exchange_id
                  AND minutes.symbol = wanted.symbol AND minute >= dirty.hour
                  AND minute < dirty.hour + interval '1 hour'
            ) AS minutes
            WHERE dirty.exchange_id = wanted.exchange_id AND dirty.symbol = wanted.symbol
              AND dirty.hour >= wanted.lo AND dirty.hour < wanted.hi
        )"""

_PAGE: Final[LiteralString] = """
page AS MATERIALIZED (
    SELECT wanted.exchange_id, wanted.code AS exchange, wanted.symbol, found.*
    FROM wanted CROSS JOIN LATERAL ({rows}
    ) AS found
    ORDER BY found.time {order}, wanted.code COLLATE "C", wanted.symbol COLLATE "C"
    LIMIT %(limit)s
)"""

# All of a symbol's exchanges in one row. Of several exchanges, no first or last price is known.
_SUM_PAGE: Final[LiteralString] = """
page AS MATERIALIZED (
    SELECT array_agg(wanted.code ORDER BY wanted.code COLLATE "C") AS exchanges,
           NULL::text AS exchange, wanted.symbol, found.time,
           sum(taker_buy_volume) AS taker_buy_volume,
           sum(taker_sell_volume) AS taker_sell_volume,
           sum(taker_buy_notional) AS taker_buy_notional,
           sum(taker_sell_notional) AS taker_sell_notional,
           sum(buy_count)::bigint AS buy_count, sum(sell_count)::bigint AS sell_count,
           CASE WHEN count(*) = 1 THEN max(open) END AS open, max(high) AS high, min(low) AS low,
           CASE WHEN count(*) = 1 THEN max(close) END AS close, NULL::numeric AS vwap,
           bool_and(is_final) AS is_final,
           CASE WHEN bool_or(NOT is_complete) THEN false
                WHEN bool_and(is_complete IS TRUE) THEN true END AS is_complete,
           max(revision) AS revision
    FROM wanted CROSS JOIN LATERAL ({rows}
    ) AS found
    GROUP BY wanted.symbol, found.time
    ORDER BY found.time {order}, wanted.symbol COLLATE "C"
    LIMIT %(limit)s
)"""

# The running sum before the page: from the anchor to the page's first interval.
_BEFORE: Final[LiteralString] = """
before AS (
    SELECT first.exchange, first.symbol, sum(earlier.delta) AS cvd
    FROM (SELECT exchange, symbol, min(time) AS time FROM page GROUP BY exchange, symbol) AS first
    JOIN wanted ON wanted.symbol = first.symbol
                AND (first.exchange IS NULL OR wanted.code = first.exchange)
    CROSS JOIN LATERAL (
        SELECT sum(taker_buy_volume - taker_sell_volume) AS delta FROM {earlier} AS minutes
    ) AS earlier
    GROUP BY first.exchange, first.symbol
)"""
_EARLIER_MINUTES: Final[LiteralString] = """(
            SELECT taker_buy_volume, taker_sell_volume FROM {source} AS minutes
            WHERE exchange_id = wanted.exchange_id AND symbol = wanted.symbol
              AND minute >= %(anchor)s AND minute < first.time
        )"""

# Volume-weighted prices of the markets that rates are taken from, for every interval of the page;
# where nothing was traded, the newest one of the hour before.
_RATES: Final[LiteralString] = """
priced AS (
    SELECT wanted.symbol, date_bin(%(step)s, minute, %(origin)s) AS time,
           sum(notional) / sum(volume) AS price,
           string_agg(DISTINCT code, ',' ORDER BY code) AS codes
    FROM unnest(%(rate_codes)s::text[], %(rate_symbols)s::text[]) AS wanted (code, symbol)
    JOIN dim_exch AS exchange USING (code)
    CROSS JOIN LATERAL (
        SELECT minute, taker_buy_volume + taker_sell_volume AS volume,
               taker_buy_notional + taker_sell_notional AS notional
        FROM {source} AS minutes
        WHERE exchange_id = exchange.exchange_id AND symbol = wanted.symbol
          AND minute >= (SELECT min(time) FROM page) - interval '1 hour'
          AND minute < (SELECT max(time) FROM page) + %(step)s
    ) AS traded
    WHERE volume > 0
    GROUP BY wanted.symbol, 2
),
grid AS (
    SELECT symbol, time, price, codes, count(price) OVER (PARTITION BY symbol ORDER BY time) AS run
    FROM (
        SELECT symbol, time FROM priced
        UNION
        SELECT symbol, time FROM (SELECT DISTINCT symbol FROM priced) AS symbols,
                                 (SELECT DISTINCT time FROM page) AS times
    ) AS places LEFT JOIN priced USING (symbol, time)
),
rates AS (
    SELECT symbol, time, max(price) OVER same AS price, max(codes) OVER same AS codes,
           min(time) OVER same AS priced_at
    FROM grid WHERE run > 0 WINDOW same AS (PARTITION BY symbol, run)
),
methods AS (
    SELECT * FROM unnest(%(method_quotes)s::text[], %(method_symbols)s::text[],
                         %(method_inverse)s::boolean[]) AS given (quote, rate_symbol, is_inverse)
)"""

_DERIVED: Final[LiteralString] = f"""
answer AS (
    SELECT page.*, taker_buy_volume - taker_sell_volume AS delta,
           {{cvd}} AS cvd,
           round(taker_buy_volume / nullif(taker_buy_volume + taker_sell_volume, 0), {DIGITS})
               AS taker_buy_ratio,
           round(taker_sell_volume / nullif(taker_buy_volume + taker_sell_volume, 0), {DIGITS})
               AS taker_sell_ratio,
           round(taker_buy_volume / nullif(taker_sell_volume, 0), {DIGITS})
               AS taker_buy_sell_ratio,
           round((taker_buy_notional + taker_sell_notional) * rate.usd_rate, {DIGITS})
               AS notional_usd,
           rate.usd_rate, rate.usd_rate_source
    FROM page {{before}} {{rate}}
)"""

# Dollar coins are taken for a dollar: a rate in them is a rate in dollars.
_RATE: Final[LiteralString] = """
    LEFT JOIN methods ON methods.quote = split_part(page.symbol, '-', 2)
    LEFT JOIN rates ON rates.symbol = methods.rate_symbol AND rates.time = page.time
    CROSS JOIN LATERAL (
        SELECT CASE WHEN rates.price IS NOT NULL
                    THEN round(CASE WHEN methods.is_inverse THEN 1 / rates.price
                                    ELSE rates.price END, 18)
                    WHEN split_part(page.symbol, '-', 2) = ANY (%(dollars)s) THEN 1
               END AS usd_rate,
               CASE WHEN rates.price IS NOT NULL THEN rates.symbol || ' ' || rates.codes || ' '
                        || to_char(rates.priced_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                    WHEN split_part(page.symbol, '-', 2) = 'USD' THEN 'USD'
                    WHEN split_part(page.symbol, '-', 2) = ANY (%(dollars)s) THEN 'par'
                    WHEN methods.quote IS NULL THEN 'none: no market of '
                        || split_part(page.symbol, '-', 2) || ' against dollars is recorded'
                    ELSE 'none: ' || methods.rate_symbol || ' did not trade within an hour'
               END AS usd_rate_source
    ) AS rate"""

# The same where no market says a rate: without joins, the plan is good for every range.
_PAR: Final[LiteralString] = """
    CROSS JOIN LATERAL (SELECT split_part(page.symbol, '-', 2) AS quote) AS paid
    CROSS JOIN LATERAL (
        SELECT CASE WHEN quote = ANY (%(dollars)s) THEN 1 END AS usd_rate,
               CASE WHEN quote = 'USD' THEN 'USD' WHEN quote = ANY (%(dollars)s) THEN 'par'
                    ELSE 'none: no market of ' || quote || ' against dollars is recorded'
               END AS usd_rate_source
    ) AS rate"""

_CVD: Final[LiteralString] = """sum(taker_buy_volume - taker_sell_volume)
                 OVER (PARTITION BY page.exchange COLLATE "C", page.symbol COLLATE "C"
                       ORDER BY page.time ROWS UNBOUNDED PRECEDING)"""
_JOIN_BEFORE: Final[LiteralString] = """
    LEFT JOIN before ON before.symbol = page.symbol
                     AND before.exchange IS NOT DISTINCT FROM page.exchange"""

_SELECT: Final[LiteralString] = """
SELECT {columns} FROM answer
ORDER BY answer.time {order}, answer.exchange COLLATE "C", answer.symbol COLLATE "C"
"""

# The stored VWAP of a minute is exact to the same digits; that of a sum is made here.
_VWAP: Final[LiteralString] = f"""
summed AS (
    SELECT {{shape}} symbol, time, taker_buy_volume, taker_sell_volume, taker_buy_notional,
           taker_sell_notional, buy_count, sell_count, open, high, low, close,
           coalesce(vwap, round((taker_buy_notional + taker_sell_notional)
               / nullif(taker_buy_volume + taker_sell_volume, 0), {DIGITS})) AS vwap,
           notional_usd, usd_rate, usd_rate_source, delta, cvd, taker_buy_ratio,
           taker_sell_ratio, taker_buy_sell_ratio, is_final, is_complete, revision,
           {{audited}} AS audited
    FROM answer
)"""

# Each row looks its verdict up by the primary key: a page never reads more of the audit than that.
_VERDICT: Final[LiteralString] = """(
               SELECT verdict FROM audit_minute
               WHERE audit_minute.exchange_id = answer.exchange_id
                 AND audit_minute.symbol = answer.symbol AND audit_minute.minute = answer.time
           )"""
_NO_VERDICT: Final[LiteralString] = "NULL::text"


@cache
def taker_volume_statement(
    *,
    is_minute: bool,
    is_hours: bool,
    is_sum: bool,
    descending: bool,
    has_rates: bool,
    has_before: bool,
    as_of: bool,
    as_float: bool = False,
) -> LiteralString:
    """Return the statement for `/v1/taker-volume`.

    Args:
        is_minute: Intervals are minutes.
        is_hours: Intervals are whole hours.
        is_sum: The exchanges of a symbol are summed.
        descending: Newest first.
        has_rates: Some quotes are turned into dollars by other markets.
        has_before: Minutes before the page may count in the running sum.
        as_of: As it was at a time.
        as_float: Numbers are floats.
    """
    source = AS_OF if as_of else LIVE
    order: LiteralString = "DESC" if descending else "ASC"
    parts_of = _PARTS_OF_HOURS if is_hours and not as_of else _PARTS_OF_MINUTES
    rows = _EACH_MINUTE if is_minute else _EACH_INTERVAL.replace("{minutes}", parts_of)
    row = TakerVolumeSumRow if is_sum else TakerVolumeRow
    cvd: LiteralString = f"coalesce(before.cvd, 0) + {_CVD}" if has_before else _CVD
    parts = (
        _WANTED,
        (_SUM_PAGE if is_sum else _PAGE).replace("{rows}", rows),
        *((_BEFORE.replace("{earlier}", _EARLIER_MINUTES),) if has_before else ()),
        *((_RATES,) if has_rates else ()),
        _DERIVED.replace("{cvd}", cvd)
        .replace("{before}", _JOIN_BEFORE if has_before else "")
        .replace("{rate}", _RATE if has_rates else _PAR),
        _VWAP.replace("{shape}", "exchange, exchanges," if is_sum else "exchange,").replace(
            "{audited}", _VERDICT if is_minute and not (is_sum or as_of) else _NO_VERDICT
        ),
    )
    text = "WITH " + ",".join(parts) + _SELECT.replace("answer", "summed")
    text = text.replace("{columns}", selected(row, as_float=as_float))
    return text.replace("{source}", source).replace("{order}", order)


# The three legs of a premium, each the volume-weighted price of its markets.
_PREMIUM: Final[LiteralString] = f"""
legs AS (
    SELECT wanted.base, wanted.leg, date_bin(%(step)s, minute, %(origin)s) AS time,
           sum(taker_buy_notional + taker_sell_notional)
               / nullif(sum(taker_buy_volume + taker_sell_volume), 0) AS price,
           array_agg(DISTINCT code ORDER BY code)
               FILTER (WHERE taker_buy_volume + taker_sell_volume > 0) AS codes,
           bool_and(is_final) AS is_final,
           CASE WHEN bool_or(NOT is_complete) THEN false
                WHEN bool_and(is_complete IS TRUE) THEN true END AS is_complete
    FROM (
        SELECT exchange.exchange_id, given.*
        FROM unnest(%(codes)s::text[], %(symbols)s::text[], %(bases)s::text[], %(legs)s::text[],
                    %(los)s::timestamptz[], %(his)s::timestamptz[])
            AS given (code, symbol, base, leg, lo, hi)
        JOIN dim_exch AS exchange USING (code)
    ) AS wanted
    CROSS JOIN LATERAL {{minutes}} AS parts
    GROUP BY wanted.base, wanted.leg, 3
),
answer AS (
    SELECT places.base, places.time, round(korea.price, {DIGITS}) AS korea_price,
           coalesce(korea.codes, '{{{{}}}}') AS korea_exchanges,
           round(world.price, {DIGITS}) AS world_price,
           coalesce(world.codes, '{{{{}}}}') AS world_exchanges,
           round(rate.price, {DIGITS}) AS rate,
           'USDT-KRW ' || array_to_string(rate.codes, ',') AS rate_source,
           round(korea.price / (world.price * rate.price) - 1, {DIGITS}) AS premium,
           CASE WHEN korea.price IS NULL
                THEN places.base || ' did not trade against KRW on a Korean exchange'
                WHEN world.price IS NULL
                THEN places.base || ' did not trade against dollars on another exchange'
                WHEN rate.price IS NULL THEN 'USDT-KRW did not trade' END AS reason,
           coalesce(korea.is_final, true) AND coalesce(world.is_final, true)
               AND coalesce(rate.is_final, true) AS is_final,
           CASE WHEN NOT (korea.is_complete AND world.is_complete AND rate.is_complete)
                THEN false
                WHEN korea.is_complete AND world.is_complete AND rate.is_complete THEN true
           END AS is_complete
    FROM (SELECT DISTINCT base, time FROM legs WHERE leg <> 'rate') AS places
    LEFT JOIN legs AS korea
        ON korea.base = places.base AND korea.time = places.time AND korea.leg = 'korea'
    LEFT JOIN legs AS world
        ON world.base = places.base AND world.time = places.time AND world.leg = 'world'
    LEFT JOIN legs AS rate ON rate.time = places.time AND rate.leg = 'rate'
)
SELECT {{columns}} FROM answer ORDER BY answer.time {{order}}, answer.base COLLATE "C"
"""


@cache
def premium_statement(
    *, is_hours: bool, descending: bool, as_of: bool, as_float: bool = False
) -> LiteralString:
    """Return the statement for `/v1/premium`."""
    parts = _PARTS_OF_HOURS if is_hours and not as_of else _PARTS_OF_MINUTES
    text = "WITH " + _PREMIUM.format(
        minutes=parts,
        columns=selected(PremiumRow, as_float=as_float),
        order="DESC" if descending else "ASC",
    )
    return text.replace("{source}", AS_OF if as_of else LIVE)


# Every interval of a market that has minutes, those without a row too: nothing came then.
_COVERAGE: Final[LiteralString] = """,
answer AS (
    SELECT wanted.code AS exchange, wanted.symbol, starts.time,
           (extract(epoch FROM least(starts.time + %(step)s, %(now)s) - starts.time) / 60)::integer
               AS expected_minutes,
           coalesce(found.minutes, 0) AS minutes,
           coalesce(found.complete_minutes, 0) AS complete_minutes,
           coalesce(found.incomplete_minutes, 0) AS incomplete_minutes
    FROM wanted
    CROSS JOIN LATERAL (
        SELECT generate_series(
            wanted.lo, least(wanted.hi, %(now)s) - interval '1 minute', %(step)s) AS time
    ) AS starts
    LEFT JOIN (
        SELECT wanted.code, wanted.symbol, date_bin(%(step)s, minute, %(origin)s) AS time,
               sum(minutes)::integer AS minutes, sum(complete_minutes)::integer AS complete_minutes,
               sum(incomplete_minutes)::integer AS incomplete_minutes
        FROM wanted CROSS JOIN LATERAL {minutes} AS parts
        GROUP BY 1, 2, 3
    ) AS found
        ON found.code = wanted.code AND found.symbol = wanted.symbol AND found.time = starts.time
    ORDER BY starts.time {order}, wanted.code COLLATE "C", wanted.symbol COLLATE "C"
    LIMIT %(limit)s
),
audits AS (
    SELECT wanted.code AS exchange, wanted.symbol, date_bin(%(step)s, minute, %(origin)s) AS time,
           count(*) FILTER (WHERE verdict <> 'unknown')::integer AS audited_minutes,
           count(*) FILTER (WHERE verdict = 'equal')::integer AS equal_minutes,
           count(*) FILTER (WHERE verdict = 'different')::integer AS different_minutes
    FROM wanted JOIN audit_minute USING (exchange_id, symbol)
    -- A verdict is not kept as it was: as of a time there is none.
    WHERE minute >= wanted.lo AND minute < wanted.hi AND %(as_of)s::timestamptz IS NULL
    GROUP BY 1, 2, 3
),
shares AS (
    SELECT exchange, symbol, time, expected_minutes, minutes, complete_minutes,
           incomplete_minutes, minutes - complete_minutes - incomplete_minutes AS unknown_minutes,
           greatest(expected_minutes - minutes, 0) AS missing_minutes,
           round(complete_minutes::numeric / nullif(expected_minutes, 0), 6) AS coverage,
           coalesce(audits.audited_minutes, 0) AS audited_minutes,
           coalesce(audits.different_minutes, 0) AS different_minutes,
           round(audits.equal_minutes::numeric / nullif(audits.audited_minutes, 0), 6) AS audited
    FROM answer LEFT JOIN audits USING (exchange, symbol, time)
)
SELECT {columns} FROM shares
ORDER BY shares.time {order}, shares.exchange COLLATE "C", shares.symbol COLLATE "C"
"""


@cache
def coverage_statement(
    *, is_hours: bool, descending: bool, as_of: bool, as_float: bool = False
) -> LiteralString:
    """Return the statement for `/v1/coverage`."""
    parts = _PARTS_OF_HOURS if is_hours and not as_of else _PARTS_OF_MINUTES
    text = "WITH " + _WANTED + _COVERAGE.replace("{minutes}", parts)
    text = text.replace("{columns}", selected(CoverageRow, as_float=as_float))
    text = text.replace("{order}", "DESC" if descending else "ASC")
    return text.replace("{source}", AS_OF if as_of else LIVE)


# An outage ends with the next connection of the same feed, a gap by its own account; it is filled
# once something says so that covers all of it.
_INCIDENTS: Final[LiteralString] = """
WITH status AS (
    SELECT * FROM feed_status WHERE %(as_of)s::timestamptz IS NULL OR "time" <= %(as_of)s
),
outages AS (
    SELECT code AS exchange, began.product, began.kind, began.event, began.symbols,
           coalesce(began.last_good, began."time") AS "from",
           coalesce(began.first_good, ended.at) AS until, filled.at AS filled_at, began.reason
    FROM status AS began JOIN dim_exch USING (exchange_id)
    LEFT JOIN LATERAL (
        SELECT coalesce(ended.first_good, ended."time") AS at FROM status AS ended
        WHERE ended.exchange_id = began.exchange_id AND ended.product = began.product
          AND ended.kind = began.kind AND ended.event = 'connected'
          AND ended."time" >= began."time" AND ended.kafka_offset > began.kafka_offset
          AND (ended.symbols IS NULL OR ended.symbols @> began.symbols)
        ORDER BY ended."time", ended.kafka_offset LIMIT 1
    ) AS ended ON began.event <> 'gap'
    LEFT JOIN LATERAL (
        SELECT min(filled."time") AS at FROM status AS filled
        WHERE filled.exchange_id = began.exchange_id AND filled.product = began.product
          AND filled.kind = began.kind AND filled.event = 'filled'
          AND filled."time" >= began."time"
          AND filled.last_good <= coalesce(began.last_good, began."time")
          AND filled.first_good >= coalesce(began.first_good, ended.at)
          AND (filled.symbols IS NULL OR filled.symbols @> began.symbols)
    ) AS filled ON true
    WHERE began.event IN ('disconnected', 'gap', 'no_data', 'paused')
      AND code = ANY (%(codes)s)
      AND (%(symbols)s::text[] = '{}' OR began.symbols IS NULL OR began.symbols && %(symbols)s)
),
-- Minutes that follow each other share a run. A verdict is not kept as it was: as of a time there
-- is none; one that was mended is no longer among them.
differing AS (
    SELECT code, symbol, minute, reason,
           minute - row_number() OVER (PARTITION BY exchange_id, symbol ORDER BY minute)
               * interval '1 minute' AS run
    FROM audit_minute JOIN dim_exch USING (exchange_id)
    WHERE verdict = 'different' AND minute >= %(from)s - interval '1 minute' AND minute < %(to)s
      AND %(as_of)s::timestamptz IS NULL AND code = ANY (%(codes)s)
      AND (%(symbols)s::text[] = '{}' OR symbol = ANY (%(symbols)s))
),
differences AS (
    SELECT code AS exchange,
           CASE WHEN symbol NOT LIKE '%%-%%-%%' THEN 'spot'
                WHEN split_part(symbol, '-', 2) = 'USD' THEN 'inverse' ELSE 'linear' END AS product,
           'audit' AS kind, 'different' AS event, ARRAY[symbol] AS symbols, min(minute) AS "from",
           max(minute) + interval '1 minute' AS until, NULL::timestamptz AS filled_at,
           CASE WHEN count(*) > 1 THEN count(*) || ' minutes; in the first, ' ELSE '' END
               || (array_agg(reason ORDER BY minute))[1] AS reason
    FROM differing GROUP BY code, symbol, run
),
answer AS (SELECT * FROM outages UNION ALL SELECT * FROM differences)
SELECT {columns} FROM answer
WHERE answer."from" < %(to)s AND coalesce(answer.until, 'infinity') >= %(from)s
ORDER BY answer."from" {order}, answer.exchange COLLATE "C", answer.product, answer.kind,
         answer.symbols
LIMIT %(limit)s
"""


@cache
def incidents_statement(*, descending: bool) -> LiteralString:
    """Return the statement for `/v1/incidents`."""
    return _INCIDENTS.replace("{columns}", selected(IncidentRow)).replace(
        "{order}", "DESC" if descending else "ASC"
    )


# The minutes that changed after a place in the log, and no further than what is settled.
_CHANGED: Final[LiteralString] = """
page AS MATERIALIZED (
    SELECT changes.xid::text, changes.seq, wanted.code AS exchange, wanted.symbol,
           minutes.minute AS time, minutes.taker_buy_volume, minutes.taker_sell_volume,
           minutes.taker_buy_notional, minutes.taker_sell_notional, minutes.buy_count,
           minutes.sell_count, minutes.open, minutes.high, minutes.low, minutes.close,
           minutes.vwap, minutes.is_final, minutes.is_complete, minutes.revision
    FROM taker_volume_changes AS changes
    {wanted}
    JOIN taker_volume AS minutes ON minutes.exchange_id = changes.exchange_id
        AND minutes.symbol = changes.symbol AND minutes.minute = changes.minute
    WHERE (changes.xid, changes.seq) > (%(xid)s::text::xid8, %(seq)s::bigint)
      AND changes.xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY changes.xid, changes.seq LIMIT %(limit)s
)"""
_OF_ALL: Final[LiteralString] = """JOIN (
        SELECT exchange_id, code FROM dim_exch
    ) AS exchange USING (exchange_id)
    CROSS JOIN LATERAL (SELECT exchange.code, changes.symbol) AS wanted"""
_OF_SOME: Final[LiteralString] = """JOIN wanted USING (exchange_id, symbol)"""

# The estimates among the newest minutes of some markets.
_ESTIMATES: Final[LiteralString] = """
page AS MATERIALIZED (
    SELECT NULL::text AS xid, NULL::bigint AS seq, wanted.code AS exchange, wanted.symbol,
           newest.*
    FROM wanted CROSS JOIN LATERAL (
        SELECT minute AS time, taker_buy_volume, taker_sell_volume, taker_buy_notional,
               taker_sell_notional, buy_count, sell_count, open, high, low, close, vwap,
               is_final, is_complete, revision
        FROM taker_volume
        WHERE exchange_id = wanted.exchange_id AND symbol = wanted.symbol
          AND minute >= wanted.lo AND minute < wanted.hi
        ORDER BY minute DESC LIMIT %(limit)s
    ) AS newest
    WHERE NOT newest.is_final OR %(with_final)s
)"""


@cache
def events_statement(*, is_log: bool, of_all: bool, has_rates: bool) -> LiteralString:
    """Return the statement for the events of the stream: rows, each behind its place in the log.

    Args:
        is_log: From the log of changes; otherwise the newest minutes of some markets.
        of_all: Of all markets, not of the wanted ones.
        has_rates: Some quotes are turned into dollars by other markets.
    """
    logged = _CHANGED.replace("{wanted}", _OF_ALL if of_all else _OF_SOME)
    page = logged if is_log else _ESTIMATES
    rate = _RATE if has_rates else _PAR
    derived = _DERIVED.replace("{cvd}", "NULL::numeric").replace("{before}", "")
    parts = (
        _WANTED,
        page,
        *((_RATES.replace("{source}", LIVE),) if has_rates else ()),
        derived.replace("{rate}", rate),
        # A minute is told before it is judged.
        _VWAP.replace("{shape}", "xid, seq, exchange,").replace("{audited}", _NO_VERDICT),
    )
    columns = selected(TakerVolumeRow)
    return (
        "WITH " + ",".join(parts) + f" SELECT xid, seq, {columns} FROM summed "
        "ORDER BY summed.xid::xid8, summed.seq, summed.time"
    )


_BOOK_LAST: Final = (
    "highest_bid",
    "lowest_ask",
    "spread",
    "total_bid_volume",
    "total_ask_volume",
    "imbalance",
    *(
        f"depth_{bps}bps_{part}"
        for bps in (5, 10, 25, 50, 100)
        for part in ("bid", "ask", "truncated")
    ),
)
_BOOK_TWA: Final = (
    "spread_twa",
    "spread_bps_twa",
    "total_bid_volume_twa",
    "total_ask_volume_twa",
    "imbalance_twa",
)
_BOOK_EXTREMES: Final = ("spread", "total_bid_volume", "total_ask_volume")
_BOOK_SUMS: Final = ("updates", "crossed", "crossed_ms", "gaps", "valid_ms")
_BOOK_COLUMNS: Final = (
    *_BOOK_LAST,
    *(f"{name}_{part}" for name in _BOOK_EXTREMES for part in ("min", "max")),
    *_BOOK_TWA,
    *_BOOK_SUMS,
    "is_complete",
)
BOOKS: Final[LiteralString] = "orderbook_minute"
BOOKS_AS_OF: Final[LiteralString] = f"""(
    SELECT exchange_id, symbol, minute, {", ".join(_BOOK_COLUMNS)}
    FROM orderbook_minute WHERE updated_at <= %(as_of)s
    UNION ALL
    SELECT exchange_id, symbol, minute, {", ".join(_BOOK_COLUMNS)}
    FROM orderbook_minute_superseded
    WHERE recorded_at <= %(as_of)s AND superseded_at > %(as_of)s
)"""

_FROM_BOOKS: Final[LiteralString] = """
        FROM {source} AS books
        WHERE exchange_id = wanted.exchange_id AND symbol = wanted.symbol
          AND minute >= wanted.lo AND minute < wanted.hi"""


def _book_minute() -> LiteralString:
    return (
        f"\n        SELECT minute AS time, {', '.join(_BOOK_COLUMNS)}{_FROM_BOOKS}"
        "\n        ORDER BY minute {order} LIMIT %(limit)s"
    )


def _book_interval() -> LiteralString:
    """Return the sums of an interval: last values, extremes, averages by the time known."""
    last = [f"(array_agg({name} ORDER BY minute DESC))[1] AS {name}" for name in _BOOK_LAST]
    extremes = [
        f"{part}({name}_{part}) AS {name}_{part}"
        for name in _BOOK_EXTREMES
        for part in ("min", "max")
    ]
    averages = [
        f"round(sum({name} * valid_ms) / nullif(sum(valid_ms) FILTER (WHERE {name} IS NOT NULL), 0)"
        f", {DIGITS}) AS {name}"
        for name in _BOOK_TWA
    ]
    sums = [f"sum({name})::bigint AS {name}" for name in _BOOK_SUMS]
    complete = (
        "CASE WHEN bool_or(NOT is_complete) THEN false "
        "WHEN bool_and(is_complete IS TRUE) AND count(*) >= %(minutes)s THEN true END "
        "AS is_complete"
    )
    columns = ", ".join([*last, *extremes, *averages, *sums, complete])
    return (
        f"\n        SELECT date_bin(%(step)s, minute, %(origin)s) AS time, {columns}{_FROM_BOOKS}"
        "\n        GROUP BY 1 ORDER BY 1 {order} LIMIT %(limit)s"
    )


def _slippage(side: LiteralString) -> LiteralString:
    """Return the average distance of an order that takes the bands from the middle outwards."""
    middle = "((highest_bid + lowest_ask) / 2)"
    size = f"(%(notional)s::numeric / nullif({middle}, 0))"
    steps: list[LiteralString] = []
    inner, inner_bps = "0", 0
    for bps in (5, 10, 25, 50, 100):
        depth = f"depth_{bps}bps_{side}"
        taken = f"greatest(least({size}, {depth}) - {inner}, 0)"
        # A band that is filled evenly is taken from its inner edge as far as the order goes.
        reach = (
            f"({inner_bps} + ({bps} - {inner_bps}) * {taken} / nullif({depth} - {inner}, 0) / 2)"
        )
        steps.append(f"coalesce({taken} * {reach}, 0)")
        inner, inner_bps = depth, bps
    return (
        f"CASE WHEN %(notional)s::numeric IS NOT NULL AND depth_100bps_{side} >= {size} "
        f"THEN round(({' + '.join(steps)}) / {size}, 4) END"
    )


@cache
def orderbook_statement(
    *, is_minute: bool, descending: bool, as_of: bool, as_float: bool = False
) -> LiteralString:
    """Return the statement for `/v1/orderbook`."""
    answer = (
        f"\nanswer AS (SELECT page.*, {_slippage('ask')} AS buy_slippage_bps, "
        f"{_slippage('bid')} AS sell_slippage_bps FROM page)"
    )
    rows = _book_minute() if is_minute else _book_interval()
    text = "WITH " + ",".join((_WANTED, _PAGE.replace("{rows}", rows), answer)) + _SELECT
    text = text.replace("{columns}", selected(OrderbookRow, as_float=as_float))
    order: LiteralString = "DESC" if descending else "ASC"
    source = BOOKS_AS_OF if as_of else BOOKS
    return text.replace("{source}", source).replace("{order}", order)
