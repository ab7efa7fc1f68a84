-- Minutes that differ are few, and are listed as incidents for all markets at once.
CREATE INDEX audit_minute_different ON audit_minute (minute) WHERE verdict = 'different';
