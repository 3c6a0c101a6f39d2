-- Companies that were removed, until everything of theirs is erased; and keys that lost one of their companies by that.

CREATE TABLE whatsapp_removals (
    company_id TEXT        PRIMARY KEY,
    removed_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

ALTER TABLE whatsapp_removals ENABLE ROW LEVEL SECURITY;
ALTER TABLE whatsapp_removals FORCE ROW LEVEL SECURITY;
CREATE POLICY daemon ON whatsapp_removals TO CURRENT_USER USING (true) WITH CHECK (true);

-- Asked every second by each daemon, together with revoked_at: whose keys are not what they were.
ALTER TABLE api_keys ADD COLUMN narrowed_at TIMESTAMPTZ;
CREATE INDEX api_keys_narrowed_at ON api_keys (narrowed_at) WHERE narrowed_at IS NOT NULL;
