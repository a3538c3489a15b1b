package publog

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// The codec of every structure in this package: RFC 8949 §4.2.1 core
// deterministic encoding. Bytes that came from elsewhere pass checkCanonical
// before they reach decoding, so its limits are the stricter ones.
var (
	encoding = must(cbor.CoreDetEncOptions().EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey:   cbor.DupMapKeyEnforcedAPF,
		IndefLength: cbor.IndefLengthForbidden,
		TagsMd:      cbor.TagsForbidden,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("publog: codec options: %v", err)) // constants, wrong only by a programming error
	}
	return v
}

// The major types of RFC 8949 §3.1 that may occur.
const (
	majorUnsigned = 0
	majorNegative = 1
	majorBytes    = 2
	majorText     = 3
	majorArray    = 4
	majorMap      = 5
	majorSimple   = 7
)

const (
	simpleFalse = 20
	simpleTrue  = 21
)

// maxNesting is how deep arrays and maps may lie in each other. The deepest
// structure of format 1 is 3; the rest is room for kinds to come.
const maxNesting = 8

var errTruncated = errors.New("ends early")

// checkCanonical reports whether b is exactly one data item in the profile
// that this package writes: integers, byte strings, UTF-8 text, arrays, maps
// and booleans; the shortest heads; definite lengths; map keys strictly
// ascending by their encoded bytes. It takes time linear in len(b) and
// allocates nothing.
func checkCanonical(b []byte) error {
	rest, err := skipItem(b, 0)
	if err != nil {
		return err
	}
	if len(rest) != 0 {
		return fmt.Errorf("%d bytes after the end", len(rest))
	}
	return nil
}

// skipItem checks the first item of b and returns what follows it.
func skipItem(b []byte, depth int) ([]byte, error) {
	major, arg, rest, err := head(b)
	if err != nil {
		return nil, err
	}
	switch major {
	case majorUnsigned, majorNegative:
		return rest, nil
	case majorBytes, majorText:
		if arg > uint64(len(rest)) {
			return nil, errTruncated
		}
		if major == majorText && !utf8.Valid(rest[:arg]) {
			return nil, errors.New("text that is not UTF-8")
		}
		return rest[arg:], nil
	case majorArray, majorMap:
		if depth == maxNesting {
			return nil, fmt.Errorf("nested deeper than %d", maxNesting)
		}
		if major == majorMap {
			return skipPairs(rest, arg, depth+1)
		}
		for ; arg > 0; arg-- {
			if rest, err = skipItem(rest, depth+1); err != nil {
				return nil, err
			}
		}
		return rest, nil
	case majorSimple:
		if arg == simpleFalse || arg == simpleTrue {
			return rest, nil
		}
	}
	return nil, fmt.Errorf("an item of CBOR type %d, value %d, which is not allowed here", major, arg)
}

// skipPairs checks n key-value pairs at the start of b.
func skipPairs(b []byte, n uint64, depth int) (rest []byte, err error) {
	var last []byte
	for ; n > 0; n-- {
		if rest, err = skipItem(b, depth); err != nil {
			return nil, err
		}
		key := b[:len(b)-len(rest)]
		if last != nil && bytes.Compare(last, key) >= 0 {
			return nil, errors.New("map keys that are out of order or occur twice")
		}
		last = key
		if b, err = skipItem(rest, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// head reads an item's head and insists on its shortest form.
func head(b []byte) (major byte, arg uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, 0, nil, errTruncated
	}
	major, info, b := b[0]>>5, b[0]&0x1f, b[1:]
	if info < 24 {
		return major, uint64(info), b, nil
	}
	if info > 27 || major == majorSimple {
		return 0, 0, nil, errors.New("an indefinite length, a float or a reserved head")
	}
	size := 1 << (info - 24)
	if len(b) < size {
		return 0, 0, nil, errTruncated
	}
	for _, c := range b[:size] {
		arg = arg<<8 | uint64(c)
	}
	least := uint64(24)
	if size > 1 {
		least = 1 << (4 * size) // what the next smaller size can't hold: 2^8, 2^16, 2^32
	}
	if arg < least {
		return 0, 0, nil, errors.New("a number or length that is not in its shortest form")
	}
	return major, arg, b[size:], nil
}

// isMap reports whether the item b is a map.
func isMap(b []byte) bool { return len(b) > 0 && b[0]>>5 == majorMap }

// checkExtra compares the map that was received with the map that this
// program writes for what it read from it. They may differ only by pairs with
// integer keys above highest, which are a newer program's additions.
func checkExtra(received, written []byte, highest uint64) error {
	if bytes.Equal(received, written) {
		return nil
	}
	var got, want map[uint64]cbor.RawMessage
	if err := decoding.Unmarshal(received, &got); err != nil {
		return err
	}
	if err := decoding.Unmarshal(written, &want); err != nil {
		return err
	}
	for key, value := range want {
		if !bytes.Equal(got[key], value) {
			return fmt.Errorf("field %d is missing or has the wrong length", key)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok && key <= highest {
			return fmt.Errorf("field %d stands there though it has its default value", key)
		}
	}
	return nil
}
