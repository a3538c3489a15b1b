package catalog

import (
	"errors"
	"fmt"
	"math"

	"github.com/blockstored/blockstored/bundle"
)

// Apply applies entries in log order in one transaction, which also records
// the last one's index and term, and returns their results in order. Entries
// at or below the applied index change nothing; their result is the stored one
// where it is still known. A refused command is a result whose Err is set.
//
// An error means that nothing of the batch took effect and that this node must
// not go on: the disk failed, or an entry is of a kind or version that only a
// newer program knows.
func (db *DB) Apply(entries []Entry) ([]Result, error) {
	db.writing.Lock()
	defer db.writing.Unlock()
	results := make([]Result, len(entries))
	err := db.change(func(a *applier) error {
		for i, e := range entries {
			var err error
			if results[i], err = a.entry(e); err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// change runs fn in a write transaction and commits it with the state. The
// caller holds writing.
func (db *DB) change(fn func(a *applier) error) error {
	h, err := db.use()
	if err != nil {
		return err
	}
	defer h.users.Done()
	a := &applier{session: h.writer, state: db.state}
	if err := a.run(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	err = fn(a)
	if err == nil {
		err = a.state.store(a.session)
	}
	if err == nil {
		err = a.run(`COMMIT`)
	}
	if err != nil {
		if undo := a.run(`ROLLBACK`); undo != nil {
			// SQLite may have rolled back by itself; then this says so.
			err = errors.Join(err, undo)
		}
		return err
	}
	db.state = a.state
	db.level.Store(uint64(db.state.level))
	if a.tokens {
		db.tokens.Add(1)
	}
	db.broadcast()
	return nil
}

// Applied returns the index and term of the last applied entry, zeros before
// the first.
func (db *DB) Applied() (index, term uint64, err error) {
	db.writing.Lock()
	defer db.writing.Unlock()
	return db.state.appliedIndex, db.state.appliedTerm, nil
}

// SetConfiguration stores conf, which is opaque here, with index and term as
// the applied position.
func (db *DB) SetConfiguration(index, term uint64, conf []byte) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	return db.change(func(a *applier) error {
		a.state.appliedIndex, a.state.appliedTerm = index, term
		return a.run(`UPDATE state SET conf_index = ?, conf = ?`, clamp(index), orEmpty(conf))
	})
}

// Configuration returns what SetConfiguration stored last, and its index.
func (db *DB) Configuration() (index uint64, conf []byte, err error) {
	db.writing.Lock()
	defer db.writing.Unlock()
	h, err := db.use()
	if err != nil {
		return 0, nil, err
	}
	defer h.users.Done()
	_, err = h.writer.get(`SELECT conf_index, conf FROM state`, nil, &index, &conf)
	return index, conf, err
}

// applier applies the commands of one batch.
type applier struct {
	*session
	state  state
	tokens bool // whether the batch changes any

	// Of the command being applied:
	cmd     *Command
	now     int64 // its stored time
	ordinal uint64
	result  Result
}

// entry applies one entry. Its error is a fault, never a refusal.
func (a *applier) entry(e Entry) (Result, error) {
	cmd, err := DecodeCommand(e.Data)
	if err != nil {
		return Result{}, err
	}
	if r, ok, err := resultOf(a.session, cmd.Request); ok || err != nil {
		if e.Index > a.state.appliedIndex {
			a.state.appliedIndex, a.state.appliedTerm = e.Index, e.Term
		}
		return r, err
	}
	if e.Index <= a.state.appliedIndex {
		return Result{Index: e.Index}, nil
	}
	a.state.appliedIndex, a.state.appliedTerm = e.Index, e.Term
	a.state.lastTime = max(cmd.Time, a.state.lastTime+1)
	a.cmd, a.now, a.ordinal = &cmd, a.state.lastTime, 0
	a.result = Result{Index: e.Index, Time: a.now}

	before := a.state
	if err := a.run(`SAVEPOINT command`); err != nil {
		return Result{}, err
	}
	err = a.fenced(e.Term)
	if err == nil {
		err = a.apply(cmd.Body)
	}
	if err != nil {
		refusal, ok := errors.AsType[*bundle.Error](err)
		if !ok || refusal.Kind == bundle.KindCorrupt { // a row is damaged, on this node alone
			return Result{}, err
		}
		if err := a.run(`ROLLBACK TO command`); err != nil {
			return Result{}, err
		}
		a.state = before
		a.result = Result{Index: e.Index, Time: a.now,
			Err: &bundle.Error{Kind: refusal.Kind, Message: refusal.Message, Fields: refusal.Fields}}
	}
	if err := a.run(`RELEASE command`); err != nil {
		return Result{}, err
	}
	return a.result, storeResult(a.session, cmd.Request, &a.result)
}

// apply changes the catalog as the body says. A *bundle.Error, but for
// KindCorrupt, is a refusal: nothing of the command takes effect.
func (a *applier) apply(body Body) error {
	switch b := body.(type) {
	case InitInstance:
		return a.initInstance(b)
	case UpdateInstance:
		return a.updateInstance(b)
	case PutSecret:
		return a.putSecret(b.Name, b.Sealed)
	case Purge:
		return a.purge(b)
	case RaiseLevel:
		return a.raiseLevel(b)
	case BeginGeneration:
		return a.beginGeneration(b)
	case CreateCollection:
		return a.createCollection(b)
	case UpdateCollection:
		return a.updateCollection(b)
	case DeleteCollection:
		return a.deleteCollection(b)
	case CreateBundle:
		return a.createBundle(b)
	case UpdateBundle:
		return a.updateBundle(b)
	case DeleteBundle:
		return a.deleteBundle(b)
	case CreateDraft:
		return a.createDraft(b)
	case StagePatch:
		return a.stagePatch(b)
	case PatchDraft:
		return a.patchDraft(b)
	case DeleteDraft:
		return a.deleteDraft(b)
	case RebaseDraft:
		return a.rebaseDraft(b)
	case ForgetEdits:
		return a.forgetEdits(b)
	case LocateBlobs:
		return a.locate(b.Blobs)
	case CommitVersion:
		return a.commitVersion(b)
	case DescribeVersion:
		return a.describeVersion(b)
	}
	return a.applyRelations(body)
}

// applyRelations applies the commands about tokens, the log and peers.
func (a *applier) applyRelations(body Body) error {
	switch b := body.(type) {
	case CreateToken:
		return a.createToken(b)
	case RevokeToken:
		return a.revokeToken(b)
	case UseTokens:
		return a.useTokens(b)
	case Checkpoint:
		return a.checkpoint(b)
	case CreateInvite:
		return a.createInvite(b)
	case AcceptInvite:
		return a.acceptInvite(b)
	case AddPeer:
		return a.addPeer(b)
	case UpdatePeer:
		return a.updatePeer(b)
	case RemovePeer:
		return a.removePeer(b)
	case SetGrants:
		return a.setGrants(b)
	case Subscribe:
		return a.subscribe(b)
	case Unsubscribe:
		return a.unsubscribe(b)
	case Intake:
		return a.intake(b)
	case Park:
		return a.park(b)
	case Unpark:
		return a.unpark(b)
	case RaiseAlarm:
		return a.raiseAlarm(b)
	case ClearAlarms:
		return a.clearAlarms(b)
	}
	return fmt.Errorf("catalog: no rule for %T", body)
}

// clamp returns n as SQLite can hold it. Numbers that large exist only in
// commands that are wrong, and then match nothing.
func clamp(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
