package rest

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/blockstored/blockstored/rest/openapi"
)

// docRoutes show the description of the API, for programs and for people. They ask
// for no token: they are the same everywhere.
func docRoutes() []*route {
	docs := sync.OnceValues(openapi.Render) // most processes are never asked
	return []*route{
		{pattern: "/api/openapi.json", manner: asProbe, allow: "GET, HEAD, OPTIONS", name: "Description", methods: map[string]handle{
			"GET": func(x *exchange) error { return getDescription(x, docs) },
		}},
		{pattern: "/api/docs", manner: asProbe, allow: "GET, HEAD, OPTIONS", name: "Docs", methods: map[string]handle{
			"GET": func(x *exchange) error { return getDocs(x, docs) },
		}},
	}
}

func getDescription(x *exchange, docs func() (*openapi.Docs, error)) error {
	d, err := docs()
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, d.JSON)
}

func getDocs(x *exchange, docs func() (*openapi.Docs, error)) error {
	d, err := docs()
	if err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(d.Page)))
	h.Set("Content-Security-Policy", d.Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write(d.Page) // a client that went away is no fault
	return nil
}
