package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// publish appends a record about the collection or bundle with row id subject
// to this instance's log. The record's Kind, Subject, Prev and body are the
// caller's; owner and time are set here. It returns the record's index and
// leaf hash.
func (a *applier) publish(subject int64, r publog.Record) (index int64, leaf tlog.Hash, err error) {
	self, err := instanceOf(a.session)
	if err != nil {
		return 0, leaf, err
	}
	r.Owner.Instance = self.ID
	r.Time = max(a.now, 0)
	body, err := r.Encode()
	if err != nil {
		return 0, leaf, err
	}
	index = a.state.logSize
	salt := a.salt()
	leaf = publog.LeafHash(salt, body)
	hashes, err := publog.AppendHashes(index, leaf, logReader(a.session))
	if err != nil {
		return 0, leaf, fmt.Errorf("catalog: %w", err)
	}
	if err := a.run(`INSERT INTO log_records (id, kind, subject, salt, body, leaf) VALUES (?, ?, ?, ?, ?, NULL)`,
		index, int64(r.Kind), subject, salt[:], shorten(body, r.Subject, self.ID)); err != nil {
		return 0, leaf, err
	}
	for level := lowestStored; level < len(hashes); level++ {
		if err := a.run(`INSERT INTO log_hashes (id, hash) VALUES (?, ?)`,
			tlog.StoredHashIndex(level, index>>level), hashes[level][:]); err != nil {
			return 0, leaf, err
		}
	}
	a.state.logSize++
	if a.ordinal == 1 {
		a.result.Number = uint64(index)
	}
	return index, leaf, nil
}

// salt derives the salt of the command's next record: the first 16 bytes of
// SHA-256(seed, ordinal as 8 bytes, big-endian), ordinals from 0.
func (a *applier) salt() publog.Salt {
	b := binary.BigEndian.AppendUint64(a.cmd.Seed[:len(a.cmd.Seed):len(a.cmd.Seed)], a.ordinal)
	a.ordinal++
	sum := sha256.Sum256(b)
	return publog.Salt(sum[:16])
}

// lowestStored is the lowest level of the tree whose nodes are stored. Those
// below it are computed from at most four records, which costs little time and
// saves three quarters of the space.
const lowestStored = 3

// logReader reads the tree of this instance's log.
func logReader(s *session) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			var err error
			if level, n := tlog.SplitStoredHashIndex(index); level < lowestStored {
				out[i], err = computeNode(s, level, n)
			} else {
				out[i], err = storedNode(s, index)
			}
			if err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

func storedNode(s *session, index int64) (h tlog.Hash, err error) {
	ok, err := s.get(`SELECT hash FROM log_hashes WHERE id = ?`, []any{index}, blob{h[:]})
	if err == nil && !ok {
		err = fmt.Errorf("catalog: node %d of the log's tree is missing", index)
	}
	return h, err
}

