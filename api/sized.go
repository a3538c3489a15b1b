package api

import (
	"errors"
	"io"

	"github.com/blockstored/blockstored/bundle"
)

// Sized returns r as one that fails with [bundle.KindInvalid] unless it yields
// exactly size bytes; any number for -1. The failure comes before the last byte
// of what may be too long. It is for those who implement [Store].
func Sized(r io.Reader, size int64) io.Reader {
	if size < 0 {
		return r
	}
	return &sized{r: r, size: size, left: size}
}

type sized struct {
	r          io.Reader
	size, left int64
	end        error // once it is reached
}

// Read implements io.Reader.
func (s *sized) Read(p []byte) (n int, err error) {
	switch {
	case s.end != nil:
		return 0, s.end
	case s.left > 0:
		n, err = s.r.Read(p[:min(int64(len(p)), s.left)])
		s.left -= int64(n)
		if errors.Is(err, io.EOF) && s.left > 0 {
			s.end = bundle.Errorf(bundle.KindInvalid, "The content has %d bytes, not the %d that were announced.", s.size-s.left, s.size)
			return n, s.end
		}
		if s.left > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
	}
	if _, s.end = io.ReadFull(s.r, make([]byte, 1)); s.end == nil {
		s.end = bundle.Errorf(bundle.KindInvalid, "The content has more than the %d bytes that were announced.", s.size)
		return 0, s.end
	}
	return n, s.end
}
