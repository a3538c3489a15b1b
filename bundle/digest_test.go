package bundle

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestHashesAreThoseOfTheRESTContract(t *testing.T) {
	for content, want := range map[string]string{
		"initial version": "a45a5c6716276a66c4005534a51453ab16ea63c4",
		"":                "3345524abf6bbe1809449224b5972c41790b6cf2",
	} {
		if got := HashOf([]byte(content)).String(); got != want {
			t.Errorf("%q: %s", content, got)
		}
	}
}

func TestHasherAgreesWithBlobOf(t *testing.T) {
	h := NewHasher()
	for _, part := range []string{"", "initial ", "version"} {
		if n, err := h.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if h.Blob() != BlobOf([]byte("initial version")) {
		t.Error(h.Blob())
	}
}

func TestDigestsAndIDsParseOnlyWhatTheyPrint(t *testing.T) {
	b := BlobOf([]byte("x"))
	var back Blob
	if js, err := json.Marshal(b); err != nil {
		t.Fatal(err)
	} else if err := json.Unmarshal(js, &back); err != nil || back != b {
		t.Error(string(js), err)
	}
	if SnapshotAlias(b.Digest).String() != b.Digest.String()[:40] {
		t.Error("an alias is not the first 40 digits")
	}
	if b.Digest.IsZero() || b.Hash.IsZero() || !(Digest{}).IsZero() || !(Hash20{}).IsZero() {
		t.Error("IsZero")
	}
	for _, s := range []string{"", "ab", strings.Repeat("g", 64), strings.Repeat("g", 40), b.Digest.String() + "0"} {
		if _, err := ParseDigest(s); !IsKind(err, KindInvalid) {
			t.Errorf("digest %q: %v", s, err)
		}
		if _, err := ParseHash20(s); !IsKind(err, KindInvalid) {
			t.Errorf("hash %q: %v", s, err)
		}
		if _, err := ParseID(s); !IsKind(err, KindInvalid) {
			t.Errorf("id %q: %v", s, err)
		}
	}
	lost := b.Hash
	if err := lost.UnmarshalText(nil); err != nil || !lost.IsZero() {
		t.Errorf("the hash of lost bytes is %v, %v", lost, err)
	}
	if _, err := ParseID(ID{}.String()); err == nil {
		t.Error("the zero id parsed")
	}
	id := NewID()
	if got, err := ParseID(strings.ToUpper(id.String())); err != nil || got != id {
		t.Error(err)
	}
}
