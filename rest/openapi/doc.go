// Package openapi describes the REST API, the host's and the operators', in
// OpenAPI 3.1, and shows the description as a page.
//
// The description is written by hand: the files of the folder document, which are
// parts of one document. Tests of package rest hold every route and every answer
// they see against it (see openapitest).
//
// The page is made from the description alone. It must never load anything, run a
// script, or show what is in the store: anyone may read it.
package openapi
