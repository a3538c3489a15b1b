// Package catalog is the replicated metadata of an instance: who owns which
// collections and bundles, drafts and their overlays, versions, where blobs
// lie, the publication log, tokens, peers, grants, subscriptions and the
// progress of pulls. It is a deterministic state machine in SQLite: commands go
// in through [DB.Apply] in log order, queries come out through [DB.View].
//
// Apply depends on the prior state and the command alone: never on a clock, on
// randomness, on map order or on rowids. The same log makes the same logical
// dump on every node ([View.Dump]). The package never reads or writes file
// content, never talks to the network, and knows nothing of Raft but an
// entry's index and term.
package catalog
