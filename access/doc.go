// Package access decides who may do what: access tokens and their roles, what
// a peer was granted, signed URLs of files, and the sealing of the instance's
// secrets.
//
// It keeps no state but keys and what it remembers of tokens, and proposes
// nothing but when tokens were last used: callers put what else it makes into
// commands. It never stores, logs or returns a token or a secret other than to
// the caller who made it.
package access
