// Package bundle holds the words of blockstored: identifiers, digests, the
// rules for paths, the canonical encoding of a snapshot (its manifest), the
// frame in which small blobs travel and lie in packs, and the kinds of error
// every other package answers with.
//
// It does no I/O, keeps no state and imports no other package of this module:
// pages of a manifest come through a Fetch that the caller brings.
// Everything it encodes is on disk or on the wire and is described in
// docs/formats.md; a change of shape needs a new version number there.
package bundle
