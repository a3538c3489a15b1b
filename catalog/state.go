package catalog

import "fmt"

// state is the row of bookkeeping. Apply keeps it in memory and writes it once
// a batch; it is a plain value, so that a refused command is undone by putting
// the copy back.
type state struct {
	appliedIndex, appliedTerm uint64
	lastTime                  int64
	nextID                    int64 // ids of rows and sequence numbers
	logSize                   int64
	level                     int64 // in force

	collections, drafts, versions, blobs      int64
	bundlesOwn, bundlesCopy, bundlesWithdrawn int64
	parked, held                              int64
}

const stateColumns = `applied_index, applied_term, last_time, next_id, log_size,
 collections, drafts, versions, blobs, bundles_own, bundles_copy, bundles_withdrawn, parked, held, level`

func (st *state) fields() []any {
	return []any{
		&st.appliedIndex, &st.appliedTerm, &st.lastTime, &st.nextID, &st.logSize,
		&st.collections, &st.drafts, &st.versions, &st.blobs, &st.bundlesOwn, &st.bundlesCopy,
		&st.bundlesWithdrawn, &st.parked, &st.held, &st.level,
	}
}

func loadState(s *session) (state, error) {
	var st state
	ok, err := s.get(`SELECT `+stateColumns+` FROM state WHERE id = 1`, nil, st.fields()...)
	if err == nil && !ok {
		err = fmt.Errorf("catalog: the state row is missing; restore this node from a backup or let it join anew")
	}
	if err == nil {
		err = understood(uint64(st.level))
	}
	return st, err
}

func (st *state) store(s *session) error {
	return s.run(`UPDATE state SET (`+stateColumns+`) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE id = 1`,
		int64(st.appliedIndex), int64(st.appliedTerm), st.lastTime, st.nextID, st.logSize,
		st.collections, st.drafts, st.versions, st.blobs, st.bundlesOwn, st.bundlesCopy,
		st.bundlesWithdrawn, st.parked, st.held, st.level)
}

// id returns the next id.
func (st *state) id() int64 {
	st.nextID++
	return st.nextID - 1
}
