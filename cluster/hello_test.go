package cluster

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestHelloIsAsWritten(t *testing.T) {
	golden, err := os.ReadFile("testdata/hello.hex")
	if err != nil {
		t.Fatal(err)
	}
	got, err := hello{stream: streamRaft, to: "n2-7b", from: "n1-3a"}.append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(golden)); hex.EncodeToString(got) != want {
		t.Errorf("got %x, want %s", got, want)
	}
}

func TestHelloIsReadBackAndNotAByteMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringN(1, 60, maxID)
		want := hello{
			stream: rapid.SampledFrom([]streamKind{streamRaft, streamCalls}).Draw(t, "stream"),
			to:     id.Draw(t, "to"), from: id.Draw(t, "from"),
		}
		wire, err := want.append(nil)
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(append(wire, "rest"...))
		got, err := readHello(r)
		if err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "rest" {
			t.Fatalf("left %q", rest)
		}
	})
}

func TestHelloNeedsIDs(t *testing.T) {
	for _, h := range []hello{{to: "", from: "n1-1"}, {to: "n1-1", from: ""}, {to: strings.Repeat("n", 256), from: "n1-1"}} {
		if _, err := h.append(nil); err == nil {
			t.Errorf("%+v was written", h)
		}
	}
}

func FuzzReadHello(f *testing.F) {
	f.Add([]byte("bsc1r\x04n2-7\x04n1-3"))
	f.Add([]byte("bsc1c\x00\x00"))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHello(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := h.append(nil)
		if err != nil || !bytes.HasPrefix(b, again) {
			t.Errorf("%q was read as %+v, which is written %q (%v)", b, h, again, err)
		}
	})
}

func TestNodeIDsAreNameAndIncarnation(t *testing.T) {
	for id, want := range map[string]nodeID{
		"n1-1": {"n1", "1"}, "rack-3-7f3a": {"rack-3", "7f3a"},
		"n1": {}, "-1": {}, "n1-": {}, "": {}, "a/b-1": {}, "a\x00-1": {}, "\xff-1": {}, strings.Repeat("n", 254) + "-1": {},
	} {
		got, err := parseNode(id)
		if got != want || (err != nil) != (want == nodeID{}) {
			t.Errorf("%q: %+v, %v", id, got, err)
		}
	}
}
