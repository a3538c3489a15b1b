package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"github.com/blockstored/blockstored/bundle"
)

// A copy of the catalog in transit:
//
//	8 bytes   "bscatlg1"
//	8 bytes   index, big-endian: the copy's applied position is not before it
//	8 bytes   term of that index, big-endian
//	n bytes   what StateMachine.Backup wrote
//	32 bytes  SHA-256 of all of the above
const (
	streamMagic  = "bscatlg1"
	streamHeader = len(streamMagic) + 16
)

// writeStream writes a copy of sm and returns its length.
func writeStream(ctx context.Context, w io.Writer, sm StateMachine, index, term uint64) (int64, error) {
	sum := sha256.New()
	out := &countingWriter{w: io.MultiWriter(w, sum)}
	head := binary.BigEndian.AppendUint64([]byte(streamMagic), index)
	head = binary.BigEndian.AppendUint64(head, term)
	if _, err := out.Write(head); err != nil {
		return 0, err
	}
	if err := sm.Backup(ctx, out); err != nil {
		return 0, err
	}
	n, err := w.Write(sum.Sum(nil))
	return out.n + int64(n), err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// streamReader yields the copy inside a stream. It holds the last 32 bytes back
// and answers io.EOF only if they are the digest of everything before: a reader
// that reached the end has a whole and unaltered copy.
type streamReader struct {
	index, term uint64
	read        int64 // bytes of copy handed out

	src   io.Reader
	sum   hash.Hash
	space []byte
	buf   []byte // the part of space that was read and not yet handed out
	done  error  // what src ended with
}

func openStream(src io.Reader) (*streamReader, error) {
	r := &streamReader{src: src, sum: sha256.New(), space: make([]byte, 64<<10)}
	head := make([]byte, streamHeader)
	if _, err := io.ReadFull(src, head); err != nil {
		return nil, bundle.Errorf(bundle.KindCorrupt, "the received copy of the catalog has no header: %w", err)
	}
	if string(head[:len(streamMagic)]) != streamMagic {
		return nil, bundle.Errorf(bundle.KindCorrupt,
			"the received copy of the catalog begins with %q; the sender runs another version: update this node", head[:len(streamMagic)])
	}
	r.sum.Write(head)
	r.index = binary.BigEndian.Uint64(head[len(streamMagic):])
	r.term = binary.BigEndian.Uint64(head[len(streamMagic)+8:])
	return r, nil
}

func (r *streamReader) Read(p []byte) (int, error) {
	for len(r.buf) <= sha256.Size {
		if r.done != nil {
			return 0, r.finish()
		}
		r.fill()
	}
	n := copy(p, r.buf[:len(r.buf)-sha256.Size])
	r.sum.Write(r.buf[:n])
	r.buf = r.buf[n:]
	r.read += int64(n)
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
	if !bytes.Equal(r.buf, r.sum.Sum(nil)) {
		return bundle.Errorf(bundle.KindCorrupt, "the received copy of the catalog is cut short or altered")
	}
	return io.EOF
}
