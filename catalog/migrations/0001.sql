-- Times are µs since 1970 UTC; UUIDs and digests are blobs. Ids are counters of
-- the state row, never rowids that SQLite chose.

-- One row: bookkeeping of apply, ids, totals.
CREATE TABLE state (
  id             INTEGER PRIMARY KEY CHECK (id = 1),
  applied_index  INTEGER NOT NULL,
  applied_term   INTEGER NOT NULL,
  conf_index     INTEGER NOT NULL,
  conf           BLOB NOT NULL,
  last_time      INTEGER NOT NULL,
  next_id        INTEGER NOT NULL,
  log_size       INTEGER NOT NULL,
  collections    INTEGER NOT NULL,
  drafts         INTEGER NOT NULL,
  versions       INTEGER NOT NULL,
  blobs          INTEGER NOT NULL,
  bundles_own    INTEGER NOT NULL,
  bundles_copy   INTEGER NOT NULL,
  bundles_withdrawn INTEGER NOT NULL,
  parked         INTEGER NOT NULL,
  held           INTEGER NOT NULL
);
INSERT INTO state VALUES (1, 0, 0, 0, x'', 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

CREATE TABLE instance (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  uuid BLOB NOT NULL, name TEXT NOT NULL, descriptor BLOB NOT NULL,
  generation INTEGER NOT NULL, created INTEGER NOT NULL
);

CREATE TABLE secrets (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;

-- Results of the last 24 hours. No two commands have the same stored time.
CREATE TABLE requests (time INTEGER PRIMARY KEY, request BLOB NOT NULL, result BLOB NOT NULL);
CREATE UNIQUE INDEX requests_request ON requests (request);

-- What Purge has to do, in the order it came up.
CREATE TABLE trash (
  id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, subject INTEGER NOT NULL,
  floor INTEGER NOT NULL, time INTEGER NOT NULL
);
CREATE INDEX trash_soon ON trash (id) WHERE kind < 3;
CREATE INDEX trash_later ON trash (id) WHERE kind >= 3;

-- owner: 0 for this instance, else peers.id. state: 0 live, 1 deleted here,
-- 2 withdrawn by its primary. bundles, drafts and versions count what is live
-- in it. Collections and bundles share one sequence of ids.
CREATE TABLE collections (
  id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, title TEXT NOT NULL,
  owner INTEGER NOT NULL, epoch INTEGER NOT NULL, created INTEGER NOT NULL,
  revision INTEGER NOT NULL, last_leaf BLOB NOT NULL, state INTEGER NOT NULL,
  placeholder INTEGER NOT NULL,
  bundles INTEGER NOT NULL, drafts INTEGER NOT NULL, versions INTEGER NOT NULL
);
CREATE UNIQUE INDEX collections_uuid ON collections (uuid);

CREATE TABLE bundles (
  id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, collection INTEGER NOT NULL,
  owner INTEGER NOT NULL, epoch INTEGER NOT NULL,
  slug TEXT NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL,
  created INTEGER NOT NULL, revision INTEGER NOT NULL, head INTEGER NOT NULL,
  last_leaf BLOB NOT NULL, last_index INTEGER NOT NULL, state INTEGER NOT NULL,
  drafts INTEGER NOT NULL, versions INTEGER NOT NULL
);
CREATE UNIQUE INDEX bundles_uuid ON bundles (uuid);
CREATE INDEX bundles_collection ON bundles (collection);
CREATE INDEX bundles_owner ON bundles (owner) WHERE owner <> 0;

-- A version keeps what its record does not. body is the text part of a version
-- whose record is not in this log (a copy) or was redacted; NULL: see the record.
CREATE TABLE versions (
  bundle INTEGER NOT NULL, num INTEGER NOT NULL, record INTEGER NOT NULL,
  files INTEGER NOT NULL, bytes INTEGER NOT NULL, description TEXT,
  body BLOB,
  PRIMARY KEY (bundle, num)
) WITHOUT ROWID;

CREATE TABLE deps (
  bundle INTEGER NOT NULL, num INTEGER NOT NULL, ordinal INTEGER NOT NULL,
  target BLOB NOT NULL, target_num INTEGER NOT NULL, direct INTEGER NOT NULL,
  PRIMARY KEY (bundle, num, ordinal)
) WITHOUT ROWID;
CREATE INDEX deps_target ON deps (target, target_num);

-- floor: overlay operations up to it were committed. state: 0 live, 1 deleted.
CREATE TABLE drafts (
  id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, bundle INTEGER NOT NULL, name TEXT NOT NULL,
  base INTEGER NOT NULL, revision INTEGER NOT NULL, floor INTEGER NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, state INTEGER NOT NULL
);
CREATE UNIQUE INDEX drafts_uuid ON drafts (uuid);
CREATE UNIQUE INDEX drafts_name ON drafts (bundle, name) WHERE state = 0;

-- Operations on files. patch 0: seq and modified are the row's own; else they
-- are the patch's, and the row is invisible while the patch has none.
CREATE TABLE draft_files (
  draft INTEGER NOT NULL, path TEXT NOT NULL, patch INTEGER NOT NULL,
  seq INTEGER NOT NULL, modified INTEGER NOT NULL,
  digest BLOB, size INTEGER NOT NULL,
  PRIMARY KEY (draft, path, patch)
) WITHOUT ROWID;

CREATE TABLE patches (
  id INTEGER PRIMARY KEY, draft INTEGER NOT NULL, uuid BLOB NOT NULL,
  seq INTEGER NOT NULL, modified INTEGER NOT NULL
);
CREATE UNIQUE INDEX patches_uuid ON patches (draft, uuid);

-- body: the link, NULL where it is deleted; target: the version it leads to.
CREATE TABLE draft_links (
  draft INTEGER NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL, modified INTEGER NOT NULL,
  body BLOB, target BLOB, target_num INTEGER, PRIMARY KEY (draft, name)
) WITHOUT ROWID;
CREATE INDEX draft_links_target ON draft_links (target, target_num) WHERE target IS NOT NULL;

-- pack: packs.id, 0 for an object of its own. state: 0 live, 1 condemned.
CREATE TABLE packs (id INTEGER PRIMARY KEY, digest BLOB NOT NULL);
CREATE UNIQUE INDEX packs_digest ON packs (digest);
CREATE TABLE blobs (
  digest BLOB PRIMARY KEY, hash BLOB NOT NULL, size INTEGER NOT NULL,
  pack INTEGER NOT NULL, pos INTEGER NOT NULL, length INTEGER NOT NULL,
  codec INTEGER NOT NULL, state INTEGER NOT NULL
) WITHOUT ROWID;

-- This instance's log. body is the record without the two UUIDs that repeat,
-- see shorten. leaf is kept only for a redacted record. log_hashes has the
-- tree's nodes of level 3 and up by tlog.StoredHashIndex.
CREATE TABLE log_records (
  id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, subject INTEGER NOT NULL,
  salt BLOB, body BLOB, leaf BLOB
);
CREATE INDEX log_records_subject ON log_records (subject);
CREATE TABLE log_hashes (id INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE checkpoint (
  id INTEGER PRIMARY KEY CHECK (id = 1), note BLOB NOT NULL, generation INTEGER NOT NULL,
  size INTEGER NOT NULL, root BLOB NOT NULL, issued INTEGER NOT NULL
);

CREATE TABLE tokens (
  id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL,
  hash BLOB NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL
);
CREATE UNIQUE INDEX tokens_uuid ON tokens (uuid);
CREATE UNIQUE INDEX tokens_hash ON tokens (hash);
CREATE INDEX tokens_name ON tokens (name);

CREATE TABLE invites (
  id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, name TEXT NOT NULL, secret BLOB NOT NULL,
  created INTEGER NOT NULL, expires INTEGER NOT NULL, grants BLOB NOT NULL, taker BLOB
);
CREATE UNIQUE INDEX invites_uuid ON invites (uuid);
CREATE UNIQUE INDEX invites_secret ON invites (secret);

-- state: 0 live, 1 removed; the row stays, for copies name their owner by it.
CREATE TABLE peers (
  id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, name TEXT NOT NULL, descriptor BLOB NOT NULL,
  root_key BLOB NOT NULL, addresses BLOB NOT NULL, added INTEGER NOT NULL, state INTEGER NOT NULL,
  grants BLOB NOT NULL, grant_revision INTEGER NOT NULL,
  subscriptions BLOB NOT NULL, subscription_revision INTEGER NOT NULL,
  cursor INTEGER NOT NULL, seen_grant_revision INTEGER NOT NULL,
  note BLOB NOT NULL, generation INTEGER NOT NULL, size INTEGER NOT NULL,
  root BLOB NOT NULL, issued INTEGER NOT NULL, verified INTEGER NOT NULL
);
CREATE UNIQUE INDEX peers_uuid ON peers (uuid);

CREATE TABLE alarms (
  peer INTEGER NOT NULL, alarm TEXT NOT NULL, detail TEXT NOT NULL, evidence BLOB NOT NULL,
  raised INTEGER NOT NULL, PRIMARY KEY (peer, alarm)
) WITHOUT ROWID;

CREATE TABLE parked (
  peer INTEGER NOT NULL, bundle BLOB NOT NULL, held INTEGER NOT NULL, reason TEXT NOT NULL,
  detail TEXT NOT NULL, record INTEGER NOT NULL, since INTEGER NOT NULL, retry_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL, PRIMARY KEY (peer, bundle)
) WITHOUT ROWID;
CREATE INDEX parked_bundle ON parked (bundle);

-- Derived from bundles, outside the dump: the trigrams of their folded texts.
CREATE VIRTUAL TABLE bundle_text USING fts5 (
  body, tokenize = 'trigram case_sensitive 1', detail = none,
  content = '', contentless_delete = 1
);
