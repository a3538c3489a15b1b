package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
)

const blockBytes = 1 << 20

// content makes a file of any size as it is read: blocks that do not compress
// and differ from each other. It is made again to be compared.
type content struct {
	left  int64
	block []byte
	rest  []byte // of block
	n     uint64 // blocks made
}

func newContent(size int64) *content {
	block := make([]byte, blockBytes)
	_, _ = rand.NewChaCha8([32]byte{10}).Read(block) // never fails
	return &content{left: size, block: block}
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	if len(c.rest) == 0 {
		c.n++
		binary.BigEndian.PutUint64(c.block, c.n)
		c.rest = c.block[:min(blockBytes, c.left)]
	}
	n := copy(p, c.rest)
	c.rest, c.left = c.rest[n:], c.left-int64(n)
	return n, nil
}

// same returns an error unless r has exactly the content of a size.
func same(r io.Reader, size int64) error {
	want := newContent(size)
	a, b := make([]byte, blockBytes), make([]byte, blockBytes)
	for at := int64(0); ; {
		n, err := io.ReadFull(r, a)
		m, werr := io.ReadFull(want, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return fmt.Errorf("other bytes came back, at %d or soon after (%d read, %d expected)", at, n, m)
		}
		at += int64(n)
		switch ended := werr == io.EOF || werr == io.ErrUnexpectedEOF; { //nolint:errorlint // io.ReadFull returns them bare
		case ended && (err == io.EOF || err == io.ErrUnexpectedEOF): //nolint:errorlint // as above
			return nil
		case err != nil:
			return fmt.Errorf("at %d: %w", at, err)
		}
	}
}
