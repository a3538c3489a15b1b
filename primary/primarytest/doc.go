// Package primarytest holds stores of bundles and drafts to a model in the
// plainest terms: maps of paths and link names. [Check] makes random calls of
// several clients to a real store, in the process or over the network, tells the
// model what took effect, and compares what both show after each call.
//
// The model must never ask the store, nor import what it is a model of.
package primarytest
