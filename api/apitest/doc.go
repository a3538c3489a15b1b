// Package apitest holds every implementation of [api.Store] to one contract, and
// those of [api.Operator] to another: the same calls with the same answers and
// the same kinds of errors, whether the instance runs in the process or
// elsewhere. [Run] is the first, [RunCopy] what it says about copies of another
// instance's bundles; [RunOperator] is the second.
//
// It is for tests; a host may run it against what it wraps around a Store. It
// must never know which implementation it runs against.
package apitest
