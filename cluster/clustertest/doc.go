// Package clustertest runs the nodes of an instance in one process, each with a
// catalog and a log of its own, over real loopback connections that can be cut
// and slowed, on disks that can hang and fail, with clocks that can be set
// apart. It is what the tests of several nodes are written on.
//
// It is for tests: no program imports it. It must never give a node a way to
// another one but the network, and never know more of a node than its methods
// tell.
package clustertest
