package bundle

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// A manifest uses four of CBOR's types (RFC 8949): unsigned integers, byte
// strings, text strings and arrays, all of definite length with heads of the
// shortest form, which is the core deterministic encoding of §4.2.1. A reader
// that knows only these accepts exactly one spelling of each value and never
// allocates more than the bytes at hand can fill; the tests hold both
// directions against a complete CBOR library.
const (
	cborUint  byte = 0 << 5
	cborBytes byte = 2 << 5
	cborText  byte = 3 << 5
	cborArray byte = 4 << 5
)

func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func appendUint(b []byte, n uint64) []byte { return appendHead(b, cborUint, n) }
func appendArray(b []byte, n int) []byte   { return appendHead(b, cborArray, uint64(n)) }
func appendBytes(b []byte, v []byte) []byte {
	return append(appendHead(b, cborBytes, uint64(len(v))), v...)
}
func appendText(b []byte, s string) []byte {
	return append(appendHead(b, cborText, uint64(len(s))), s...)
}

// cborReader takes values off the front of b. The first failure sticks and
// empties it, so that callers check err once, at the end of each loop's body at
// the latest.
type cborReader struct {
	b   []byte
	err error
}

func (r *cborReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = Errorf(KindInvalid, format, args...)
	}
	r.b = nil
}

func (r *cborReader) head(major byte) uint64 {
	if len(r.b) == 0 || r.b[0]&0xe0 != major {
		r.fail("a value is missing or of the wrong type")
		return 0
	}
	info := r.b[0] & 0x1f
	if info < 24 {
		r.b = r.b[1:]
		return uint64(info)
	}
	if info > 27 {
		r.fail("a value has no definite length")
		return 0
	}
	width := 1 << (info - 24)
	if len(r.b) < 1+width {
		r.fail("the bytes end inside a value")
		return 0
	}
	var n uint64
	for _, c := range r.b[1 : 1+width] {
		n = n<<8 | uint64(c)
	}
	if shortest := width == 1 && n >= 24 || width > 1 && n>>(4*width) != 0; !shortest {
		r.fail("a value is not in its shortest form")
		return 0
	}
	r.b = r.b[1+width:]
	return n
}

func (r *cborReader) uint() uint64 { return r.head(cborUint) }

// array reads the head of an array whose elements take at least minLen bytes
// each, so that its length can be trusted for an allocation.
func (r *cborReader) array(minLen int) int {
	n := r.head(cborArray)
	if n > uint64(len(r.b)/minLen) {
		r.fail("an array is longer than the bytes that hold it")
		return 0
	}
	return int(n)
}

// tuple reads the head of an array of exactly n elements.
func (r *cborReader) tuple(n int) {
	if got := r.head(cborArray); r.err == nil && got != uint64(n) {
		r.fail("an array has %d elements instead of %d", got, n)
	}
}

func (r *cborReader) string(major byte, limit int) []byte {
	n := r.head(major)
	if n > uint64(limit) || n > uint64(len(r.b)) {
		r.fail("a string of %d bytes is too long", n)
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// text reads a text string of valid UTF-8 of at most limit bytes.
func (r *cborReader) text(limit int) string {
	v := r.string(cborText, limit)
	if !utf8.Valid(v) {
		r.fail("a text is not valid UTF-8")
		return ""
	}
	return string(v)
}

// fixed reads a byte string of exactly len(dst) bytes into dst.
func (r *cborReader) fixed(dst []byte) {
	if v := r.string(cborBytes, len(dst)); r.err == nil && len(v) != len(dst) {
		r.fail("a digest or identifier has %d bytes instead of %d", len(v), len(dst))
	} else {
		copy(dst, v)
	}
}

// end fails unless everything was read.
func (r *cborReader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes follow the last value", len(r.b))
	}
	return r.err
}
