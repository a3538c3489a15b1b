package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"

	"github.com/blockstored/blockstored/bundle"
)

// A pack is header, frames, footer, trailer. All numbers are big-endian.
//
//	header   packHeader
//	frames   as bundle.Frame.AppendTo writes them, without gaps
//	footer   one entry per frame, in the frames' order:
//	         digest 32, API hash 20, codec 1, size 4, length 4, offset 4
//	trailer  footer offset 8, footer length 8, footer SHA-256 32, packTrailer
const (
	packHeader  = "bspack\x00\x01"
	packTrailer = "bspkend\x01"

	packEntrySize   = 32 + 20 + 1 + 4 + 4 + 4
	packTrailerSize = 8 + 8 + sha256.Size + len(packTrailer)

	// packTarget is the size in bytes at which a pack is cut.
	packTarget = 16 << 20
	// maxPack is the largest pack: offsets have 32 bits.
	maxPack = 1<<32 - 1
	// packFormat is the format's number in the store's claim.
	packFormat = 1
)

// PackEntry is one blob of a pack's footer.
type PackEntry struct {
	bundle.Blob
	Codec          bundle.Codec
	Offset, Length int64 // of the frame's payload in the pack, in bytes
}

// packEncoder writes a pack to w and hashes it on the way.
type packEncoder struct {
	w      io.Writer
	sha    hash.Hash
	buf    []byte
	offset int64 // bytes encoded, in buf or written
	footer []byte
}

// packFlush is how much an encoder gathers before it writes.
const packFlush = 1 << 20

func newPackEncoder(w io.Writer, buf []byte) *packEncoder {
	p := &packEncoder{w: w, sha: sha256.New(), buf: buf[:0]}
	p.buf = append(p.buf, packHeader...)
	p.offset = int64(len(p.buf))
	return p
}

// add appends the frame of b, whose size and digest it must carry, and returns
// where its payload lies.
func (p *packEncoder) add(f bundle.Frame, b bundle.Blob) (PackEntry, error) {
	e := PackEntry{
		Blob: b, Codec: f.Codec,
		Offset: p.offset + int64(bundle.FrameHeaderSize), Length: int64(len(f.Payload)),
	}
	p.buf = f.AppendTo(p.buf)
	p.offset += int64(f.EncodedLen())
	p.footer = appendPackEntry(p.footer, e)
	if len(p.buf) < packFlush {
		return e, nil
	}
	return e, p.flush()
}

// finish appends footer and trailer and returns the pack's id and size.
func (p *packEncoder) finish() (bundle.Digest, int64, error) {
	footerAt := p.offset
	p.buf = append(p.buf, p.footer...)
	p.buf = binary.BigEndian.AppendUint64(p.buf, uint64(footerAt))
	p.buf = binary.BigEndian.AppendUint64(p.buf, uint64(len(p.footer)))
	sum := sha256.Sum256(p.footer)
	p.buf = append(p.buf, sum[:]...)
	p.buf = append(p.buf, packTrailer...)
	p.offset += int64(len(p.footer) + packTrailerSize)
	err := p.flush()
	return bundle.Digest(p.sha.Sum(nil)), p.offset, err
}

func (p *packEncoder) flush() error {
	p.sha.Write(p.buf)
	_, err := p.w.Write(p.buf)
	p.buf = p.buf[:0]
	return err
}

// packSize returns the size of a pack of n frames whose payloads have the
// given length together.
func packSize(n int, payloads int64) int64 {
	return int64(len(packHeader)+packTrailerSize) + payloads + int64(n)*int64(bundle.FrameHeaderSize+packEntrySize)
}

func appendPackEntry(b []byte, e PackEntry) []byte {
	b = append(b, e.Digest[:]...)
	b = append(b, e.Hash[:]...)
	b = append(b, byte(e.Codec))
	b = binary.BigEndian.AppendUint32(b, uint32(e.Size))
	b = binary.BigEndian.AppendUint32(b, uint32(e.Length))
	return binary.BigEndian.AppendUint32(b, uint32(e.Offset))
}

// packFooter is what a trailer says.
type packFooter struct {
	offset, length int64
	sum            [sha256.Size]byte
}

// parsePackTrailer reads the last packTrailerSize bytes of a pack of the given
// size. Every error is of KindCorrupt.
func parsePackTrailer(b []byte, size int64) (f packFooter, err error) {
	if len(b) != packTrailerSize || string(b[packTrailerSize-len(packTrailer):]) != packTrailer {
		return f, bundle.Errorf(bundle.KindCorrupt, "no pack, or one of a newer format: the trailer is not that of format %d", packFormat)
	}
	offset, length := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	if size > maxPack || offset > uint64(size) || length > uint64(size) ||
		offset < uint64(len(packHeader)) || length%packEntrySize != 0 ||
		int64(offset+length)+int64(packTrailerSize) != size {
		return f, bundle.Errorf(bundle.KindCorrupt, "pack of %d bytes: its trailer names a footer of %d bytes at %d", size, length, offset)
	}
	f.offset, f.length = int64(offset), int64(length)
	copy(f.sum[:], b[16:])
	return f, nil
}

// parsePackFooter reads a footer, which must be that of the trailer and must
// describe frames that fill the pack without gaps. Every error is of
// KindCorrupt.
func parsePackFooter(b []byte, f packFooter) ([]PackEntry, error) {
	if int64(len(b)) != f.length || sha256.Sum256(b) != f.sum {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the pack's footer does not match the digest in its trailer")
	}
	entries := make([]PackEntry, 0, len(b)/packEntrySize)
	next := int64(len(packHeader))
	for ; len(b) > 0; b = b[packEntrySize:] {
		e := parsePackEntry(b[:packEntrySize])
		if e.Size > bundle.MaxFrameBlob || e.Length > e.Size || e.Codec > bundle.CodecZstd ||
			e.Offset != next+int64(bundle.FrameHeaderSize) {
			return nil, bundle.Errorf(bundle.KindCorrupt, "entry %d of the pack's footer is impossible: %d bytes at %d for a blob of %d",
				len(entries), e.Length, e.Offset, e.Size)
		}
		next = e.Offset + e.Length
		entries = append(entries, e)
	}
	if next != f.offset {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the pack's frames end at %d, its footer begins at %d", next, f.offset)
	}
	return entries, nil
}

func parsePackEntry(b []byte) (e PackEntry) {
	n := copy(e.Digest[:], b)
	n += copy(e.Hash[:], b[n:])
	e.Codec = bundle.Codec(b[n])
	e.Size = int64(binary.BigEndian.Uint32(b[n+1:]))
	e.Length = int64(binary.BigEndian.Uint32(b[n+5:]))
	e.Offset = int64(binary.BigEndian.Uint32(b[n+9:]))
	return e
}
