package openapitest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// small is a description of two paths.
const small = `{
  "paths": {
    "/things/{id}": {
      "get": {
        "operationId": "getThing", "security": [{"Token": ["reader"]}],
        "responses": {
          "200": {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                  "headers": {"ETag": {"$ref": "#/components/headers/Tag"}}},
          "404": {"$ref": "#/components/responses/NotFound"}
        }
      },
      "put": {
        "operationId": "putThing", "security": [],
        "requestBody": {"$ref": "#/components/requestBodies/Thing"},
        "responses": {"204": {"description": ""}}
      }
    },
    "/things/files/{path}": {
      "get": {"operationId": "getFile", "responses": {"200": {"description": "", "content": {"*/*": {}}}}}
    }
  },
  "components": {
    "headers": {"Tag": {"required": true, "schema": {"type": "string", "pattern": "^\"[0-9]+\"$"}}},
    "requestBodies": {"Thing": {"content": {
      "application/json": {"schema": {"$ref": "#/components/schemas/Thing"}},
      "application/x-www-form-urlencoded": {"schema": {"$ref": "#/components/schemas/Thing"}},
      "multipart/form-data": {"schema": {"$ref": "#/components/schemas/Thing"}}
    }}},
    "responses": {
      "NotFound": {"description": "", "content": {"application/json": {"schema": {"type": "object", "properties": {"detail": {}}}}}},
      "Options": {"description": "", "content": {"application/json": {"schema": {"type": "object"}}}},
      "MethodNotAllowed": {"description": "", "content": {"application/json": {"schema": {"type": "object"}}}}
    },
    "schemas": {"Thing": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "id": {"type": "string", "format": "uuid"}}}}
  }
}`

func described(t *testing.T) *Description {
	t.Helper()
	d, err := New([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAnswersAreHeldAgainstTheDescription(t *testing.T) {
	d := described(t)
	for _, c := range []struct {
		name, method, path string
		status             int
		headers            string // "Name: value" with | between them
		body               string
		fails              string // what the error says; "" for none
	}{
		{"as described", "GET", "/things/1", 200, `Content-Type: application/json|Etag: "1"`, `{"n":1}`, ""},
		{"a head", "HEAD", "/things/1", 200, `Content-Type: application/json|Etag: "1"`, "", ""},
		{"another described status", "GET", "/things/1", 404, "Content-Type: application/json", `{"detail":""}`, ""},
		{"no body", "PUT", "/things/1", 204, "", "", ""},
		{"any type", "GET", "/things/files/a/b", 200, "Content-Type: image/png", "x", ""},
		{"options", "OPTIONS", "/things/1", 200, "Content-Type: application/json", `{}`, ""},
		{"an unknown method", "POST", "/things/1", 405, "Content-Type: application/json", `{}`, ""},
		{"an unknown path", "GET", "/nothing", 404, "Content-Type: application/json", `{}`, ""},
		{"an undescribed path", "GET", "/nothing", 200, "Content-Type: application/json", `{}`, "the path is not described"},
		{"an undescribed status", "GET", "/things/1", 409, "Content-Type: application/json", `{}`, "status 409 is not described"},
		{"an undescribed method", "POST", "/things/1", 201, "Content-Type: application/json", `{}`, "status 201 is not described"},
		{"an undescribed header", "PUT", "/things/1", 204, "Location: /", "", "header Location is not described"},
		{"a header that is missing", "GET", "/things/1", 200, "Content-Type: application/json", `{"n":1}`, "header ETag is missing"},
		{"a header that is another", "GET", "/things/1", 200, "Content-Type: application/json|Etag: 1", `{"n":1}`, "header ETag"},
		{"an undescribed type", "GET", "/things/1", 200, `Content-Type: text/html|Etag: "1"`, `{"n":1}`, "type \"text/html\" is not described"},
		{"an undescribed body", "PUT", "/things/1", 204, "", "x", "a body is not described"},
		{"a key that is missing", "GET", "/things/1", 200, `Content-Type: application/json|Etag: "1"`, `{}`, "missing property 'n'"},
		{"a key that is not described", "GET", "/things/1", 200, `Content-Type: application/json|Etag: "1"`, `{"n":1,"m":1}`, "additional properties 'm'"},
		{"a value of another type", "GET", "/things/1", 200, `Content-Type: application/json|Etag: "1"`, `{"n":"1"}`, "want integer"},
		{"a value of another format", "GET", "/things/1", 200, `Content-Type: application/json|Etag: "1"`, `{"n":1,"id":"x"}`, "not valid uuid"},
		{"what is no JSON", "GET", "/things/1", 200, `Content-Type: application/json|Etag: "1"`, `{`, "EOF"},
	} {
		header := http.Header{}
		for line := range strings.SplitSeq(c.headers, "|") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				header.Set(name, value)
			}
		}
		err := d.Answer(Exchange{Method: c.method, Path: c.path, Status: c.status, Header: header, Received: []byte(c.body)})
		expect(t, c.name, err, c.fails)
	}
}

func TestAcceptedRequestsAreHeldAgainstTheDescription(t *testing.T) {
	d := described(t)
	form := "multipart/form-data; boundary=b"
	parts := "--b\r\nContent-Disposition: form-data; name=n\r\n\r\n%\r\n--b--\r\n"
	for _, c := range []struct {
		name, media, body string
		status            int
		fails             string
	}{
		{"as described", "application/json", `{"n":1}`, 204, ""},
		{"a form", "application/x-www-form-urlencoded", "n=1", 204, ""},
		{"a form in parts", form, strings.Replace(parts, "%", "1", 1), 204, ""},
		{"nothing", "", "", 204, ""},
		{"what was refused", "application/json", `{`, 400, ""},
		{"another type", "text/plain", "n", 204, "not described"},
		{"another value", "application/json", `{"n":"x"}`, 204, "want integer"},
		{"another value of a form", "application/x-www-form-urlencoded", "n=x", 204, "want integer"},
		{"another value of a form in parts", form, strings.Replace(parts, "%", "x", 1), 204, "want integer"},
	} {
		err := d.Request(Exchange{Method: "PUT", Path: "/things/1", RequestType: c.media, Sent: []byte(c.body), Status: c.status})
		expect(t, c.name, err, c.fails)
	}
}

func expect(t *testing.T, name string, err error, fails string) {
	t.Helper()
	switch {
	case fails == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case fails != "" && (err == nil || !strings.Contains(err.Error(), fails)):
		t.Errorf("%s: error %v, want one that says %q", name, err, fails)
	}
}

func TestOperationsAreListedWithWhoMayDoThem(t *testing.T) {
	got := described(t).Operations()
	want := []Operation{
		{"GET", "/things/files/{path}", "getFile", "not said"},
		{"GET", "/things/{id}", "getThing", "Token reader"},
		{"PUT", "/things/{id}", "putThing", ""},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestWhatIsNoDescriptionIsRefused(t *testing.T) {
	for _, text := range []string{"", "[]"} {
		if _, err := New([]byte(text)); err == nil {
			t.Errorf("%q passed", text)
		}
	}
}
