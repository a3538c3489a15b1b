package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/blockstored/blockstored/bench/site"
)

const (
	largeFile = 100 << 20
	pageFile  = 4 << 10
)

// fetch is a URL of the program, and what the rivals serve for it.
type fetch struct {
	what, url, target string
	rival             string // the name of the file with the same bytes
}

// p3 measures reading: JSON and files, one client.
func (b *bench) p3(ctx context.Context) ([]row, error) {
	small, err := b.readable(ctx, "p3-small", 10)
	if err != nil {
		return nil, err
	}
	large, err := b.readable(ctx, "p3-large", b.options.bundles)
	if err != nil {
		return nil, err
	}
	fetches, err := small.files(ctx)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(b.dir, "same-bytes")
	for _, f := range fetches {
		if err := small.copyTo(ctx, f.url, filepath.Join(folder, f.rival)); err != nil {
			return nil, err
		}
	}
	rivals, stop, err := b.startRivals(ctx, folder)
	if err != nil {
		return nil, err
	}
	rows, err := b.p3Rows(ctx, small, large, fetches, rivals)
	return rows, firstOf(err, stop())
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) p3Rows(ctx context.Context, small, large *library, fetches []fetch, rivals []rival) ([]row, error) {
	var rows []row
	for _, f := range fetches {
		subjects := []subject{get("GET "+f.what, small.api, f.url)}
		for _, rv := range rivals {
			subjects = append(subjects, get(rv.name+", the same bytes", rv.api, rv.base+"/"+f.rival))
		}
		all, err := alternate(ctx, b.rhythm, subjects)
		if err != nil {
			return nil, err
		}
		rows = append(rows, newRow("P3", all[0]))
		for i, s := range all[1:] {
			r := newRow("P3", s)
			target := ""
			if rivals[i].name == "nginx" {
				target = f.target
			}
			r.compare(medianRatio(all[0].rate(), s.rate()), "its rate is blockstored's", target)
			rows = append(rows, r)
		}
	}
	what := "GET bundle with %d versions among %d bundles"
	all, err := alternate(ctx, b.rhythm, []subject{
		get(fmt.Sprintf(what, small.versions, small.bundles), small.api, small.bundleURL()),
		get(fmt.Sprintf(what, large.versions, large.bundles), large.api, large.bundleURL()),
	})
	if err != nil {
		return nil, err
	}
	grown := newRow("P3", all[1])
	grown.compare(medianRatio(all[1].cost(), all[0].cost()), "the time in the small table", "flat")
	return append(rows, newRow("P3", all[0]), grown), nil
}

func get(name string, api *site.API, url string) subject {
	return subject{name: name, clients: 1, op: func(ctx context.Context, _ int) error {
		_, err := api.Discard(ctx, url)
		return err
	}}
}

// library is a site with a bundle of many versions among many bundles.
type library struct {
	*instance
	course            *course
	versions, bundles int
}

func (b *bench) readable(ctx context.Context, name string, bundles int) (*library, error) {
	where, err := b.open(ctx, name, "dir")
	if err != nil {
		return nil, err
	}
	courses, err := where.courses(ctx, 1, 100)
	if err != nil {
		return nil, err
	}
	l := &library{instance: where, course: courses[0], versions: 1000, bundles: bundles}
	if b.options.quick {
		l.versions = 100
	}
	for range l.versions - 1 {
		if err := l.course.cycle(ctx, &b.edits); err != nil {
			return nil, err
		}
	}
	return l, atOnce(bundles-1, func(k int) error {
		_, err := where.api.CreateBundle(ctx, where.collection, fmt.Sprintf("neighbour %d", k))
		return err
	})
}

func (l *library) bundleURL() string { return l.URL() + "/api/v1/bundles/" + l.course.bundle }

// files publishes a file of 4 KiB and one of 100 MiB, each in a bundle of its
// own, and returns what to fetch.
func (l *library) files(ctx context.Context) ([]fetch, error) {
	fetches := []fetch{
		{
			what: "version detail of 100 files", rival: "detail.json", target: "≥ 0.25",
			url: fmt.Sprintf("%s/api/v1/bundle_versions/%s,%d", l.URL(), l.course.bundle, l.versions),
		},
		{what: "file of 4 KiB", rival: "page.bin", target: "≥ 0.4"},
		{what: "file of 100 MiB", rival: "film.bin", target: "≥ 0.7"},
	}
	random := rand.NewChaCha8([32]byte{})
	for i, size := range []int{pageFile, largeFile} {
		content := make([]byte, size)
		_, _ = random.Read(content) // never fails
		f := &fetches[i+1]
		var err error
		if f.url, err = l.publish(ctx, f.rival, content); err != nil {
			return nil, err
		}
	}
	return fetches, nil
}

// publish makes a bundle with one file and returns the file's URL.
func (l *library) publish(ctx context.Context, name string, content []byte) (string, error) {
	id, err := l.api.CreateBundle(ctx, l.collection, strings.ReplaceAll(name, ".", " "))
	if err != nil {
		return "", err
	}
	draft, err := l.api.CreateDraft(ctx, id, "studio")
	if err != nil {
		return "", err
	}
	if err := l.api.PutDraftFile(ctx, draft, name, content); err != nil {
		return "", err
	}
	if _, err := l.api.Commit(ctx, draft, ""); err != nil {
		return "", err
	}
	var detail struct {
		Snapshot struct {
			Files map[string]struct{ URL string }
		}
	}
	err = l.api.Do(ctx, "GET", "bundle_versions/"+id+",1", "", nil, &detail)
	return detail.Snapshot.Files[name].URL, err
}

// copyTo keeps what a URL answers, for the rivals.
func (l *library) copyTo(ctx context.Context, url, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // another server reads it
		return err
	}
	content, err := l.api.Read(ctx, url)
	if err != nil {
		return err
	}
	if filepath.Ext(path) == ".json" && !json.Valid(content) {
		return fmt.Errorf("%s answered no JSON", url)
	}
	return os.WriteFile(path, content, 0o644) //nolint:gosec // another server reads it
}
