package publog_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
	"github.com/fxamacker/cbor/v2"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

const someTime = 1_790_000_000_123_456

func plainVersion() *publog.Record {
	return &publog.Record{
		Kind: publog.RecordVersion, Subject: id(1), Owner: bundle.Owner{Instance: id(2), Epoch: 1}, Prev: hash("prev"), Time: someTime,
		Version: &publog.VersionBody{Number: 300, Manifest: digest("manifest")},
	}
}

// samples holds one record of each kind, by the name of its golden file.
func samples() map[string]*publog.Record {
	owner := bundle.Owner{Instance: id(2), Epoch: 3}
	about := func(k publog.RecordKind) *publog.Record {
		return &publog.Record{Kind: k, Subject: id(1), Owner: owner, Prev: hash("prev"), Time: someTime}
	}
	all := map[string]*publog.Record{"version-plain": plainVersion()}

	r := about(publog.RecordVersion)
	r.Version = &publog.VersionBody{
		Number: 7, Manifest: digest("manifest"), Alias: bundle.HashOf([]byte("imported")), ChangeDescription: "Fix Übung 3",
		License: "CC-BY-4.0", Attribution: "North University", Redistribute: publog.RedistributePeers,
	}
	all["version-full"] = r

	r = about(publog.RecordBundle)
	r.Prev = tlog.Hash{}
	r.Bundle = &publog.BundleBody{Collection: id(9), Slug: "algebra", Title: "Algebra", Description: "An introduction"}
	all["bundle"] = r

	r = about(publog.RecordCollection)
	r.Collection = &publog.CollectionBody{Title: "Mathematics"}
	all["collection"] = r

	r = about(publog.RecordWithdrawal)
	r.Withdrawal = &publog.WithdrawalBody{Reason: "superseded"}
	all["withdrawal"] = r

	r = about(publog.RecordTakedown)
	r.Critical = true
	r.Takedown = &publog.TakedownBody{Versions: []uint64{2, 3, 500}, Reason: "court order"}
	all["takedown"] = r

	r = about(publog.RecordTransferOffer)
	r.Critical = true
	r.TransferOffer = &publog.TransferOfferBody{To: id(4), Epoch: 4}
	all["transfer-offer"] = r

	r = about(publog.RecordTransferAccept)
	r.Critical, r.Owner = true, bundle.Owner{Instance: id(4), Epoch: 4}
	r.TransferAccept = &publog.TransferAcceptBody{From: id(2), Offer: hash("offer"), Version: 7}
	all["transfer-accept"] = r

	r = about(publog.RecordSuccessor)
	r.Subject = bundle.ID{}
	r.Successor = &publog.SuccessorBody{Instance: id(5), Fingerprint: digest("root key")}
	all["successor"] = r

	r = about(publog.RecordGeneration)
	r.Subject = bundle.ID{}
	r.Generation = &publog.GenerationBody{Number: 2, Reason: "restored from a backup"}
	all["generation"] = r

	r = about(200)
	r.Critical = true
	r.Raw = encode(map[int]any{1: "of a later program", 2: []int{1, 2}})
	all["unknown"] = r
	return all
}

// encode is the deterministic CBOR of a hand-made value.
func encode(v any) []byte {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	b, err := mode.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func TestRecordsOfEveryKindKeepTheirEncoding(t *testing.T) {
	for name, r := range samples() {
		t.Run(name, func(t *testing.T) {
			b, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "record-"+name+".hex", b)
			got, err := publog.DecodeRecord(b)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, r) {
				t.Errorf("decoded\n %+v\nwant\n %+v", got, r)
			}
		})
	}
}

func TestAPlainVersionRecordIsSmall(t *testing.T) {
	b, err := plainVersion().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 150 {
		t.Errorf("a version record has %d bytes, more than 150", len(b))
	}
	t.Logf("%d bytes", len(b))
}

func TestTheDerivedAliasIsNotWritten(t *testing.T) {
	plain, explicit := plainVersion(), plainVersion()
	explicit.Version.Alias = bundle.SnapshotAlias(explicit.Version.Manifest)
	a, _ := plain.Encode()
	b, err := explicit.Encode()
	if err != nil || !bytes.Equal(a, b) {
		t.Fatalf("err %v, %d and %d bytes", err, len(a), len(b))
	}
	r, err := publog.DecodeRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if r.Version.SnapshotAlias() != explicit.Version.Alias {
		t.Errorf("alias %s, want %s", r.Version.SnapshotAlias(), explicit.Version.Alias)
	}
}

