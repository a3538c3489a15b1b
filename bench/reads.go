package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/blockstored/blockstored/bench/site"
)

// fetch is a URL on the site of each kind of storage, and what the rivals serve
// for it.
type fetch struct {
	what   string
	urls   []string // of each library
	rival  string   // the name of the file with the same bytes
	target target   // of the rate, against nginx
}

// p3 measures reading: JSON and files, one client.
func (b *bench) p3(ctx context.Context) ([]row, error) {
	var libraries []*library
	for _, driver := range b.drivers() {
		l, err := b.readable(ctx, "p3-"+driver, driver, 10)
		if err != nil {
			return nil, err
		}
		libraries = append(libraries, l)
	}
	rows, err := b.p3Bytes(ctx, libraries)
	if err != nil {
		return nil, err
	}
	grown, err := b.p3Tables(ctx)
	return append(rows, grown...), err
}

// p3Bytes holds what the sites answer against other servers of the same bytes.
func (b *bench) p3Bytes(ctx context.Context, libraries []*library) ([]row, error) {
	fetches, err := fetchesOf(ctx, libraries)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(b.dir, "same-bytes")
	for _, f := range fetches {
		if err := libraries[0].copyTo(ctx, f.urls[0], filepath.Join(folder, f.rival)); err != nil {
			return nil, err
		}
	}
	rivals, stop, err := b.startRivals(ctx, folder)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, f := range fetches {
		some, err := b.fetchRows(ctx, f, folder, libraries, rivals)
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		rows = append(rows, some...)
	}
	return rows, stop()
}

