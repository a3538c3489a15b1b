package catalog

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// dumped are the replicated tables in the order of their dump, each with its
// columns and its order. Not in it: the applied position, the members of the
// cluster, the full-text index.
var dumped = []struct{ table, columns, order string }{
	{"state", "last_time, next_id, log_size, collections, drafts, versions, blobs, bundles_own, bundles_copy, bundles_withdrawn, parked, held, level", "id"},
	{"instance", "uuid, name, descriptor, generation, created", "id"},
	{"secrets", "name, sealed", "name"},
	{"requests", "time, request, result", "time"},
	{"trash", "id, kind, subject, floor, time", "id"},
	{"collections", "id, uuid, title, owner, epoch, created, revision, last_leaf, state, placeholder, bundles, drafts, versions", "id"},
	{"bundles", "id, uuid, collection, owner, epoch, slug, title, description, created, revision, head, last_leaf, last_index, state, drafts, versions", "id"},
	{"versions", "bundle, num, record, files, bytes, description, body", "bundle, num"},
	{"deps", "bundle, num, ordinal, target, target_num, direct", "bundle, num, ordinal"},
	{"drafts", "id, uuid, bundle, name, base, revision, floor, created, updated, state", "id"},
	{"draft_files", "draft, path, patch, seq, modified, digest, size", "draft, path, patch"},
	{"patches", "id, draft, uuid, seq, modified", "id"},
	{"draft_links", "draft, name, seq, modified, body, target, target_num", "draft, name"},
	{"packs", "id, digest", "id"},
	{"blobs", "digest, hash, size, pack, pos, length, codec, state", "digest"},
	{"log_records", "id, kind, subject, salt, body, leaf", "id"},
	{"log_hashes", "id, hash", "id"},
	{"checkpoint", "note, generation, size, root, issued", "id"},
	{"tokens", "id, uuid, name, role, hash, created, expires, revoked, used", "id"},
	{"invites", "id, uuid, name, secret, created, expires, grants, taker", "id"},
	{"peers", "id, state, uuid, name, descriptor, root_key, addresses, added, grants, grant_revision, subscriptions, subscription_revision, cursor, seen_grant_revision, note, generation, size, root, issued, verified", "id"},
	{"alarms", "peer, alarm, detail, evidence, raised", "peer, alarm"},
	{"parked", "peer, bundle, held, reason, detail, record, since, retry_at, attempts", "peer, bundle"},
}

// Dump writes every replicated row in canonical order: a CBOR sequence of
// arrays, each a table's name and the columns of a row. Two nodes that applied
// the same entries write the same bytes.
func (v *View) Dump(w io.Writer) error {
	return v.dump(w, func(string) bool { return true })
}

// DumpDigest returns the SHA-256 of the dump.
func (v *View) DumpDigest() (bundle.Digest, error) {
	h := sha256.New()
	err := v.Dump(h)
	return bundle.Digest(h.Sum(nil)), err
}

// Fingerprint is by what nodes find out whether they hold the same. All of it
// belongs to one moment.
type Fingerprint struct {
	Applied uint64 // index of the newest entry; nodes may differ in it alone
	LogSize int64  // records of this instance's log
	LogRoot bundle.Digest
	Dump    bundle.Digest // SHA-256 of the dump
}

// Fingerprint reads the whole catalog, row by row.
func (v *View) Fingerprint() (f Fingerprint, err error) {
	if f.Applied, _, err = v.Applied(); err != nil {
		return f, err
	}
	if f.LogSize, err = v.LogSize(); err != nil {
		return f, err
	}
	root, err := publog.Root(f.LogSize, v.LogReader())
	if err != nil {
		return f, err
	}
	f.LogRoot = bundle.Digest(root)
	f.Dump, err = v.DumpDigest()
	return f, err
}

func (v *View) dump(w io.Writer, want func(table string) bool) error {
	out := bufio.NewWriterSize(w, 64<<10)
	for _, t := range dumped {
		if !want(t.table) {
			continue
		}
		err := v.each(`SELECT `+t.columns+` FROM `+t.table+` ORDER BY `+t.order, nil, func(row scanner) (bool, error) {
			if err := v.alive(); err != nil {
				return false, err
			}
			b, err := dumpRow(t.table, row)
			if err == nil {
				_, err = out.Write(b)
			}
			return true, err
		})
		if err != nil {
			return fmt.Errorf("dump %s: %w", t.table, err)
		}
	}
	return out.Flush()
}

func dumpRow(table string, row scanner) ([]byte, error) {
	rows, ok := row.(interface{ Columns() ([]string, error) })
	if !ok {
		return nil, fmt.Errorf("a %T has no columns", row)
	}
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := row.Scan(into...); err != nil {
		return nil, err
	}
	c := &codec{writing: true}
	c.array(len(columns) + 1)
	c.text(&table)
	for i, value := range values {
		switch value := value.(type) {
		case nil:
			c.present(false)
		case int64:
			c.int(&value)
		case []byte:
			c.bytes(&value)
		case string:
			// Texts may hold any bytes here: the dump must not fail over them.
			b := []byte(value)
			c.writeHead(majorText, uint64(len(b)))
			c.buf = append(c.buf, b...)
		default:
			return nil, fmt.Errorf("column %s holds a %T", columns[i], value)
		}
	}
	return c.buf, c.finish()
}
