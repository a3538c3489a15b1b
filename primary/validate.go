package primary

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blockstored/blockstored/bundle"
)

// Limits of texts, in code points.
const (
	maxTitle             = 180 // of titles and of draft names
	maxSlug              = 50
	maxDescription       = 10_000
	maxChangeDescription = 1_000
)

// maxLinkName is the longest link name in bytes, as in a manifest.
const maxLinkName = 4096

// fault is what is wrong with one field; no message, nothing wrong.
type fault struct{ field, message string }

// checkFields returns an error of KindInvalid that names every field at fault:
// all of them in the message, by name, and each in Fields under its name, with
// the text that the REST API shows for it.
func checkFields(faults ...fault) error {
	fields := make(map[string]string)
	var texts []string
	for _, f := range faults {
		if f.message != "" {
			fields[f.field] = f.message
			texts = append(texts, f.field+": "+f.message)
		}
	}
	if texts == nil {
		return nil
	}
	slices.Sort(texts)
	e := bundle.Errorf(bundle.KindInvalid, "%s", strings.Join(texts, "; "))
	e.Fields = fields
	return e
}

// textField removes the white space around an optional text and checks it; a nil
// one is not being changed.
func textField(name string, s *string, limit int) fault {
	if s == nil {
		return fault{}
	}
	*s = Trim(*s)
	switch {
	case !utf8.ValidString(*s):
		return fault{name, "Not a valid string."}
	case strings.ContainsRune(*s, 0):
		return fault{name, "Null characters are not allowed."}
	case utf8.RuneCountInString(*s) > limit:
		return fault{name, fmt.Sprintf("Ensure this field has no more than %d characters.", limit)}
	}
	return fault{}
}

// Trim removes the white space around a text as the original does: by Python's
// str.isspace.
func Trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F })
}

// titleField checks a text that may not be blank.
func titleField(name string, s *string) fault { return requiredField(name, s, maxTitle) }

func requiredField(name string, s *string, limit int) fault {
	f := textField(name, s, limit)
	if s != nil && *s == "" {
		return fault{name, "This field may not be blank."}
	}
	return f
}

func slugField(s *string) fault {
	if f := requiredField("slug", s, maxSlug); f.message != "" || s == nil {
		return f
	}
	for _, r := range *s {
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '_' && r != '-' {
			return fault{"slug", "Enter a valid “slug” consisting of Unicode letters, numbers, underscores, or hyphens."}
		}
	}
	return fault{}
}

// checkLinkName refuses names that a manifest cannot hold, and the empty one.
func checkLinkName(name string) error {
	if name == "" || len(name) > maxLinkName || !utf8.ValidString(name) {
		return bundle.Errorf(bundle.KindInvalid, "%q is not a valid link name: give it 1 to %d bytes of text", name, maxLinkName)
	}
	return nil
}

// asError returns the first *bundle.Error in err's chain, nil if none.
func asError(err error) *bundle.Error {
	e, _ := errors.AsType[*bundle.Error](err)
	return e
}
