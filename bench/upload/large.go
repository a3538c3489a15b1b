package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// large is a host application with one large file.
type large struct {
	site   *site.Site
	api    *site.API
	http   *http.Client // without a limit of time
	token  string
	bundle string
	draft  string
	result *result
}

// newLarge makes a bundle with a draft; the caller calls close.
func newLarge(ctx context.Context, s *site.Site, r *result) (*large, error) {
	out, err := s.Command(ctx, "token", "create", "host", "--role", "writer", "--format", "json")
	if err != nil {
		return nil, err
	}
	var created struct{ Token string }
	if err := json.Unmarshal(out, &created); err != nil {
		return nil, fmt.Errorf("token create: %w", err)
	}
	l := &large{site: s, token: created.Token, http: &http.Client{Transport: &http.Transport{}}, result: r}
	l.api = site.NewAPI(s.URL(), l.token)
	collection, err := s.CreateCollection(ctx, "Large")
	if err == nil {
		l.bundle, err = l.api.CreateBundle(ctx, collection, "large")
	}
	if err == nil {
		l.draft, err = l.api.CreateDraft(ctx, l.bundle, "draft")
	}
	if err != nil {
		l.close()
	}
	return l, err
}

func (l *large) close() {
	l.api.Close()
	l.http.CloseIdleConnections()
}

const fileName = "large.bin"

// live uploads content, publishes it and reads it back.
func (l *large) live(ctx context.Context, content io.Reader) error {
	steps := []struct {
		name string
		do   func() error
		took *float64
		peak *int64
	}{
		{"start", func() error { return nil }, nil, &l.result.PeakBefore},
		{"upload", func() error { return l.upload(ctx, content) }, &l.result.Upload, &l.result.PeakUpload},
		{"commit", func() error { return l.commit(ctx) }, &l.result.Commit, nil},
		{"download", func() error { return l.download(ctx) }, &l.result.Download, &l.result.PeakDownload},
	}
	for _, step := range steps {
		began := time.Now()
		err := step.do()
		if step.took != nil {
			*step.took = time.Since(began).Seconds()
		}
		if err == nil && step.peak != nil {
			*step.peak, err = l.site.PeakMemory()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (l *large) upload(ctx context.Context, content io.Reader) error {
	url := l.site.URL() + "/api/v1/drafts/" + l.draft + "/files/" + fileName
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, struct{ io.Reader }{content})
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Token "+l.token)
	if req.ContentLength = l.result.Size; l.result.Chunked {
		req.ContentLength = -1
	}
	resp, err := l.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusNoContent {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}

func (l *large) commit(ctx context.Context) error {
	n, err := l.api.Commit(ctx, l.draft, "")
	if err == nil && n != 1 {
		err = fmt.Errorf("version %d", n)
	}
	return err
}

// download compares the file with what was sent.
func (l *large) download(ctx context.Context) error {
	var detail struct {
		Snapshot struct {
			Files map[string]struct {
				URL  string
				Size int64
			}
		}
	}
	if err := l.api.Do(ctx, http.MethodGet, "bundle_versions/"+l.bundle+",1", "", nil, &detail); err != nil {
		return err
	}
	file := detail.Snapshot.Files[fileName]
	if file.Size != l.result.Size {
		return fmt.Errorf("listed with %d bytes, sent were %d", file.Size, l.result.Size)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, file.URL, nil)
	if err != nil {
		return err
	}
	resp, err := l.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return same(resp.Body, file.Size)
}

// result is what a run shows.
type result struct {
	Size    int64  `json:"bytes"`
	Storage string `json:"storage"`
	Chunked bool   `json:"chunked"`

	Floors   []float64 `json:"floor_seconds"` // before and after
	Upload   float64   `json:"upload_seconds"`
	Commit   float64   `json:"commit_seconds"`
	Download float64   `json:"download_seconds"`

	PeakBefore   int64 `json:"peak_memory_before_bytes"`
	PeakUpload   int64 `json:"peak_memory_after_upload_bytes"`
	PeakDownload int64 `json:"peak_memory_after_download_bytes"`
}

// floor writes the content to a file in sequence and syncs it.
func (r *result) floor(dir string) error {
	began := time.Now()
	f, err := os.Create(filepath.Join(dir, "floor"))
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, newContent(r.Size), make([]byte, blockBytes))
	err = errors.Join(err, f.Sync(), f.Close())
	r.Floors = append(r.Floors, time.Since(began).Seconds())
	return errors.Join(err, os.Remove(f.Name()))
}

// ratio is the upload's speed by the floor's.
func (r *result) ratio() float64 {
	sum := 0.0
	for _, f := range r.Floors {
		sum += f
	}
	return sum / float64(len(r.Floors)) / r.Upload
}

func (r *result) print(w io.Writer) error {
	rate := func(s float64) string { return fmt.Sprintf("%8.2f s %7.0f MiB/s", s, float64(r.Size)/(1<<20)/s) }
	mib := func(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
	var b strings.Builder
	fmt.Fprintf(&b, "one file of %s, storage %s\n", mib(r.Size), r.Storage)
	fmt.Fprintf(&b, "  upload, until answered    %s\n", rate(r.Upload))
	for i, f := range r.Floors {
		fmt.Fprintf(&b, "  floor %s              %s\n", []string{"before", "after "}[i], rate(f))
	}
	fmt.Fprintf(&b, "  upload : floor            %.2f of its speed\n", r.ratio())
	fmt.Fprintf(&b, "  commit                    %8.3f s\n", r.Commit)
	fmt.Fprintf(&b, "  download, all compared    %s\n", rate(r.Download))
	fmt.Fprintf(&b, "  peak memory of the site   %s before, %s after the upload, %s after the download\n",
		mib(r.PeakBefore), mib(r.PeakUpload), mib(r.PeakDownload))
	_, err := io.WriteString(w, b.String())
	return err
}
