// Package cluster makes the nodes of one instance agree: it puts commands into
// a Raft log, applies what is committed to the catalog, sends whole copies of
// the catalog to nodes that are too far behind, and says how fresh a read is.
// It is the only importer of hashicorp/raft. DESIGN.md beside this file holds
// the invariants and the order of durable steps.
//
// The catalog is Raft's snapshot: the position in the log is written in the
// transaction of the state it describes, and nowhere else. The package must
// never keep a second record of that position, never let Raft drop a log entry
// that is not durable in the catalog, never look into a command, never assume
// how many voters there are, and never go on after the catalog failed.
package cluster
