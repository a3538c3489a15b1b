package catalog

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

func TestResultsComeBackAsTheyWereSent(t *testing.T) {
	for _, want := range []Result{
		{},
		{Index: 7, Number: 3, Time: -1, Revision: 1 << 40, ID: bundle.ID{1, 2, 3}},
		{Index: 8, Err: bundle.Errorf(bundle.KindConflict, "the head moved").With("reason", "head").With("head", "4")},
	} {
		b, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeResult(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%x is %+v, %v, want %+v", b, got, err, want)
		}
		for cut := range len(b) {
			if _, err := DecodeResult(b[:cut]); err == nil {
				t.Errorf("%d bytes of %x were taken for a result", cut, b)
			}
		}
	}
}

func TestResultBytesStayAsPublished(t *testing.T) {
	r := Result{
		Index: 300, Number: 2, Time: 1_700_000_000_000_000, Revision: 9, ID: bundle.ID{15: 1},
		Err: bundle.Errorf(bundle.KindNotFound, "gone").With("reason", "head"),
	}
	const want = "8619012c83696e6f745f666f756e6464676f6e65818266726561736f6e6468656164021b00060a24181e4000095000000000000000000000000000000001"
	b, err := r.Encode()
	if got := hex.EncodeToString(b); err != nil || got != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}
