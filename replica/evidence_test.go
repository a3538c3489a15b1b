package replica

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// wantProof checks that the evidence alone shows that the peer signed a log in
// which an entry of another instance stands.
func (l *liar) wantProof(south *site, want publog.Entry) {
	l.t.Helper()
	a := south.awaitAlarm(l.north.id(), string(publog.AlarmWrongOwner))
	var e evidence
	if err := json.Unmarshal(a.Evidence, &e); err != nil || e.Record == nil {
		l.t.Fatalf("the evidence is %s, %v", a.Evidence, err)
	}
	peer := south.peer(l.north.id())
	d := must(publog.ParseDescriptor(peer.Descriptor))(l.t)
	keys := must(publog.NewLogVerifiers(peer.ID, d.LogKeys...))(l.t)
	signed := must(publog.ParseCheckpoint([]byte(cmp.Or(e.Answer, e.Known)), peer.ID, keys))(l.t)
	entry := publog.Entry{Index: e.Record.Index, Salt: publog.Salt(e.Record.Salt), Body: e.Record.Body}
	if entry.Index != want.Index || entry.LeafHash() != want.LeafHash() || e.Record.Leaf != want.LeafHash().String() {
		l.t.Errorf("the record is %+v, want %+v", e.Record, want)
	}
	var standing []publog.Leaf
	for i, at := range e.Indexes {
		standing = append(standing, publog.Leaf{Index: at, Hash: must(tlog.ParseHash(e.Records[i]))(l.t)})
	}
	var proof []tlog.Hash
	for _, h := range e.Proof {
		proof = append(proof, must(tlog.ParseHash(h))(l.t))
	}
	if err := publog.CheckLeaves(signed.Size, signed.Root, standing, proof); err != nil {
		l.t.Error(err)
	}
	if !slices.Contains(standing, publog.Leaf{Index: entry.Index, Hash: entry.LeafHash()}) {
		l.t.Error("the record is not among what is proven")
	}
}

func TestLargeEvidenceKeepsTheRecordBeforeItsProof(t *testing.T) {
	own, other := bundle.NewID(), bundle.NewID()
	record := func(owner bundle.ID, text string) []byte {
		r := publog.Record{
			Kind: publog.RecordVersion, Critical: true, Subject: other, Owner: bundle.Owner{Instance: owner, Epoch: 1}, Time: 1,
			Version: &publog.VersionBody{Number: 1, Manifest: bundle.Digest{1}, ChangeDescription: text},
		}
		return must(r.Encode())(t)
	}
	for what, c := range map[string]struct {
		text         string
		entries      int
		body, proven bool
	}{
		"small":           {"", 10, true, true},
		"many records":    {"", 1500, true, false},
		"an endless text": {strings.Repeat("x", 60<<10), 1, false, false},
	} {
		entries := []publog.Entry{{Index: 7, Body: record(other, c.text)}}
		for i := range c.entries {
			entries = append(entries, publog.Entry{Index: int64(1<<40 + i), Body: record(own, "")})
		}
		var e evidence
		b := evidence{Known: "signed"}.with(own, entries, make([]tlog.Hash, 10)).encode()
		if err := json.Unmarshal(b, &e); err != nil || len(b) > maxEvidence {
			t.Fatalf("%s: %d bytes, %v", what, len(b), err)
		}
		if e.Known != "signed" || e.Record == nil || e.Record.Leaf != entries[0].LeafHash().String() ||
			(len(e.Record.Body) > 0) != c.body || (len(e.Proof) > 0) != c.proven {
			t.Errorf("%s: kept %+v", what, e)
		}
	}
}
