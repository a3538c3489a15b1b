package cluster

import (
	"bytes"
	"context"
	"encoding/hex"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
)

var update = flag.Bool("update", false, "write the golden files")

// copyOf is a StateMachine whose Backup writes these bytes.
type copyOf struct {
	StateMachine
	content []byte
}

func (c copyOf) Backup(_ context.Context, w io.Writer) error {
	_, err := w.Write(c.content)
	return err
}

func stream(t rapid.TB, content []byte, index, term uint64) []byte {
	var b bytes.Buffer
	n, err := writeStream(context.Background(), &b, copyOf{content: content}, index, term)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func TestStreamRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := bytes.Repeat(rapid.SliceOf(rapid.Byte()).Draw(t, "content"), rapid.IntRange(1, 3000).Draw(t, "times"))
		index, term := rapid.Uint64().Draw(t, "index"), rapid.Uint64().Draw(t, "term")
		var src io.Reader = bytes.NewReader(stream(t, content, index, term))
		if rapid.Bool().Draw(t, "data with EOF") {
			src = iotest.DataErrReader(src)
		}
		if rapid.Bool().Draw(t, "halves") {
			src = iotest.HalfReader(src)
		}
		r, err := openStream(src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, content) || r.index != index || r.term != term || r.read != int64(len(content)) {
			t.Fatalf("got %d bytes of %d at %d/%d: %v", len(got), len(content), r.index, r.term, err)
		}
	})
}

func TestStreamPassesOnFaultsOfItsSource(t *testing.T) {
	r, err := openStream(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(stream(t, []byte("x"), 1, 1)))))
	if err == nil {
		_, err = io.ReadAll(r)
	}
	if err == nil {
		t.Error("no error")
	}
}

func TestStreamGolden(t *testing.T) {
	path := filepath.Join("testdata", "stream.hex")
	got := hex.Dump(stream(t, []byte("the bytes of a SQLite database"), 0x0102, 3))
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the format changed:\n%s", got)
	}
}

// FuzzStream: whatever arrives, reading to io.EOF means that it was written by
// writeStream, byte for byte.
func FuzzStream(f *testing.F) {
	f.Add(stream(f, nil, 0, 0))
	f.Add(stream(f, []byte("content"), 7, 2))
	f.Add([]byte(streamMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := openStream(bytes.NewReader(b))
		if err != nil {
			if !bundle.IsKind(err, bundle.KindCorrupt) {
				t.Errorf("kind of %v", err)
			}
			return
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return
		}
		if !bytes.Equal(stream(t, content, r.index, r.term), b) {
			t.Error("accepted what was not written so")
		}
	})
}
