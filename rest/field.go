package rest

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blockstored/blockstored/bundle"
)

// The messages are the original's, which clients show and tests compare.
const (
	msgRequired = "This field is required."
	msgBlank    = "This field may not be blank."
	msgNull     = "This field may not be null."
	msgNoString = "Not a valid string."
	msgNUL      = "Null characters are not allowed."
	msgNoSlug   = "Enter a valid “slug” consisting of Unicode letters, numbers, underscores, or hyphens."
	msgNoUUID   = "Enter a valid UUID."
	msgNoCursor = "This is not a cursor of this list; follow the Link header, or begin without one."
)

// Limits of texts, in code points.
const (
	maxTitle             = 180
	maxSlug              = 50
	maxDescription       = 10_000
	maxChangeDescription = 1_000
)

// textRule is what a text field must be.
type textRule struct {
	name     string
	required bool // when the object is written whole
	blank    bool // "" is a value
	limit    int
	slug     bool
}

var ( // rules, never changed
	titleRule       = textRule{name: "title", required: true, limit: maxTitle}
	nameRule        = textRule{name: "name", required: true, limit: maxTitle}
	slugRule        = textRule{name: "slug", required: true, limit: maxSlug, slug: true}
	descriptionRule = textRule{name: "description", blank: true, limit: maxDescription}
	changeRule      = textRule{name: "change_description", blank: true, limit: maxChangeDescription}
)

// text reads a field; nil if it is absent, or at fault, which f then holds.
func (f *faults) text(in input, rule textRule, partial bool) *string {
	v := in[rule.name]
	switch v.kind {
	case isMissing:
		if rule.required && !partial {
			f.add(rule.name, msgRequired)
		}
		return nil
	case isNull:
		f.add(rule.name, msgNull)
		return nil
	case isOther:
		f.add(rule.name, msgNoString)
		return nil
	}
	s := strings.TrimFunc(v.text, isSpace)
	if s == "" && !rule.blank {
		f.add(rule.name, msgBlank)
		return nil
	}
	if wrong := rule.wrong(s, v.surrogate); wrong != nil {
		f.add(rule.name, wrong...)
		return nil
	}
	return &s
}

func (rule textRule) wrong(s, surrogate string) (wrong []string) {
	if utf8.RuneCountInString(s) > rule.limit {
		wrong = append(wrong, fmt.Sprintf("Ensure this field has no more than %d characters.", rule.limit))
	}
	if strings.ContainsRune(s, 0) {
		wrong = append(wrong, msgNUL)
	}
	if surrogate != "" {
		wrong = append(wrong, "Surrogate characters are not allowed: "+surrogate+".")
	}
	if rule.slug && strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '_' && r != '-'
	}) {
		wrong = append(wrong, msgNoSlug)
	}
	return wrong
}

// isSpace is Python's str.isspace, by which texts are trimmed.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F }

// reference reads the uuid of another object; ok if it is one, whether the
// object exists or not.
func (f *faults) reference(in input, name string, partial bool) (id bundle.ID, ok bool) {
	v := in[name]
	switch {
	case v.kind == isMissing:
		if !partial {
			f.add(name, msgRequired)
		}
	case v.kind == isNull, v.kind == isString && v.text == "":
		f.add(name, msgNull)
	case v.kind == isOther:
		f.add(name, "Invalid value.")
	case v.kind == isNumber:
		f.add(name, noSuchObject(v.text))
	default:
		if id, ok = looseID(v.text); !ok {
			f.add(name, "“"+v.text+"” is not a valid UUID.")
		}
	}
	return id, ok
}

func noSuchObject(text string) string { return "Object with uuid=" + text + " does not exist." }

// looseID reads every spelling of a UUID that Python does: without hyphens, in
// braces, as a URN.
func looseID(s string) (bundle.ID, bool) {
	s = strings.NewReplacer("urn:", "", "uuid:", "").Replace(s)
	s = strings.ReplaceAll(strings.Trim(s, "{}"), "-", "")
	if len(s) != 32 {
		return bundle.ID{}, false
	}
	id, err := bundle.ParseID(s)
	return id, err == nil
}

// strictID reads the one spelling that routes take: lower case, hyphenated, and
// of version 4; or 5, of a collection that stands in for one that is not known
// here.
func strictID(s string) (bundle.ID, bool) {
	id, err := bundle.ParseID(s)
	if err != nil || id.String() != s || id.Version() != 4 && id.Version() != 5 {
		return bundle.ID{}, false
	}
	return id, true
}

// readID reads the wildcard {id}. It reports false if there is no such route.
func (x *exchange) readID() bool {
	text := x.r.PathValue("id")
	var ok bool
	switch x.rt.id {
	case noID:
		return true
	case anyID:
		x.id, _ = looseID(text) // the zero ID is never found
		return true
	case exactID:
		x.id, ok = strictID(text)
		return ok
	}
	text, number, _ := strings.Cut(text, ",")
	if x.id, ok = strictID(text); !ok {
		return false
	}
	x.number, ok = versionNumber(number)
	return ok
}

// versionNumber reads the number of a version, of decimal digits. One that is
// too large becomes 0, which is never found.
func versionNumber(text string) (n uint64, ok bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, _ = strconv.ParseUint(text, 10, 63)
	if n == 1<<63-1 {
		n = 0
	}
	return n, true
}

// escapePath percent-encodes a file's path for a URL. A path that only old data
// brings, with segments that URLs drop, goes as one segment.
func escapePath(path string) string {
	if bundle.CheckPath(path) != nil {
		return url.PathEscape(path)
	}
	if strings.IndexFunc(path, isReserved) < 0 {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}

// isReserved reports whether a path may not show r as it is, or might not: the
// most common paths have nothing of the kind.
func isReserved(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '-' || r > '9') && r != '_' // - . / and digits are next to each other
}
