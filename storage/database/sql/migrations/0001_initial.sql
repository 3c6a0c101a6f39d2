-- Everything a company is, what is known of it, and who may touch it.

-- Authentication state ------------------------------------------------------------------------------------------------

CREATE TABLE whatsapp_auth (
    company_id TEXT        PRIMARY KEY,
    creds      JSONB       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- No index besides the primary key's and the expiry's: its prefix answers every question by company.
-- fillfactor 85 keeps updates on their page (HOT), and so out of the index.
CREATE TABLE whatsapp_keys (
    company_id TEXT        NOT NULL,
    key_type   TEXT        NOT NULL,
    key_id     TEXT        NOT NULL,
    value      JSONB       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ,
    PRIMARY KEY (company_id, key_type, key_id)
) WITH (fillfactor = 85);

CREATE INDEX whatsapp_keys_expires_at ON whatsapp_keys (expires_at) WHERE expires_at IS NOT NULL;

-- Which device file last wrote a company's state, and how much of that file's journal is in the two tables above.
CREATE TABLE whatsapp_journal (
    company_id TEXT   PRIMARY KEY,
    file_id    TEXT,
    position   BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE whatsapp_auth_archive (
    id          BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id  TEXT        NOT NULL,
    reason      TEXT        NOT NULL,
    archived_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    creds       JSONB,
    keys        JSONB       NOT NULL  -- [[key_type, key_id, value, expires_at], ...]
);

CREATE INDEX whatsapp_auth_archive_company ON whatsapp_auth_archive (company_id, id);

-- Companies and their owners ------------------------------------------------------------------------------------------

CREATE TABLE whatsapp_companies (
    company_id TEXT        PRIMARY KEY CHECK (company_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    desired    TEXT        NOT NULL CHECK (desired IN ('running', 'stopped')),
    proxy      TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Rows stay when a lease is released: the epoch only ever grows.
CREATE TABLE whatsapp_leases (
    company_id  TEXT        PRIMARY KEY,
    owner       TEXT,
    epoch       BIGINT      NOT NULL,
    acquired_at TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);

-- Events, requests, access --------------------------------------------------------------------------------------------

CREATE TABLE whatsapp_events (
    seq         BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          TEXT        NOT NULL UNIQUE,
    type        TEXT        NOT NULL,
    company_id  TEXT        NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    stored_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    payload     JSON        NOT NULL  -- JSON, not JSONB: text from outside may hold what JSONB refuses, and nobody queries inside
);

CREATE INDEX whatsapp_events_company ON whatsapp_events (company_id, seq);

CREATE TABLE idempotency (
    company_id     TEXT        NOT NULL,
    key            TEXT        NOT NULL,
    request_digest BYTEA       NOT NULL,
    response       JSON        NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (company_id, key)
);

CREATE INDEX idempotency_expires_at ON idempotency (expires_at);

CREATE TABLE api_keys (
    key_id     TEXT        PRIMARY KEY,
    name       TEXT        NOT NULL,
    digest     BYTEA       NOT NULL UNIQUE CHECK (length(digest) = 32),
    companies  TEXT[],     -- NULL: scope admin
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    revoked_at TIMESTAMPTZ
);

CREATE TABLE audit_log (
    id        BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        TIMESTAMPTZ NOT NULL,
    stored_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    key_id    TEXT        NOT NULL,
    action    TEXT        NOT NULL,
    target    TEXT        NOT NULL,
    address   TEXT        NOT NULL
);

-- Functions -----------------------------------------------------------------------------------------------------------

CREATE FUNCTION cleanup_expired_whatsapp_keys() RETURNS BIGINT
LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM whatsapp_keys WHERE expires_at <= now() RETURNING 1)
    SELECT count(*) FROM gone
$$;

-- One row for each company and type of key; the credentials count as the type 'creds'.
CREATE FUNCTION get_whatsapp_auth_stats()
RETURNS TABLE (company_id TEXT, key_type TEXT, total BIGINT, expired BIGINT, bytes BIGINT)
LANGUAGE sql STABLE AS $$
    SELECT k.company_id, k.key_type, count(*), count(*) FILTER (WHERE k.expires_at <= now()), sum(pg_column_size(k.value))::bigint
    FROM whatsapp_keys k GROUP BY 1, 2
    UNION ALL
    SELECT a.company_id, 'creds', 1, 0, pg_column_size(a.creds)::bigint FROM whatsapp_auth a
    ORDER BY 1, 2
$$;

-- Row level security --------------------------------------------------------------------------------------------------
-- Forced on every table, so that being the owner is not a way round it. The daemon's role (who runs this) sees everything; the role
-- wasup_tenant sees the rows of the one company named by the setting wasup.company_id, and nothing where there is no policy for it.

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'whatsapp_auth', 'whatsapp_keys', 'whatsapp_journal', 'whatsapp_auth_archive', 'whatsapp_companies', 'whatsapp_leases',
        'whatsapp_events', 'idempotency', 'api_keys', 'audit_log', 'wasup_migrations'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY daemon ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', name);
    END LOOP;
END
$$;

-- Without nullif the second transaction of a pooled connection would find the setting '' instead of absent.
CREATE FUNCTION wasup_current_company() RETURNS TEXT
LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('wasup.company_id', true), '') $$;

-- Gives wasup_tenant its rights; does nothing while that role is missing. Repeatable: whoever creates the role later calls it again.
CREATE FUNCTION wasup_admit_tenant_role() RETURNS BOOLEAN
LANGUAGE plpgsql AS $$
DECLARE
    name TEXT;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wasup_tenant') THEN
        RETURN false;
    END IF;
    FOREACH name IN ARRAY ARRAY['whatsapp_auth', 'whatsapp_keys'] LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO wasup_tenant', name);
        EXECUTE format('DROP POLICY IF EXISTS tenant ON %I', name);
        EXECUTE format(
            'CREATE POLICY tenant ON %I TO wasup_tenant USING (company_id = wasup_current_company()) '
            'WITH CHECK (company_id = wasup_current_company())', name);
    END LOOP;
    RETURN true;
END
$$;

DO $$
BEGIN
    CREATE ROLE wasup_tenant NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- roles belong to the server: another database of it has made it
    WHEN insufficient_privilege THEN RAISE NOTICE 'not allowed to create the role wasup_tenant; see wasup_admit_tenant_role()';
END
$$;

SELECT wasup_admit_tenant_role();
