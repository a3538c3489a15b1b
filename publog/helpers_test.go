package publog_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
	"golang.org/x/mod/sumdb/tlog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name; .hex files are kept as hexadecimal
// lines of 32 bytes, so that a change can be read in a diff.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if strings.HasSuffix(name, ".hex") {
		var lines bytes.Buffer
		for rest := got; len(rest) > 0; {
			n := min(32, len(rest))
			lines.WriteString(hex.EncodeToString(rest[:n]) + "\n")
			rest = rest[n:]
		}
		got = lines.Bytes()
	}
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: the encoding changed; peers hold signed bytes of the old one\n got %s\nwant %s", path, got, want)
	}
}

// readGolden returns the bytes of a .hex golden file.
func readGolden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func id(n byte) bundle.ID {
	i := bundle.ID{0: 0x10, 6: 0x40, 8: 0x80, 15: n}
	return i
}

func digest(s string) bundle.Digest { return bundle.DigestOf([]byte(s)) }

func hash(s string) tlog.Hash { return tlog.Hash(digest(s)) }

// seeded is an endless source of the same bytes, for keys in golden files.
type seeded byte

func (s seeded) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s)
	}
	return len(p), nil
}

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

// memLog is a log in memory: all stored hashes, in tlog's order.
type memLog struct {
	hashes []tlog.Hash
	size   int64
	reads  int
}

func (m *memLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	m.reads++
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = m.hashes[index]
	}
	return out, nil
}

func (m *memLog) append(t testing.TB, leaf tlog.Hash) {
	t.Helper()
	hashes, err := publog.AppendHashes(m.size, leaf, m)
	if err != nil {
		t.Fatal(err)
	}
	m.hashes = append(m.hashes, hashes...)
	m.size++
}

func (m *memLog) root(t testing.TB, n int64) tlog.Hash {
	t.Helper()
	root, err := publog.Root(n, m)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// leafAt is the i'th leaf of every test log.
func leafAt(i int64) tlog.Hash {
	return tlog.RecordHash(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

func newLog(t testing.TB, n int64) *memLog {
	t.Helper()
	m := new(memLog)
	for i := range n {
		m.append(t, leafAt(i))
	}
	return m
}

func wantAlarm(t *testing.T, err error, want publog.Alarm) {
	t.Helper()
	if got, ok := publog.AlarmOf(err); !ok || got != want {
		t.Errorf("got %v, want alarm %s", err, want)
	}
}

func wantKind(t *testing.T, err error, want bundle.Kind) {
	t.Helper()
	if _, ok := publog.AlarmOf(err); ok || !bundle.IsKind(err, want) {
		t.Errorf("got %v, want an error of kind %s and no alarm", err, want)
	}
}
