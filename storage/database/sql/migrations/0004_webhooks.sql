-- The numbers of events without gaps, and webhooks: endpoints, their cursors, what they could not be given.

-- The event log -------------------------------------------------------------------------------------------------------
-- An identity column leaves gaps (rolled-back transactions, ids stored before). Numbers come from this row instead: whoever appends
-- locks it until the commit, so that the order of seq is the order of commits and every number is there.

CREATE TABLE whatsapp_event_counter (
    one  BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    last BIGINT  NOT NULL
) WITH (fillfactor = 10);

-- What the sequence gave out, not the greatest number stored: readers may have seen events that are pruned since.
INSERT INTO whatsapp_event_counter (last)
SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM whatsapp_events_seq_seq;

ALTER TABLE whatsapp_events ALTER COLUMN seq DROP IDENTITY;

ALTER TABLE whatsapp_event_counter ENABLE ROW LEVEL SECURITY;
ALTER TABLE whatsapp_event_counter FORCE ROW LEVEL SECURITY;
CREATE POLICY daemon ON whatsapp_event_counter TO CURRENT_USER USING (true) WITH CHECK (true);

-- Webhooks ------------------------------------------------------------------------------------------------------------

CREATE TABLE webhooks (
    webhook_id       TEXT        PRIMARY KEY,
    url              TEXT        NOT NULL,
    companies        TEXT[],     -- NULL: all
    types            TEXT[],     -- NULL: all
    enabled          BOOLEAN     NOT NULL DEFAULT true,
    description      TEXT        NOT NULL DEFAULT '',
    secrets          BYTEA       NOT NULL,  -- JSON {current, previous}, wrapped by the master key kek_id when there is one
    kek_id           TEXT,
    previous_until   TIMESTAMPTZ,
    version          BIGINT      NOT NULL DEFAULT 1,  -- grows with each change of the above
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- How far it is, written by the daemon that holds its lease only.
    cursor           BIGINT      NOT NULL,  -- every event up to this one is delivered, or a dead letter, or not wanted
    delivered_at     TIMESTAMPTZ,
    failed_at        TIMESTAMPTZ,
    failure          TEXT,
    suspended_until  TIMESTAMPTZ,  -- the circuit is open
    -- Who delivers: one daemon at a time.
    lease_owner      TEXT,
    lease_epoch      BIGINT      NOT NULL DEFAULT 0,
    lease_expires_at TIMESTAMPTZ
) WITH (fillfactor = 50);

-- Events that were tried and are not delivered yet.
CREATE TABLE webhook_retries (
    webhook_id TEXT   NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    seq        BIGINT NOT NULL,
    attempts   INT    NOT NULL,
    PRIMARY KEY (webhook_id, seq)
);

-- Events that were given up, with all that is needed to send them again: the log may have forgotten them.
CREATE TABLE webhook_dead_letters (
    webhook_id TEXT        NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    seq        BIGINT      NOT NULL,
    event_id   TEXT        NOT NULL,
    type       TEXT        NOT NULL,
    company_id TEXT        NOT NULL,
    body       JSON        NOT NULL,
    attempts   INT         NOT NULL,
    failure    TEXT        NOT NULL,
    status     INT,
    died_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    replay_at  TIMESTAMPTZ,  -- somebody wants it sent again
    PRIMARY KEY (webhook_id, seq)
);

CREATE INDEX webhook_dead_letters_died_at ON webhook_dead_letters (died_at);
CREATE INDEX webhook_dead_letters_replay ON webhook_dead_letters (webhook_id, seq) WHERE replay_at IS NOT NULL;

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['webhooks', 'webhook_retries', 'webhook_dead_letters'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY daemon ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', name);
    END LOOP;
END
$$;

-- A key for some companies sees a webhook when every company of the webhook is the key's; one for all companies only a key for all sees.
CREATE FUNCTION webhook_is_visible(of_webhook TEXT[], of_key TEXT[]) RETURNS BOOLEAN
LANGUAGE sql IMMUTABLE AS $$ SELECT of_key IS NULL OR (of_webhook IS NOT NULL AND of_webhook <@ of_key) $$;

-- Webhooks as anybody may see them: without their secrets.
CREATE VIEW webhook_overview AS
SELECT webhook_id, url, companies, types, enabled, description, created_at, updated_at, version, cursor, delivered_at, failed_at, failure,
    CASE WHEN previous_until > now() THEN previous_until END AS previous_until,
    CASE WHEN suspended_until > now() THEN suspended_until END AS suspended_until,
    (SELECT count(*) FROM webhook_dead_letters dead WHERE dead.webhook_id = hook.webhook_id) AS dead_letters,
    greatest(0, (SELECT last FROM whatsapp_event_counter) - cursor) AS behind
FROM webhooks hook;

-- Who may not see a row of the table does not see it in the view either. Postgres 14 has no such views; no tenant may read this one there.
DO $$
BEGIN
    IF current_setting('server_version_num')::INTEGER >= 150000 THEN
        EXECUTE 'ALTER VIEW webhook_overview SET (security_invoker = true)';
    END IF;
END
$$;
