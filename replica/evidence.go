package replica

import (
	"encoding/json"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

// maxEvidence is what the catalog keeps of a proof.
const maxEvidence = 64 << 10

// evidenceError carries what proves an alarm.
type evidenceError struct {
	error
	evidence []byte
}

func (e *evidenceError) Unwrap() error { return e.error }

// evidence is what is kept of an answer that raised an alarm. With the record,
// its leaf stands in the log that the peer signed by Proof, for which the hashes
// of all records of the answer are needed.
type evidence struct {
	Known       string       `json:"known_checkpoint,omitempty"`
	Answer      string       `json:"answered_checkpoint,omitempty"`
	Consistency []string     `json:"consistency,omitempty"`
	Record      *recordProof `json:"record,omitempty"` // that the peer may not publish
	Records     []string     `json:"records,omitempty"`
	Indexes     []int64      `json:"indexes,omitempty"` // of Records
	Proof       []string     `json:"proof,omitempty"`
}

type recordProof struct {
	Index int64  `json:"index"`
	Leaf  string `json:"leaf"`
	Salt  []byte `json:"salt,omitempty"`
	Body  []byte `json:"body,omitempty"`
}

// evidenceOf keeps the two checkpoints that an alarm about the log is about,
// and a record that is another instance's.
func evidenceOf(peer catalog.Peer, answer *syndication.PollAnswer) []byte {
	return evidence{
		Known: string(peer.Note), Answer: string(answer.Note), Consistency: texts(answer.Consistency),
	}.with(peer.ID, answer.Entries, answer.Proof).encode()
}

// recoveredTo returns the checkpoint of a later generation for which the peer's
// ROLLBACK stands, and false if there is none or it was accepted already.
func recoveredTo(peer catalog.Peer) (note []byte, c publog.Checkpoint, ok bool, err error) {
	at := slices.IndexFunc(peer.Alarms, func(a catalog.Alarm) bool { return a.Alarm == string(publog.AlarmRollback) })
	if at < 0 {
		return nil, c, false, nil
	}
	var e evidence
	if err := json.Unmarshal(peer.Alarms[at].Evidence, &e); err != nil || e.Answer == "" {
		return nil, c, false, nil // too large to be kept, or of another version
	}
	known, err := syndication.KnownOf(peer)
	if err != nil {
		return nil, c, false, err
	}
	keys, err := publog.NewLogVerifiers(peer.ID, known.Keys...)
	if err != nil {
		return nil, c, false, err
	}
	if c, err = publog.ParseCheckpoint([]byte(e.Answer), peer.ID, keys); err != nil {
		return nil, c, false, err
	}
	return []byte(e.Answer), c, c.Generation > known.Checkpoint.Generation, nil
}

// with adds the records of an answer and their proof.
func (e evidence) with(instance bundle.ID, entries []publog.Entry, proof []tlog.Hash) evidence {
	e.Proof = texts(proof)
	for _, entry := range entries {
		leaf := entry.LeafHash().String()
		e.Records, e.Indexes = append(e.Records, leaf), append(e.Indexes, entry.Index)
		rec, err := publog.DecodeRecord(entry.Body)
		if e.Record == nil && err == nil && rec.Owner.Instance != instance {
			e.Record = &recordProof{Index: entry.Index, Leaf: leaf, Salt: entry.Salt[:], Body: entry.Body}
		}
	}
	return e
}

// encode returns what fits of the evidence, as JSON: without the proof, if it is
// too large with it, and then without the record's body, whose hash remains.
func (e evidence) encode() []byte {
	fits := func() ([]byte, bool) {
		b, err := json.Marshal(e)
		return b, err == nil && len(b) <= maxEvidence
	}
	b, ok := fits()
	if !ok {
		e.Records, e.Indexes, e.Proof = nil, nil, nil
		b, ok = fits()
	}
	if !ok && e.Record != nil {
		e.Record.Salt, e.Record.Body = nil, nil
		b, ok = fits()
	}
	if !ok {
		return []byte(e.Answer)
	}
	return b
}

func texts[T interface{ String() string }](items []T) []string {
	ss := make([]string, len(items))
	for i, item := range items {
		ss[i] = item.String()
	}
	return ss
}

// proven is a verified checkpoint, and the note that proves it.
type proven struct {
	publog.Checkpoint
	note []byte
}

// check verifies single records. An alarm about them carries its evidence.
func (at proven) check(req syndication.RecordsRequest, answer *syndication.RecordsAnswer) ([]syndication.VerifiedRecord, error) {
	records, err := syndication.CheckRecords(at.Checkpoint, req, answer)
	if _, ok := publog.AlarmOf(err); ok {
		e := evidence{Known: string(at.note)}.with(at.Instance, answer.Entries, answer.Proof)
		err = &evidenceError{err, e.encode()}
	}
	return records, err
}
