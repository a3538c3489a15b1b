-- level: the level in force, see docs/formats.md. Before this migration all was of level 1.
ALTER TABLE state ADD COLUMN level INTEGER NOT NULL DEFAULT 1;
