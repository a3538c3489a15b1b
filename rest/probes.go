package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// getHealth answers as the original does.
func getHealth(x *exchange) error {
	status, word := http.StatusOK, "OK"
	if err := x.catalogAnswers(x.r.Context()); err != nil {
		x.log.Warn("rest: the catalog does not answer", "error", err)
		status, word = http.StatusServiceUnavailable, "UNAVAILABLE"
	}
	return x.json(status, []byte(`{"overall_status":"`+word+`","detailed_status":{"database_status":"`+word+`"}}`))
}

func (a *API) catalogAnswers(ctx context.Context) error {
	return a.cfg.Catalog.View(ctx, func(v *catalog.View) error {
		_, err := v.Instance()
		return err
	})
}

func getLive(x *exchange) error { return x.plain(http.StatusOK, "ok\n") }

// Reason is why a node should get no requests.
type Reason struct {
	Name   string    `json:"reason"` // a word for programs
	Detail string    `json:"detail"` // for people
	Since  time.Time `json:"since,omitzero"`
}

func getReady(x *exchange) error {
	var reasons []Reason
	switch err := x.catalogAnswers(x.r.Context()); {
	case err != nil:
		x.log.Warn("rest: the catalog does not answer", "error", err) // which names paths: not for anybody
		reasons = []Reason{{Name: "catalog", Detail: "the catalog does not answer; the node's log says why"}}
	case x.cfg.Unready != nil:
		reasons = x.cfg.Unready()
	}
	return writeReady(x.w, x.r, reasons)
}

// writeReady answers /readyz: in JSON to who asks for that by name, else in lines
// of text.
func writeReady(w http.ResponseWriter, r *http.Request, reasons []Reason) error {
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		b, err := marshal(struct {
			Ready   bool     `json:"ready"`
			Reasons []Reason `json:"reasons"`
		}{len(reasons) == 0, append([]Reason{}, reasons...)})
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(b)
		return nil
	}
	text := "ok\n"
	if len(reasons) > 0 {
		text = ""
	}
	for _, one := range reasons {
		text += one.Name + ": " + one.Detail + "\n"
	}
	writePlain(w, status, text)
	return nil
}

// Opening returns what the listeners of a node serve before it can do more, in the
// place of the handlers of an [API]: /livez and /readyz, with what waiting says; to
// all else it answers 503.
func Opening(waiting func() Reason) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writePlain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		_ = writeReady(w, r, []Reason{waiting()}) // what it writes can be encoded
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set(headerError, bundle.KindUnavailable.String())
		h.Set("Retry-After", "1")
		h.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(refuse(bundle.KindUnavailable, http.StatusServiceUnavailable, waiting().Detail).body)
	})
	return mux
}

func getMetrics(x *exchange) error {
	if x.cfg.MetricsHandler == nil {
		return notFound()
	}
	x.cfg.MetricsHandler.ServeHTTP(x.w, x.r)
	return nil
}

func (x *exchange) plain(status int, text string) error {
	writePlain(x.w, status, text)
	return nil
}

func writePlain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
