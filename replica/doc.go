// Package replica keeps the read-only copies of what peers publish: it follows
// each peer's log, checks every step, fetches what is missing, and makes whole
// versions visible.
//
// One goroutine a peer polls, plans and fetches, on the leader alone. The order
// of durable steps is always bytes, then locations, then one command that makes
// the versions visible and moves the cursor; so whatever moment a crash chooses,
// no version is visible with a byte missing, and what was stored is not fetched
// again. A bundle that fails is set aside and tried again later, and the others
// go on.
//
// The package never publishes, never writes to a bundle of its own instance,
// never serves a peer, and never uses a byte or a record of a peer that was not
// verified. DESIGN.md beside this file tells why it is as it is.
package replica
