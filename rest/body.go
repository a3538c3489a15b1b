package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/blockstored/blockstored/bundle"
)

// body is what a request brought: JSON text, or a form, or nothing.
type body struct {
	json []byte
	form input
}

// input are the fields of a body by name.
type input map[string]value

// value is one field of a body.
type value struct {
	kind valueKind
	// text is a string's content or a number's literal; the raw JSON of
	// anything else.
	text string
	// surrogate is the first half of a character that stands alone in text,
	// as U+D83D.
	surrogate string
}

type valueKind uint8

const (
	isMissing valueKind = iota
	isNull
	isString
	isNumber
	isOther // true, false, a list, an object, a file of a form
)

// body reads the request's body. Nothing at all, of whatever type, is empty
// data.
func (x *exchange) body() (body, error) {
	raw, err := x.readBody()
	if err != nil || len(raw) == 0 {
		return body{}, err
	}
	header := x.r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(header)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		media = ""
	}
	switch media {
	case "application/json":
		text, err := decodeText(raw, params["charset"])
		if err != nil {
			return body{}, err
		}
		return body{json: text}, nil
	case "application/x-www-form-urlencoded":
		in := make(input)
		for key, text := range parseForm(string(raw)) {
			in[key] = value{kind: isString, text: text}
		}
		return body{form: in}, nil
	case "multipart/form-data":
		in, err := parseMultipart(raw, params["boundary"])
		return body{form: in}, err
	}
	return body{}, refuse(bundle.KindInvalid, http.StatusUnsupportedMediaType, `Unsupported media type "`+header+`" in request.`)
}

// readBody reads the whole body, up to the limit.
func (x *exchange) readBody() ([]byte, error) {
	if x.r.Body == nil || x.r.Body == http.NoBody {
		return nil, nil
	}
	if x.r.ContentLength > x.cfg.MaxBody { // before a byte of it is read
		return nil, &http.MaxBytesError{Limit: x.cfg.MaxBody}
	}
	var buf bytes.Buffer
	if n := x.r.ContentLength; n > 0 {
		buf.Grow(int(min(n, 1<<20)) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(x.w, x.r.Body, x.cfg.MaxBody))
	return buf.Bytes(), brokenOff(err)
}

// brokenOff says that a body that could not be read is the client's affair.
func brokenOff(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if e, ok := errors.AsType[*bundle.Error](err); ok {
		return e
	}
	return bundle.Errorf(bundle.KindInvalid, "The body broke off: %w.", err)
}

func parseError(format string, args ...any) *refusal {
	return refuse(bundle.KindInvalid, http.StatusBadRequest, fmt.Sprintf(format, args...))
}

// decodeText returns JSON of the given charset as UTF-8, checked for being that.
func decodeText(raw []byte, charset string) ([]byte, error) {
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
	case "iso-8859-1", "latin-1", "latin1":
		runes := make([]rune, len(raw))
		for i, c := range raw {
			runes[i] = rune(c)
		}
		raw = []byte(string(runes))
	default:
		return nil, parseError("JSON parse error - unknown charset %q: send utf-8", charset)
	}
	switch {
	case bytes.HasPrefix(raw, []byte("\xEF\xBB\xBF")):
		return nil, parseError("JSON parse error - unexpected byte order mark")
	case !utf8.Valid(raw):
		return nil, parseError("JSON parse error - the body is not valid UTF-8")
	}
	if !json.Valid(raw) {
		return nil, parseError("JSON parse error - %s", whyInvalid(raw))
	}
	return raw, nil
}

func whyInvalid(raw []byte) string {
	var v json.RawMessage
	err := json.Unmarshal(raw, &v)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("%s: byte %d", syntax.Error(), syntax.Offset)
	}
	return "the body is not JSON"
}

// object returns the fields of a body that must be an object.
func (b body) object() (input, error) {
	if b.json == nil {
		return b.form, nil
	}
	in := make(input)
	if err := noObject(b.json); err != nil {
		return nil, err
	}
	err := members(b.json, func(key string, raw json.RawMessage) error {
		in[key] = valueOf(raw)
		return nil
	})
	return in, err
}

// noObject returns what the original says of JSON that is no object.
func noObject(raw []byte) error {
	var got string
	switch raw := bytes.TrimLeft(raw, " \t\r\n"); raw[0] {
	case '{':
		return nil
	case 'n':
		return refuseField("non_field_errors", "No data provided")
	case '[':
		got = "list"
	case '"':
		got = "str"
	case 't', 'f':
		got = "bool"
	default:
		got = "int"
		if bytes.ContainsAny(raw, ".eE") {
			got = "float"
		}
	}
	return refuseField("non_field_errors", "Invalid data. Expected a dictionary, but got "+got+".")
}

// members calls fn for each member of an object, in the order they stand. raw
// must be valid JSON of an object.
func members(raw []byte, fn func(key string, raw json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return parseError("JSON parse error - %s", err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return parseError("JSON parse error - %s", err)
		}
		name, _ := key.(string)
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return parseError("JSON parse error - %s", err)
		}
		if err := fn(name, v); err != nil {
			return err
		}
	}
	return nil
}

// valueOf reads one JSON value.
func valueOf(raw json.RawMessage) value {
	switch raw[0] {
	case 'n':
		return value{kind: isNull}
	case '"':
		v := value{kind: isString, surrogate: loneSurrogate(raw)}
		if json.Unmarshal(raw, &v.text) != nil {
			v.kind = isOther
		}
		return v
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return value{kind: isNumber, text: string(raw)}
	}
	return value{kind: isOther, text: string(raw)}
}

// loneSurrogate finds an escaped half of a UTF-16 pair without its other half
// in a JSON string, and returns it as U+D83D; "" if there is none.
func loneSurrogate(raw []byte) string {
	unit := func(i int) (u int) { // of the escape at i, -1 if none of these
		if i+6 > len(raw) || raw[i] != '\\' || raw[i+1] != 'u' {
			return -1
		}
		for _, c := range raw[i+2 : i+6] {
			u = u<<4 | hexDigit(c)
		}
		return u
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		u := unit(i)
		switch {
		case u < 0xD800 || u > 0xDFFF:
			i++ // an escaped backslash is not the beginning of an escape
		case u < 0xDC00 && unit(i+6) >= 0xDC00 && unit(i+6) <= 0xDFFF:
			i += 11
		default:
			return fmt.Sprintf("U+%04X", u)
		}
	}
	return ""
}

// maxParts bounds the fields of a multipart form.
const maxParts = 1000

// parseMultipart reads a form's fields. A part that is a file is no text.
func parseMultipart(raw []byte, boundary string) (input, error) {
	if boundary == "" {
		return nil, parseError("Multipart form parse error - Invalid boundary in multipart: None")
	}
	in := make(input)
	r := multipart.NewReader(bytes.NewReader(raw), boundary)
	for n := 0; ; n++ {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err == nil && n == maxParts {
			err = fmt.Errorf("more than %d parts", maxParts)
		}
		if err != nil {
			return nil, parseError("Multipart form parse error - %s", err)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, parseError("Multipart form parse error - %s", err)
		}
		name := part.FormName()
		switch {
		case name == "":
		case part.FileName() != "":
			in[name] = value{kind: isOther}
		default:
			in[name] = value{kind: isString, text: strings.ToValidUTF8(string(content), "\uFFFD")}
		}
	}
}
