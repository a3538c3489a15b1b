// Package primary changes what an instance is the primary of: its collections
// and bundles, their drafts, and the versions that drafts become. It also reads
// the content of any version the catalog knows, own or copied.
//
// It holds no state that matters: everything acknowledged is in the store and
// in the catalog, and a second process over the same two would do the same. Its
// caches hold only what can never change, and its locks only spare work: what
// makes concurrent changes safe is the catalog's compare-and-swap.
//
// It must never wait for another instance, propose a command that names bytes
// which are not durable yet, or make a version in any way but CommitVersion.
// DESIGN.md beside this file says how a change goes through.
package primary
