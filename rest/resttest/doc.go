// Package resttest holds the contract of the REST API as tables of exchanges, and
// what plays them against a server and compares the answers.
//
// A table is a file of the folder exchanges: a series of requests and the answers
// they must get, beginning on an empty store whose name is north. It needs nothing
// but a URL and a writer's token, so it can be pointed at any server that claims
// the contract:
//
//	== what is shown
//	METHOD /path
//	Header: value
//
//	body
//	--
//	STATUS
//	Header: value
//
//	body
//
// Requests carry the token unless they have an Authorization line; "-" sends no
// such header. A multipart/form-data body is written as lines of key=value; a body
// with Content-Encoding: go is a Go string; one with Transfer-Encoding: chunked has
// no announced length. Expected headers are compared alone, "-" means absent; a
// body is compared to the byte unless there is none.
// ${kind:name} in an answer matches a kind (uuid, time, hex40, query, text) and
// keeps it, ${name} stands for what was kept, also in requests. ${base} is the
// server and ${token} the token.
//
// It is for tests: no program imports it. It must never import package rest, so
// that what it holds stays true of servers that are not ours.
package resttest
