// Package storagetest holds what the tests of storage share: the conformance
// suite that every driver passes, which is the contract of [storage.Driver] in
// full, and a wrapper that makes a driver fail on purpose.
//
// It is for tests: no program imports it.
package storagetest
