package syndication

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

var (
	idA = bundle.ID{0xa, 1: 1, 6: 0x40, 8: 0x80, 15: 1}
	idB = bundle.ID{0xb, 1: 2, 6: 0x40, 8: 0x80, 15: 2}
)

// examples are one message of each kind, with every field set.
func examples() map[string]interface{ encode() ([]byte, error) } {
	return map[string]interface{ encode() ([]byte, error) }{
		"poll_request": PollRequest{
			Size: 1000, Root: tlog.Hash{1, 2, 3}, Generation: 2, From: 900, GrantRevision: 7, Wait: 50 * time.Second, Limit: 100,
			Selectors: []catalog.Selector{{Scope: access.ScopeAll}, {Scope: access.ScopeCollection, Target: idA}, {Scope: access.ScopeBundle, Target: idB}},
		},
		"poll_answer": &PollAnswer{
			Note: []byte("a signed note\n"), Consistency: []tlog.Hash{{1}, {2}},
			Entries: []publog.Entry{{Index: 900, Salt: publog.Salt{9}, Body: []byte("record")}, {Index: 901, Redacted: tlog.Hash{8}}},
			Proof:   []tlog.Hash{{3}}, Next: 950, GrantRevision: 8, Descriptor: bundle.Digest{5},
		},
		"poll_answer_recovered": &PollAnswer{
			Note: []byte("a signed note\n"), Next: 950, GrantRevision: 8, Descriptor: bundle.Digest{5},
			Generation: &publog.Entry{Index: 940, Salt: publog.Salt{7}, Body: []byte("record")}, GenerationProof: []tlog.Hash{{6}},
		},
		"records_request": RecordsRequest{Versions: []bundle.VersionRef{{Bundle: idA, Number: 3}}, Size: 1000, Limit: MaxPageRecords},
		"subject_request": RecordsRequest{Subject: idB, From: 17, Size: 1000, Limit: 10},
		"records_answer":  &RecordsAnswer{Size: 1000, Entries: []publog.Entry{{Index: 5, Salt: publog.Salt{1}, Body: []byte("r")}}, Proof: []tlog.Hash{{4}}, More: true},
		"manifests_request": encoderFunc(func() ([]byte, error) {
			return encodeManifestWants([]ManifestWant{{Ref: bundle.VersionRef{Bundle: idA, Number: 2}, Have: 1}, {Ref: bundle.VersionRef{Bundle: idB, Number: 1}, Root: []byte{1}}})
		}),
		"blobs_request": encoderFunc(func() ([]byte, error) {
			return encodeBlobWants([]BlobWant{{Ref: bundle.VersionRef{Bundle: idA, Number: 2}, Positions: []int{0, 1, 2, 7, 9, 10}}})
		}),
	}
}

type encoderFunc func() ([]byte, error)

func (f encoderFunc) encode() ([]byte, error) { return f() }

func TestMessagesOnTheWireKeepTheirShape(t *testing.T) {
	for name, m := range examples() {
		t.Run(name, func(t *testing.T) {
			b, err := m.encode()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".hex", append([]byte(hex.EncodeToString(b)), '\n'))
		})
	}
}

func TestMessagesSurviveTheWire(t *testing.T) {
	for name, m := range examples() {
		b, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		var got any
		switch m.(type) {
		case PollRequest:
			got, err = decodePollRequest(b)
		case *PollAnswer:
			got, err = decodePollAnswer(b)
		case RecordsRequest:
			got, err = decodeRecordsRequest(b)
		case *RecordsAnswer:
			got, err = decodeRecordsAnswer(b)
		default:
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: got %+v, want %+v", name, got, m)
		}
	}
}

