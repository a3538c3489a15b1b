-- used: the hour in which the token was last used, its first microsecond; 0 never,
-- or not since this migration.
ALTER TABLE tokens ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
