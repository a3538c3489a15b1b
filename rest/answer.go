package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/primary"
)

// json answers with a body of JSON.
func (x *exchange) json(status int, body []byte) error {
	if n := x.indent(); n > 0 {
		var buf bytes.Buffer
		if err := json.Indent(&buf, body, "", strings.Repeat(" ", n)); err != nil {
			return err
		}
		body = buf.Bytes()
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a client that went away is no fault
	return nil
}

// made answers 201 with an object, at location if it has one.
func (x *exchange) made(location string, body []byte) error {
	x.moved()
	if location != "" {
		x.w.Header().Set("Location", location)
	}
	return x.json(http.StatusCreated, body)
}

// changed answers 200 with an object that was just changed.
func (x *exchange) changed(body []byte) error {
	x.moved()
	return x.json(http.StatusOK, body)
}

// done answers 204.
func (x *exchange) done() error {
	x.moved()
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

const maxIndent = 8

// indent returns the indentation that the client asks for, as in
// "Accept: application/json; indent=4".
func (x *exchange) indent() int {
	for one := range strings.SplitSeq(x.r.Header.Get("Accept"), ",") {
		media, rest, _ := strings.Cut(one, ";")
		if strings.TrimSpace(media) != "application/json" {
			continue
		}
		for param := range strings.SplitSeq(rest, ";") {
			if n, ok := strings.CutPrefix(strings.TrimSpace(param), "indent="); ok {
				n, _ := strconv.Atoi(n)
				return max(0, min(n, maxIndent))
			}
		}
	}
	return 0
}

// fail answers with an error.
func (x *exchange) fail(err error) {
	if x.w.status != 0 { // the answer has begun: all that is left is to break it off
		x.log.Warn("rest: an answer broke off", "id", x.requestID, "route", x.rt.pattern, "error", err)
		panic(http.ErrAbortHandler)
	}
	ref := x.refusalOf(err)
	h := x.w.Header()
	h.Set(headerError, ref.kind.String())
	switch ref.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Token")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "1")
		}
	}
	if h.Get(headerIndex) == "" && ref.status != http.StatusServiceUnavailable {
		x.moved()
	}
	_ = x.json(ref.status, ref.body)
}

// refusalOf returns how an error is shown. Faults of this program are logged
// here and shown without their text.
func (x *exchange) refusalOf(err error) *refusal {
	if ref, ok := errors.AsType[*refusal](err); ok {
		return ref
	}
	if c, ok := errors.AsType[*primary.ConflictError](err); ok {
		return refuseConflicts(c)
	}
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refuse(bundle.KindTooLarge, http.StatusRequestEntityTooLarge,
			"The body has more than "+strconv.FormatInt(tooLong.Limit, 10)+
				" bytes. Send fewer files at once, or large ones by PUT to /api/v1/drafts/{uuid}/files/{path}.")
	}
	e, _ := errors.AsType[*bundle.Error](err)
	if e == nil || e.Kind.HTTPStatus() == http.StatusInternalServerError {
		return x.fault(err)
	}
	if e.Kind == bundle.KindReadOnly {
		return x.refuseReadOnly(e.Message, primaryInfo{Name: e.Fields["primary_name"], URL: e.Fields["primary_url"]})
	}
	if e.Kind.HTTPStatus() < http.StatusInternalServerError {
		return refuse(e.Kind, e.Kind.HTTPStatus(), e.Message)
	}
	if e.Brief() != e.Message {
		x.log.Warn("rest: a request was refused", "id", x.requestID, "method", x.r.Method, "route", x.rt.pattern, "error", err)
	}
	return refuse(e.Kind, e.Kind.HTTPStatus(), e.Brief())
}

// fault is the answer to what should not have happened.
func (x *exchange) fault(err error) *refusal {
	if x.r.Context().Err() != nil && errors.Is(err, x.r.Context().Err()) || errors.Is(err, context.Canceled) {
		return refuse(bundle.KindUnavailable, http.StatusServiceUnavailable, "The request was given up before it was answered.")
	}
	x.log.Error("rest: a request failed", "id", x.requestID, "method", x.r.Method, "route", x.rt.pattern, "path", x.r.URL.Path, "error", err)
	kind := bundle.KindOf(err)
	return refuse(kind, http.StatusInternalServerError, "This failed inside the server; its log says why under request id "+x.requestID+".")
}

func refuseConflicts(c *primary.ConflictError) *refusal {
	body := appendText([]byte("{"), "detail", c.Error())
	list, err := marshal(c.Conflicts)
	if err != nil { // strings only: cannot fail
		list = []byte("[]")
	}
	body = append(append(appendKey(body, "conflicts"), list...), '}')
	return &refusal{bundle.KindConflict, http.StatusConflict, body}
}

// primaryInfo says where a copy can be written.
type primaryInfo struct{ Name, URL string }

func (x *exchange) refuseReadOnly(detail string, p primaryInfo) *refusal {
	body := appendText([]byte("{"), "detail", detail)
	body = append(appendKey(body, "primary"), '{')
	body = appendText(appendText(body, "name", p.Name), "url", p.URL)
	return &refusal{bundle.KindReadOnly, http.StatusForbidden, append(body, "}}"...)}
}
