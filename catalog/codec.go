package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/blockstored/blockstored/bundle"
)

// codec reads or writes deterministic CBOR (RFC 8949, section 4.2.1): unsigned
// and negative integers, byte and text strings, arrays, booleans and null. One
// function per type describes its shape for both directions, so that they
// cannot differ; the reader accepts the writer's bytes and no others.
type codec struct {
	writing bool
	buf     []byte // written so far, or still to be read
	err     error  // the first error; everything after it is void
}

const (
	majorUint  = 0
	majorNeg   = 1
	majorBytes = 2
	majorText  = 3
	majorArray = 4

	cborFalse = 0xf4
	cborTrue  = 0xf5
	cborNull  = 0xf6
)

var errShort = errors.New("ends too early")

func (c *codec) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// finish reports the first error, bytes left over included.
func (c *codec) finish() error {
	if c.err == nil && !c.writing && len(c.buf) > 0 {
		c.err = fmt.Errorf("has %d bytes too many", len(c.buf))
	}
	return c.err
}

func (c *codec) writeHead(major byte, n uint64) {
	major <<= 5
	switch {
	case n < 24:
		c.buf = append(c.buf, major|byte(n))
	case n <= math.MaxUint8:
		c.buf = append(c.buf, major|24, byte(n))
	case n <= math.MaxUint16:
		c.buf = binary.BigEndian.AppendUint16(append(c.buf, major|25), uint16(n))
	case n <= math.MaxUint32:
		c.buf = binary.BigEndian.AppendUint32(append(c.buf, major|26), uint32(n))
	default:
		c.buf = binary.BigEndian.AppendUint64(append(c.buf, major|27), n)
	}
}

func (c *codec) readHead() (major byte, n uint64) {
	if c.err != nil {
		return 0, 0
	}
	if len(c.buf) == 0 {
		c.fail(errShort)
		return 0, 0
	}
	major, info := c.buf[0]>>5, c.buf[0]&31
	c.buf = c.buf[1:]
	if info < 24 {
		return major, uint64(info)
	}
	if info > 27 {
		c.fail(errors.New("has an item of unknown length"))
		return 0, 0
	}
	size := 1 << (info - 24)
	if len(c.buf) < size {
		c.fail(errShort)
		return 0, 0
	}
	for _, b := range c.buf[:size] {
		n = n<<8 | uint64(b)
	}
	c.buf = c.buf[size:]
	if n < 24 || size > 1 && n>>(4*size) == 0 {
		c.fail(errors.New("has a number that is not in its shortest form"))
	}
	return major, n
}

func (c *codec) expect(major byte) uint64 {
	got, n := c.readHead()
	if c.err == nil && got != major {
		c.fail(fmt.Errorf("has an item of type %d where type %d belongs", got, major))
	}
	return n
}

func (c *codec) array(n int) {
	if c.writing {
		c.writeHead(majorArray, uint64(n))
	} else if got := c.expect(majorArray); c.err == nil && got != uint64(n) {
		c.fail(fmt.Errorf("has %d fields where %d belong", got, n))
	}
}

func (c *codec) uint(v *uint64) {
	if c.writing {
		c.writeHead(majorUint, *v)
	} else {
		*v = c.expect(majorUint)
	}
}

func (c *codec) int(v *int64) {
	switch {
	case !c.writing:
		major, n := c.readHead()
		switch {
		case c.err != nil:
		case major > majorNeg || n > math.MaxInt64:
			c.fail(errors.New("has something else where a 64-bit integer belongs"))
		case major == majorNeg:
			*v = -1 - int64(n)
		default:
			*v = int64(n)
		}
	case *v < 0:
		c.writeHead(majorNeg, uint64(-1-*v))
	default:
		c.writeHead(majorUint, uint64(*v))
	}
}

func (c *codec) bool(v *bool) {
	if c.writing {
		b := byte(cborFalse)
		if *v {
			b = cborTrue
		}
		c.buf = append(c.buf, b)
		return
	}
	switch {
	case c.err != nil:
	case len(c.buf) == 0:
		c.fail(errShort)
	case c.buf[0] != cborFalse && c.buf[0] != cborTrue:
		c.fail(errors.New("has something else where a boolean belongs"))
	default:
		*v, c.buf = c.buf[0] == cborTrue, c.buf[1:]
	}
}

// present codes whether an optional item follows; null stands for its absence.
func (c *codec) present(is bool) bool {
	if c.writing {
		if !is {
			c.buf = append(c.buf, cborNull)
		}
		return is
	}
	if c.err != nil {
		return false
	}
	if len(c.buf) > 0 && c.buf[0] == cborNull {
		c.buf = c.buf[1:]
		return false
	}
	return true
}

func (c *codec) take(major byte) []byte {
	n := c.expect(major)
	if c.err != nil {
		return nil
	}
	if n > uint64(len(c.buf)) {
		c.fail(errShort)
		return nil
	}
	b := c.buf[:n]
	c.buf = c.buf[n:]
	return b
}

func (c *codec) bytes(v *[]byte) {
	if c.writing {
		c.writeHead(majorBytes, uint64(len(*v)))
		c.buf = append(c.buf, *v...)
		return
	}
	*v = nil
	if b := c.take(majorBytes); len(b) > 0 {
		*v = append([]byte(nil), b...)
	}
}

func (c *codec) text(v *string) {
	if c.writing {
		if !utf8.ValidString(*v) {
			c.fail(fmt.Errorf("has a text that is not UTF-8: %q", *v))
			return
		}
		c.writeHead(majorText, uint64(len(*v)))
		c.buf = append(c.buf, *v...)
		return
	}
	if *v = string(c.take(majorText)); !utf8.ValidString(*v) {
		c.fail(errors.New("has a text that is not UTF-8"))
	}
}

// fixed codes a byte string of exactly len(v) bytes; all zeros as the empty one.
func (c *codec) fixed(v []byte) {
	if c.writing {
		for _, b := range v {
			if b != 0 {
				c.bytes(&v)
				return
			}
		}
		c.writeHead(majorBytes, 0)
		return
	}
	b := c.take(majorBytes)
	clear(v)
	switch {
	case c.err != nil || len(b) == 0:
	case len(b) != len(v):
		c.fail(fmt.Errorf("has %d bytes where %d belong", len(b), len(v)))
	default:
		copy(v, b)
		for _, x := range v {
			if x != 0 {
				return
			}
		}
		c.fail(errors.New("has zeros written out"))
	}
}

func (c *codec) id(v *bundle.ID)         { c.fixed(v[:]) }
func (c *codec) digest(v *bundle.Digest) { c.fixed(v[:]) }

// list codes a slice; each item is at least one byte, which bounds what a
// short input can make this allocate.
func list[T any](c *codec, v *[]T, item func(*codec, *T)) {
	if c.writing {
		c.writeHead(majorArray, uint64(len(*v)))
		for i := range *v {
			item(c, &(*v)[i])
		}
		return
	}
	n := c.expect(majorArray)
	*v = nil
	if c.err != nil || n == 0 {
		return
	}
	if n > uint64(len(c.buf)) {
		c.fail(errShort)
		return
	}
	out := make([]T, 0, min(n, 4096))
	for ; n > 0 && c.err == nil; n-- {
		var t T
		item(c, &t)
		out = append(out, t)
	}
	*v = out
}

// optional codes a pointer that may be nil.
func optional[T any](c *codec, v **T, item func(*codec, *T)) {
	if !c.present(*v != nil) {
		if !c.writing {
			*v = nil
		}
		return
	}
	if !c.writing {
		*v = new(T)
	}
	item(c, *v)
}
