package rest

import (
	"context"
	"net/http"

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

func getReady(x *exchange) error {
	ready := x.cfg.Ready
	if ready == nil {
		ready = x.catalogAnswers
	}
	if err := ready(x.r.Context()); err != nil {
		return x.plain(http.StatusServiceUnavailable, err.Error()+"\n")
	}
	return x.plain(http.StatusOK, "ok\n")
}

func getMetrics(x *exchange) error {
	if x.cfg.MetricsHandler == nil {
		return notFound()
	}
	x.cfg.MetricsHandler.ServeHTTP(x.w, x.r)
	return nil
}

func (x *exchange) plain(status int, text string) error {
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.w.WriteHeader(status)
	_, _ = x.w.Write([]byte(text))
	return nil
}
