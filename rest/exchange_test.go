package rest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The files of testdata/exchanges are the contract as tables: each is a series
// of requests and the answers they must get, on an empty store. They need nothing
// but a base URL and a token, so they can be pointed at any server.
//
//	== what is shown
//	METHOD /path
//	Header: value
//
//	body
//	--
//	STATUS
//	Header: value
//
//	body
//
// Requests carry the token unless they have an Authorization line; "-" sends
// none. A multipart/form-data body is written as lines of key=value; a body that
// begins with a double quote and has Content-Encoding: go is a Go string.
// Expected headers are compared alone, "-" means absent; a body is compared to
// the byte unless there is none. ${kind:name} in an answer matches a kind (uuid,
// time, hex40, query, text) and keeps it, ${name} stands for what was kept, also
// in requests. ${base} is the server.

// remote is where exchanges are sent.
type remote struct {
	base, token string
	client      *http.Client
}

type exchangeCase struct {
	title, request, answer string
	line                   int
}

func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/exchanges/*.txt")
	check(t, err)
	if len(files) == 0 {
		t.Fatal("no exchanges")
	}
	total := 0
	for _, file := range files {
		cases := readExchanges(t, file)
		total += len(cases)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			s := newStack(t, nil)
			transport := &http.Transport{DisableCompression: true}
			defer transport.CloseIdleConnections()
			r := remote{s.server.URL, s.token, &http.Client{Transport: transport,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
			kept := map[string]string{"base": r.base, "token": r.token}
			for _, c := range cases {
				if err := r.exchange(c, kept); err != nil {
					t.Errorf("%s:%d: %s: %v", file, c.line, c.title, err)
				}
			}
		})
	}
	t.Logf("%d exchanges in %d files", total, len(files))
}

func readExchanges(t *testing.T, file string) (cases []exchangeCase) {
	t.Helper()
	b, err := os.ReadFile(file)
	check(t, err)
	line := 1
	for i, part := range strings.Split("\n"+string(b), "\n== ") {
		lines := strings.Count(part, "\n") + 1
		if i > 0 {
			title, rest, _ := strings.Cut(part, "\n")
			request, answer, found := strings.Cut(rest, "\n--\n")
			if !found {
				t.Fatalf("%s:%d: no answer", file, line)
			}
			cases = append(cases, exchangeCase{title, request, strings.TrimRight(answer, "\n"), line - 1})
		}
		line += lines
	}
	return cases
}

func (r remote) exchange(c exchangeCase, kept map[string]string) error {
	request, err := r.request(substitute(c.request, kept))
	if err != nil {
		return err
	}
	resp, err := r.client.Do(request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	head, want, hasBody := strings.Cut(c.answer, "\n\n")
	status, headers, _ := strings.Cut(head, "\n")
	if got := strconv.Itoa(resp.StatusCode); got != status {
		return fmt.Errorf("status %s, want %s: %s", got, status, body)
	}
	for line := range strings.SplitSeq(headers, "\n") {
		name, value, found := strings.Cut(line, ": ")
		if !found {
			continue
		}
		got := strings.Join(resp.Header.Values(name), ", ")
		if value == "-" {
			value = ""
		}
		if err := match(value, got, kept); err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	if resp.StatusCode == http.StatusNoContent && len(body) > 0 {
		return fmt.Errorf("204 with a body: %s", body)
	}
	if hasBody {
		return match(want, string(body), kept)
	}
	return nil
}

func (r remote) request(text string) (*http.Request, error) {
	head, body, _ := strings.Cut(text, "\n\n")
	first, headers, _ := strings.Cut(head, "\n")
	method, path, _ := strings.Cut(first, " ")
	if strings.HasPrefix(path, "/") {
		path = r.base + path
	}
	h := http.Header{"Authorization": {"Token " + r.token}}
	for line := range strings.SplitSeq(headers, "\n") {
		if name, value, found := strings.Cut(line, ": "); found {
			h.Set(name, value)
			if value == "-" {
				h.Del(name)
			}
		}
	}
	if h.Get("Content-Encoding") == "go" {
		h.Del("Content-Encoding")
		var err error
		if body, err = strconv.Unquote(body); err != nil {
			return nil, err
		}
	}
	if h.Get("Content-Type") == "multipart/form-data" {
		var buf bytes.Buffer
		w := multipart.NewWriter(&buf)
		for pair := range strings.SplitSeq(body, "\n") {
			key, value, _ := strings.Cut(pair, "=")
			if err := w.WriteField(key, value); err != nil {
				return nil, err
			}
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		h.Set("Content-Type", w.FormDataContentType())
		body = buf.String()
	}
	request, err := http.NewRequest(method, path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = h
	return request, nil
}

var placeholder = regexp.MustCompile(`\$\{(?:([a-z0-9]+):)?([a-z0-9_]+)\}`)

var kinds = map[string]string{
	"uuid":  `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`,
	"time":  `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?Z`,
	"hex40": `[0-9a-f]{40}`,
	"query": `expires=\d+&signature=[A-Za-z0-9_-]+`,
	"text":  `(?:[^"\\]|\\.)*`,
}

func substitute(text string, kept map[string]string) string {
	return placeholder.ReplaceAllStringFunc(text, func(s string) string {
		if value, ok := kept[placeholder.FindStringSubmatch(s)[2]]; ok {
			return value
		}
		return s
	})
}

// match holds got against want and keeps what its placeholders matched.
func match(want, got string, kept map[string]string) error {
	var pattern strings.Builder
	var names []string
	kindOf := make(map[string]string)
	pattern.WriteString(`\A`)
	last := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(want, -1) {
		pattern.WriteString(regexp.QuoteMeta(want[last:at[0]]))
		last = at[1]
		name := want[at[4]:at[5]]
		if at[2] >= 0 {
			kindOf[name] = kinds[want[at[2]:at[3]]]
		}
		if kind, fresh := kindOf[name]; fresh {
			pattern.WriteString("(" + kind + ")")
			names = append(names, name)
		} else {
			pattern.WriteString(regexp.QuoteMeta(kept[name]))
		}
	}
	pattern.WriteString(regexp.QuoteMeta(want[last:]) + `\z`)
	found := regexp.MustCompile(pattern.String()).FindStringSubmatch(got)
	if found == nil {
		return fmt.Errorf("got  %s\nwant %s", got, substitute(want, kept))
	}
	values := make(map[string]string)
	for i, name := range names {
		if before, ok := values[name]; ok && before != found[i+1] {
			return fmt.Errorf("%s is both %s and %s in %s", name, before, found[i+1], got)
		}
		values[name] = found[i+1]
	}
	maps.Copy(kept, values)
	return nil
}
