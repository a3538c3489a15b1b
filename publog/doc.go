// Package publog holds the words of the publication log: the records an
// instance publishes, the Merkle tree they stand in (RFC 6962), its signed
// checkpoints (C2SP tlog-checkpoint), the proofs that tie records to
// checkpoints and checkpoints to each other, and the descriptor by which an
// instance introduces itself. It makes each of them and verifies them.
//
// Everything here is a pure function of its arguments. The package does no
// I/O, reads no clock, starts no goroutine and stores nothing: stored hashes
// come through a [tlog.HashReader], times and randomness are passed in. What
// a peer sent goes through a Parse, Decode or Check function of this package
// before any other package looks at it.
//
// A peer that contradicts itself is reported as an [*AlarmError] carrying one
// of the named alarms; everything else that can go wrong (malformed bytes, a
// node that lags, a clock that is off) is a plain error and never an alarm.
//
// The encodings are on disk and on the wire and are described in
// docs/formats.md.
package publog
