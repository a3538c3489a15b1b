package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// encodePack returns the pack of frames and its footer's entries.
func encodePack(t testing.TB, frames []bundle.Frame) ([]byte, []PackEntry) {
	t.Helper()
	var out bytes.Buffer
	p := newPackEncoder(&out, nil)
	var entries []PackEntry
	for _, f := range frames {
		_, b, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		e, err := p.add(f, b)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	id, size, err := p.finish()
	if err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) != size || bundle.DigestOf(out.Bytes()) != id {
		t.Fatalf("finish says %d bytes and %s, not what was written", size, id)
	}
	return out.Bytes(), entries
}

// decodePack reads a whole pack's index.
func decodePack(pack []byte) ([]PackEntry, error) {
	if len(pack) < len(packHeader)+packTrailerSize {
		return nil, bundle.Errorf(bundle.KindCorrupt, "too short")
	}
	f, err := parsePackTrailer(pack[len(pack)-packTrailerSize:], int64(len(pack)))
	if err != nil {
		return nil, err
	}
	return parsePackFooter(pack[f.offset:f.offset+f.length], f)
}

// goldenFrames are raw so that the file does not depend on the compressor,
// but for one that is fixed bytes.
func goldenFrames() []bundle.Frame {
	frame := func(s string) bundle.Frame {
		return bundle.Frame{Digest: bundle.DigestOf([]byte(s)), Size: int64(len(s)), Payload: []byte(s)}
	}
	zeros := make([]byte, 1000)
	packed := []byte{
		0x28, 0xb5, 0x2f, 0xfd, // magic
		0x60, 0xe8, 0x02, // single segment, content size 1000 - 256
		0x43, 0x1f, 0x00, 0x00, // last block, RLE of 1000
	}
	return []bundle.Frame{
		frame("<problem/>\n"), frame(""),
		{Digest: bundle.DigestOf(zeros), Codec: bundle.CodecZstd, Size: 1000, Payload: packed},
	}
}

func TestPackIsByteForByteTheGoldenOne(t *testing.T) {
	pack, entries := encodePack(t, goldenFrames())
	path := filepath.Join("testdata", "golden.pack")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, pack, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pack, want) {
		t.Fatal("the pack's bytes changed: that is a new format version")
	}
	got, err := decodePack(want)
	if err != nil || len(got) != len(entries) {
		t.Fatalf("%d entries, %v", len(got), err)
	}
}

func TestPackIndexIsWhatWasPacked(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		blobs := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 20).Draw(rt, "blobs")
		frames := make([]bundle.Frame, len(blobs))
		var payloads int64
		for i, b := range blobs {
			frames[i] = bundle.MakeFrame(b)
			payloads += int64(len(frames[i].Payload))
		}
		pack, entries := encodePack(t, frames)
		if int64(len(pack)) != packSize(len(frames), payloads) {
			rt.Fatalf("packSize says %d, the pack has %d bytes", packSize(len(frames), payloads), len(pack))
		}
		got, err := decodePack(pack)
		if err != nil || len(got) != len(entries) {
			rt.Fatalf("%d of %d entries, %v", len(got), len(entries), err)
		}
		r := bundle.NewFrameReader(bytes.NewReader(pack[len(packHeader):]))
		for i, e := range got {
			f, err := r.Next()
			if err != nil || e != entries[i] || f.Digest != e.Digest ||
				!bytes.Equal(f.Payload, pack[e.Offset:e.Offset+e.Length]) || e.Blob != bundle.BlobOf(blobs[i]) {
				rt.Fatalf("entry %d: %+v, frame %v, %v", i, e, f, err)
			}
		}
	})
}

func TestEveryFlippedBitOfFooterAndTrailerIsFound(t *testing.T) {
	pack, entries := encodePack(t, goldenFrames())
	last := entries[len(entries)-1]
	for i := last.Offset + last.Length; i < int64(len(pack)); i++ {
		for bit := range 8 {
			bad := bytes.Clone(pack)
			bad[i] ^= 1 << bit
			if _, err := decodePack(bad); !bundle.IsKind(err, bundle.KindCorrupt) {
				t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
			}
		}
	}
	for n := range pack {
		if _, err := decodePack(pack[:n]); !bundle.IsKind(err, bundle.KindCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// seal gives a footer the trailer that fits it.
func seal(frames, footer []byte) []byte {
	pack := append(bytes.Clone(frames), footer...)
	pack = binary.BigEndian.AppendUint64(pack, uint64(len(frames)))
	pack = binary.BigEndian.AppendUint64(pack, uint64(len(footer)))
	sum := sha256.Sum256(footer)
	return append(append(pack, sum[:]...), packTrailer...)
}

func TestAFooterThatDoesNotFitItsFramesIsCorrupt(t *testing.T) {
	pack, entries := encodePack(t, goldenFrames())
	end := entries[len(entries)-1].Offset + entries[len(entries)-1].Length
	for name, change := range map[string]func(es []PackEntry) []PackEntry{
		"gap":           func(es []PackEntry) []PackEntry { es[1].Offset++; return es },
		"overlap":       func(es []PackEntry) []PackEntry { es[1].Offset--; return es },
		"entry missing": func(es []PackEntry) []PackEntry { return es[:2] },
		"swapped":       func(es []PackEntry) []PackEntry { es[0], es[1] = es[1], es[0]; return es },
		"oversize":      func(es []PackEntry) []PackEntry { es[2].Size = bundle.MaxFrameBlob + 1; return es },
		"grows":         func(es []PackEntry) []PackEntry { es[2].Size = 1; return es },
		"codec":         func(es []PackEntry) []PackEntry { es[0].Codec = 7; return es },
	} {
		var footer []byte
		for _, e := range change(append([]PackEntry(nil), entries...)) {
			footer = appendPackEntry(footer, e)
		}
		if _, err := decodePack(seal(pack[:end], footer)); !bundle.IsKind(err, bundle.KindCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzPackIndex(f *testing.F) {
	pack, _ := encodePack(f, goldenFrames())
	f.Add(pack, false)
	empty, _ := encodePack(f, nil)
	f.Add(empty, true)
	f.Add(pack[:len(pack)-packTrailerSize], true)
	f.Fuzz(func(t *testing.T, b []byte, reseal bool) {
		if reseal { // lets the fuzzer past the footer's digest
			n := min(len(b), len(packHeader)+200)
			b = seal(b[:n], b[n:])
		}
		entries, err := decodePack(b)
		if err != nil {
			if !bundle.IsKind(err, bundle.KindCorrupt) {
				t.Fatalf("kind %v: %v", bundle.KindOf(err), err)
			}
			return
		}
		for _, e := range entries {
			if e.Offset < int64(len(packHeader)) || e.Length < 0 || e.Offset+e.Length > int64(len(b)) {
				t.Fatalf("entry outside the pack: %+v", e)
			}
		}
	})
}

func FuzzObjectKey(f *testing.F) {
	f.Add(objectKey(bundle.DigestOf(nil), packSuffix))
	f.Add(objectKey(bundle.DigestOf(nil), blobSuffix))
	f.Add(ClaimKey)
	f.Fuzz(func(t *testing.T, key string) {
		d, suffix, ok := parseObjectKey(key)
		if ok && (objectKey(d, suffix) != key || CheckKey(key) != nil) {
			t.Fatalf("%q is taken for the object %s%s", key, d, suffix)
		}
	})
}
