package publog

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// Each row breaks one rule only: for the body of an unknown kind nothing but
// checkCanonical stands between a peer's bytes and a second encoding.
func TestCanonicalFormAllowsOneEncodingOnly(t *testing.T) {
	nested := func(depth int) string {
		return hex.EncodeToString(append(bytes.Repeat([]byte{0x81}, depth), 0x01))
	}
	for _, c := range []struct {
		name, hex string
		ok        bool
	}{
		{"an integer", "17", true},
		{"a negative integer", "20", true},
		{"two-byte integer", "1818", true},
		{"three-byte integer", "190100", true},
		{"five-byte integer", "1a00010000", true},
		{"nine-byte integer", "1b0000000100000000", true},
		{"bytes", "4101", true},
		{"text", "62c3bc", true},
		{"booleans", "82f4f5", true},
		{"ordered map", "a301010201181801", true},
		{"empty map and array", "82a080", true},
		{"nested as deep as allowed", nested(maxNesting), true},

		{"nested deeper", nested(maxNesting + 1), false},
		{"map nested deeper", hex.EncodeToString(bytes.Repeat([]byte{0xa1, 0x01}, maxNesting+1)) + "01", false},
		{"nothing", "", false},
		{"two items", "0101", false},
		{"23 in two bytes", "1817", false},
		{"255 in three bytes", "1900ff", false},
		{"65535 in five bytes", "1a0000ffff", false},
		{"2^32-1 in nine bytes", "1b00000000ffffffff", false},
		{"a long length", "580101", false},
		{"keys in disorder", "a202010101", false},
		{"a key twice", "a201010102", false},
		{"keys ordered by value, not by bytes", "a220011801", false},
		{"text that isn't UTF-8", "61ff", false},
		{"indefinite array", "9f01ff", false},
		{"indefinite bytes", "5f4101ff", false},
		{"break", "ff", false},
		{"tag", "c001", false},
		{"null", "f6", false},
		{"undefined", "f7", false},
		{"simple value in two bytes", "f820", false},
		{"half float", "f93c00", false},
		{"double", "fb3ff0000000000000", false},
		{"reserved head", "1c", false},
		{"short head", "19ff", false},
		{"short bytes", "4201", false},
		{"short array", "8201", false},
		{"short map", "a101", false},
		{"endless length", "5bffffffffffffffff", false},
		{"endless map", "bbffffffffffffffff0101", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := hex.DecodeString(c.hex)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkCanonical(b); (err == nil) != c.ok {
				t.Errorf("%s: %v", c.hex, err)
			}
		})
	}
}
