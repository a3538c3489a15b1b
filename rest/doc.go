// Package rest is the instance's face to programs: version 1 of Blockstore's
// REST API, the additions to it, the URLs of files, and the operators' API.
//
// It translates: requests into calls of [primary.Primary] and queries of the
// catalog, answers and errors into the bodies that clients written for
// Blockstore expect, byte for byte where they look. README.md beside this file
// lists the routes.
//
// It keeps no state beyond a request, but for how many requests each token made
// lately. It must never decide what a change does (primary and catalog do), wait
// for another instance, hold a file or an unbounded list in memory, or log a token,
// a signature or a query string.
package rest