// computeNode computes a low node from the records below it.
func computeNode(s *session, level int, n int64) (tlog.Hash, error) {
	records, err := collect(s, recordColumns+` WHERE r.id >= ? AND r.id < ? ORDER BY r.id`,
		[]any{n << level, (n + 1) << level}, scanRecord)
	if err != nil {
		return tlog.Hash{}, err
	}
	if len(records) != 1<<level {
		return tlog.Hash{}, fmt.Errorf("catalog: records of the log from %d on are missing", n<<level)
	}
	hashes := make([]tlog.Hash, len(records))
	for i, r := range records {
		hashes[i] = tlog.Hash(r.Leaf)
	}
	for ; len(hashes) > 1; hashes = hashes[:len(hashes)/2] {
		for i := range len(hashes) / 2 {
			hashes[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
		}
	}
	return hashes[0], nil
}

// A record is stored without what every record of its subject repeats: the
// subject's and the instance's UUIDs, which follow each other in the encoding
// with two bytes between them. The first byte stored says where they belong;
// 0 says that the record follows whole.
const betweenIDs = "\x05\x50" // the envelope's next key, and the head of its value

// shorten returns a record's body as it is stored.
func shorten(body []byte, subject, instance bundle.ID) []byte {
	known := slices.Concat(subject[:], []byte(betweenIDs), instance[:])
	at := bytes.Index(body, known)
	if at <= 0 || at > 255 {
		return append([]byte{0}, body...)
	}
	return slices.Concat([]byte{byte(at)}, body[:at], body[at+len(known):])
}

// lengthen returns a record's body from what is stored of it, nil for nothing.
func lengthen(stored []byte, subject, instance bundle.ID) ([]byte, error) {
	if stored == nil {
		return nil, nil
	}
	if len(stored) == 0 || int(stored[0]) >= len(stored) {
		return nil, errors.New("catalog: a stored record is damaged")
	}
	at, rest := int(stored[0]), stored[1:]
	if at == 0 {
		return rest, nil
	}
	return slices.Concat(rest[:at], subject[:], []byte(betweenIDs), instance[:], rest[at:]), nil
}

const recordColumns = `SELECT r.id, r.kind, r.salt, r.body, r.leaf, (SELECT uuid FROM instance),
 coalesce((SELECT uuid FROM bundles WHERE id = r.subject), (SELECT uuid FROM collections WHERE id = r.subject))
 FROM log_records r`

func scanRecord(row scanner) (r Record, err error) {
	var stored []byte
	var instance bundle.ID
	if err = row.Scan(&r.Index, &r.Kind, blob{r.Salt[:]}, &stored, blob{r.Leaf[:]}, blob{instance[:]}, blob{r.Subject[:]}); err != nil {
		return r, err
	}
	if r.Body, err = lengthen(stored, r.Subject, instance); r.Body != nil {
		r.Leaf = bundle.Digest(publog.LeafHash(r.Salt, r.Body))
	}
	return r, err
}

// checkpoint stores a checkpoint after recomputing its root.
func (a *applier) checkpoint(b Checkpoint) error {
	self, err := instanceOf(a.session)
	if err != nil {
		return err
	}
	last, found, err := checkpointOf(a.session)
	if err != nil {
		return err
	}
	switch {
	case b.Generation != self.Generation:
		return bundle.Errorf(bundle.KindConflict, "a checkpoint of generation %d; this log is at generation %d", b.Generation, self.Generation)
	case b.Size < 0 || b.Size > a.state.logSize:
		return bundle.Errorf(bundle.KindConflict, "a checkpoint of %d records; the log has %d", b.Size, a.state.logSize)
	case found && last.Generation == b.Generation && b.Size < last.Size:
		return bundle.Errorf(bundle.KindConflict, "a checkpoint of %d records after one of %d", b.Size, last.Size)
	case found && b.Issued < last.Issued:
		return bundle.Errorf(bundle.KindConflict, "a checkpoint issued before the last one; check this node's clock")
	}
	root, err := publog.Root(b.Size, logReader(a.session))
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if b.Root != bundle.Digest(root) {
		return bundle.Errorf(bundle.KindConflict, "a checkpoint whose root is not that of the log at %d records", b.Size)
	}
	return a.run(`INSERT INTO checkpoint (id, note, generation, size, root, issued) VALUES (1, ?, ?, ?, ?, ?)
 ON CONFLICT (id) DO UPDATE SET note = excluded.note, generation = excluded.generation, size = excluded.size,
 root = excluded.root, issued = excluded.issued`,
		orEmpty(b.Note), clamp(b.Generation), b.Size, b.Root[:], b.Issued)
}

func checkpointOf(s *session) (c SignedCheckpoint, ok bool, err error) {
	ok, err = s.get(`SELECT note, generation, size, root, issued FROM checkpoint`, nil,
		&c.Note, &c.Generation, &c.Size, blob{c.Root[:]}, &c.Issued)
	return c, ok, err
}

// Checkpoint returns the newest checkpoint of this instance's log, KindNotFound
// before the first.
func (v *View) Checkpoint() (SignedCheckpoint, error) {
	c, ok, err := checkpointOf(v.session)
	if err == nil && !ok {
		err = bundle.Errorf(bundle.KindNotFound, "there is no checkpoint yet")
	}
	return c, err
}

// LogSize returns the number of records in this instance's log.
func (v *View) LogSize() (int64, error) {
	st, err := loadState(v.session)
	return st.logSize, err
}

// LogReader returns the stored hashes of this instance's log, for proofs. It
// is good for as long as the view.
func (v *View) LogReader() tlog.HashReader { return logReader(v.session) }

// Records returns at most limit records (at most 10 000, 0 means 1000) from
// index from on.
func (v *View) Records(from int64, limit int) ([]Record, error) {
	return collect(v.session, recordColumns+` WHERE r.id >= ? ORDER BY r.id LIMIT +?`,
		[]any{from, Page{Limit: limit}.limit()}, scanRecord)
}

// RecordsAt returns the records at indexes in the order asked; KindNotFound if
// one does not exist.
func (v *View) RecordsAt(indexes []int64) ([]Record, error) {
	out := make([]Record, 0, len(indexes))
	for _, index := range indexes {
		rs, err := collect(v.session, recordColumns+` WHERE r.id = ?`, []any{index}, scanRecord)
		if err != nil {
			return nil, err
		}
		if len(rs) == 0 {
			return nil, bundle.Errorf(bundle.KindNotFound, "the log has no record %d", index)
		}
		out = append(out, rs[0])
	}
	return out, nil
}

// RecordsOf returns at most limit records about a bundle or collection, from
// index from on.
func (v *View) RecordsOf(subject bundle.ID, from int64, limit int) ([]Record, error) {
	return collect(v.session, recordsOfQuery, []any{subject[:], from, Page{Limit: limit}.limit()}, scanRecord)
}

const recordsOfQuery = recordColumns + ` WHERE r.subject =
 coalesce((SELECT id FROM bundles WHERE uuid = ?1), (SELECT id FROM collections WHERE uuid = ?1))
 AND r.id >= ?2 ORDER BY r.id LIMIT +?3`

// GenerationRecord returns the record below size that began this instance's
// present generation, KindNotFound in the first one.
func (v *View) GenerationRecord(size int64) (Record, error) {
	rs, err := collect(v.session, generationQuery, []any{size, int64(publog.RecordGeneration)}, scanRecord)
	if err == nil && len(rs) == 0 {
		err = bundle.Errorf(bundle.KindNotFound, "no record in the log begins a generation")
	}
	if err != nil {
		return Record{}, err
	}
	return rs[0], nil
}

// Records of the instance itself have no subject, and are few.
const generationQuery = recordColumns + ` WHERE r.subject = 0 AND r.id < ?1 AND r.kind = ?2 ORDER BY r.id DESC LIMIT 1`
