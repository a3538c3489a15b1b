// Package metrics holds every metric family of blockstored in one table (see
// README.md beside it for the table in words) and typed methods to feed them.
//
// The families live on the [prometheus.Registerer] that the host passes in,
// never on the global one; two instances in one process share a registry by
// wrapping it with a label of their own ([prometheus.WrapRegistererWith]). A
// nil [*Metrics] is valid and does nothing, so no caller asks whether metrics
// are wanted.
//
// Label values come from closed sets or from the operator's configuration:
// routes are patterns, peers are their local names. Nothing that a client or a
// peer can choose freely (a path, a UUID, an error text) may become one.
package metrics
