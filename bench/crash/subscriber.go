package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

const (
	// converge is how long south may take to have everything at the end.
	converge = 3 * time.Minute
	// startup is about the time in which a start becomes healthy: kills while
	// starting fall into it.
	startup = 300 * time.Millisecond
	// pulling is about the time that the next publications take to be pulled.
	pulling = 600 * time.Millisecond
	// sample is how many visible versions are compared after a restart.
	sample = 6
	// pollPause is the pause between two looks at whether a version is there.
	pollPause = 20 * time.Millisecond
)

// published is what north's command line acknowledged.
type published struct {
	site.Listed
	bundle, number int // for content
}

// subscriberRun kills a subscriber while a publisher gives it work.
type subscriberRun struct {
	pair *site.Pair
	r    *result
	seed uint64
	rng  *rand.Rand
	work string // folder for what is published

	mu      sync.Mutex
	ledger  []published
	bundles map[string]int // uuid → number, for content
}

func crashSubscriber(ctx context.Context, pair *site.Pair, r *result, o options, work string) error {
	s := &subscriberRun{
		pair: pair, r: r, seed: o.seed, rng: rand.New(rand.NewPCG(o.seed, 1)), work: work, bundles: map[string]int{},
	}
	began := time.Now()
	if _, err := pair.South.API(ctx); err != nil {
		return err
	}
	publishing, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.publish(publishing) }()
	err := s.killLoop(ctx, o.kills)
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return err
	}
	if err := s.complete(ctx); err != nil {
		return err
	}
	r.Took = time.Since(began)
	return s.undisturbed(ctx, o.south)
}

