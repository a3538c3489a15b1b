package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

const (
	// ClaimKey is the key of the store's claim.
	ClaimKey = "blockstored-claim.json"

	claimFormat = 1
	// claimTries bounds the races lost to other nodes of one instance.
	claimTries = 4
	// claimContests is after how many renewals in a row that found another
	// holder's hand the store is taken to be shared with a clone. A leader
	// that was deposed may cause one.
	claimContests = 2
)

// ReasonStorageShared is the field "reason" of a claim's KindConflict: another
// instance, or a clone of this one, uses the same store.
const ReasonStorageShared = "storage_shared"

// ClaimConfig is who claims a store.
type ClaimConfig struct {
	// Instance owns the store.
	Instance bundle.ID
	// Incarnation tells the instance from copies of itself: it changes when an
	// instance is restored or cloned. At most 128 bytes, not empty.
	Incarnation string
	// Name is shown to the operator who finds the claim. Optional.
	Name string
}

// claimDoc is the claim's JSON. Members unknown to this version are dropped
// when it is renewed.
type claimDoc struct {
	Format      int       `json:"format"`
	Instance    bundle.ID `json:"instance"`
	Incarnation string    `json:"incarnation"`
	Name        string    `json:"name,omitempty"`
	PackFormat  int       `json:"pack_format"`
	Holder      bundle.ID `json:"holder"` // the store that wrote it: one per New
	ClaimedAt   time.Time `json:"claimed_at"`
	RenewedAt   time.Time `json:"renewed_at"`
}

// claimState is what this store knows of the claim on its bucket.
type claimState struct {
	refused atomic.Pointer[bundle.Error] // why Puts are refused

	mu        sync.Mutex
	cfg       ClaimConfig
	claimed   bool
	holder    bundle.ID
	tag       string // of the claim as this store wrote it last
	contested int    // renewals in a row that found another holder's
}

func (c *claimState) refusal() error {
	if err := c.refused.Load(); err != nil {
		return err
	}
	return nil
}

// refuse makes Puts fail with err and returns it.
func (c *claimState) refuse(err *bundle.Error) error {
	c.refused.Store(err)
	return err
}

// Claim takes an unclaimed store for an instance, or renews the claim it
// already has. A store of another instance or incarnation is refused with
// KindConflict whose field reason is [ReasonStorageShared], and from then on so
// is every Put; reads go on. The leader claims when it becomes leader and then
// calls [Store.Renew] or [Store.RunClaim].
func (s *Store) Claim(ctx context.Context, cfg ClaimConfig) error {
	if cfg.Instance == (bundle.ID{}) || cfg.Incarnation == "" || len(cfg.Incarnation) > 128 || len(cfg.Name) > 1024 {
		return bundle.Errorf(bundle.KindInvalid, "a claim needs an instance id, an incarnation of 1 to 128 bytes and a name of at most 1024")
	}
	c := &s.claim
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg, c.contested, c.tag = cfg, 0, ""
	if c.holder == (bundle.ID{}) {
		c.holder = bundle.NewID()
	}
	if err := s.takeClaim(ctx); err != nil {
		return err
	}
	c.claimed = true
	return nil
}

// Renew writes the claim again, which shows other instances that it is alive,
// and checks that it is still this store's. On KindConflict every Put is refused
// until a later Renew finds the claim in order again; of a clone, which has the
// same names, until Claim is called after the clone was stopped. Any other error
// changes nothing and is worth a retry. Claim must have succeeded before.
func (s *Store) Renew(ctx context.Context) error {
	c := &s.claim
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.claimed {
		return bundle.Errorf(bundle.KindPrecondition, "the store was not claimed: call Claim before Renew")
	}
	if c.contested >= claimContests {
		return c.refused.Load()
	}
	return s.takeClaim(ctx)
}

// CheckClaim reads the claim and refuses Puts exactly while it is another's. It
// is for nodes that do not lead: it writes nothing, and an absent claim is none
// of their business.
func (s *Store) CheckClaim(ctx context.Context, cfg ClaimConfig) error {
	c := &s.claim
	c.mu.Lock()
	defer c.mu.Unlock()
	found, _, err := s.readClaim(ctx)
	if err != nil {
		return err
	}
	if err := found.foreign(cfg); err != nil {
		return c.refuse(err)
	}
	c.refused.Store(nil)
	return nil
}

// RunClaim renews the claim every interval until ctx ends, which is when it
// returns. What it finds shows in the answers to Puts and in the log. Its
// caller, the leader, starts and joins it.
func (s *Store) RunClaim(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.Renew(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
		case bundle.IsKind(err, bundle.KindConflict):
			s.log.Error("storage: the claim on the store is another's; writes are refused", "error", err)
		default:
			s.log.Warn("storage: the claim on the store could not be renewed", "error", err)
		}
	}
}

