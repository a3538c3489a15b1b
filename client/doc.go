// Package client talks to a blockstored instance over its REST API, through
// TCP with a token or through the operators' unix socket without one.
//
// [Client] has a method for each thing the API offers, and two that do whole
// jobs: [Client.Publish] makes a folder the next version of a bundle and sends
// only what the instance does not have, [Client.Download] writes a version to a
// folder and checks every byte.
//
// Errors are *bundle.Error: match their kind, never their text. A kind of
// [bundle.KindUnavailable] means that nothing answered, or that trying again
// later may help.
//
// The package imports nothing of the server, keeps no state between calls but
// idle connections, and reads neither flags nor the environment.
package client
