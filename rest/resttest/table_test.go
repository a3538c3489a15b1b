package resttest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers with the request: its method and path in headers, its body.
func echo(t *testing.T) Remote {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Method", r.Method)
		w.Header().Set("Target", r.URL.RequestURI())
		w.Header().Set("Token", r.Header.Get("Authorization"))
		w.Header().Set("Type", r.Header.Get("Content-Type"))
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	}))
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(server.Close)
	return Remote{BaseURL: server.URL, Token: "secret", Transport: transport}
}

func TestAnswerIsComparedWithTheTable(t *testing.T) {
	const id = "0b8ed5c6-52a5-4b3a-9a2a-0d0bd6a1c001"
	for _, tc := range []struct {
		name, text string
		fails      string // what the error says; "" for none
	}{
		{"all of it", "PUT /a?b=1\nContent-Type: text/plain\n\nx\n--\n200\nMethod: PUT\nTarget: /a?b=1\nToken: Token secret\nType: text/plain\n\nx", ""},
		{"no token", "GET /\nAuthorization: -\n--\n200\nToken: -", ""},
		{"a Go string", "PUT /\nContent-Encoding: go\n\n\"a\\x00b\"\n--\n200\n\na\x00b", ""},
		{"what was kept", "PUT /\n\n${token} " + id + "\n--\n200\n\n${token} ${uuid:x}", ""},
		{"kept twice alike", "PUT /\n\n" + id + " " + id + "\n--\n200\n\n${uuid:x} ${x}", ""},
		{"kept twice, unlike", "PUT /\n\n" + id + " 1" + id[1:] + "\n--\n200\n\n${uuid:x} ${x}", "x is both"},
		{"the body is not looked at", "PUT /\n\nx\n--\n200", ""},
		{"another status", "GET /\n--\n201", "status 200, want 201"},
		{"another body", "PUT /\n\nx\n--\n200\n\ny", "want y"},
		{"a longer body", "PUT /\n\nxy\n--\n200\n\nx", "want x"},
		{"another header", "GET /\n--\n200\nMethod: PUT", "header Method"},
		{"a header too many", "GET /\n--\n200\nMethod: -", "header Method"},
		{"not of the kind", "PUT /\n\nx\n--\n200\n\n${uuid:x}", "want"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cases, err := parse("== " + tc.name + "\n" + tc.text + "\n")
			if err != nil {
				t.Fatal(err)
			}
			r := echo(t)
			seen := 0
			r.Seen = func(e Exchange) {
				seen++
				if e.Title != tc.name || e.Response.StatusCode != http.StatusOK {
					t.Errorf("saw %q with status %d", e.Title, e.Response.StatusCode)
				}
			}
			err = r.exchange(t.Context(), cases[0], map[string]string{"base": r.BaseURL, "token": r.Token})
			switch {
			case tc.fails == "" && err != nil:
				t.Error(err)
			case tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)):
				t.Errorf("error %v, want one that says %q", err, tc.fails)
			}
			if seen != 1 {
				t.Errorf("saw %d exchanges", seen)
			}
		})
	}
}

func TestTablesSayWhereTheyAreBroken(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "1: no exchange",
		"== a\nGET /\n--\n200\n== b\nGET /": "5: b: no answer",
	} {
		if _, err := parse(text); err == nil || err.Error() != want {
			t.Errorf("parse(%q): %v, want %s", text, err, want)
		}
	}
}

func TestContractHasExchanges(t *testing.T) {
	total := 0
	for _, table := range Tables(t) {
		total += table.Len()
	}
	if total < 200 {
		t.Errorf("%d exchanges: some of the contract is missing", total)
	}
}
