package cluster

import (
	"bytes"
	"encoding/hex"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

func stream(t rapid.TB, h copyHeader, content []byte) []byte {
	var b bytes.Buffer
	if err := writeStream(&b, h, bytes.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readStream returns the database in a stream.
func readStream(src io.Reader) (h copyHeader, content []byte, err error) {
	r, err := openStream(src)
	if err != nil {
		return h, nil, err
	}
	defer r.Close()
	content, err = io.ReadAll(r)
	return r.copyHeader, content, err
}

func TestStreamRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := bytes.Repeat(rapid.SliceOf(rapid.Byte()).Draw(t, "content"), rapid.IntRange(1, 3000).Draw(t, "times"))
		want := newCopyHeader(rapid.Uint64().Draw(t, "index"), rapid.Uint64().Draw(t, "term"))
		var src io.Reader = bytes.NewReader(stream(t, want, content))
		if rapid.Bool().Draw(t, "data with EOF") {
			src = iotest.DataErrReader(src)
		}
		if rapid.Bool().Draw(t, "halves") {
			src = iotest.HalfReader(src)
		}
		h, got, err := readStream(src)
		if err != nil || !bytes.Equal(got, content) || h != want {
			t.Fatalf("got %d bytes of %d, %+v: %v", len(got), len(content), h, err)
		}
	})
}

func TestAlteredStreamIsRefused(t *testing.T) {
	header, content := newCopyHeader(7, 2), bytes.Repeat([]byte("the catalog"), 10000)
	good := stream(t, header, content)
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		// Bits of a frame's descriptor that mean nothing may change.
		if h, got, err := readStream(bytes.NewReader(bad)); err == nil && (h != header || !bytes.Equal(got, content)) {
			t.Fatalf("byte %d altered: got %d bytes of %+v", at, len(got), h)
		}
		if _, _, err := readStream(bytes.NewReader(good[:at])); err == nil {
			t.Fatalf("cut at %d: no error", at)
		}
	}
}

func TestStreamPassesOnFaultsOfItsSource(t *testing.T) {
	_, _, err := readStream(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(stream(t, newCopyHeader(1, 1), []byte("x"))))))
	if err == nil {
		t.Error("no error")
	}
}

func TestStreamGolden(t *testing.T) {
	path := filepath.Join("testdata", "stream.hex")
	h := copyHeader{index: 0x0102, term: 3}
	copy(h.id[:], "the copy's id...")
	want := []byte("the bytes of a SQLite database")
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(stream(t, h, want))+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	// How well it is compressed may change, not how it is read.
	got, content, err := readStream(bytes.NewReader(golden))
	if err != nil || got != h || !bytes.Equal(content, want) {
		t.Errorf("the format changed: read %+v, %q: %v", got, content, err)
	}
	if now := stream(t, h, want); !bytes.Equal(now[:streamHeader+8], golden[:streamHeader+8]) {
		t.Errorf("the format changed: begins with %x", now[:streamHeader+8])
	}
}

// FuzzStream: whatever arrives, reading to io.EOF means that the digest covers
// every byte of it.
func FuzzStream(f *testing.F) {
	f.Add(stream(f, copyHeader{}, nil))
	f.Add(stream(f, newCopyHeader(7, 2), []byte("content")))
	f.Add([]byte(streamMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, content, err := readStream(bytes.NewReader(b))
		if err != nil {
			return
		}
		again := stream(t, h, content)
		if !bytes.Equal(again[:streamHeader+8], b[:streamHeader+8]) {
			t.Error("accepted what was not written so")
		}
	})
}
