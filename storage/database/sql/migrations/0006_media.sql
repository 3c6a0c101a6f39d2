-- Files on WhatsApp's servers: those that came with messages, and those uploaded to be sent. Not the files: where they are, and their keys.

CREATE TABLE whatsapp_media (
    company_id TEXT        NOT NULL,
    media_id   TEXT        NOT NULL,
    message_id TEXT,       -- NULL: uploaded by the application
    file       JSON        NOT NULL,  -- actors/engine/contents.py: StoredFile
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (company_id, media_id)
);

CREATE INDEX whatsapp_media_expires_at ON whatsapp_media (expires_at);

ALTER TABLE whatsapp_media ENABLE ROW LEVEL SECURITY;
ALTER TABLE whatsapp_media FORCE ROW LEVEL SECURITY;
CREATE POLICY daemon ON whatsapp_media TO CURRENT_USER USING (true) WITH CHECK (true);
