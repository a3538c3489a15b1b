package main

import (
	"context"
	"fmt"
	"strings"
)

// mostClients is the largest number of clients of P1; each edits a bundle of
// its own.
const mostClients = 64

// p1 measures edit and commit of one 1 KiB file in a bundle of 100, on both
// kinds of storage.
func (b *bench) p1(ctx context.Context) ([]row, error) {
	subjects := b.floors.subjects()
	for _, driver := range b.drivers() {
		where, err := b.open(ctx, "p1-"+driver, driver)
		if err != nil {
			return nil, err
		}
		courses, err := where.courses(ctx, mostClients, 100)
		if err != nil {
			return nil, err
		}
		for _, clients := range []int{1, 8, mostClients} {
			s := subject{name: "edit + commit, " + driver, clients: clients}
			s.op = func(ctx context.Context, client int) error { return courses[client].cycle(ctx, &b.edits) }
			subjects = append(subjects, s)
		}
	}
	before := b.puts()
	all, err := alternate(ctx, b.rhythm, subjects)
	if err != nil {
		return nil, err
	}
	return b.p1Rows(all, b.puts()-before), nil
}

// p1Rows compares one client with the floor and more clients with one. After the
// two floors, all has three series for each kind of storage.
func (b *bench) p1Rows(all []series, puts int) []row {
	rounds := b.rhythm.rounds
	floor := weighted(map[*series]float64{&all[0]: 2, &all[1]: 2}, rounds)
	rows := []row{newRow("P1", all[0]), newRow("P1", all[1])}
	commits := 0
	for i, s := range all[2:] {
		r := newRow("P1", s)
		if one := all[2+i/3*3]; s.clients == 1 {
			r.compare(medianRatio(s.cost(), floor), "the time of 2 files + 2 appends", "≤ 2")
		} else {
			target := ""
			if s.clients == mostClients {
				target = "≥ 5"
			}
			r.compare(medianRatio(s.rate(), one.rate()), "the rate of 1 client", target)
		}
		if strings.Contains(s.name, "s3") {
			commits += s.ops
		}
		rows = append(rows, r)
	}
	if commits > 0 {
		last := &rows[len(rows)-1]
		last.Note = fmt.Sprintf("%.2f PUTs a cycle over all S3 rows", float64(puts)/float64(commits))
	}
	return rows
}

// puts counts the objects written to buckets so far.
func (b *bench) puts() int {
	if b.buckets == nil {
		return 0
	}
	n := 0
	for kind, count := range b.buckets.Count().Requests {
		if strings.HasPrefix(kind, "PUT ") {
			n += count
		}
	}
	return n
}

// p2 measures the same with one client in larger bundles.
func (b *bench) p2(ctx context.Context) ([]row, error) {
	where, err := b.open(ctx, "p2", "dir")
	if err != nil {
		return nil, err
	}
	sizes := []int{100, 1000, 10_000}
	targets := []string{"", "≤ 1.5", "≤ 3"}
	var subjects []subject
	for _, files := range sizes {
		courses, err := where.courses(ctx, 1, files)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, subject{
			name: fmt.Sprintf("edit + commit in a bundle of %d files", files), clients: 1,
			op: func(ctx context.Context, _ int) error { return courses[0].cycle(ctx, &b.edits) },
		})
	}
	all, err := alternate(ctx, b.rhythm, subjects)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, s := range all {
		r := newRow("P2", s)
		if i > 0 {
			r.compare(medianRatio(s.cost(), all[0].cost()), "the time in 100 files", targets[i])
		}
		rows = append(rows, r)
	}
	return rows, nil
}
