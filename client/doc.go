// Package client talks to a blockstored instance over its REST API, through TCP
// or a unix socket with a token, or through the operators' socket without one.
//
// [Client] is an [api.Store], the same interface that an instance in the same
// process has, and does for operators what its admin API can. Beside it are two
// functions that do whole jobs over any Store: [Publish] makes a folder the next
// version of a bundle and sends only what the instance does not have, [Download]
// writes a version to a folder and checks every byte.
//
// Errors have a [bundle.Kind]: match it, never their text. [bundle.KindUnavailable]
// means that nothing answered, or that trying again later may help.
//
// The package imports nothing of the server, keeps no state between calls but
// idle connections, and reads neither flags nor the environment.
package client
