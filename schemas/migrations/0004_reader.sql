-- Lets the role marketflow_reader read everything in this schema, now and later, and tells
-- whether it can be used: the API takes that role for its queries. It runs at every
-- `marketflow init`, so that a role which an administrator made afterwards gets its rights.
CREATE FUNCTION ensure_reader() RETURNS boolean
    LANGUAGE plpgsql
AS $$
BEGIN
    -- Two grants of the same thing at the same time fail: "tuple concurrently updated".
    PERFORM pg_advisory_xact_lock(hashtext('ensure_reader'));
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'marketflow_reader') THEN
        BEGIN
            CREATE ROLE marketflow_reader NOLOGIN;
        EXCEPTION
            -- Roles belong to the whole server: another database may be making it right now.
            WHEN duplicate_object OR unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role marketflow_reader is missing and % may not create it',
                    current_user;
                RETURN false;
        END;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO marketflow_reader', current_schema());
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO marketflow_reader', current_schema());
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO marketflow_reader',
        current_schema()
    );
    -- A superuser may take any role; others must be members, even of a role of their own making.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        BEGIN
            EXECUTE format('GRANT marketflow_reader TO %I', current_user);
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE '% is not a member of marketflow_reader', current_user;
                RETURN pg_has_role('marketflow_reader', 'MEMBER');
        END;
    END IF;
    RETURN true;
END
$$;

SELECT ensure_reader();
