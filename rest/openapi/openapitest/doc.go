// Package openapitest holds what a server answers against a description in OpenAPI
// 3.1: path, method, status, headers and body.
//
// It is stricter than OpenAPI, since what it holds is our own: an answer may have
// no key and no header that the description does not name. It knows as much of
// OpenAPI as the description of this project uses.
//
// It is for tests: no program imports it.
package openapitest
