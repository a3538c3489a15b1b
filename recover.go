package blockstored

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/cluster"
	"github.com/blockstored/blockstored/storage"
)

// recoveryFile holds, in the data folder of a node that is being recovered, what
// it is to become. It is written before anything is changed, and goes when all is.
const recoveryFile = "recovery.json"

const recoveryFormat = 1

// recovery is the content of recoveryFile.
type recovery struct {
	Format     int       `json:"format"`
	Node       string    `json:"node"`       // the node's id from then on
	Generation uint64    `json:"generation"` // that begins
	Holder     bundle.ID `json:"holder"`     // in the storage's claim
}

// RecoverOptions are the settings of [Recover].
type RecoverOptions struct {
	// AbandonGeneration is a generation that was begun on another node since,
	// and of which no node is left either; 0 for none.
	AbandonGeneration uint64
	// Confirm is told what will be done, before anything is. Its error ends the
	// recovery with nothing changed, and is returned as it is. Required.
	Confirm func(Recovery) error
}

// Recovery is what a recovery does.
type Recovery struct {
	Instance   bundle.ID `json:"instance"`
	Node       string    `json:"node"`       // this node's id so far
	NewNode    string    `json:"new_node"`   // and from then on
	Generation uint64    `json:"generation"` // of the instance, that begins
	Lost       []string  `json:"lost"`       // the ids of the other nodes, which are given up

	AppliedIndex uint64 `json:"applied_index"` // the last entry in this node's catalog
	LastIndex    uint64 `json:"last_index"`    // the last entry in its log, which will be applied
	LastTerm     uint64 `json:"last_term"`     // of that entry

	// ClaimRenewedAt is when a leader renewed the claim on the storage last, nil
	// if nobody did. A leader does so each minute.
	ClaimRenewedAt *time.Time `json:"claim_renewed_at"`
	Resumed        bool       `json:"resumed"` // an earlier recovery of this node was cut short
}

// Recover makes the node in Config.Data, which must not run, the only one of its
// instance and begins a new generation, for when most nodes are gone for good.
// All that the node has of the log is applied, also what it does not know to be
// acknowledged; what only the others had is lost. They must never run again: the
// storage is claimed for the new generation, and those that are started on it
// refuse. The same raises the generation of an only node whose data folder was put
// back to an older state.
//
// A recovery that was cut short leaves the node as it was, or one that refuses to
// serve until Recover is called again, which goes on where it ended. KindConflict
// means that the node runs, or that another one began a generation before
// ([RecoverOptions.AbandonGeneration]); KindNotFound that there is no node.
func Recover(ctx context.Context, cfg Config, o RecoverOptions) (_ Recovery, err error) {
	if done, err := Initialized(cfg.Data); err != nil || !done {
		return Recovery{}, pick(err, bundle.Errorf(bundle.KindNotFound, "%s holds no node that could be recovered", cfg.Data))
	}
	cfg.Cluster.Join = ""
	if err := cfg.validate(); err != nil {
		return Recovery{}, err
	}
	i := newInstance(cfg)
	defer func() { err = errors.Join(err, i.Close()) }()
	if err := i.openStopped(ctx); err != nil {
		return Recovery{}, err
	}
	plan, r, err := i.planRecovery(ctx, o.AbandonGeneration)
	if err == nil {
		err = o.Confirm(r)
	}
	if err != nil {
		return r, err
	}
	for _, step := range i.recoverySteps(plan) {
		if err := step(ctx); err != nil {
			return r, err
		}
	}
	i.log.Info("recovered: this node is the only one of its instance", "node", r.NewNode, "generation", r.Generation)
	return r, nil
}

