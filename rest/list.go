package rest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"

	"github.com/blockstored/blockstored/catalog"
)

const (
	pageRows = 500 // of an unpaged list, read and shown at a time
	maxLimit = 1000
)

// listing is how one kind of object is listed.
type listing[T any] struct {
	rows func(v *catalog.View, p catalog.Page) ([]catalog.Paged[T], error)
	show func(p *printer, b []byte, row T) ([]byte, error)
}

// list answers with a bare array: all of it, or a page where the client gives a
// limit. All of it is read in short views and sent as it is read, so neither
// memory nor the catalog's log grows with it.
func list[T any](x *exchange, l listing[T]) error {
	page, paged, err := x.page()
	if err != nil {
		return err
	}
	body, page, more, err := l.page(x, []byte("["), page)
	if err != nil {
		return err
	}
	if paged && more {
		x.w.Header().Set("Link", "<"+x.next(page)+`>; rel="next"`)
	}
	if paged || !more || x.indent() > 0 {
		for !paged && more {
			if body, page, more, err = l.page(x, body, page); err != nil {
				return err
			}
		}
		return x.json(http.StatusOK, append(body, ']'))
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(http.StatusOK)
	for x.r.Method != http.MethodHead {
		if _, err := x.w.Write(body); err != nil {
			return nil // the client went away
		}
		if !more {
			break
		}
		if body, page, more, err = l.page(x, append(body[:0], ','), page); err != nil {
			return err
		}
	}
	_, _ = x.w.Write([]byte("]"))
	return nil
}

// page appends one page to b, and says where the next begins and whether there
// is one.
func (l listing[T]) page(x *exchange, b []byte, page catalog.Page) ([]byte, catalog.Page, bool, error) {
	limit := page.Limit
	more := false
	err := x.view(func(v *catalog.View) error {
		rows, err := l.rows(v, catalog.Page{After: page.After, Limit: limit + 1})
		if err != nil {
			return err
		}
		if more = len(rows) > limit; more {
			rows = rows[:limit]
		}
		p := x.printer(v)
		for _, r := range rows {
			if n := len(b); b[n-1] == '}' {
				b = append(b, ',')
			}
			if b, err = l.show(p, b, r.Row); err != nil {
				return err
			}
			page.After = r.Cursor
		}
		return nil
	})
	if err == nil && !more && len(b) > 0 && b[len(b)-1] == ',' { // what followed was deleted meanwhile
		b = b[:len(b)-1]
	}
	return b, page, more, err
}

// page reads limit and cursor. Without a limit the list is whole.
func (x *exchange) page() (p catalog.Page, paged bool, err error) {
	query := queryOf(x.r)
	text, paged := query["limit"]
	if !paged {
		return catalog.Page{Limit: pageRows}, false, nil
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
