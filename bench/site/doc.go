// Package site drives the built program as a user would, for the workloads and
// checks of bench: it builds cmd/blockstored, runs `blockstored serve`
// processes on loopback ports, ends them gently or with kill -9, gives commands
// to them, asks their API, and measures on the wire what they send each other.
//
// It never imports a room of blockstored: what it shows, it shows of the
// program as it ships. Nothing here asserts a speed.
package site
