// Package api is what a host application sees of an instance: the values, and
// the interface [Store] that reads and changes them. It holds no behaviour of
// the store itself.
//
// Two types implement Store: blockstored.Instance inside the host's own process,
// and client.Client over TCP or a unix socket. A host written against Store can
// move from one to the other by changing what it opens, and neither the values
// nor the kinds of errors change with it: package apitest holds both to the same
// suite, and any other implementation, too.
//
// Errors carry a [bundle.Kind]: match kinds, never texts. Each says what to do
// next to a person. A commit or rebase that collides with another is a
// *[ConflictError], which lists what collides.
//
// The package must never import what stores, serves or talks; it may import
// bundle alone.
package api
