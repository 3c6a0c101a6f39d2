-- What opens a file on WhatsApp's servers is sealed like auth state, under a key of its company that linking anew does not retire: files
-- stay readable for their time.

CREATE TABLE whatsapp_media_keys (
    company_id  TEXT        PRIMARY KEY,
    data_key_id TEXT        NOT NULL,
    kek_id      TEXT        NOT NULL,  -- the master key that it is wrapped by
    wrapped     BYTEA       NOT NULL,
    all_sealed  BOOLEAN     NOT NULL,  -- true: a plain row of the company's is forged. Authenticated by the wrapping
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);

ALTER TABLE whatsapp_media_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE whatsapp_media_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY daemon ON whatsapp_media_keys TO CURRENT_USER USING (true) WITH CHECK (true);
