-- Values sealed under a key of their company, and LID mappings that outlive their week while they are needed.

-- Data keys -----------------------------------------------------------------------------------------------------------
-- One live key for each company; a retired one stays as long as an archived identity is sealed under it (docs/encryption.md).

CREATE TABLE whatsapp_data_keys (
    company_id  TEXT        NOT NULL,
    data_key_id TEXT        NOT NULL,
    kek_id      TEXT        NOT NULL,  -- the master key that it is wrapped by
    wrapped     BYTEA       NOT NULL,
    all_sealed  BOOLEAN     NOT NULL,  -- true: a plain value among the company's is forged. Authenticated by the wrapping
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    retired_at  TIMESTAMPTZ,
    PRIMARY KEY (company_id, data_key_id)
);

CREATE UNIQUE INDEX whatsapp_data_keys_live ON whatsapp_data_keys (company_id) WHERE retired_at IS NULL;

ALTER TABLE whatsapp_auth_archive ADD COLUMN data_key_id TEXT;

ALTER TABLE whatsapp_data_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE whatsapp_data_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY daemon ON whatsapp_data_keys TO CURRENT_USER USING (true) WITH CHECK (true);

-- Expiry --------------------------------------------------------------------------------------------------------------
-- A session that runs has its LID mappings in its device file and uses them without writing them again: as long as its lease is
-- live they are needed.

-- Extends what running sessions need and what would expire within half a week; returns how many. At most most_rows at a time.
CREATE FUNCTION refresh_needed_whatsapp_keys(most_rows BIGINT DEFAULT NULL) RETURNS BIGINT
LANGUAGE sql AS $$
    WITH needed AS (
        SELECT stored.ctid AS place FROM whatsapp_keys stored
        WHERE stored.key_type = 'lid-mapping' AND stored.expires_at <= now() + interval '84 hours'
            AND EXISTS (SELECT FROM whatsapp_leases lease WHERE lease.company_id = stored.company_id AND lease.expires_at > now())
        ORDER BY stored.expires_at LIMIT most_rows
        FOR UPDATE OF stored SKIP LOCKED  -- what is locked is being written, and so refreshed, already
    ), refreshed AS (
        UPDATE whatsapp_keys stored SET expires_at = now() + interval '7 days' FROM needed
        WHERE stored.ctid = needed.place RETURNING 1
    )
    SELECT count(*) FROM refreshed
$$;

DROP FUNCTION cleanup_expired_whatsapp_keys();

-- Deletes expired keys, never those that a running session needs; returns how many. At most most_rows at a time.
CREATE FUNCTION cleanup_expired_whatsapp_keys(most_rows BIGINT DEFAULT NULL) RETURNS BIGINT
LANGUAGE sql AS $$
    WITH expired AS (
        SELECT stored.ctid AS place FROM whatsapp_keys stored
        WHERE stored.expires_at <= now()
            AND NOT EXISTS (SELECT FROM whatsapp_leases lease WHERE lease.company_id = stored.company_id AND lease.expires_at > now())
        ORDER BY stored.expires_at LIMIT most_rows
        FOR UPDATE OF stored SKIP LOCKED
    ), gone AS (
        DELETE FROM whatsapp_keys stored USING expired WHERE stored.ctid = expired.place RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

DROP FUNCTION get_whatsapp_auth_stats();

-- One row for each company and type of key; the credentials count as the type 'creds'.
CREATE FUNCTION get_whatsapp_auth_stats()
RETURNS TABLE (company_id TEXT, key_type TEXT, total BIGINT, expired BIGINT, bytes BIGINT, sealed BIGINT)
LANGUAGE sql STABLE AS $$
    SELECT k.company_id, k.key_type, count(*), count(*) FILTER (WHERE k.expires_at <= now()), sum(pg_column_size(k.value))::bigint,
        count(*) FILTER (WHERE k.value ? 'wasupSealed')
    FROM whatsapp_keys k GROUP BY 1, 2
    UNION ALL
    SELECT a.company_id, 'creds', 1, 0, pg_column_size(a.creds)::bigint, (a.creds ? 'wasupSealed')::int::bigint FROM whatsapp_auth a
    ORDER BY 1, 2
$$;

-- Tenants -------------------------------------------------------------------------------------------------------------

-- Gives wasup_tenant its rights; does nothing while that role is missing. Repeatable: whoever creates the role later calls it again.
CREATE OR REPLACE FUNCTION wasup_admit_tenant_role() RETURNS BOOLEAN
LANGUAGE plpgsql AS $$
DECLARE
    name TEXT;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wasup_tenant') THEN
        RETURN false;
    END IF;
    GRANT SELECT, INSERT, UPDATE, DELETE ON whatsapp_auth, whatsapp_keys TO wasup_tenant;
    GRANT SELECT (company_id, expires_at) ON whatsapp_leases TO wasup_tenant;  -- for cleanup_expired_whatsapp_keys
    FOREACH name IN ARRAY ARRAY['whatsapp_auth', 'whatsapp_keys', 'whatsapp_leases'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS tenant ON %I', name);
        EXECUTE format(
            'CREATE POLICY tenant ON %I TO wasup_tenant USING (company_id = wasup_current_company()) '
            'WITH CHECK (company_id = wasup_current_company())', name);
    END LOOP;
    RETURN true;
END
$$;

SELECT wasup_admit_tenant_role();
