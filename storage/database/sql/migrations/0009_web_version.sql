-- The newest version of WhatsApp Web that was found, for all daemons.

CREATE TABLE whatsapp_web_version (
    is_only  BOOLEAN     PRIMARY KEY DEFAULT true CHECK (is_only),
    version  TEXT        NOT NULL CHECK (version ~ '^2\.3000\.[0-9]{9,10}$'),
    found_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    seen_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);

ALTER TABLE whatsapp_web_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE whatsapp_web_version FORCE ROW LEVEL SECURITY;
CREATE POLICY daemon ON whatsapp_web_version TO CURRENT_USER USING (true) WITH CHECK (true);
