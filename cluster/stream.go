package cluster

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/blockstored/blockstored/bundle"
)

// A copy of the catalog in transit:
//
//	8 bytes   "bscatlg2"
//	16 bytes  id of the copy
//	8 bytes   index, big-endian: the copy's applied position is not before it
//	8 bytes   term of that index, big-endian
//	8 bytes   length n of the database, big-endian
//	a Zstandard frame of
//	  n bytes   the database
//	  32 bytes  SHA-256 of all of the above, the database uncompressed
//
// The first 40 bytes alone are what raft sends when the copy has arrived.
const (
	streamMagic  = "bscatlg2"
	streamHeader = len(streamMagic) + len(copyID{}) + 16
)

// copyID tells copies apart.
type copyID [16]byte

// copyHeader says which copy something is about.
type copyHeader struct {
	id          copyID
	index, term uint64
}

func newCopyHeader(index, term uint64) copyHeader {
	h := copyHeader{index: index, term: term}
	_, _ = rand.Read(h.id[:]) // never fails
	return h
}

func (h copyHeader) append(b []byte) []byte {
	b = append(append(b, streamMagic...), h.id[:]...)
	b = binary.BigEndian.AppendUint64(b, h.index)
	return binary.BigEndian.AppendUint64(b, h.term)
}

func readCopyHeader(src io.Reader) (h copyHeader, err error) {
	b := make([]byte, streamHeader)
	if n, err := io.ReadFull(src, b); err != nil && n < len(streamMagic) {
		return h, bundle.Errorf(bundle.KindCorrupt, "the received copy of the catalog has no header: %w", err)
	}
	if string(b[:len(streamMagic)]) != streamMagic {
		return h, bundle.Errorf(bundle.KindCorrupt,
			"the received copy of the catalog begins with %q and not with %q: the sender runs another version; run the same on all nodes",
			b[:len(streamMagic)], streamMagic)
	}
	b = b[copy(h.id[:], b[len(streamMagic):])+len(streamMagic):]
	h.index, h.term = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	return h, nil
}

// writeStream writes the stream of a copy to w, from its database of n bytes.
// Its memory does not depend on n.
func writeStream(w io.Writer, h copyHeader, database io.Reader, n int64) error {
	head := binary.BigEndian.AppendUint64(h.append(nil), uint64(n))
	if _, err := w.Write(head); err != nil {
		return err
	}
	// The fastest level: a catalog, of digests and texts, gains little by more.
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return err
	}
	sum := sha256.New()
	sum.Write(head)
	if _, err := io.CopyN(io.MultiWriter(z, sum), database, n); err != nil {
		_ = z.Close() // releases its buffers; the stream is of no use
		return fmt.Errorf("read the copy of the catalog: %w", err)
	}
	if _, err := z.Write(sum.Sum(nil)); err != nil {
		_ = z.Close()
		return err
	}
	return z.Close()
}

// streamReader yields the database inside a stream. It holds the last 32 bytes
// back and answers io.EOF only if they are the digest of everything before: a
// reader that reached the end has a whole and unaltered copy.
type streamReader struct {
	copyHeader
	size int64 // of the database, as the header says

	src   *zstd.Decoder
	sum   hash.Hash
	read  int64 // bytes of the database handed out
	space []byte
	buf   []byte // the part of space that was read and not yet handed out
	done  error  // what src ended with
}

// openStream reads the beginning of a stream. The caller closes the reader.
func openStream(src io.Reader) (*streamReader, error) {
	r := &streamReader{sum: sha256.New(), space: make([]byte, 64<<10)}
	var err error
	if r.copyHeader, err = readCopyHeader(src); err != nil {
		return nil, err
	}
	length := make([]byte, 8)
	if _, err := io.ReadFull(src, length); err != nil {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the received copy of the catalog has no length: %w", err)
	}
	r.sum.Write(r.append(nil))
	r.sum.Write(length)
	if r.size = int64(binary.BigEndian.Uint64(length)); r.size < 0 || r.size > 1<<50 {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the received copy of the catalog says that it has %d bytes", uint64(r.size))
	}
	r.src, err = zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	return r, err
}

// Close releases what decoding took.
func (r *streamReader) Close() { r.src.Close() }

// Read implements [io.Reader].
func (r *streamReader) Read(p []byte) (int, error) {
	for len(r.buf) <= sha256.Size {
		if r.done != nil {
			return 0, r.finish()
		}
		r.fill()
	}
	n := copy(p, r.buf[:len(r.buf)-sha256.Size])
	if r.read += int64(n); r.read > r.size {
		return 0, bundle.Errorf(bundle.KindCorrupt, "the received copy of the catalog is longer than the %d bytes that it said", r.size)
	}
	r.sum.Write(r.buf[:n])
	r.buf = r.buf[n:]
	return n, nil
}

func (r *streamReader) fill() {
	have := copy(r.space, r.buf)
	n, err := r.src.Read(r.space[have:])
	r.buf, r.done = r.space[:have+n], err
}

func (r *streamReader) finish() error {
	if r.done != io.EOF {
		return fmt.Errorf("read the received copy of the catalog: %w", r.done)
	}
	if r.read != r.size || !bytes.Equal(r.buf, r.sum.Sum(nil)) {
		return bundle.Errorf(bundle.KindCorrupt, "the received copy of the catalog is cut short or altered")
	}
	return io.EOF
}
