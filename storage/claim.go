package storage

import (
	"context"
	"encoding/json"
	"errors"
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

// The field "reason" of a claim's KindConflict.
const (
	// ReasonStorageShared: another instance, or a clone of this one, uses the
	// same store.
	ReasonStorageShared = "storage_shared"
	// ReasonGenerationLost: the instance was recovered elsewhere, and the
	// generation of whoever asks was given up. It must stop.
	ReasonGenerationLost = "generation_lost"
)

// GenerationLost reports whether err says that the generation of this node was
// given up.
func GenerationLost(err error) bool {
	e, ok := errors.AsType[*bundle.Error](err)
	return ok && e.Fields["reason"] == ReasonGenerationLost
}

// ClaimConfig is who claims a store.
type ClaimConfig struct {
	// Instance owns the store.
	Instance bundle.ID
	// Generation of the instance, from 1. The claim of an earlier one passes to
	// a later one, and never back.
	Generation uint64
	// Name is shown to the operator who finds the claim. Optional.
	Name string
}

// Claimed is what a store's claim says.
type Claimed struct {
	Instance   bundle.ID
	Generation uint64 // 0 if the claim does not tell
	Name       string
	RenewedAt  time.Time
}

// claimDoc is the claim's JSON. Members unknown to this version are dropped
// when it is renewed.
type claimDoc struct {
	Format      int       `json:"format"`
	Instance    bundle.ID `json:"instance"`
	Generation  uint64    `json:"generation,omitempty"`
	Incarnation string    `json:"incarnation"` // "generation N", all that older programs know of it
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

// Refusal returns why every Put is refused because of the claim, nil if none is.
func (s *Store) Refusal() error { return s.claim.refusal() }

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
// already has, that of an earlier generation too. A store of another instance is
// refused with KindConflict whose field reason is [ReasonStorageShared], one of a
// later generation with [ReasonGenerationLost], and from then on so is every Put;
// reads go on. The leader claims when it becomes leader and then
// calls [Store.Renew] or [Store.RunClaim].
func (s *Store) Claim(ctx context.Context, cfg ClaimConfig) error {
	if err := cfg.check(); err != nil {
		return err
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

func (cfg ClaimConfig) check() error {
	if cfg.Instance == (bundle.ID{}) || cfg.Generation == 0 || len(cfg.Name) > 1024 {
		return bundle.Errorf(bundle.KindInvalid, "a claim needs an instance id, a generation from 1 and a name of at most 1024 bytes")
	}
	return nil
}

// Claimed returns what the claim says, KindNotFound if there is none.
func (s *Store) Claimed(ctx context.Context) (Claimed, error) {
	found, _, err := s.readClaim(ctx)
	if err != nil {
		return Claimed{}, err
	}
	if found == nil {
		return Claimed{}, bundle.Errorf(bundle.KindNotFound, "nobody has claimed this storage")
	}
	return Claimed{Instance: found.Instance, Generation: found.generation(), Name: found.Name, RenewedAt: found.RenewedAt}, nil
}

// PassClaim gives the claim to a later generation: from then on the earlier ones
// are refused. Of several who begin the same generation one gets it: the others,
// and who comes too late, are refused with KindConflict and [ReasonGenerationLost].
// holder tells who asks, so that repeating a call that succeeded succeeds. It does
// not claim for this Store.
func (s *Store) PassClaim(ctx context.Context, cfg ClaimConfig, holder bundle.ID) error {
	if err := cfg.check(); err != nil {
		return err
	}
	for range claimTries {
		found, tag, err := s.readClaim(ctx)
		if err != nil {
			return err
		}
		if err := found.foreign(cfg); err != nil {
			return err
		}
		if found != nil && found.generation() == cfg.Generation {
			if found.Holder == holder {
				return nil
			}
			return found.lost(cfg.Generation)
		}
		_, err = s.writeClaim(ctx, cfg, holder, found, tag)
		if !bundle.IsKind(err, bundle.KindConflict) {
			return err
		}
	}
	return errClaimBusy
}

// RunClaim renews the claim every interval until ctx ends, and returns nil then,
// or until it finds that the generation was given up, and returns that error. What
// else it finds shows in the answers to Puts and in the log. Its
// caller, the leader, starts and joins it.
func (s *Store) RunClaim(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := s.Renew(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
		case GenerationLost(err):
			return err
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
		newTag, err := s.writeClaim(ctx, c.cfg, c.holder, found, tag)
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
	return errClaimBusy
}

var errClaimBusy = bundle.Errorf(bundle.KindUnavailable, "the store's claim changed %d times while it was being renewed: try again", claimTries)

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

func (s *Store) writeClaim(ctx context.Context, cfg ClaimConfig, holder bundle.ID, found *claimDoc, tag string) (string, error) {
	now := s.now().UTC().Truncate(time.Second)
	doc := claimDoc{
		Format: claimFormat, Instance: cfg.Instance, Generation: cfg.Generation, Incarnation: incarnation(cfg.Generation), Name: cfg.Name,
		PackFormat: packFormat, Holder: holder, ClaimedAt: now, RenewedAt: now,
	}
	if found != nil && found.generation() == cfg.Generation {
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
	case d.generation() == 0:
		return bundle.Errorf(bundle.KindConflict,
			"this storage is claimed by another incarnation of this instance (%s, last renewed %s): this one was restored or cloned; give it storage of its own, or, once the other is stopped for good, delete %s and start again",
			d.label(), d.RenewedAt.Format(time.RFC3339), ClaimKey).With("reason", ReasonStorageShared)
	case d.generation() > cfg.Generation:
		return d.lost(cfg.Generation)
	case d.Format > claimFormat || d.PackFormat > packFormat:
		return bundle.Errorf(bundle.KindConflict,
			"this storage was written by a newer version of blockstored (pack format %d, this one knows %d): upgrade this node", d.PackFormat, packFormat).
			With("reason", "storage_format")
	}
	return nil
}

// incarnation is what programs compare that know no generation.
func incarnation(generation uint64) string { return fmt.Sprintf("generation %d", generation) }

// generation returns the generation that claimed, 0 if that cannot be told.
func (d *claimDoc) generation() uint64 {
	if d.Generation > 0 {
		return d.Generation
	}
	var n uint64
	if _, err := fmt.Sscanf(d.Incarnation, "generation %d", &n); err != nil || d.Incarnation != incarnation(n) {
		return 0
	}
	return n
}

func (d *claimDoc) lost(generation uint64) *bundle.Error {
	return bundle.Errorf(bundle.KindConflict,
		"this instance was recovered at generation %d, which claimed the storage %s, and what is here is of generation %d, which was given up: "+
			"let this node join anew, with an empty data folder and a token of \"blockstored cluster invite\"; if no node of generation %d is left, "+
			"\"blockstored cluster recover --abandon-generation %d\" goes on from this one",
		d.generation(), d.ClaimedAt.Format(time.RFC3339), generation, d.generation(), d.generation()).
		With("reason", ReasonGenerationLost).With("generation", fmt.Sprint(d.generation()))
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
