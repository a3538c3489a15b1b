package rest

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/rest/openapi"
	"github.com/blockstored/blockstored/rest/openapi/openapitest"
	"github.com/blockstored/blockstored/rest/resttest"
)

// description is what every answer of these tests is held against.
var description = sync.OnceValues(func() (*openapitest.Description, error) {
	b, err := openapi.JSON()
	if err != nil {
		return nil, err
	}
	return openapitest.New(b)
})

// described fails the test unless the description has the answer.
func described(t testing.TB, r *http.Response, body string) {
	t.Helper()
	d, err := description()
	check(t, err)
	err = d.Answer(openapitest.Exchange{
		Method: r.Request.Method, Path: r.Request.URL.Path,
		Status: r.StatusCode, Header: r.Header, Received: []byte(body),
	})
	if err != nil {
		t.Error(err)
	}
}

// beyond are exchanges that show what is taken beyond the description, which says
// what to send.
var beyond = map[string]bool{
	"a number is a text":                           true,
	"made from JSON with an empty description":     true, // and another spelling of a UUID
	"committed; the body is ignored":               true,
	"a form that is badly escaped stands as it is": true,
	"and of those without a query":                 true, // as here there is one
	"a body with filters of null":                  true,
	"blanks around do not count":                   true,
	"a collection in braces":                       true,
}

// heldAgainst returns what holds the exchanges of the contract against the
// description: path, method, status, headers, body, and what was accepted.
func heldAgainst(t *testing.T, d *openapitest.Description) func(resttest.Exchange) {
	return func(e resttest.Exchange) {
		seen := openapitest.Exchange{
			Method: e.Request.Method, Path: e.Request.URL.Path, RequestType: e.Request.Header.Get("Content-Type"), Sent: e.Sent,
			Status: e.Response.StatusCode, Header: e.Response.Header, Received: e.Received,
		}
		if err := d.Answer(seen); err != nil {
			t.Errorf("%s: %v", e.Title, err)
		}
		switch err := d.Request(seen); {
		case err != nil && !beyond[e.Title]:
			t.Errorf("%s: %v", e.Title, err)
		case err == nil && beyond[e.Title]:
			t.Errorf("%s: this is as described", e.Title)
		}
	}
}

var wildcard = regexp.MustCompile(`\{[^}]*\}`)

// leastRole returns the name of the role that just may do it.
func leastRole(action access.Action) string {
	for _, role := range []access.Role{access.RoleReader, access.RoleWriter} {
		if role.Allows(action) {
			return string(role)
		}
	}
	return string(access.RoleOperator)
}

// TestEveryRouteIsDescribed holds the table of routes against the description:
// both have the same methods of the same paths, for the same roles.
func TestEveryRouteIsDescribed(t *testing.T) {
	d, err := description()
	check(t, err)
	var got, want []string
	for _, op := range d.Operations() {
		got = append(got, fmt.Sprintf("%s %s: %s", op.Method, wildcard.ReplaceAllString(op.Path, "{}"), op.Security))
	}
	for _, rt := range new(API).routes() {
		path := strings.ReplaceAll(rt.pattern, "{$}", "")
		path = wildcard.ReplaceAllString(path, "{}")
		if rt.id == versionID {
			path = strings.Replace(path, "{}", "{},{}", 1)
		}
		for method := range rt.methods {
			security := "Token " + leastRole(rt.action(method))
			switch rt.manner {
			case asSigned:
				security = "Signature"
			case asProbe:
				security = ""
			}
			want = append(want, fmt.Sprintf("%s %s: %s", method, path, security))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	for _, op := range want {
		if !slices.Contains(got, op) {
			t.Errorf("%s is a route and not described", op)
		}
	}
	for _, op := range got {
		if !slices.Contains(want, op) {
			t.Errorf("%s is described and no route", op)
		}
	}
}
