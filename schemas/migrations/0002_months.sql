-- Makes the partition of a minutes table for the month (UTC) of a time, unless it is there:
-- ensure_month('taker_volume', '2024-10-23 10:25+00') makes taker_volume_2024_10.
--
-- CREATE TABLE … PARTITION OF would lock all readers and writers of the table out; to attach a
-- finished table does not. The settings are the function's own: months must not begin at the
-- midnight of whoever calls.
CREATE FUNCTION ensure_month(parent regclass, moment timestamptz) RETURNS void
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
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
        parent, parent_schema, month_name, first_day, first_day + interval '1 month'
    );
END
$$;
