-- true: nothing of the minute is known to be missing. false: an outage touched it, and what was
-- missed has not been fetched. null: nobody was there to know.
ALTER TABLE taker_volume ADD COLUMN is_complete boolean;
ALTER TABLE orderbook_minute ADD COLUMN is_complete boolean;
