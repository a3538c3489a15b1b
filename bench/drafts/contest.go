package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bench/site"
)

const (
	// draftsOfBundle is how many drafts share a bundle, so that their commits
	// have to be merged.
	draftsOfBundle = 4
	// answered is how long a client repeats a change before the run fails.
	answered = 90 * time.Second
	// healthPause is about the pause between two looks at a server that is down.
	healthPause = 50 * time.Millisecond
)

// contest is a run.
type contest struct {
	options
	*result
	*history
	north   *site.Site
	api     *site.API
	bundles []string // uuids
	drafts  []string // uuids; draft i is of bundle i/draftsOfBundle
}

// play lets the clients work while the server may be killed, then judges.
func (c *contest) play(ctx context.Context) error {
	var err error
	if c.api, err = c.north.API(ctx); err != nil {
		return err
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	work, whole := errgroup.WithContext(ctx)
	for n := range c.clients {
		work.Go(func() error { return newClient(c, n).work(whole, working.Done()) })
	}
	work.Go(func() error {
		defer stop()
		return c.disturb(whole)
	})
	if err := work.Wait(); err != nil {
		return err
	}
	bundles, err := c.read(ctx)
	if err != nil {
		return err
	}
	c.take(judge(c.history, bundles))
	return nil
}

// prepare makes the bundles and drafts.
func (c *contest) prepare(ctx context.Context) error {
	collection, err := c.north.CreateCollection(ctx, "bench")
	if err != nil {
		return err
	}
	for n := range c.options.drafts {
		if n%draftsOfBundle == 0 {
			b, err := c.api.CreateBundle(ctx, collection, fmt.Sprintf("Bundle %d", len(c.bundles)))
			if err != nil {
				return err
			}
			c.bundles = append(c.bundles, b)
		}
		d, err := c.api.CreateDraft(ctx, c.bundleOf(n), fmt.Sprintf("draft %d", n))
		if err != nil {
			return err
		}
		c.drafts = append(c.drafts, d)
	}
	return nil
}

func (c *contest) bundleOf(draft int) string { return c.bundles[draft/draftsOfBundle] }

// disturb kills and restarts the server, if asked to, until the time is over.
func (c *contest) disturb(ctx context.Context) error {
	end := time.Now().Add(c.lasting)
	if c.killEvery == 0 {
		site.Pause(ctx, c.lasting)
		return ctx.Err()
	}
	rng := rand.New(rand.NewPCG(c.seed, 1<<32))
	for ctx.Err() == nil {
		site.Pause(ctx, c.killEvery/2+time.Duration(rng.Int64N(int64(c.killEvery))))
		if time.Now().After(end) && c.Kills >= c.kills {
			break
		}
		select {
		case <-c.north.Exited():
			return fmt.Errorf("the server ended by itself after %d kills", c.Kills)
		default:
		}
		c.north.Kill()
		c.count(&c.Kills, 1)
		healthy, err := c.north.Start(ctx)
		if err != nil {
			return err
		}
		c.Healthy = append(c.Healthy, healthy)
	}
	return ctx.Err()
}

// ask sends a request until an answer other than 503 arrives.
func (c *contest) ask(ctx context.Context, method, path, key string, in any) (site.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answered)
	defer cancel()
	for {
		a, err := c.api.Answer(ctx, method, path, key, in)
		c.count(&c.Requests, 1)
		if err == nil && a.Status != http.StatusServiceUnavailable {
			if a.Status == http.StatusInternalServerError {
				c.violation(&c.Failures, "%s %s answered 500: %s", method, path, a.Body)
			}
			return a, nil
		}
		if ctx.Err() != nil {
			return a, fmt.Errorf("%s %s has no answer: %w", method, path, errors.Join(err, ctx.Err()))
		}
		if err := c.awaitHealth(ctx); err != nil {
			return a, err
		}
		c.count(&c.Retries, 1)
	}
}

// awaitHealth returns when the server says that it is well.
func (c *contest) awaitHealth(ctx context.Context) error {
	for {
		site.Pause(ctx, healthPause/2+time.Duration(rand.Int64N(int64(healthPause)))) // they all wait
		err := c.api.Health(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}
