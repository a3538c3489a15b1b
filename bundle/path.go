package bundle

import (
	"strings"
	"unicode/utf8"
)

// The limits of a path that may be written.
const (
	MaxPathRunes    = 500 // code points of a whole path
	MaxSegmentBytes = 255 // bytes of one segment: what file systems take
)

// CheckPath returns nil if p may be written as the path of a file: it is
// already a clean relative path, so that no two spellings name one file and any
// set of paths that passes [CheckPathSet] can be unpacked into a folder. Refused
// are the empty path, a leading, trailing or doubled slash, the segments "." and
// "..", backslashes, NUL, invalid UTF-8, a segment of more than
// [MaxSegmentBytes] and a path of more than [MaxPathRunes].
//
// The error is of [KindInvalid]; its text is part of the REST API: the path as
// it is between plain double quotes, then "is not a valid file name".
func CheckPath(p string) error {
	if !cleanPath(p) {
		return invalidPath(p)
	}
	return nil
}

func invalidPath(p string) error {
	return Errorf(KindInvalid, `"%s" is not a valid file name`, p)
}

func cleanPath(p string) bool {
	if !utf8.ValidString(p) || utf8.RuneCountInString(p) > MaxPathRunes || strings.ContainsAny(p, "\\\x00") {
		return false
	}
	for seg := range strings.SplitSeq(p, "/") { // "", "/a", "a/" and "a//b" have an empty segment
		if seg == "" || seg == "." || seg == ".." || len(seg) > MaxSegmentBytes {
			return false
		}
	}
	return true
}

// CheckPathSet returns an error that names the first path which needs another
// path of the set to be a folder, as "a/b" does beside "a". The paths must be
// sorted as Go compares strings. Kind and text are those of [CheckPath], which
// the paths are expected to have passed.
//
// A writer who holds a [Manifest] checks one new path without reading the whole
// tree: [Manifest.Lookup] of each folder above it and [Manifest.Seek] of the
// path and a slash.
func CheckPathSet(sorted []string) error {
	// Between "a" and "a/b" only paths that start with "a" can lie, so the
	// candidates for being a folder of p form a chain of prefixes.
	var chain []string
	for _, p := range sorted {
		for len(chain) > 0 && !strings.HasPrefix(p, chain[len(chain)-1]) {
			chain = chain[:len(chain)-1]
		}
		for _, c := range chain {
			if len(p) > len(c) && p[len(c)] == '/' {
				return invalidPath(p)
			}
		}
		chain = append(chain, p)
	}
	return nil
}