// openStopped opens what there is of a node without starting it.
func (i *Instance) openStopped(ctx context.Context) error {
	for _, step := range []func(context.Context) error{i.openFolder, i.openCatalog, i.openStorage, i.loadIdentity} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// planRecovery finds out what there is and decides what becomes of it. It
// changes nothing.
func (i *Instance) planRecovery(ctx context.Context, abandon uint64) (plan recovery, r Recovery, err error) {
	node, err := i.folder.nodeID(i.cfg.Cluster.Node)
	if err != nil {
		return plan, r, err
	}
	survivor, err := cluster.Inspect(i.folder.join("raft"), i.catalog)
	if err != nil {
		return plan, r, err
	}
	plan, resumed, err := i.folder.recovery()
	if err != nil {
		return plan, r, err
	}
	own, err := i.claimOf(ctx)
	if err != nil {
		return plan, r, err
	}
	if !resumed {
		plan = recovery{Format: recoveryFormat, Node: incarnate(nodeName(node)), Generation: own.Generation + 1, Holder: bundle.NewID()}
	}
	r = Recovery{
		Instance: i.ID(), Node: node, NewNode: plan.Node, Lost: []string{}, Resumed: resumed,
		AppliedIndex: survivor.Applied, LastIndex: survivor.Last, LastTerm: survivor.LastTerm,
	}
	for _, m := range survivor.Members {
		if m.ID != node && m.ID != plan.Node {
			r.Lost = append(r.Lost, m.ID)
		}
	}
	if resumed {
		own.Generation = plan.Generation
	}
	claimed, err := i.store.Claimed(ctx)
	switch {
	case bundle.IsKind(err, bundle.KindNotFound):
	case err != nil:
		return plan, r, err
	default:
		r.ClaimRenewedAt = setTime(claimed.RenewedAt)
		err := i.store.CheckClaim(ctx, own)
		if storage.GenerationLost(err) && abandon == claimed.Generation {
			plan.Generation, err = claimed.Generation+1, nil
		}
		if err != nil {
			return plan, r, err
		}
	}
	r.Generation = plan.Generation
	return plan, r, nil
}

// recoverySteps are what a recovery does once it is decided. Each can be done
// again after a crash, and nothing of the node is changed before the storage is
// this recovery's: of two nodes that are recovered at once one gets it.
func (i *Instance) recoverySteps(plan recovery) []func(context.Context) error {
	return []func(context.Context) error{
		func(context.Context) error { return i.folder.keepRecovery(plan) },
		func(ctx context.Context) error { return i.passClaim(ctx, plan) },
		func(context.Context) error {
			return cluster.Recover(i.folder.join("raft"), i.catalog, plan.Node)
		},
		func(context.Context) error { return writeDurably(i.folder.join(nodeFile), []byte(plan.Node)) },
		func(ctx context.Context) error { return i.beginGeneration(ctx, plan.Generation) },
		func(context.Context) error { return i.folder.endRecovery() },
	}
}

// passClaim takes the storage for the generation that begins. A node that comes
// second keeps what it was.
func (i *Instance) passClaim(ctx context.Context, plan recovery) error {
	c, err := i.claimOf(ctx)
	if err != nil {
		return err
	}
	c.Generation = plan.Generation
	err = i.store.PassClaim(ctx, c, plan.Holder)
	if storage.GenerationLost(err) {
		return errors.Join(err, i.folder.endRecovery())
	}
	return err
}

// beginGeneration applies all that is in the log and begins a generation, unless
// that was done before.
func (i *Instance) beginGeneration(ctx context.Context, number uint64) (err error) {
	if err := i.startNode(ctx, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.node.Close()) }()
	if err := i.node.WaitLeader(ctx); err != nil {
		return err
	}
	now, err := i.claimOf(ctx)
	if err != nil || now.Generation >= number {
		return err
	}
	return apply(ctx, i.node, i.now(), catalog.BeginGeneration{Number: number, Reason: "recovered by an operator"})
}

// keepRecovery notes what the node is to become.
func (f *folder) keepRecovery(plan recovery) error {
	text, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		return err
	}
	return writeDurably(f.join(recoveryFile), append(text, '\n'))
}

// recovery returns what recoveryFile keeps, and whether there is one.
func (f *folder) recovery() (plan recovery, begun bool, err error) {
	text, err := os.ReadFile(f.join(recoveryFile))
	if errors.Is(err, os.ErrNotExist) {
		return plan, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &plan)
	}
	if err == nil && (plan.Format != recoveryFormat || plan.Node == "" || plan.Generation == 0) {
		err = fmt.Errorf("it is not of format %d", recoveryFormat)
	}
	if err != nil {
		return plan, false, bundle.Errorf(bundle.KindCorrupt, "%s: %w", f.join(recoveryFile), err)
	}
	return plan, true, nil
}

func (f *folder) endRecovery() error {
	if err := os.Remove(f.join(recoveryFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncFolder(f.path)
}

// recovered refuses a node whose recovery was cut short.
func (i *Instance) recovered(context.Context) error {
	plan, begun, err := i.folder.recovery()
	if err == nil && begun {
		err = bundle.Errorf(bundle.KindConflict,
			"a recovery of this node at generation %d was begun and cut short: run \"blockstored cluster recover\" again", plan.Generation)
	}
	return err
}

// checkClaim sees that this node, which does not decide alone, belongs to the
// generation that has the storage. One that was away while it began may have its
// beginning in the log only, and learns the rest from the leader.
func (i *Instance) checkClaim(ctx context.Context) error {
	c, err := i.claimOf(ctx)
	if err != nil {
		return err
	}
	refusal := i.store.CheckClaim(ctx, c)
	e, ok := errors.AsType[*bundle.Error](refusal)
	if !ok || !storage.GenerationLost(refusal) {
		return refusal
	}
	if c.Generation, err = strconv.ParseUint(e.Fields["generation"], 10, 64); err != nil {
		return refusal
	}
	begun, err := i.node.Holds(func(entry []byte) bool {
		cmd, err := catalog.DecodeCommand(entry)
		b, ok := cmd.Body.(catalog.BeginGeneration)
		return err == nil && ok && b.Number == c.Generation
	})
	if err != nil {
		return err
	}
	if now, err := i.claimOf(ctx); err != nil || !begun && now.Generation < c.Generation { // or applied meanwhile
		return pick(err, refusal)
	}
	return i.store.CheckClaim(ctx, c)
}

// nodeName returns the name in a node's id.
func nodeName(id string) string { return id[:max(0, strings.LastIndexByte(id, '-'))] }
