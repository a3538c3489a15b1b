// Package blockstored is a store of versioned content that several sites
// share: each site is the primary of its own bundles, others hold read-only
// copies that follow by themselves.
//
// [Open] runs one node of an instance inside this process: it opens storage,
// catalog and cluster, binds the configured listeners and starts what a leader
// does. [Instance.Handler] is the REST API for a host that mounts it itself.
// [Instance.Close] stops and joins everything. Several instances can live in
// one process, and Open after Close works.
//
// The package only wires rooms together; what they do and how is theirs. It
// never exits the process, reads flags or the environment, or touches a global
// registry or logger.
package blockstored