// fetchRows compares the sites' rates with nginx's, else with that of the rival
// there is.
func (b *bench) fetchRows(ctx context.Context, f fetch, folder string, libraries []*library, rivals []rival) ([]row, error) {
	var subjects []subject
	for i, l := range libraries {
		subjects = append(subjects, get("GET "+f.what+", "+l.driver, l.api, f.urls[i]))
	}
	if b.buckets != nil {
		content, err := os.ReadFile(filepath.Join(folder, f.rival))
		if err != nil {
			return nil, err
		}
		url, err := b.floors.signedURL(ctx, f.rival, content)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, anyone("the same bytes, the S3 server itself", url))
	}
	for _, rv := range rivals {
		subjects = append(subjects, get("the same bytes, "+rv.name, rv.api, rv.base+"/"+f.rival))
	}
	all, err := alternate(ctx, b.rhythm, subjects)
	if err != nil {
		return nil, err
	}
	last := rivals[len(rivals)-1]
	var rows []row
	for i, s := range all {
		r := newRow("P3", s)
		var t target
		if i < len(libraries) && last.name == nginxName {
			t = f.target
		}
		if i < len(all)-1 {
			r.compare(medianRatio(s.rate(), all[len(all)-1].rate()), "× the rate of "+last.name, t)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func get(name string, api *site.API, url string) subject {
	return subject{name: name, clients: 1, op: func(ctx context.Context, _ int) error {
		_, err := api.Discard(ctx, url)
		return err
	}}
}

// anyone fetches a URL without a token, which a signed one does not go with.
func anyone(name, url string) subject {
	client := &http.Client{Transport: &http.Transport{}}
	return subject{name: name, clients: 1, op: func(ctx context.Context, _ int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("the S3 server answered %s", resp.Status)
		}
		return errors.Join(err, resp.Body.Close())
	}}
}

// flat is how much a cost may grow that does not depend on a size, by what
// else the run does.
var flat = atMost(1.2)

// p3Tables measures a bundle's detail in tables of three sizes, and what it and
// its versions' cost are functions of.
func (b *bench) p3Tables(ctx context.Context) ([]row, error) {
	sizes := []int{b.options.bundles / 100, b.options.bundles / 10, b.options.bundles}
	tables := make([]*library, len(sizes))
	for i, bundles := range sizes {
		var err error
		if tables[i], err = b.readable(ctx, fmt.Sprintf("p3-table-%d", bundles), "dir", max(bundles, 1)); err != nil {
			return nil, err
		}
	}
	var inTables, byVersions []subject
	for _, l := range tables {
		name := fmt.Sprintf("GET bundle of %d versions among %d bundles", l.versions, l.bundles)
		inTables = append(inTables, get(name, l.api, l.bundleURL(l.course)))
	}
	rows, err := b.growth(ctx, inTables, "× the time in the small table", flat)
	if err != nil {
		return nil, err
	}
	l := tables[0]
	for _, versions := range []int{l.versions / 100, l.versions / 10} {
		c, err := l.history(ctx, max(versions, 1), 10)
		if err != nil {
			return nil, err
		}
		byVersions = append(byVersions, get(fmt.Sprintf("GET bundle of %d versions", max(versions, 1)), l.api, l.bundleURL(c)))
	}
	byVersions = append(byVersions, get(fmt.Sprintf("GET bundle of %d versions", l.versions), l.api, l.bundleURL(l.course)))
	byFiles, err := l.detailsBySize(ctx, []int{10, 100, 1000})
	if err != nil {
		return nil, err
	}
	for _, g := range []struct {
		subjects []subject
		against  string
	}{{byVersions, "× the time of the fewest versions"}, {byFiles, "× the time of 10 files"}} {
		some, err := b.growth(ctx, g.subjects, g.against, target{})
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
	}
	return rows, nil
}

// growth compares subjects with the first of them.
func (b *bench) growth(ctx context.Context, subjects []subject, against string, t target) ([]row, error) {
	all, err := alternate(ctx, b.rhythm, subjects)
	if err != nil {
		return nil, err
	}
	rows := []row{newRow("P3", all[0])}
	for _, s := range all[1:] {
		r := newRow("P3", s)
		r.compare(medianRatio(s.cost(), all[0].cost()), against, t)
		rows = append(rows, r)
	}
	return rows, nil
}

// library is a site with a bundle of many versions among many bundles.
type library struct {
	*instance
	driver            string
	course            *course
	versions, bundles int
}

func (b *bench) readable(ctx context.Context, name, driver string, bundles int) (*library, error) {
	where, err := b.open(ctx, name, driver)
	if err != nil {
		return nil, err
	}
	l := &library{instance: where, driver: driver, versions: 1000, bundles: bundles}
	if b.options.quick {
		l.versions = 200
	}
	if l.course, err = l.history(ctx, l.versions, 100); err != nil {
		return nil, err
	}
	return l, atOnce(bundles-1, func(k int) error {
		_, err := where.api.CreateBundle(ctx, where.collection, fmt.Sprintf("neighbour %d", k))
		return err
	})
}

// history makes a bundle of so many versions and files.
func (l *library) history(ctx context.Context, versions, files int) (*course, error) {
	courses, err := l.courses(ctx, 1, files)
	if err != nil {
		return nil, err
	}
	for range versions - 1 {
		if err := courses[0].cycle(ctx, l.edits, 1); err != nil {
			return nil, err
		}
	}
	return courses[0], nil
}

func (l *library) bundleURL(c *course) string { return l.URL() + "/api/v1/bundles/" + c.bundle }

func (l *library) detailURL(c *course, version int) string {
	return fmt.Sprintf("%s/api/v1/bundle_versions/%s,%d", l.URL(), c.bundle, version)
}

func (l *library) detailsBySize(ctx context.Context, sizes []int) ([]subject, error) {
	var all []subject
	for _, files := range sizes {
		c, err := l.history(ctx, 1, files)
		if err != nil {
			return nil, err
		}
		all = append(all, get(fmt.Sprintf("GET version detail of %d files", files), l.api, l.detailURL(c, 1)))
	}
	return all, nil
}

// fetchesOf publishes files of three sizes, each in a bundle of its own, on each
// library and returns what to fetch.
func fetchesOf(ctx context.Context, libraries []*library) ([]fetch, error) {
	fetches := []fetch{
		{what: "version detail of 100 files", rival: "detail.json", target: atLeast(0.25)},
		{what: "file of 4 KiB", rival: "page.bin", target: atLeast(0.4)},
		{what: "file of 1 MiB", rival: "talk.bin"},
		{what: "file of 100 MiB", rival: "film.bin", target: atLeast(0.7)},
	}
	for _, l := range libraries {
		fetches[0].urls = append(fetches[0].urls, l.detailURL(l.course, l.versions))
	}
	random := rand.NewChaCha8([32]byte{})
	for i, size := range []int{4 << 10, 1 << 20, 100 << 20} {
		content := make([]byte, size)
		_, _ = random.Read(content) // never fails
		f := &fetches[i+1]
		for _, l := range libraries {
			url, err := l.publish(ctx, f.rival, content)
			if err != nil {
				return nil, err
			}
			f.urls = append(f.urls, url)
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
