package resttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
)

// Remote is a server that claims the contract.
type Remote struct {
	// BaseURL begins requests, and the URLs in answers; no slash at its end. A
	// server on a unix socket says http://localhost.
	BaseURL string
	// Token is a writer's.
	Token string
	// Transport carries the requests. It must not decompress answers.
	Transport http.RoundTripper
	// Seen, if not nil, is shown every exchange once its answer is whole.
	Seen func(Exchange)
}

// Exchange is a request that was sent and the answer that came.
type Exchange struct {
	Title    string
	Request  *http.Request
	Sent     []byte // its body
	Response *http.Response
	Received []byte // its body
}

// exchange plays one exchange. kept has what placeholders stand for.
func (r Remote) exchange(ctx context.Context, c exchange, kept map[string]string) error {
	request, sent, err := r.request(ctx, substitute(c.request, kept))
	if err != nil {
		return err
	}
	response, err := r.Transport.RoundTrip(request)
	if err != nil {
		return err
	}
	received, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if r.Seen != nil {
		r.Seen(Exchange{Title: c.title, Request: request, Sent: sent, Response: response, Received: received})
	}
	return compare(c.answer, response, received, kept)
}

// compare holds an answer against what the table says.
func compare(answer string, response *http.Response, received []byte, kept map[string]string) error {
	head, want, hasBody := strings.Cut(answer, "\n\n")
	status, headers, _ := strings.Cut(head, "\n")
	if got := strconv.Itoa(response.StatusCode); got != status {
		return fmt.Errorf("status %s, want %s: %s", got, status, received)
	}
	for line := range strings.SplitSeq(headers, "\n") {
		name, value, found := strings.Cut(line, ": ")
		if !found {
			continue
		}
		got := strings.Join(response.Header.Values(name), ", ")
		if value == "-" {
			value = ""
		}
		if err := match(value, got, kept); err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	if response.StatusCode == http.StatusNoContent && len(received) > 0 {
		return fmt.Errorf("204 with a body: %s", received)
	}
	if hasBody {
		return match(want, string(received), kept)
	}
	return nil
}

// request makes the request that text describes.
func (r Remote) request(ctx context.Context, text string) (request *http.Request, sent []byte, err error) {
	head, body, _ := strings.Cut(text, "\n\n")
	first, headers, _ := strings.Cut(head, "\n")
	method, path, _ := strings.Cut(first, " ")
	if strings.HasPrefix(path, "/") {
		path = r.BaseURL + path
	}
	h := http.Header{"Authorization": {"Token " + r.Token}}
	for line := range strings.SplitSeq(headers, "\n") {
		if name, value, found := strings.Cut(line, ": "); found {
			h.Set(name, value)
			if value == "-" {
				h.Del(name)
			}
		}
	}
	sent = []byte(body)
	switch {
	case h.Get("Content-Encoding") == "go":
		h.Del("Content-Encoding")
		if body, err = strconv.Unquote(body); err != nil {
			return nil, nil, err
		}
		sent = []byte(body)
	case h.Get("Content-Type") == "multipart/form-data":
		var contentType string
		if sent, contentType, err = form(body); err != nil {
			return nil, nil, err
		}
		h.Set("Content-Type", contentType)
	}
	if request, err = http.NewRequestWithContext(ctx, method, path, bytes.NewReader(sent)); err != nil {
		return nil, nil, err
	}
	if h.Get("Transfer-Encoding") == "chunked" {
		h.Del("Transfer-Encoding")
		request.ContentLength = -1
	}
	request.Header = h
	return request, sent, nil
}

// form returns lines of key=value as a body of multipart/form-data, and its type.
func form(lines string) (body []byte, contentType string, err error) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for pair := range strings.SplitSeq(lines, "\n") {
		key, value, _ := strings.Cut(pair, "=")
		if err := w.WriteField(key, value); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return buf.Bytes(), w.FormDataContentType(), nil
}
