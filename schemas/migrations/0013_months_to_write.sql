-- New months of the minutes tables are made for being written: free space in each page keeps
-- updates of estimates out of the index (HOT), and a BRIN finds all markets of a short time.
-- `marketflow maintain` gives it to the months that are there, without locking a writer out.
CREATE OR REPLACE FUNCTION ensure_month(parent regclass, moment timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET timezone = 'UTC'
AS $$
DECLARE
    first_day CONSTANT timestamptz := date_trunc('month', moment);
    parent_name name;
    parent_schema name;
    month_name name;
BEGIN
    SELECT relname, relnamespace::regnamespace::name INTO parent_name, parent_schema
        FROM pg_class WHERE oid = parent;
    month_name := parent_name || to_char(first_day, '_YYYY_MM');
    FOR attempt IN 1..2 LOOP
        IF EXISTS (
            SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                WHERE inhparent = parent AND relname = month_name
        ) THEN
            RETURN;
        END IF;
        -- Whoever comes second waits here, and then sees the month that the first one made.
        PERFORM pg_advisory_xact_lock(hashtext('ensure_month'), hashtext(parent_name::text));
    END LOOP;
    EXECUTE format(
        'CREATE TABLE %I.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
        parent_schema, month_name, parent
    );
    IF parent_name IN ('taker_volume', 'orderbook_minute') THEN
        EXECUTE format('ALTER TABLE %I.%I SET (fillfactor = 70)', parent_schema, month_name);
        EXECUTE format(
            'CREATE INDEX %I ON %I.%I USING brin (minute) WITH (pages_per_range = 32)',
            month_name || '_minute_brin', parent_schema, month_name
        );
    END IF;
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
        parent, parent_schema, month_name, first_day, first_day + interval '1 month'
    );
END
$$;
