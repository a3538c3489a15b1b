package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/blockstored/blockstored/catalog"
)

const (
	pageRows = 500 // of an unpaged list, read and shown at a time
	maxLimit = 1000
)

// listing is how one kind of object is listed.
type listing[T any] struct {
	// count returns how many rows the whole list goes over, counted no further
	// than most + 1.
	count func(v *catalog.View, most int64) (int64, error)
	rows  func(v *catalog.View, p catalog.Page) (catalog.Found[T], error)
	show  func(p *printer, b []byte, row T) ([]byte, error)
	// chunk is how many rows of the whole list are read at a time; 0 for
	// pageRows.
	chunk int
}

// list answers with a bare array: all of it, or a page where the client gives a
// limit. All of it is read in short views and sent as it is read, so neither
// memory nor the catalog's log grows with it.
func list[T any](x *exchange, l listing[T]) error {
	page, paged, err := x.page()
	if err != nil {
		return err
	}
	if !paged {
		page.Limit = max(l.chunk, pageRows)
		if err := x.checkLength(l.count); err != nil {
			return err
		}
	}
	r := reader[T]{listing: l, page: page, more: true}
	body, err := r.read(x, []byte("["))
	if err != nil {
		return err
	}
	if paged && r.more {
		x.w.Header().Set("Link", "<"+x.next(r.page)+`>; rel="next"`)
	}
	if paged || !r.more {
		return x.json(http.StatusOK, append(body, ']'))
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(http.StatusOK)
	for x.r.Method != http.MethodHead {
		if body, err = x.indented(body); err != nil {
			return err
		}
		if _, err := x.w.Write(body); err != nil {
			return nil // the client went away
		}
		if !r.more {
			break
		}
		if body, err = r.read(x, body[:0]); err != nil {
			return err
		}
	}
	end := "]"
	if r.begun && x.indent() > 0 {
		end = "\n]"
	}
	_, _ = x.w.Write([]byte(end))
	return nil
}

// indented returns a part of an array, rows after a bracket, a comma or nothing,
// with the indentation that the client asks for.
func (x *exchange) indented(part []byte) ([]byte, error) {
	n := x.indent()
	rows := bytes.TrimLeft(part, "[,")
	if n == 0 || len(rows) == 0 {
		return part, nil
	}
	var buf bytes.Buffer
	err := json.Indent(&buf, slices.Concat([]byte("["), rows, []byte("]")), "", strings.Repeat(" ", n))
	if err != nil {
		return nil, err
	}
	indented := bytes.TrimSuffix(buf.Bytes()[1:], []byte("\n]"))
	return slices.Concat(part[:len(part)-len(rows)], indented), nil
}

// reader is how far a listing was read.
type reader[T any] struct {
	listing[T]
	page  catalog.Page // what comes next
	more  bool         // something may
	begun bool         // a row was shown
}

// read appends the next rows to b, which may be none.
func (r *reader[T]) read(x *exchange, b []byte) ([]byte, error) {
	err := x.view(func(v *catalog.View) error {
		f, err := r.rows(v, r.page)
		if err != nil {
			return err
		}
		p := x.printer(v)
		for _, row := range f.Rows {
			if r.begun {
				b = append(b, ',')
			}
			if b, err = r.show(p, b, row.Row); err != nil {
				return err
			}
			r.begun = true
		}
		r.page.After, r.more = f.Next, f.More
		return nil
	})
	return b, err
}

// page reads limit and cursor. Without a limit the list is whole.
func (x *exchange) page() (p catalog.Page, paged bool, err error) {
	query := queryOf(x.r)
	text, paged := query["limit"]
	if !paged {
		return catalog.Page{}, false, nil
	}
	var f faults
	p.Limit = f.limit(text)
	if cursor := query["cursor"]; cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		if err == nil {
			p.After, err = strconv.ParseUint(string(raw), 36, 64)
		}
		if err != nil {
			f.add("cursor", msgNoCursor)
		}
	}
	return p, true, f.err()
}

// limit reads the length of a page.
func (f *faults) limit(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		f.add("limit", "Enter a whole number from 1 to "+strconv.Itoa(maxLimit)+".")
	}
	return n
}

// next returns the URL of the page after p.
func (x *exchange) next(p catalog.Page) string {
	return x.after(base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatUint(p.After, 36))))
}

// after returns the request's URL with another cursor.
func (x *exchange) after(cursor string) string {
	query := make(url.Values)
	for key, value := range queryOf(x.r) {
		query.Set(key, value)
	}
	query.Set("cursor", cursor)
	return x.base() + x.r.URL.EscapedPath() + "?" + query.Encode()
}
