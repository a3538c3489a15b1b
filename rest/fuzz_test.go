package rest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/blockstored/blockstored/bundle"
)

// FuzzBody holds: whatever comes as a body is fields or a 4xx in JSON, and the
// fields' texts can be shown again.
func FuzzBody(f *testing.F) {
	f.Add("application/json", []byte(`{"title":"a\ud83d","x":[1,{"y":null}],"title":1e5}`))
	f.Add("application/json; charset=latin-1", []byte("{\"a\":\"\xe9\"}"))
	f.Add("application/x-www-form-urlencoded", []byte("a=%zz&b=+%41&&=c&a"))
	f.Add("multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\nv\r\n--b--\r\n"))
	f.Add("text/plain", []byte("x"))
	f.Fuzz(func(t *testing.T, contentType string, raw []byte) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(string(raw)))
		r.Header.Set("Content-Type", contentType)
		x := &exchange{API: &API{cfg: Config{MaxBody: 1 << 20}}, r: r}
		x.w = newWriter(httptest.NewRecorder(), 1)
		in, err := x.object()
		if err != nil {
			wantRefusal(t, err)
			return
		}
		for _, v := range in {
			if v.kind == isString && !json.Valid(appendString(nil, v.text)) {
				t.Fatalf("%q is shown as %s", v.text, appendString(nil, v.text))
			}
		}
		var faults faults
		faults.text(in, titleRule, false)
		faults.text(in, slugRule, false)
		faults.reference(in, "collection_uuid", false)
		if err := faults.err(); err != nil {
			wantRefusal(t, err)
		}
	})
}

func wantRefusal(t *testing.T, err error) {
	t.Helper()
	ref, ok := errors.AsType[*refusal](err)
	if !ok {
		if bundle.KindOf(err).HTTPStatus() >= http.StatusInternalServerError {
			t.Fatalf("not the client's fault: %v", err)
		}
		return
	}
	if !json.Valid(ref.body) || ref.status < 400 || ref.status > 499 {
		t.Fatalf("%d %s", ref.status, ref.body)
	}
}

// FuzzPatch holds: every JSON is a patch or a 4xx, and what it sets is content.
func FuzzPatch(f *testing.F) {
	f.Add([]byte(`{"files":{"a":"YQ==","b":null,"c":{"digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}},"links":{"l":{"bundle_uuid":"0f3f2b1c-58a8-4c07-9b4e-0c44f0a5d8b1","version":1},"m":null}}`))
	f.Add([]byte(`{"links":{"x":{"version":1e9,"bundle_uuid":true}}}`))
	f.Add([]byte(`{"files":[],"links":0}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, err := decodeText(raw, "")
		if err != nil {
			wantRefusal(t, err)
			return
		}
		p, err := parsePatch(body{json: text})
		if err != nil {
			wantRefusal(t, err)
			return
		}
		if len(p.sizes) != len(p.Files) {
			t.Fatalf("%d sizes of %d files", len(p.sizes), len(p.Files))
		}
		for _, e := range p.Files {
			if !e.Delete && bundle.CheckPath(e.Path) != nil {
				t.Fatalf("%q is set", e.Path)
			}
		}
	})
}

// FuzzBase64 holds: what the strict decoder takes, the lenient one takes alike.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "YQ==", "Y Q=\n=", "YWJj", "%", "é", "YQ==junk"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, problem := decodeBase64(s)
		want, err := base64.StdEncoding.DecodeString(s)
		if err == nil && (problem != "" || string(got) != string(want)) {
			t.Fatalf("%q is %q, decoded to %q (%s)", s, want, got, problem)
		}
		again, problem := decodeBase64(base64.StdEncoding.EncodeToString(got))
		if problem != "" || string(again) != string(got) {
			t.Fatalf("%q came back as %q (%s)", got, again, problem)
		}
	})
}

// FuzzForm holds: every query is pairs of valid text, and no '%' that escapes
// nothing is lost.
func FuzzForm(f *testing.F) {
	f.Add("a=b&c=%20%zz%&d+e=%ff&a=")
	f.Fuzz(func(t *testing.T, s string) {
		for key, value := range parseForm(s) {
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				t.Fatalf("%q=%q", key, value)
			}
		}
	})
}

// FuzzPathOfURL holds: the URL of a file leads back to its path, whatever the
// path is.
func FuzzPathOfURL(f *testing.F) {
	for _, p := range []string{"a/b.txt", "é 100%?#.html", "./k", "a//b", `a\b`, "a:b", "..x", "~", " x", "a;b=c&d"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !utf8.ValidString(path) || path == "" || path == "." || path == ".." {
			return
		}
		var got string
		mux := http.NewServeMux()
		mux.HandleFunc("/files/{id}/{digest}/{path...}", func(_ http.ResponseWriter, r *http.Request) { got = r.PathValue("path") })
		target := "http://h/files/i/d/" + escapePath(path) + "?expires=1"
		r, err := http.NewRequest("GET", target, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if got != path {
			t.Fatalf("%q came back as %q by %s (%d)", path, got, target, w.Code)
		}
	})
}
