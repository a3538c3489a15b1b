package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/blockstored/blockstored/bench/lab"
	"github.com/blockstored/blockstored/bench/site"
)

// verify reads everything from every node, at level strong and as part of the
// history, and judges.
func (p *play) verify(ctx context.Context) error {
	var ends []shown
	for node := range p.lab.Nodes() {
		from, err := p.readNode(ctx, node)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ends = append(ends, from...); err != nil {
			find(&p.findings.Unhealed, "%v", err)
		}
	}
	if _, err := p.lab.SameState(ctx); err != nil && ctx.Err() == nil {
		find(&p.findings.Dumps, "%v", err)
	}
	records := p.history.all()
	p.result.countRecords(records)
	p.findings.judge(records, ends)
	v, err := check(records, p.dir, checkSteps)
	p.findings.Illegal = append(p.findings.Illegal, v.illegal...)
	for _, bundle := range v.undecided {
		find(&p.findings.Undecided, "bundle %s", bundle)
	}
	return err
}

// readNode reads everything from one node, up to the first thing that it does not
// answer.
func (p *play) readNode(ctx context.Context, node int) (ends []shown, err error) {
	reader := *p.clients[0]
	reader.number, reader.calm = p.number+node, true // whoever reads at the end is one more
	for _, b := range p.everything() {
		end, err := p.readAll(ctx, &reader, node, b)
		if err != nil {
			return ends, err
		}
		ends = append(ends, end)
	}
	return ends, nil
}

// readAll reads one bundle from one node.
func (p *play) readAll(ctx context.Context, c *client, node int, b *bundle) (s shown, err error) {
	s = shown{node: c.names[node], bundle: b.id, versions: map[int]version{}}
	top, err := p.insist(ctx, c, node, b, op{Kind: readBundle}, draftRef{})
	if err != nil {
		return s, err
	}
	list, err := p.insist(ctx, c, node, b, op{Kind: listVersions}, draftRef{})
	if err != nil {
		return s, err
	}
	s.listed = list.Answer.Listed
	for _, d := range b.known() {
		if _, err := p.insist(ctx, c, node, b, op{Kind: readDraft, Draft: d.name}, d); err != nil {
			return s, err
		}
	}
	for number := 1; number <= max(top.Answer.Number, b.newest()); number++ {
		v, here, err := p.readVersion(ctx, c, node, b, number)
		if err != nil {
			return s, err
		}
		if here {
			s.versions[number] = v
		}
	}
	return s, nil
}

// insist makes a reading until it is answered, and adds it to the history.
func (p *play) insist(ctx context.Context, c *client, node int, b *bundle, o op, d draftRef) (r record, err error) {
	err = lab.Until(ctx, func(ctx context.Context) error {
		r = record{Bundle: b.id, Op: o, Level: "strong"}
		if c.look(ctx, &r, b, d, node); r.Answer.Told == open || r.Answer.Told == refused {
			return fmt.Errorf("node %s does not answer after the faults, %s of bundle %s: %v", c.names[node], o, b.id, r.Texts)
		}
		return nil
	})
	if err == nil {
		c.add(r)
	}
	return r, err
}

// readVersion reads a version and the bytes of its files.
func (p *play) readVersion(ctx context.Context, c *client, node int, b *bundle, number int) (v version, here bool, err error) {
	r, err := p.insist(ctx, c, node, b, op{Kind: readVersion, Number: number}, draftRef{})
	if err != nil || r.Answer.Told == missing {
		return v, false, err
	}
	p.result.VersionsRead++
	v = version{label: r.Answer.Label, content: r.Answer.Shown}
	for _, path := range slices.Sorted(maps.Keys(r.Answer.URLs)) {
		var what string
		err := lab.Until(ctx, func(ctx context.Context) (err error) {
			what, err = compareBytes(ctx, c.apis[node], r.Answer.URLs[path], v.content[path])
			return err
		})
		if err != nil {
			what = err.Error()
		}
		if what != "" {
			v.unreadable = append(v.unreadable, path+": "+what)
		}
	}
	return v, true, nil
}

// compareBytes fetches a file and says how it differs from what its hash says. An
// error may end when it is tried again.
func compareBytes(ctx context.Context, api *site.API, url, want string) (string, error) {
	content, err := api.Read(ctx, url)
	if err != nil {
		return "", err
	}
	if got := hash(content); got != want {
		return fmt.Sprintf("bytes of %s, listed as %s", got, want), nil
	}
	return "", nil
}