// publish makes new bundles and new versions of old ones until ctx ends. What
// was begun is finished, so that the ledger is complete.
func (s *subscriberRun) publish(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(s.seed, 2))
	var uuids []string
	for number := 1; ctx.Err() == nil; number++ {
		bundle, uuid := len(uuids), ""
		if number > 3 && rng.IntN(3) == 0 {
			bundle = rng.IntN(len(uuids))
			uuid = uuids[bundle]
		}
		files := pullSize.content(s.seed, bundle, number)
		dir := filepath.Join(s.work, fmt.Sprint(number))
		if err := site.WriteTree(dir, files); err != nil {
			return err
		}
		p, err := s.pair.North.Publish(context.WithoutCancel(ctx), dir, s.pair.Collection, uuid, fmt.Sprintf("Bundle %d", bundle), "")
		if err != nil {
			return err
		}
		if uuid == "" {
			uuids = append(uuids, p.Bundle)
		}
		s.mu.Lock()
		s.bundles[p.Bundle] = bundle
		s.ledger = append(s.ledger, published{site.Listed{Bundle: p.Bundle, Version: p.Version}, bundle, number})
		s.mu.Unlock()
		s.r.count(&s.r.Versions, 1)
		for _, content := range files {
			s.r.count(&s.r.ContentBytes, len(content))
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// killLoop kills and restarts south. Some kills fall into the start, some
// interrupt the comparison, before the others it is finished.
func (s *subscriberRun) killLoop(ctx context.Context, kills int) error {
	south := s.pair.South
	for s.r.Kills < kills {
		if s.rng.IntN(6) == 0 && s.r.Kills > 0 {
			south.Kill()
			s.r.Kills++
			if err := south.Launch(); err != nil {
				return err
			}
			site.Pause(ctx, s.upTo(startup))
			s.r.KillsStarting++
		} else {
			s.checkBeside(ctx, s.rng.IntN(2) == 0, s.upTo(pulling))
		}
		select {
		case <-south.Exited():
			s.r.violation(nil, "the subscriber ended by itself before kill %d:\n%s", s.r.Kills+1, south.LogTail())
		default:
		}
		south.Kill()
		s.r.Kills++
		healthy, err := south.Start(ctx)
		if err != nil {
			return err
		}
		s.r.Healthy = append(s.r.Healthy, healthy)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (s *subscriberRun) upTo(d time.Duration) time.Duration {
	return time.Duration(s.rng.Int64N(int64(d)))
}

// checkBeside compares a sample of what is visible, to its end or until the
// kill that is due after delay, whichever the caller wants.
func (s *subscriberRun) checkBeside(ctx context.Context, whole bool, delay time.Duration) {
	seed := s.rng.Uint64()
	if whole {
		s.check(ctx, seed)
		site.Pause(ctx, delay)
		return
	}
	checking, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.check(checking, seed)
	}()
	site.Pause(ctx, delay)
	stop()
	<-done
}

// check downloads some of the versions that south lists, the last ones first,
// and compares every byte. An answer that never came is no finding; a wrong
// one is.
func (s *subscriberRun) check(ctx context.Context, seed uint64) {
	api, err := s.pair.South.API(ctx)
	if err != nil {
		return
	}
	listed, err := api.Versions(ctx)
	if err != nil {
		s.refused(err, "list of versions")
		return
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	for k := range min(sample, len(listed)) {
		v := listed[len(listed)-1-k]
		if k >= sample/2 {
			v = listed[rng.IntN(len(listed))]
		}
		s.checkVersion(ctx, api, v)
	}
}

// checkVersion compares one visible version with what it must be.
func (s *subscriberRun) checkVersion(ctx context.Context, api *site.API, v site.Listed) bool {
	files, err := api.Fetch(ctx, v)
	if err != nil {
		s.refused(err, fmt.Sprintf("version %s,%d, which the list shows", v.Bundle, v.Version))
		return false
	}
	s.mu.Lock()
	bundle, known := s.bundles[v.Bundle]
	if !known { // north's command line is about to learn the uuid
		bundle = len(s.bundles)
	}
	s.mu.Unlock()
	s.r.count(&s.r.Checked, 1)
	if _, err := pullSize.attempt(s.seed, bundle, files); err != nil {
		s.r.violation(&s.r.Incomplete, "visible at the subscriber: %s,%d: %v", v.Bundle, v.Version, err)
		return false
	}
	return true
}

// refused records an answer that should have been another one; a connection
// that broke is what kills do.
func (s *subscriberRun) refused(err error, what string) {
	if status, ok := errors.AsType[*site.StatusError](err); ok {
		s.r.violation(&s.r.Incomplete, "the subscriber refused the %s: %v", what, status)
	}
}

// complete waits until south has every version and compares all of them.
func (s *subscriberRun) complete(ctx context.Context) error {
	api, err := s.pair.South.API(ctx)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, converge)
	defer cancel()
	for _, p := range s.ledger {
		if err := api.WaitVersion(waiting, p.Bundle, p.Version, pollPause); err != nil {
			if ctx.Err() != nil {
				return err
			}
			s.r.violation(&s.r.Lost, "not at the subscriber %v after the last kill: %v", converge, err)
			continue
		}
		files, err := api.Fetch(ctx, p.Listed)
		if err == nil {
			var number int
			if number, err = pullSize.attempt(s.seed, p.bundle, files); err == nil && number != p.number {
				err = fmt.Errorf("it has the content of publication %d, not %d", number, p.number)
			}
		}
		if err != nil {
			s.r.violation(&s.r.Lost, "at the end: %s,%d: %v", p.Bundle, p.Version, err)
			continue
		}
		s.r.Found++
	}
	s.r.Wire = s.pair.Peer.Count()
	return checkAlarms(ctx, s.pair.South, s.r)
}

// undisturbed lets one more site pull all of it, to know what it takes.
func (s *subscriberRun) undisturbed(ctx context.Context, driver string) (err error) {
	reference, err := s.pair.Subscriber(ctx, "reference", driver)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reference.Close()) }()
	if err := s.pair.South.Stop(); err != nil { // its polls would count, too
		return err
	}
	before := s.pair.Peer.Count()
	if err := reference.Follow(ctx, s.pair.North); err != nil {
		return err
	}
	api, err := reference.API(ctx)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, converge)
	defer cancel()
	for _, p := range s.ledger {
		if err := api.WaitVersion(waiting, p.Bundle, p.Version, pollPause); err != nil {
			return err
		}
	}
	s.r.Undisturbed = s.pair.Peer.Count().Since(before)
	return nil
}

// checkAlarms records an alarm or anything parked: the peer is honest. The
// program says so by the exit status of `sync status`.
func checkAlarms(ctx context.Context, south *site.Site, r *result) error {
	// Behind (3) may pass: a poll may be under way. Nothing else may.
	deadline, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		out, err := south.Command(ctx, "sync", "status", "--format", "json")
		if err == nil {
			return nil
		}
		if deadline.Err() != nil || site.ExitStatus(err) != 3 {
			r.violation(nil, "sync status of the subscriber: %v\n%s", err, out)
			return ctx.Err()
		}
		site.Pause(deadline, time.Second)
	}
}
