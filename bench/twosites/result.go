package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/blockstored/blockstored/bench/site"
)

// result is what a run shows; its JSON is the program's output.
type result struct {
	Source string `json:"source"`
	North  string `json:"north_storage"`
	South  string `json:"south_storage"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"content_bytes"`

	First       phase  `json:"first"`
	Edited      string `json:"edited_file"`
	EditedBytes int    `json:"edited_bytes"`
	Edit        phase  `json:"edit"`

	Kills       int       `json:"kills"`
	Undisturbed site.Wire `json:"undisturbed_pull"` // with kills only
	Compared    int       `json:"files_compared"`   // byte for byte, all equal
}

// phase is one publication and the pull of it.
type phase struct {
	Publish      float64   `json:"publish_seconds"`
	Download     float64   `json:"download_seconds"` // of all files at south, with the command line
	SentFiles    int64     `json:"client_sent_files"`
	SentBytes    int64     `json:"client_sent_content_bytes"`
	Visible      float64   `json:"acknowledged_to_visible_seconds"`
	Client       site.Wire `json:"client_wire"` // command line to north
	Peer         site.Wire `json:"peer_wire"`   // south to north
	Store        site.Wire `json:"s3_wire"`     // sites to their buckets
	NorthObjects int       `json:"north_objects_written"`
	SouthObjects int       `json:"south_objects_written"` // since south's last start
}

const mib = 1 << 20

func (r *result) print(w io.Writer) error {
	fmt.Fprintf(w, "%s: %d files, %.1f MiB; north on %s, south on %s\n\n", r.Source, r.Files, float64(r.Bytes)/mib, r.North, r.South)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(what string, value func(phase) string) {
		fmt.Fprintf(t, "%s\t%s\t%s\n", what, value(r.First), value(r.Edit))
	}
	fmt.Fprintf(t, "\tfirst version\tone file edited (%s, %d bytes)\n", r.Edited, r.EditedBytes)
	row("publish, wall", func(p phase) string { return seconds(p.Publish) })
	row("acknowledged → visible at south", func(p phase) string { return seconds(p.Visible) })
	row("download of it all at south, wall", func(p phase) string { return seconds(p.Download) })
	row("contents the client sent", func(p phase) string { return fmt.Sprintf("%d files, %d bytes", p.SentFiles, p.SentBytes) })
	row("client sent", func(p phase) string { return r.bytes(p.Client.Up) })
	row("client received", func(p phase) string { return r.bytes(p.Client.Down) })
	row("client's requests", func(p phase) string { return fmt.Sprint(p.Client.Total()) })
	row("south received", func(p phase) string { return r.bytes(p.Peer.Down) })
	row("south sent", func(p phase) string { return r.bytes(p.Peer.Up) })
	row("south's requests", func(p phase) string { return fmt.Sprint(p.Peer.Total()) })
	row("objects written at north", func(p phase) string { return fmt.Sprint(p.NorthObjects) })
	row("objects written at south", func(p phase) string { return fmt.Sprint(p.SouthObjects) })
	if r.North == "s3" || r.South == "s3" {
		row("requests to S3", func(p phase) string { return methods(p.Store) })
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nrequests, first version:\n  client  %s\n  south   %s\n", requests(r.First.Client), requests(r.First.Peer))
	fmt.Fprintf(w, "requests, one file edited:\n  client  %s\n  south   %s\n", requests(r.Edit.Client), requests(r.Edit.Peer))
	if r.Kills > 0 {
		twice := r.First.Peer.Down - r.Undisturbed.Down
		fmt.Fprintf(w, "\nsouth was killed %d times during its first pull; undisturbed, a site received %s: fetched twice %s (%.1f %%)\n",
			r.Kills, r.bytes(r.Undisturbed.Down), r.bytes(twice), 100*float64(twice)/float64(r.Undisturbed.Down))
	}
	_, err := fmt.Fprintf(w, "\n%d files downloaded at south and compared with the source byte for byte: all equal\n", r.Compared)
	return err
}

func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", s*1000)
	}
	return fmt.Sprintf("%.2f s", s)
}

// bytes shows an amount, and its share of the content where that says anything.
func (r *result) bytes(n int64) string {
	switch {
	case n < 100<<10:
		return fmt.Sprintf("%d bytes", n)
	case r.Bytes == 0:
		return fmt.Sprintf("%.2f MiB", float64(n)/mib)
	}
	return fmt.Sprintf("%.2f MiB (%.2f of the content)", float64(n)/mib, float64(n)/float64(r.Bytes))
}

// requests shows how many there were of each kind.
func requests(w site.Wire) string {
	kinds := make([]string, 0, len(w.Requests))
	for _, k := range slices.Sorted(maps.Keys(w.Requests)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", w.Requests[k], k))
	}
	return strings.Join(kinds, ", ")
}

// methods shows requests by method alone: paths in a bucket are names.
func methods(w site.Wire) string {
	by := map[string]int{}
	for k, n := range w.Requests {
		method, _, _ := strings.Cut(k, " ")
		by[method] += n
	}
	return requests(site.Wire{Requests: by})
}
