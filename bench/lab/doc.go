// Package lab runs the nodes of one instance as processes of the built program on
// one machine as if each had a machine of its own: a network of its own (a network
// namespace of Linux), a disk of its own (ext4 in a file), and a bucket that all of
// them share, behind a proxy that fails or delays when it is told to.
//
// Nodes reach each other over one network and are reached by clients and the
// bucket over another. So a node can be cut off from the others, in both directions
// or in one, and a client can still ask it.
//
// What a lab makes goes with it: after [Lab.Close], and also when the process that
// opened it ends in any other way, by SIGKILL too, no process, namespace, mount or
// loop device is left. The files stay.
package lab