func TestUnknownFieldsOfAMessageAreSkipped(t *testing.T) {
	b, err := encoding.Marshal(map[int]any{1: wireFormat, 2: 10, 99: "from the future"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := decodePollRequest(b)
	if err != nil || r.Size != 10 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestRequestsBeyondTheLimitsAreRefused(t *testing.T) {
	ref := func(n int) []any { return []any{idA[:], n} }
	many := make([]any, MaxRecordVersions+1)
	for i := range many {
		many[i] = ref(1)
	}
	tests := []struct {
		name   string
		decode func([]byte) error
		fields map[int]any
	}{
		{"newer format", polls, map[int]any{1: wireFormat + 1}},
		{"negative size", polls, map[int]any{1: 1, 2: -1}},
		{"negative cursor", polls, map[int]any{1: 1, 5: -1}},
		{"negative wait", polls, map[int]any{1: 1, 8: -1}},
		{"negative limit", polls, map[int]any{1: 1, 9: -1}},
		{"short root", polls, map[int]any{1: 1, 3: []byte{1}}},
		{"unknown scope", polls, map[int]any{1: 1, 7: []any{[]any{9, []byte{}}}}},
		{"scope without target", polls, map[int]any{1: 1, 7: []any{[]any{1, []byte{}}}}},
		{"neither subject nor versions", subjects, map[int]any{1: 1, 5: 1}},
		{"subject and versions", subjects, map[int]any{1: 1, 2: idA[:], 4: []any{ref(1)}, 5: 1}},
		{"no size", subjects, map[int]any{1: 1, 2: idA[:], 5: 0}},
		{"version 0", subjects, map[int]any{1: 1, 4: []any{ref(0)}, 5: 1}},
		{"too many versions", subjects, map[int]any{1: 1, 4: many, 5: 1}},
		{"no manifests", manifestWants, map[int]any{1: 1, 2: []any{}}},
		{"no blobs", blobWants, map[int]any{1: 1, 2: []any{}}},
		{"odd runs", blobWants, map[int]any{1: 1, 2: []any{[]any{idA[:], 1, []uint64{1}}}}},
		{"empty run", blobWants, map[int]any{1: 1, 2: []any{[]any{idA[:], 1, []uint64{1, 0}}}}},
		{"runs not joined", blobWants, map[int]any{1: 1, 2: []any{[]any{idA[:], 1, []uint64{1, 1, 0, 1}}}}},
		{"too many files", blobWants, map[int]any{1: 1, 2: []any{[]any{idA[:], 1, []uint64{0, MaxBlobPositions + 1}}}}},
		{"file numbers without bound", blobWants, map[int]any{1: 1, 2: []any{[]any{idA[:], 1, []uint64{1 << 63, 1}}}}},
	}
	for _, tt := range tests {
		b, err := encoding.Marshal(tt.fields)
		if err != nil {
			t.Fatal(err)
		}
		if err := tt.decode(b); !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func polls(b []byte) error         { _, err := decodePollRequest(b); return err }
func subjects(b []byte) error      { _, err := decodeRecordsRequest(b); return err }
func manifestWants(b []byte) error { _, err := decodeManifestWants(b); return err }
func blobWants(b []byte) error     { _, err := decodeBlobWants(b); return err }

func TestPositionsSurviveRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gaps := rapid.SliceOfN(rapid.IntRange(1, 4), 1, 300).Draw(t, "gaps")
		at, positions := rapid.IntRange(-1, 3).Draw(t, "before"), []int{}
		for _, g := range gaps {
			at += g
			positions = append(positions, at)
		}
		runs, err := encodeRuns(positions)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRuns(runs, MaxBlobPositions)
		if err != nil || !reflect.DeepEqual(got, positions) {
			t.Fatalf("%v became %v, %v", positions, got, err)
		}
	})
}

// FuzzPollAnswer feeds the client what a peer may answer.
func FuzzPollAnswer(f *testing.F) {
	seed(f, "poll_answer")
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodePollAnswer(b)
		if err != nil {
			return
		}
		again, err := a.encode()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := decodePollAnswer(again); err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v became %+v, %v", a, b, err)
		}
		// No key is known, so nothing may pass the check.
		if v, err := Check(Known{Instance: idA}, PollRequest{}, a, time.Unix(0, 0), Limits{}); err == nil {
			t.Fatalf("verified: %+v", v)
		}
	})
}

// FuzzRecordsAnswer does so for single records.
func FuzzRecordsAnswer(f *testing.F) {
	seed(f, "records_answer")
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeRecordsAnswer(b)
		if err != nil {
			return
		}
		at := publog.Checkpoint{Instance: idA, Generation: 1, Size: 1000, Root: tlog.Hash{1}}
		req := RecordsRequest{Subject: idB, Size: 1000}
		if records, err := CheckRecords(at, req, a); err == nil && len(records) > 0 {
			t.Fatalf("verified: %+v", records)
		}
	})
}

// FuzzRequests feeds the server what a peer may ask.
func FuzzRequests(f *testing.F) {
	seed(f, "poll_request", "records_request", "subject_request", "manifests_request", "blobs_request")
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodePollRequest(b); err == nil {
			again, err := r.encode()
			if err != nil {
				t.Fatal(err)
			}
			if r2, err := decodePollRequest(again); err != nil || !reflect.DeepEqual(r, r2) {
				t.Fatalf("%+v became %+v, %v", r, r2, err)
			}
		}
		if r, err := decodeRecordsRequest(b); err == nil && len(r.Versions) > MaxRecordVersions {
			t.Fatal("too many versions")
		}
		if w, err := decodeManifestWants(b); err == nil && len(w) > MaxManifestWants {
			t.Fatal("too many manifests")
		}
		if w, err := decodeBlobWants(b); err == nil {
			again, err := encodeBlobWants(w)
			if err != nil {
				t.Fatal(err)
			}
			if w2, err := decodeBlobWants(again); err != nil || !reflect.DeepEqual(w, w2) {
				t.Fatalf("%+v became %+v, %v", w, w2, err)
			}
		}
		if _, _, _, err := decodeAccept(b); err == nil {
			t.Fatal("an acceptance without a signed descriptor")
		}
	})
}

func seed(f *testing.F, names ...string) {
	for _, name := range names {
		b, err := examples()[name].encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(bytes.Repeat(b, 2))
		f.Add(b[:len(b)-1])
	}
}