// takeClaim writes the claim by compare-and-swap unless it is foreign. The
// caller holds claim.mu.
func (s *Store) takeClaim(ctx context.Context) error {
	c := &s.claim
	for try := range claimTries {
		found, tag, err := s.readClaim(ctx)
		if err != nil {
			return err
		}
		if err := found.foreign(c.cfg); err != nil {
			return c.refuse(err)
		}
		switch {
		case try > 0: // counted already
		case c.tag == "" || found == nil || found.Holder == c.holder:
			c.contested = 0
		default:
			c.contested++
		}
		if c.contested >= claimContests {
			return c.refuse(errClone(c.cfg))
		}
		newTag, err := s.writeClaim(ctx, found, tag)
		if bundle.IsKind(err, bundle.KindConflict) {
			continue // another node of this instance, or another instance: look
		}
		if err != nil {
			return err
		}
		c.tag = newTag
		c.refused.Store(nil)
		return nil
	}
	return bundle.Errorf(bundle.KindUnavailable, "the store's claim changed %d times while it was being renewed: try again", claimTries)
}

// readClaim returns the claim and its tag, nil and "" if there is none.
func (s *Store) readClaim(ctx context.Context) (*claimDoc, string, error) {
	body, tag, err := s.driver.ReadSmall(ctx, ClaimKey)
	if bundle.IsKind(err, bundle.KindNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the store's claim: %w", err)
	}
	var doc claimDoc
	if err := json.Unmarshal(body, &doc); err != nil || doc.Format < 1 || doc.Instance == (bundle.ID{}) {
		return nil, "", bundle.Errorf(bundle.KindCorrupt,
			"the store's claim %s cannot be read: if this store belongs to this instance alone, delete that object and start again", ClaimKey)
	}
	return &doc, tag, nil
}

func (s *Store) writeClaim(ctx context.Context, found *claimDoc, tag string) (string, error) {
	c := &s.claim
	now := s.now().UTC().Truncate(time.Second)
	doc := claimDoc{
		Format: claimFormat, Instance: c.cfg.Instance, Incarnation: c.cfg.Incarnation, Name: c.cfg.Name,
		PackFormat: packFormat, Holder: c.holder, ClaimedAt: now, RenewedAt: now,
	}
	if found != nil {
		doc.ClaimedAt = found.ClaimedAt
	}
	body, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode the store's claim: %w", err)
	}
	newTag, err := s.driver.WriteSmall(ctx, ClaimKey, append(body, '\n'), tag)
	if err != nil {
		return "", fmt.Errorf("write the store's claim: %w", err)
	}
	return newTag, nil
}

// foreign returns why cfg may not use a store with claim d, nil if it may.
func (d *claimDoc) foreign(cfg ClaimConfig) *bundle.Error {
	switch {
	case d == nil:
		return nil
	case d.Instance != cfg.Instance:
		return bundle.Errorf(bundle.KindConflict,
			"this storage belongs to instance %s (%s, last renewed %s): configure a bucket, prefix or folder of its own; if that instance is gone for good, delete %s there and start again",
			d.Instance, d.label(), d.RenewedAt.Format(time.RFC3339), ClaimKey).With("reason", ReasonStorageShared)
	case d.Incarnation != cfg.Incarnation:
		return bundle.Errorf(bundle.KindConflict,
			"this storage is claimed by another incarnation of this instance (%s, last renewed %s): this one was restored or cloned; give it storage of its own, or, once the other is stopped for good, delete %s and start again",
			d.label(), d.RenewedAt.Format(time.RFC3339), ClaimKey).With("reason", ReasonStorageShared)
	case d.Format > claimFormat || d.PackFormat > packFormat:
		return bundle.Errorf(bundle.KindConflict,
			"this storage was written by a newer version of blockstored (pack format %d, this one knows %d): upgrade this node", d.PackFormat, packFormat).
			With("reason", "storage_format")
	}
	return nil
}

func (d *claimDoc) label() string {
	if d.Name == "" {
		return "unnamed"
	}
	return fmt.Sprintf("%q", d.Name)
}

func errClone(cfg ClaimConfig) *bundle.Error {
	return bundle.Errorf(bundle.KindConflict,
		"another program renews the claim of instance %s on this storage as if it were this one: probably a cloned machine; stop one of the two, then restart the other", cfg.Instance).
		With("reason", ReasonStorageShared)
}
