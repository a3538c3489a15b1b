package rest

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// Bodies are appended rather than marshalled: the original's clients see the
// order of keys and every byte, and a version of ten thousand files is one
// pass over one buffer.

// appendString appends s as a JSON string in UTF-8: only quotes, backslashes,
// control characters and U+2028/2029 are escaped.
func appendString[S ~string](b []byte, s S) []byte {
	if plain(string(s)) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(string(s)) // a string and a buffer cannot fail
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

// plain reports whether s stands in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendTime appends µs since 1970 in ISO 8601, UTC; the fraction is absent
// when it is 0.
func appendTime(b []byte, micros int64) []byte {
	t := time.UnixMicro(micros).UTC()
	b = append(b, '"')
	b = t.AppendFormat(b, "2006-01-02T15:04:05")
	if micros%1e6 != 0 {
		b = t.AppendFormat(b, ".000000")
	}
	return append(b, 'Z', '"')
}

func appendInt(b []byte, n int64) []byte   { return strconv.AppendInt(b, n, 10) }
func appendUint(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 10) }

// appendKey appends a key and its colon, after a comma if it is not the first
// of its object.
func appendKey[S ~string](b []byte, key S) []byte {
	if n := len(b); n > 0 && b[n-1] != '{' {
		b = append(b, ',')
	}
	return append(appendString(b, key), ':')
}

// appendText appends a key and a string.
func appendText[S ~string](b []byte, key string, s S) []byte {
	return appendString(appendKey(b, key), s)
}

// marshal encodes what has no order to keep.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
