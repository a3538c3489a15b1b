-- patches.modified is set when an operation is staged, too, and seq -1 is a patch
-- that was given up: Purge finds what was staged long ago, and was staged before
-- this migration (0), by it.
CREATE INDEX patches_staged ON patches (modified) WHERE seq = 0;
