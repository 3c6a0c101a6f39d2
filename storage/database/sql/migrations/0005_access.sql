-- Requests that are written down before they are carried out, and an audit log that shows when it was tampered with.

-- Idempotent requests -------------------------------------------------------------------------------------------------
-- A row without a response is a claim: its request was begun under `claim` by the daemon `owner`, and how it ended is not known (yet).

ALTER TABLE idempotency ALTER COLUMN response DROP NOT NULL;
ALTER TABLE idempotency ADD COLUMN claim TEXT;
ALTER TABLE idempotency ADD COLUMN owner TEXT;
ALTER TABLE idempotency ADD CHECK (response IS NOT NULL OR (claim IS NOT NULL AND owner IS NOT NULL));

-- API keys ------------------------------------------------------------------------------------------------------------
-- Asked every second by each daemon: whose keys were revoked lately.

CREATE INDEX api_keys_revoked_at ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;

-- Audit log -----------------------------------------------------------------------------------------------------------
-- Each record carries the SHA-256 of itself and of the record before it. Nothing can be changed, taken out or put in between without
-- breaking the chain (audit_log_breaks), and the daemon's own role is refused to try.

ALTER TABLE audit_log ADD COLUMN count BIGINT NOT NULL DEFAULT 1 CHECK (count > 0);
ALTER TABLE audit_log ADD COLUMN chain BYTEA;

CREATE FUNCTION audit_log_link(before BYTEA, entry audit_log) RETURNS BYTEA
LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(coalesce(before, ''::bytea) || convert_to(json_build_array(
        entry.id, extract(epoch FROM entry.at)::numeric, extract(epoch FROM entry.stored_at)::numeric,
        entry.key_id, entry.action, entry.target, entry.address, entry.count)::text, 'UTF8'))
$$;

-- Numbers are given out under the lock, so that their order is the chain's.
CREATE FUNCTION audit_log_append() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
DECLARE
    before BYTEA;
BEGIN
    PERFORM pg_advisory_xact_lock(7283190046);
    NEW.id := nextval(pg_get_serial_sequence('audit_log', 'id'));
    SELECT chain INTO before FROM audit_log ORDER BY id DESC LIMIT 1;
    NEW.chain := audit_log_link(before, NEW);
    RETURN NEW;
END
$$;

CREATE FUNCTION audit_log_refuse() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only ever appended to' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION audit_log_breaks() RETURNS SETOF BIGINT
LANGUAGE sql STABLE AS $$
    SELECT entry.id FROM (SELECT a AS entry, (a).id, (a).chain, lag((a).chain) OVER (ORDER BY (a).id) AS before FROM audit_log a) entry
    WHERE entry.chain IS DISTINCT FROM audit_log_link(entry.before, entry.entry) ORDER BY 1
$$;

-- What was written before this migration joins the chain as it stands.
DO $$
DECLARE
    old audit_log;
    before BYTEA;
BEGIN
    FOR old IN SELECT * FROM audit_log ORDER BY id LOOP
        before := audit_log_link(before, old);
        UPDATE audit_log SET chain = before WHERE id = old.id;
    END LOOP;
END
$$;

ALTER TABLE audit_log ALTER COLUMN chain SET NOT NULL;
CREATE TRIGGER append BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_append();
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse();

-- The triggers hold for every role, a superuser's too; this takes the right from the daemon's own role besides.
REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM CURRENT_USER;
