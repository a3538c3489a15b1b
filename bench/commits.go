package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// mostClients is the largest number of clients of P1; each edits a bundle
	// of its own.
	mostClients = 64
	// putDelay is added to each PUT in one row of P1: about what a bucket of a
	// large provider takes.
	putDelay = 20 * time.Millisecond
)

// p1 measures edit and commit of one 1 KiB file in a bundle of 100, on both
// kinds of storage, and what more files at once and slow PUTs make of it.
func (b *bench) p1(ctx context.Context) ([]row, error) {
	subjects := []subject{b.floors.appended(), b.floors.file()}
	if b.buckets != nil {
		subjects = append(subjects, b.floors.put())
	}
	floors := len(subjects)
	for _, driver := range b.drivers() {
		where, err := b.open(ctx, "p1-"+driver, driver)
		if err != nil {
			return nil, err
		}
		some, err := b.editors(ctx, where, driver)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, some...)
	}
	all, err := alternate(ctx, b.rhythm, subjects)
	if err != nil {
		return nil, err
	}
	rows := b.p1Rows(all[:floors], all[floors:])
	if b.buckets == nil {
		return rows, nil
	}
	slow, err := b.p1Slow(ctx)
	return append(rows, slow), err
}

// editsAtOnce are the numbers of files that one client edits in one commit.
var editsAtOnce = []int{1, 10, 100}

// editors are the subjects of P1 on one site: so many clients, then so many
// files.
func (b *bench) editors(ctx context.Context, where *instance, driver string) ([]subject, error) {
	courses, err := where.courses(ctx, mostClients, 100)
	if err != nil {
		return nil, err
	}
	var all []subject
	for _, clients := range []int{1, 8, mostClients} {
		all = append(all, subject{
			name: "edit + commit, " + driver, clients: clients,
			op: func(ctx context.Context, client int) error { return courses[client].cycle(ctx, &b.edits, 1) },
		})
	}
	for _, files := range editsAtOnce[1:] {
		all = append(all, subject{
			name: fmt.Sprintf("edit of %d files + commit, %s", files, driver), clients: 1,
			op: func(ctx context.Context, client int) error { return courses[client].cycle(ctx, &b.edits, files) },
		})
	}
	return all, nil
}

// p1Rows compares one client with the floor, and all else with one client. The
// floors are a log append and then an object of each kind of storage; measured
// has five series for each.
func (b *bench) p1Rows(floors, measured []series) []row {
	var rows []row
	for _, s := range floors {
		rows = append(rows, newRow("P1", s))
	}
	const perDriver = 5
	for i, s := range measured {
		first := i / perDriver * perDriver
		one, object := measured[first], &floors[1+i/perDriver]
		r := newRow("P1", s)
		switch {
		case i == first:
			floor := weighted(map[*series]float64{object: 2, &floors[0]: 2}, b.rhythm.rounds)
			r.compare(medianRatio(s.cost(), floor), "× 2 objects + 2 appends", atMost(2))
		case s.clients == mostClients:
			r.compare(medianRatio(s.rate(), one.rate()), "× the rate of 1 client", atLeast(5))
		case s.clients > 1:
			r.compare(medianRatio(s.rate(), one.rate()), "× the rate of 1 client", target{})
		default:
			r.compare(medianRatio(s.cost(), one.cost()), "× the time of 1 file", target{})
		}
		rows = append(rows, r)
	}
	return rows
}

// p1Slow counts the PUTs of many clients on a bucket whose PUTs are slow.
func (b *bench) p1Slow(ctx context.Context) (r row, err error) {
	store, err := b.buckets.store("p1-slow")
	if err != nil {
		return r, err
	}
	slow, err := startSlowPuts(ctx, store.Endpoint, putDelay)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.closeSites(), slow.close()) }()
	store.Endpoint = slow.URL
	where, err := b.openOn(ctx, "p1-slow", store)
	if err != nil {
		return r, err
	}
	courses, err := where.courses(ctx, mostClients, 100)
	if err != nil {
		return r, err
	}
	before := slow.puts.Load()
	all, err := alternate(ctx, b.rhythm, []subject{{
		name: fmt.Sprintf("edit + commit, s3, each PUT %v slower", putDelay), clients: mostClients,
		op: func(ctx context.Context, client int) error { return courses[client].cycle(ctx, &b.edits, 1) },
	}})
	if err != nil {
		return r, err
	}
	r = newRow("P1", all[0])
	r.compare(float64(slow.puts.Load()-before)/float64(r.Ops), "PUTs a commit", atMost(0.2))
	return r, nil
}

// p2 measures edit and commit with one client in larger bundles.
func (b *bench) p2(ctx context.Context) ([]row, error) {
	sizes := []int{100, 1000, 10_000}
	targets := []target{{}, atMost(1.5), atMost(3)}
	var subjects []subject
	for _, driver := range b.drivers() {
		where, err := b.open(ctx, "p2-"+driver, driver)
		if err != nil {
			return nil, err
		}
		for _, files := range sizes {
			courses, err := where.courses(ctx, 1, files)
			if err != nil {
				return nil, err
			}
			subjects = append(subjects, subject{
				name: fmt.Sprintf("edit + commit in a bundle of %d files, %s", files, driver), clients: 1,
				op: func(ctx context.Context, _ int) error { return courses[0].cycle(ctx, &b.edits, 1) },
			})
		}
	}
	all, err := alternate(ctx, b.rhythm, subjects)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, s := range all {
		r := newRow("P2", s)
		if n := i % len(sizes); n > 0 {
			r.compare(medianRatio(s.cost(), all[i-n].cost()), "× the time in 100 files", targets[n])
		}
		rows = append(rows, r)
	}
	return rows, nil
}