// wire is a valid version record as a map; with changes some fields, a nil
// value removes one.
func wire(with map[int]any, body map[int]any) map[int]any {
	prev, manifest, subject, owner := hash("prev"), digest("manifest"), id(1), id(2)
	b := map[int]any{1: 7, 2: manifest[:]}
	m := map[int]any{1: 1, 2: 1, 4: subject[:], 5: owner[:], 6: 1, 7: prev[:], 8: someTime}
	for into, from := range map[*map[int]any]map[int]any{&m: with, &b: body} {
		for k, v := range from {
			if (*into)[k] = v; v == nil {
				delete(*into, k)
			}
		}
	}
	if _, ok := with[9]; !ok {
		m[9] = b
	}
	return m
}

func TestDecodeIgnoresFieldsOfALaterProgram(t *testing.T) {
	r, err := publog.DecodeRecord(encode(wire(nil, map[int]any{8: "later", 1000: map[int]any{1: true}})))
	if err != nil {
		t.Fatal(err)
	}
	if r.Version.Number != 7 {
		t.Errorf("number %d", r.Version.Number)
	}
}

func TestDecodeRefusesWhatIsNotARecord(t *testing.T) {
	valid := encode(wire(nil, nil))
	if _, err := publog.DecodeRecord(valid); err != nil {
		t.Fatal(err)
	}
	derived := bundle.SnapshotAlias(digest("manifest"))
	for name, b := range map[string][]byte{
		"nothing":               {},
		"an integer":            {0x01},
		"a byte too many":       append(bytes.Clone(valid), 0),
		"a byte too few":        valid[:len(valid)-1],
		"a long head":           bytes.Replace(valid, []byte{0xa8, 0x01, 0x01}, []byte{0xa8, 0x01, 0x18, 0x01}, 1),
		"keys out of order":     {0xa2, 0x02, 0x01, 0x01, 0x01},
		"a key twice":           {0xa2, 0x01, 0x01, 0x01, 0x01},
		"an indefinite map":     {0xbf, 0xff},
		"a tag":                 {0xc0, 0x01},
		"a float":               {0xf9, 0x00, 0x00},
		"null":                  {0xf6},
		"a huge array":          {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"deep nesting":          bytes.Repeat([]byte{0x81}, 4000),
		"another format":        encode(wire(map[int]any{1: 2}, nil)),
		"no kind":               encode(wire(map[int]any{2: nil}, nil)),
		"kind 0":                encode(wire(map[int]any{2: 0}, nil)),
		"kind 256":              encode(wire(map[int]any{2: 256}, nil)),
		"another kind's body":   encode(wire(map[int]any{2: 5}, nil)),
		"critical false":        encode(wire(map[int]any{3: false}, nil)),
		"no subject":            encode(wire(map[int]any{4: nil}, nil)),
		"a zero subject":        encode(wire(map[int]any{4: make([]byte, 16)}, nil)),
		"a short subject":       encode(wire(map[int]any{4: make([]byte, 15)}, nil)),
		"no owner":              encode(wire(map[int]any{5: nil}, nil)),
		"no epoch":              encode(wire(map[int]any{6: nil}, nil)),
		"a short prev":          encode(wire(map[int]any{7: make([]byte, 31)}, nil)),
		"a long prev":           encode(wire(map[int]any{7: bytes.Repeat([]byte{1}, 33)}, nil)),
		"a zero prev":           encode(wire(map[int]any{7: make([]byte, 32)}, nil)),
		"a negative time":       encode(wire(map[int]any{8: -1}, nil)),
		"no time":               encode(wire(map[int]any{8: nil}, nil)),
		"no body":               encode(wire(map[int]any{9: nil}, nil)),
		"a body that's a list":  encode(wire(map[int]any{9: []int{1}}, nil)),
		"an unknown field":      encode(wire(map[int]any{10: 1}, nil)),
		"version 0":             encode(wire(nil, map[int]any{1: 0})),
		"no manifest":           encode(wire(nil, map[int]any{2: nil})),
		"a short manifest":      encode(wire(nil, map[int]any{2: []byte{1}})),
		"the derived alias":     encode(wire(nil, map[int]any{3: derived[:]})),
		"an empty description":  encode(wire(nil, map[int]any{4: ""})),
		"a description's bytes": encode(wire(nil, map[int]any{4: []byte("x")})),
		"redistribute 3":        encode(wire(nil, map[int]any{7: 3})),
		"a text key":            encode(wire(map[int]any{9: map[any]any{1: 7, 2: make([]byte, 32), "x": 1}}, nil)),
		"too large":             encode(wire(nil, map[int]any{4: strings.Repeat("x", publog.MaxRecordSize)})),
		"subject of the whole":  encode(wire(map[int]any{2: 9, 9: map[int]any{1: 1}}, nil)),
		"versions in disorder":  encode(wire(map[int]any{2: 5, 9: map[int]any{1: []int{2, 2}}}, nil)),
		"all and versions":      encode(wire(map[int]any{2: 5, 9: map[int]any{1: []int{2}, 2: true}}, nil)),
		"neither all nor some":  encode(wire(map[int]any{2: 5, 9: map[int]any{3: "why"}}, nil)),
		"no versions, listed":   encode(wire(map[int]any{2: 5, 9: map[int]any{1: []int{}, 2: true}}, nil)),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := publog.DecodeRecord(b)
			if err == nil {
				t.Fatalf("accepted %x as %+v", b, r)
			}
			if k := bundle.KindOf(err); k != bundle.KindInvalid && k != bundle.KindTooLarge {
				t.Errorf("kind %s: %v", k, err)
			}
		})
	}
}

