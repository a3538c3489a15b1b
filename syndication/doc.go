// Package syndication is the protocol between instances, both ends: identity
// and peering, signed requests, the publisher that keeps the log's checkpoint
// fresh, the server of /peer/v1, and its client with the checks of what peers
// answer.
//
// The server shows a peer what it was granted and, of the rest, only how many
// records there are. The client takes bytes in and holds them against limits;
// [Check] and [CheckRecords] decide, without any I/O, whether they are what the
// peer's log commits to. The package never decides what to pull and never
// writes what it received: that is replica's.
//
// DESIGN.md beside this file tells why it is as it is; docs/formats.md has
// every byte.
package syndication
