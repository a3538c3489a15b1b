package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

func blobGen() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		unit := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "unit")
		return bytes.Repeat(unit, rapid.IntRange(0, MaxFrameBlob/200).Draw(t, "times"))
	})
}

func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := rapid.SliceOfN(blobGen(), 0, 5).Draw(t, "blobs")
		var wire []byte
		for _, b := range blobs {
			f := MakeFrame(b)
			n := len(wire)
			if wire = f.AppendTo(wire); len(wire)-n != f.EncodedLen() {
				t.Fatal("EncodedLen is wrong")
			}
		}
		r := NewFrameReader(iotest.HalfReader(bytes.NewReader(wire)))
		for _, want := range blobs {
			f, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			got, b, err := f.Open()
			if err != nil || !bytes.Equal(got, want) || b != BlobOf(want) {
				t.Fatalf("got %v, %v", b, err)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatal(err)
		}
	})
}

func TestFrameReaderTellsTheEndFromABreak(t *testing.T) {
	wire := MakeFrame([]byte("initial version")).AppendTo(nil)
	for n := range len(wire) {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		r := NewFrameReader(bytes.NewReader(wire[:n]))
		for range 2 { // it sticks
			if _, err := r.Next(); err != want {
				t.Errorf("cut at %d: %v", n, err)
			}
		}
	}
	broken := errors.New("broken")
	if _, err := NewFrameReader(iotest.ErrReader(broken)).Next(); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestMakeFrameCompressesOnlyWhereItHelps(t *testing.T) {
	random := make([]byte, MaxFrameBlob)
	for i := range len(random) / len(Digest{}) {
		d := DigestOf([]byte{byte(i), byte(i >> 8)})
		copy(random[i*len(d):], d[:])
	}
	for name, tt := range map[string]struct {
		blob []byte
		want Codec
	}{
		"empty": {nil, CodecRaw}, "tiny": {bytes.Repeat([]byte("a"), minCompress-1), CodecRaw},
		"text": {[]byte(strings.Repeat("some text ", 20)), CodecZstd}, "largest": {make([]byte, MaxFrameBlob), CodecZstd},
		"random": {random, CodecRaw},
	} {
		f := MakeFrame(tt.blob)
		if f.Codec != tt.want {
			t.Errorf("%s: %s", name, f.Codec)
		}
		if _, b, err := f.Open(); err != nil || b != BlobOf(tt.blob) {
			t.Errorf("%s: %v", name, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a blob over the limit made a frame")
		}
	}()
	MakeFrame(make([]byte, MaxFrameBlob+1))
}

func TestOpenRefusesBytesThatAreNotWhatTheHeaderSays(t *testing.T) {
	blob := []byte(strings.Repeat("content ", 100))
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	for name, tt := range map[string]struct {
		kind   Kind
		change func(f *Frame)
	}{
		"digest":        {KindCorrupt, func(f *Frame) { f.Digest[0]++ }},
		"size":          {KindCorrupt, func(f *Frame) { f.Size++ }},
		"size less":     {KindCorrupt, func(f *Frame) { f.Size-- }},
		"payload":       {KindCorrupt, func(f *Frame) { f.Payload[len(f.Payload)-1]++ }},
		"cut":           {KindCorrupt, func(f *Frame) { f.Payload = f.Payload[:len(f.Payload)-1] }},
		"bomb":          {KindCorrupt, func(f *Frame) { f.Payload = bomb; f.Size = MaxFrameBlob }},
		"no payload":    {KindCorrupt, func(f *Frame) { f.Payload = nil }},
		"raw altered":   {KindCorrupt, func(f *Frame) { *f = MakeFrame([]byte("x")); f.Payload = []byte("y") }},
		"raw of length": {KindInvalid, func(f *Frame) { f.Codec = CodecRaw }},
		"codec":         {KindInvalid, func(f *Frame) { f.Codec = 2 }},
		"over limit":    {KindInvalid, func(f *Frame) { f.Size = MaxFrameBlob + 1 }},
		"negative":      {KindInvalid, func(f *Frame) { f.Size = -1 }},
		"grown":         {KindInvalid, func(f *Frame) { f.Size = int64(len(f.Payload)) }},
	} {
		f := MakeFrame(blob)
		if f.Codec != CodecZstd {
			t.Fatal("not compressed")
		}
		tt.change(&f)
		if _, _, err := f.Open(); !IsKind(err, tt.kind) || err == nil {
			t.Errorf("%s: got %v, want %s", name, err, tt.kind)
		}
	}
}

func TestFrameReaderRefusesLimitsBeforeItAllocates(t *testing.T) {
	h := make([]byte, FrameHeaderSize)
	binary.BigEndian.PutUint32(h[33:], 1<<31)
	binary.BigEndian.PutUint32(h[37:], 1<<31)
	if _, err := NewFrameReader(bytes.NewReader(h)).Next(); !IsKind(err, KindInvalid) {
		t.Error(err)
	}
}

func TestFrameGolden(t *testing.T) {
	// Compressed bytes depend on the encoder's version, so the compressed
	// frame is only decoded, the raw ones are also encoded.
	raw := MakeFrame([]byte("initial version")).AppendTo(MakeFrame(nil).AppendTo(nil))
	golden(t, "frames-raw.bin", raw)
	text := []byte(strings.Repeat("block", 40))
	if *update {
		golden(t, "frame-zstd.bin", MakeFrame(text).AppendTo(nil))
	}
	f, err := NewFrameReader(bytes.NewReader(readGolden(t, "frame-zstd.bin"))).Next()
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := f.Open(); err != nil || !bytes.Equal(got, text) || f.Codec != CodecZstd {
		t.Fatalf("%q, %v", got, err)
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add(MakeFrame([]byte("initial version")).AppendTo(nil))
	f.Add(MakeFrame(nil).AppendTo(MakeFrame([]byte(strings.Repeat("ab", 300))).AppendTo(nil)))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := NewFrameReader(bytes.NewReader(wire))
		var again []byte
		for {
			fr, err := r.Next()
			if err != nil {
				if err == io.EOF && !bytes.Equal(again, wire) {
					t.Fatal("what was read does not encode as it was")
				}
				return
			}
			again = fr.AppendTo(again)
			if blob, b, err := fr.Open(); err == nil && b != BlobOf(blob) {
				t.Fatal("opened to another blob")
			}
		}
	})
}
