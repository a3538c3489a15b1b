package access

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// Proposer puts commands into the cluster's log.
type Proposer interface {
	Propose(ctx context.Context, cmd catalog.Command) (catalog.Result, error)
}

// TokensConfig says what [Tokens] works on. Catalog is required.
type TokensConfig struct {
	Catalog  *catalog.DB
	Proposer Proposer         // for [Tokens.Run]
	Now      func() time.Time // the clock; nil for time.Now
	Logger   *slog.Logger     // nil for none
}

// Tokens tells whose token a request carries, and notes in the catalog when
// tokens were last used. It is safe for concurrent use.
type Tokens struct {
	cfg  TokensConfig
	wake chan struct{} // holds one element while uses wait for Run

	mu       sync.Mutex
	revision uint64                          // of the catalog's tokens that known is of
	known    map[bundle.Digest]catalog.Token // those asked for since
	noted    map[bundle.ID]int64             // the hour that was noted last, by token
	uses     []catalog.TokenUse              // noted, not proposed yet
}

// maxKnown bounds what is remembered. Sites have a handful of tokens.
const maxKnown = 1024

// period is how exactly the last use of a token is kept: what the catalog keeps.
const period = int64(time.Hour / time.Microsecond)

// NewTokens returns the tokens of a catalog.
func NewTokens(cfg TokensConfig) *Tokens {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Tokens{
		cfg: cfg, wake: make(chan struct{}, 1),
		known: map[bundle.Digest]catalog.Token{}, noted: map[bundle.ID]int64{},
	}
}

// Authenticate returns the live token of that text, and notes that it is used.
// An unknown, malformed, revoked or expired one is of [bundle.KindUnauthorized],
// with the text that the REST API promises; whoever probes learns nothing about
// which of these it was. A token is refused from the moment that its revocation
// is applied on this node.
func (t *Tokens) Authenticate(ctx context.Context, key string) (catalog.Token, error) {
	if key == "" || len(key) > maxKey {
		return catalog.Token{}, errToken()
	}
	token, err := t.find(ctx, HashToken(key))
	if err != nil {
		return catalog.Token{}, err
	}
	now := t.cfg.Now()
	if !Live(token, now) {
		return catalog.Token{}, errToken()
	}
	t.note(token, now.UnixMicro())
	return token, nil
}

// find returns the token of a hash. What it remembers is good only while the
// catalog's tokens stay as they are; unknown hashes are not remembered.
func (t *Tokens) find(ctx context.Context, hash bundle.Digest) (catalog.Token, error) {
	revision := t.cfg.Catalog.TokensRevision() // before the look-up
	t.mu.Lock()
	token, ok := t.known[hash]
	ok = ok && t.revision == revision
	t.mu.Unlock()
	if ok {
		return token, nil
	}
	err := t.cfg.Catalog.View(ctx, func(v *catalog.View) (err error) {
		token, err = v.TokenByHash(hash)
		return err
	})
	if bundle.IsKind(err, bundle.KindNotFound) {
		return token, errToken()
	}
	if err != nil {
		return token, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.revision != revision || len(t.known) >= maxKnown {
		clear(t.known)
		t.revision = revision
	}
	t.known[hash] = token
	return token, nil
}

// Made checks the result of proposing made, which [TokenRequest.Prepare]
// returned. Of a request that is repeated under its id the result is the first
// one's: that is fine where the key was brought along, and KindConflict where it
// was made, since the one that is stored was shown then and cannot be again.
func (t *Tokens) Made(ctx context.Context, made catalog.CreateToken, result catalog.Result) error {
	if result.ID == made.ID {
		return nil
	}
	stored, err := t.find(ctx, made.Hash)
	switch {
	case err == nil && stored.ID == result.ID:
		return nil
	case err != nil && !bundle.IsKind(err, bundle.KindUnauthorized):
		return err
	}
	return bundle.Errorf(bundle.KindConflict,
		"This request was made before and its token shown then: it cannot be shown again. Revoke it and make another.")
}

// note remembers a use for Run, unless that hour of the token is known already.
func (t *Tokens) note(token catalog.Token, now int64) {
	hour := now - now%period
	if token.Used >= hour {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.noted[token.ID] >= hour {
		return
	}
	t.noted[token.ID] = hour
	t.uses = append(t.uses, catalog.TokenUse{Token: token.ID, At: hour})
	t.wakeUp()
}

// retryUses is how long Run waits after it could not propose.
const retryUses = time.Minute

// Run proposes what requests noted until ctx ends: on each node at most one
// command for each token and hour, and none that a request waits for. What was noted and not
// proposed when the process ends is lost, and noted again by the next use in a
// later process.
func (t *Tokens) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		}
		uses := t.take()
		if len(uses) == 0 {
			continue
		}
		_, err := t.cfg.Proposer.Propose(ctx, catalog.NewCommand(t.cfg.Now(), catalog.UseTokens{Uses: uses}))
		if err == nil {
			continue
		}
		t.cfg.Logger.Debug("tokens: noting their last use later", "error", err)
		t.giveBack(uses)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryUses):
		}
	}
}

// take returns the uses of one command and leaves the rest for the next.
func (t *Tokens) take() []catalog.TokenUse {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.uses), catalog.MaxTokenUses)
	uses := t.uses[:n:n]
	t.uses = t.uses[n:]
	if len(t.uses) > 0 {
		t.wakeUp()
	}
	return uses
}

func (t *Tokens) giveBack(uses []catalog.TokenUse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.uses = append(uses, t.uses...)
	t.wakeUp()
}

// wakeUp has Run look; the caller holds mu.
func (t *Tokens) wakeUp() {
	select {
	case t.wake <- struct{}{}:
	default: // it will anyway
	}
}
