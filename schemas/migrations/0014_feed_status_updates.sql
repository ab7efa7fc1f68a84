-- A topic that was made again uses its places again: the newer record replaces the older one.
ALTER TABLE feed_status ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
