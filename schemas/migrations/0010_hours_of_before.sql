-- Marks the hours of all minutes that were there before the marks were. It only reads, and locks
-- no writer out; an hour that a writer marks at the same time is marked once.
INSERT INTO taker_volume_hour_dirty (exchange_id, symbol, hour)
    SELECT DISTINCT exchange_id, symbol, hour_of(minute) FROM taker_volume ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING;
