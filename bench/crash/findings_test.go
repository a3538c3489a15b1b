package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bench/site"
)

const someBundle = "3f1c2c06-6a8e-4f0a-9c59-1f2e3d4c5b6a"

// fakeSite answers like a site that shows these versions of someBundle, each
// with the content of an attempt; a negative one has a byte changed.
func fakeSite(t *testing.T, attempts map[int]int) *site.API {
	mux := http.NewServeMux()
	var server *httptest.Server
	content := func(version int) map[string][]byte {
		number := attempts[version]
		files := commitSize.content(1, 0, max(number, -number))
		if number < 0 {
			files["units/00.xml"][5] ^= 1
		}
		return files
	}
	mux.HandleFunc("GET /api/v1/bundle_versions", func(w http.ResponseWriter, _ *http.Request) {
		list := []site.Listed{}
		for version := range attempts {
			list = append(list, site.Listed{Bundle: someBundle, Version: version})
		}
		_ = json.NewEncoder(w).Encode(list)
	})
	for version := range attempts {
		type file struct {
			URL  string `json:"url"`
			Size int    `json:"size"`
		}
		mux.HandleFunc(fmt.Sprintf("GET /api/v1/bundle_versions/%s,%d", someBundle, version), func(w http.ResponseWriter, _ *http.Request) {
			files := map[string]file{}
			for path, b := range content(version) {
				files[path] = file{fmt.Sprintf("%s/files/%d/%s", server.URL, version, path), len(b)}
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"snapshot": map[string]any{"files": files}})
		})
		mux.HandleFunc(fmt.Sprintf("GET /files/%d/{path...}", version), func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(content(version)[r.PathValue("path")])
		})
	}
	server = httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return site.NewAPI(server.URL, "token")
}

func TestWhatAPrimaryMustNeverShowIsFound(t *testing.T) {
	ledger := func(numbers ...int) (l []acknowledged) {
		for version, number := range numbers {
			l = append(l, acknowledged{site.Listed{Bundle: someBundle, Version: version + 1}, 0, number})
		}
		return l
	}
	for _, c := range []struct {
		name                              string
		shown                             map[int]int // version → attempt
		ledger                            []acknowledged
		found, lost, disorder, incomplete int
		text                              string
	}{
		{"all is well", map[int]int{1: 11, 2: 12}, ledger(11, 12), 2, 0, 0, 0, ""},
		{"a commit without an answer is there", map[int]int{1: 11, 2: 12}, ledger(11), 1, 0, 0, 0, ""},
		{"an acknowledged one is gone", map[int]int{1: 11}, ledger(11, 12), 1, 1, 0, 0, "attempt 12 was acknowledged"},
		{"it became another", map[int]int{1: 11, 2: 13}, ledger(11, 12), 1, 1, 0, 0, "which holds attempt 13"},
		{"a gap", map[int]int{1: 11, 3: 12}, ledger(11), 1, 0, 1, 0, "has 2 versions and the newest is 3"},
		{"a twin", map[int]int{1: 11, 2: 11}, ledger(11), 1, 0, 1, 0, "is both"},
		{"a byte is wrong", map[int]int{1: 11, 2: -12}, ledger(11, 12), 1, 1, 0, 1, "units/00.xml other bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &primaryRun{api: fakeSite(t, c.shown), r: &result{}, seed: 1, ledger: c.ledger}
			p.bundles[0] = someBundle
			if err := p.everything(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.api.Close()
			r := p.r
			if r.Found != c.found || r.Lost != c.lost || r.Disorder != c.disorder || r.Incomplete != c.incomplete {
				t.Errorf("found %d, lost %d, disorder %d, incomplete %d: %q", r.Found, r.Lost, r.Disorder, r.Incomplete, r.Violations)
			}
			if got := strings.Join(r.Violations, "\n"); !strings.Contains(got, c.text) || (c.text == "") != (got == "") {
				t.Errorf("%q does not say %q", got, c.text)
			}
		})
	}
}

func TestAVisibleVersionWithAByteMissingAtTheSubscriberIsFound(t *testing.T) {
	content := func(missing bool) map[string][]byte {
		files := pullSize.content(1, 0, 5)
		if missing {
			delete(files, "static/01.png")
		}
		return files
	}
	for _, missing := range []bool{false, true} {
		_, err := pullSize.attempt(1, 0, content(missing))
		if (err != nil) != missing {
			t.Errorf("missing %v: %v", missing, err)
		}
	}
	s := &subscriberRun{r: &result{}}
	s.refused(&site.StatusError{Code: http.StatusNotFound, Text: "Not found."}, "file")
	s.refused(fmt.Errorf("connection reset"), "file")
	if s.r.Incomplete != 1 || s.r.verdict() == nil {
		t.Errorf("refusals of what is listed: %d", s.r.Incomplete)
	}
}
