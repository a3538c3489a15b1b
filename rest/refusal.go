package rest

import (
	"net/http"
	"strconv"

	"github.com/blockstored/blockstored/bundle"
)

// refusal is an error whose answer is known to the byte.
type refusal struct {
	kind   bundle.Kind
	status int
	body   []byte
}

// Error returns the body, for logs.
func (e *refusal) Error() string { return strconv.Itoa(e.status) + " " + string(e.body) }

// refuse returns the usual {"detail": text}.
func refuse(kind bundle.Kind, status int, detail string) *refusal {
	return &refusal{kind, status, append(appendText([]byte("{"), "detail", detail), '}')}
}

// refuseList returns a bare array of one string, as drafts answer.
func refuseList(text string) *refusal {
	return &refusal{bundle.KindInvalid, http.StatusBadRequest, append(appendString([]byte("["), text), ']')}
}

// refuseField returns {"field": [messages]}.
func refuseField(field string, messages ...string) *refusal {
	var f faults
	f.add(field, messages...)
	return f.refusal()
}

// faults are what is wrong with a body's fields, in the order they are shown.
type faults struct{ body []byte }

// add adds what is wrong with one field; no messages, nothing wrong.
func (f *faults) add(field string, messages ...string) {
	if len(messages) == 0 {
		return
	}
	if f.body == nil {
		f.body = []byte("{")
	}
	f.body = append(appendKey(f.body, field), '[')
	for i, m := range messages {
		if i > 0 {
			f.body = append(f.body, ',')
		}
		f.body = appendString(f.body, m)
	}
	f.body = append(f.body, ']')
}

func (f *faults) refusal() *refusal {
	return &refusal{bundle.KindInvalid, http.StatusBadRequest, append(f.body, '}')}
}

// err returns the refusal, nil if nothing is wrong.
func (f *faults) err() error {
	if f.body == nil {
		return nil
	}
	return f.refusal()
}

func notFound() *refusal { return refuse(bundle.KindNotFound, http.StatusNotFound, "Not found.") }

func methodNotAllowed(method string) *refusal {
	return refuse(bundle.KindInvalid, http.StatusMethodNotAllowed, `Method "`+method+`" not allowed.`)
}

func unauthorized(detail string) *refusal {
	return refuse(bundle.KindUnauthorized, http.StatusUnauthorized, detail)
}
