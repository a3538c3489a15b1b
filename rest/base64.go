package rest

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// decodeBase64 decodes as the original's decoder does, which clients lean on:
// characters outside the alphabet are skipped, and what follows the padding is
// ignored. Unlike the original it refuses a text that holds nothing else. The
// problem, if any, is in the original's words.
func decodeBase64(s string) (content []byte, problem string) {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b, ""
	}
	for i := range len(s) {
		if s[i] >= 0x80 {
			return nil, "string argument should contain only ASCII characters"
		}
	}
	var quad, pads, digits int
	var left byte
	for i := range len(s) {
		c := s[i]
		if c == '=' {
			if pads++; quad >= 2 && quad+pads >= 4 {
				return content, ""
			}
			continue
		}
		v := sextet(c)
		if v < 0 {
			continue
		}
		pads = 0
		digits++
		switch quad {
		case 1:
			content = append(content, left<<2|byte(v)>>4)
		case 2:
			content = append(content, left<<4|byte(v)>>2)
		case 3:
			content = append(content, left<<6|byte(v))
		}
		quad, left = (quad+1)%4, byte(v)
	}
	switch {
	case quad == 1:
		return nil, fmt.Sprintf("Invalid base64-encoded string: number of data characters (%d) cannot be 1 more than a multiple of 4", digits)
	case quad != 0, digits == 0 && strings.TrimFunc(s, func(r rune) bool { return isSpace(r) || r == '=' }) != "":
		return nil, "Incorrect padding"
	}
	return content, ""
}

func sextet(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}
