package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bench/site"
)

const (
	// writers publish at the same time, each into a bundle of its own.
	writers = 4
	// writing is about how long north lives between two kills.
	writing = 500 * time.Millisecond
	// retryPause is the pause of a writer whose primary is down.
	retryPause = 10 * time.Millisecond
	// shownSince is how many acknowledged commits are read back at once after
	// each restart; at the end it is all of them.
	shownSince = 8
)

// acknowledged is a commit whose answer arrived.
type acknowledged struct {
	site.Listed
	writer, number int
}

// primaryRun kills a primary while writers commit.
type primaryRun struct {
	pair    *site.Pair
	api     *site.API
	r       *result
	seed    uint64
	rng     *rand.Rand
	bundles [writers]string
	number  atomic.Int64
	moment  chan struct{} // a commit was acknowledged just now

	mu     sync.Mutex
	ledger []acknowledged
}

func crashPrimary(ctx context.Context, pair *site.Pair, r *result, o options) error {
	p := &primaryRun{
		pair: pair, r: r, seed: o.seed, rng: rand.New(rand.NewPCG(o.seed, 4)), moment: make(chan struct{}, 1),
	}
	began := time.Now()
	var err error
	if p.api, err = pair.North.API(ctx); err != nil {
		return err
	}
	if _, err := pair.South.API(ctx); err != nil {
		return err
	}
	for w := range writers {
		if p.bundles[w], err = p.api.CreateBundle(ctx, pair.Collection, fmt.Sprintf("Bundle %d", w)); err != nil {
			return err
		}
	}
	writing, stop := context.WithCancel(ctx)
	work, _ := errgroup.WithContext(ctx)
	for w := range writers {
		work.Go(func() error { return p.write(writing, w) })
	}
	err = p.killLoop(ctx, o.kills)
	stop()
	if err = errors.Join(err, work.Wait()); err != nil {
		return err
	}
	if err := p.everything(ctx); err != nil {
		return err
	}
	if err := p.followed(ctx); err != nil {
		return err
	}
	r.Took = time.Since(began)
	r.Wire = pair.Peer.Count()
	return nil
}

// write commits version after version until ctx ends. What was begun gets its
// answer first: ctx is looked at between attempts only.
func (p *primaryRun) write(ctx context.Context, writer int) error {
	whole := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		number := int(p.number.Add(1))
		draft, err := p.api.CreateDraft(whole, p.bundles[writer], fmt.Sprintf("attempt %d", number))
		if err == nil {
			err = p.api.PatchDraft(whole, draft, commitSize.content(p.seed, writer, number))
		}
		if err == nil {
			err = p.commit(ctx, writer, number, draft)
		}
		if err == nil {
			continue
		}
		if status, ok := errors.AsType[*site.StatusError](err); ok && status.Code != http.StatusServiceUnavailable {
			return fmt.Errorf("attempt %d was refused: %w", number, err)
		}
		site.Pause(ctx, retryPause)
	}
	return nil
}

// commit publishes a draft. If no answer comes it repeats the request with the
// same key until one does, which must be that of the one commit that was made.
func (p *primaryRun) commit(ctx context.Context, writer, number int, draft string) error {
	key := fmt.Sprintf("attempt-%d", number)
	began := time.Now()
	version, err := p.api.Commit(context.WithoutCancel(ctx), draft, key)
	if err != nil {
		p.r.count(&p.r.Unknown, 1)
	}
	for err != nil {
		status, answered := errors.AsType[*site.StatusError](err)
		switch {
		case answered && status.Code != http.StatusServiceUnavailable:
			return fmt.Errorf("commit repeated: %w", err)
		case time.Since(began) > converge:
			return fmt.Errorf("no answer in %v: %w", converge, err)
		}
		site.Pause(context.WithoutCancel(ctx), retryPause)
		if version, err = p.api.Commit(context.WithoutCancel(ctx), draft, key); err == nil {
			p.r.count(&p.r.Repeated, 1)
		}
	}
	p.mu.Lock()
	p.ledger = append(p.ledger, acknowledged{site.Listed{Bundle: p.bundles[writer], Version: version}, writer, number})
	p.mu.Unlock()
	p.r.count(&p.r.Versions, 1)
	select {
	case p.moment <- struct{}{}:
	default:
	}
	// A draft that stays because its primary was killed harms nothing.
	_ = p.api.Do(context.WithoutCancel(ctx), http.MethodDelete, "drafts/"+draft, "", nil, nil)
	return nil
}

// killLoop kills and restarts north: while it starts, right after it
// acknowledged a commit, or at any moment.
func (p *primaryRun) killLoop(ctx context.Context, kills int) error {
	north := p.pair.North
	for p.r.Kills < kills {
		switch p.rng.IntN(6) {
		case 0:
			north.Kill()
			p.r.Kills++
			if err := north.Launch(); err != nil {
				return err
			}
			site.Pause(ctx, time.Duration(p.rng.Int64N(int64(startup))))
			p.r.KillsStarting++
		case 1, 2:
			p.awaitMoment(ctx)
			p.r.KillsAcknowledged++
		default:
			site.Pause(ctx, time.Duration(p.rng.Int64N(int64(writing))))
		}
		select {
		case <-north.Exited():
			p.r.violation(nil, "the primary ended by itself before kill %d:\n%s", p.r.Kills+1, north.LogTail())
		default:
		}
		north.Kill()
		p.r.Kills++
		healthy, err := north.Start(ctx)
		if err != nil {
			return err
		}
		p.r.Healthy = append(p.r.Healthy, healthy)
		if err := p.lastOnes(ctx); err != nil {
			return err
		}
	}
	return nil
}

