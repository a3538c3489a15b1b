package rest

import (
	"math"
	"net/http"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// The limits of what clients may ask for. docs/limits.md is the table of all of
// them, with the answers.

// pace bounds the rate of requests, for each token by itself. A nil one bounds
// nothing.
type pace struct {
	limit  rate.Limit
	burst  int
	tokens *lru.Cache[bundle.ID, *rate.Limiter]
}

// maxPaced is how many tokens a pace remembers. Of more, the one that was quiet
// for longest begins anew.
const maxPaced = 10_000

// newPace returns nil for a rate of 0.
func newPace(perSecond, burst int) (*pace, error) {
	if perSecond <= 0 {
		return nil, nil
	}
	if burst <= 0 {
		burst = 2 * perSecond
	}
	tokens, err := lru.New[bundle.ID, *rate.Limiter](maxPaced)
	return &pace{rate.Limit(perSecond), burst, tokens}, err
}

// admit returns how long a token has to wait for its next request, 0 if it may
// go on.
func (p *pace) admit(token bundle.ID, now time.Time) time.Duration {
	l, ok := p.tokens.Get(token)
	if !ok {
		fresh := rate.NewLimiter(p.limit, p.burst)
		if l, ok, _ = p.tokens.PeekOrAdd(token, fresh); !ok {
			l = fresh
		}
	}
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// admit refuses a request of a token that has made too many.
func (x *exchange) admit() error {
	if x.pace == nil {
		return nil
	}
	wait := x.pace.admit(x.token.ID, x.cfg.Now())
	if wait <= 0 {
		return nil
	}
	x.retryAfter(wait)
	return refuse(bundle.KindRateLimited, http.StatusTooManyRequests,
		"Too many requests with this token: it may make "+strconv.Itoa(int(x.pace.limit))+
			" a second. Wait as long as Retry-After says.")
}

// retryAfter says when to come again, in whole seconds.
func (x *exchange) retryAfter(wait time.Duration) {
	x.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
}

const (
	// smallUpload is the announced size in bytes up to which an upload is no
	// more than another request.
	smallUpload = bundle.MaxFrameBlob
	uploadWait  = 2 * time.Second // for a slot
	uploadRetry = 5 * time.Second
)

// enterUpload takes one of the slots for uploads and returns what gives it back.
// While all are taken it waits a moment.
func (x *exchange) enterUpload() (leave func(), err error) {
	if n := x.r.ContentLength; n >= 0 && n <= smallUpload {
		return func() {}, nil
	}
	timer := time.NewTimer(x.uploadWait)
	defer timer.Stop()
	select {
	case x.uploads <- struct{}{}:
		return func() { <-x.uploads }, nil
	case <-x.r.Context().Done():
		return nil, x.r.Context().Err()
	case <-timer.C:
	}
	x.retryAfter(uploadRetry)
	return nil, refuse(bundle.KindUnavailable, http.StatusServiceUnavailable,
		strconv.Itoa(cap(x.uploads))+" uploads are under way, as many as are taken at once. Send this one again in a moment.")
}

// checkLength refuses an unpaged list that goes over too many rows, before its
// first byte. count counts no further than most + 1.
func (x *exchange) checkLength(count func(v *catalog.View, most int64) (int64, error)) error {
	var n int64
	err := x.view(func(v *catalog.View) (err error) {
		n, err = count(v, x.cfg.MaxList)
		return err
	})
	if err != nil || n <= x.cfg.MaxList {
		return err
	}
	return refuseField("limit", "This list goes over more than "+strconv.FormatInt(x.cfg.MaxList, 10)+
		" rows. Give limit, from 1 to "+strconv.Itoa(maxLimit)+", and follow the Link headers; or narrow it by filters, of which text_search needs three characters to do so.")
}
