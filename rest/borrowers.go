package rest

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// listBorrowers lists the versions of other bundles that reach this one by
// their links. It is always paged: a library may have any number of them.
func listBorrowers(x *exchange) error {
	limit, after, err := x.borrowersPage()
	if err != nil {
		return err
	}
	var rows []catalog.Borrower
	err = x.view(func(v *catalog.View) error {
		if _, err := v.Bundle(x.id); err != nil {
			return err
		}
		rows, err = v.Borrowers(x.id, after, limit+1)
		return err
	})
	if err != nil {
		return err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		x.w.Header().Set("Link", "<"+x.after(borrowerCursor(rows[limit-1]))+`>; rel="next"`)
	}
	b := []byte("[")
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, '{'), "bundle_uuid", r.Bundle.String())
		b = appendUint(appendKey(b, "version"), r.Number)
		b = appendUint(appendKey(b, "target_version"), r.Target)
		b = append(appendBool(appendKey(b, "direct"), r.Direct), '}')
	}
	return x.json(http.StatusOK, append(b, ']'))
}

// borrowersPage reads limit, maxLimit if it is absent, and cursor.
func (x *exchange) borrowersPage() (limit int, after catalog.Borrower, err error) {
	query := queryOf(x.r)
	var f faults
	limit = maxLimit
	if text, ok := query["limit"]; ok {
		limit = f.limit(text)
	}
	if cursor := query["cursor"]; cursor != "" {
		var ok bool
		if after, ok = parseBorrowerCursor(cursor); !ok {
			f.add("cursor", msgNoCursor)
		}
	}
	return limit, after, f.err()
}

// borrowerCursor is opaque to clients: the last row they saw.
func borrowerCursor(b catalog.Borrower) string {
	raw := binary.AppendUvarint(append([]byte(nil), b.Bundle[:]...), b.Target)
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(raw, b.Number))
}

func parseBorrowerCursor(text string) (b catalog.Borrower, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < len(bundle.ID{}) {
		return b, false
	}
	raw = raw[copy(b.Bundle[:], raw):]
	for _, to := range []*uint64{&b.Target, &b.Number} {
		n, size := binary.Uvarint(raw)
		if size <= 0 {
			return b, false
		}
		*to, raw = n, raw[size:]
	}
	return b, len(raw) == 0
}
