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