func TestEncodeRefusesARecordThatDoesNotFitItsKind(t *testing.T) {
	for name, spoil := range map[string]func(*publog.Record){
		"two bodies":       func(r *publog.Record) { r.Bundle = &publog.BundleBody{Collection: id(3)} },
		"no body":          func(r *publog.Record) { r.Version = nil },
		"raw and known":    func(r *publog.Record) { r.Raw = []byte{0xa0} },
		"unknown, no raw":  func(r *publog.Record) { r.Kind, r.Version = 99, nil },
		"unknown and body": func(r *publog.Record) { r.Kind, r.Raw = 99, []byte{0xa0} },
		"not UTF-8":        func(r *publog.Record) { r.Version.License = "\xff" },
		"too large":        func(r *publog.Record) { r.Version.License = strings.Repeat("x", publog.MaxRecordSize) },
	} {
		t.Run(name, func(t *testing.T) {
			r := plainVersion()
			spoil(r)
			if b, err := r.Encode(); err == nil {
				t.Errorf("encoded as %x", b)
			}
		})
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := plainVersion()
		r.Critical = rapid.Bool().Draw(t, "critical")
		r.Time = rapid.Int64Range(0, 253402300799999999).Draw(t, "time")
		r.Owner.Epoch = rapid.Uint64Min(1).Draw(t, "epoch")
		r.Version.Number = rapid.Uint64Min(1).Draw(t, "number")
		r.Version.ChangeDescription = rapid.String().Draw(t, "change")
		r.Version.License = rapid.String().Draw(t, "license")
		r.Version.Redistribute = publog.Redistribute(rapid.IntRange(0, 2).Draw(t, "redistribute"))
		copy(r.Version.Alias[:], rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "alias"))
		b, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := publog.DecodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Fatalf("decoded %+v, want %+v", got, r)
		}
	})
}

func TestLeafHashCoversSaltAndBody(t *testing.T) {
	salt, body := publog.Salt{1}, []byte("body")
	want := tlog.RecordHash(append(salt[:], body...))
	if got := publog.LeafHash(salt, body); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := (publog.Entry{Salt: salt, Body: body}).LeafHash(); got != want {
		t.Errorf("entry: got %s, want %s", got, want)
	}
	if got := (publog.Entry{Redacted: want}).LeafHash(); got != want {
		t.Errorf("redacted entry: got %s, want %s", got, want)
	}
}

func TestRedistributeNamesRoundTrip(t *testing.T) {
	for _, d := range []publog.Redistribute{publog.RedistributeNone, publog.RedistributePeers, publog.RedistributeAny} {
		if got, err := publog.ParseRedistribute(d.String()); err != nil || got != d {
			t.Errorf("%s: got %s, %v", d, got, err)
		}
	}
	_, err := publog.ParseRedistribute("everyone")
	wantKind(t, err, bundle.KindInvalid)
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range samples() {
		b, err := r.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := publog.DecodeRecord(b)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatalf("decoded, but cannot be encoded: %v", err)
		}
		if len(again) > len(b) || len(again) == len(b) && !bytes.Equal(again, b) {
			t.Fatalf("%x was accepted, its encoding is %x", b, again)
		}
		if r2, err := publog.DecodeRecord(again); err != nil || !reflect.DeepEqual(r, r2) {
			t.Fatalf("%+v became %+v, %v", r, r2, err)
		}
	})
}
