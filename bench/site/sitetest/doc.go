// Package sitetest runs the tests of a package that works with the built program.
//
// It must never start a site itself: a test starts, and ends, its own.
package sitetest