// awaitMoment returns right after the next acknowledgement.
func (p *primaryRun) awaitMoment(ctx context.Context) {
	select { // an old one does not count
	case <-p.moment:
	default:
	}
	select {
	case <-p.moment:
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
}

// lastOnes reads back what was acknowledged just before the kill.
func (p *primaryRun) lastOnes(ctx context.Context) error {
	p.mu.Lock()
	last := append([]acknowledged(nil), p.ledger[max(0, len(p.ledger)-shownSince):]...)
	p.mu.Unlock()
	for _, a := range last {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.readBack(ctx, p.api, a); err != nil {
			p.r.violation(&p.r.Incomplete, "after restart %d: %v", p.r.Kills, err)
		}
		p.r.count(&p.r.Checked, 1)
	}
	return nil
}

// readBack compares a version with the attempt that must have made it.
func (p *primaryRun) readBack(ctx context.Context, api *site.API, a acknowledged) error {
	files, err := api.Fetch(ctx, a.Listed)
	if err != nil {
		return fmt.Errorf("attempt %d, acknowledged as %s,%d: %w", a.number, a.Bundle, a.Version, err)
	}
	number, err := commitSize.attempt(p.seed, a.writer, files)
	if err == nil && number != a.number {
		err = fmt.Errorf("it holds attempt %d", number)
	}
	if err != nil {
		return fmt.Errorf("attempt %d, acknowledged as %s,%d: %w", a.number, a.Bundle, a.Version, err)
	}
	return nil
}

// everything reads every version of every bundle and looks for gaps, twins and
// acknowledged commits that are not where they were acknowledged.
func (p *primaryRun) everything(ctx context.Context) error {
	listed, err := p.api.Versions(ctx)
	if err != nil {
		return err
	}
	holds := map[site.Listed]int{} // which attempt each version holds
	made := map[int]site.Listed{}
	count, newest := map[string]int{}, map[string]int{}
	for _, v := range listed {
		if _, twice := holds[v]; twice {
			p.r.violation(&p.r.Disorder, "%s,%d is listed twice", v.Bundle, v.Version)
			continue
		}
		holds[v] = 0
		count[v.Bundle]++
		newest[v.Bundle] = max(newest[v.Bundle], v.Version)
		number, err := p.attemptOf(ctx, v)
		if err != nil {
			p.r.violation(&p.r.Incomplete, "at the end: %s,%d: %v", v.Bundle, v.Version, err)
			continue
		}
		if other, ok := made[number]; ok {
			p.r.violation(&p.r.Disorder, "attempt %d is both %s,%d and %s,%d", number, v.Bundle, v.Version, other.Bundle, other.Version)
		}
		holds[v], made[number] = number, v
	}
	for bundle, n := range newest {
		if n != count[bundle] {
			p.r.violation(&p.r.Disorder, "bundle %s has %d versions and the newest is %d", bundle, count[bundle], n)
		}
	}
	for _, a := range p.ledger {
		if number := holds[a.Listed]; number != a.number {
			p.r.violation(&p.r.Lost, "attempt %d was acknowledged as %s,%d, which holds attempt %d", a.number, a.Bundle, a.Version, number)
			continue
		}
		p.r.Found++
	}
	return nil
}

func (p *primaryRun) attemptOf(ctx context.Context, v site.Listed) (int, error) {
	files, err := p.api.Fetch(ctx, v)
	if err != nil {
		return 0, err
	}
	for w, bundle := range p.bundles {
		if bundle == v.Bundle {
			return commitSize.attempt(p.seed, w, files)
		}
	}
	return 0, fmt.Errorf("no writer made this bundle")
}

// followed waits until the follower has every acknowledged version, compares
// some, and lets it say whether north ever contradicted itself.
func (p *primaryRun) followed(ctx context.Context) error {
	api, err := p.pair.South.API(ctx)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, converge)
	defer cancel()
	for k, a := range p.ledger {
		if err := api.WaitVersion(waiting, a.Bundle, a.Version, pollPause); err != nil {
			if ctx.Err() != nil {
				return err
			}
			p.r.violation(&p.r.Lost, "the follower does not get attempt %d: %v", a.number, err)
			continue
		}
		if k%7 == 0 {
			if err := p.readBack(ctx, api, a); err != nil {
				p.r.violation(&p.r.Incomplete, "at the follower: %v", err)
			}
			p.r.count(&p.r.Checked, 1)
		}
	}
	return checkAlarms(ctx, p.pair.South, p.r)
}
