// Package blockstoredtest gives the tests of a host application a fresh, real
// instance: the same rooms, storage and HTTP API as the program, in a temporary
// folder, on free loopback ports, ended when the test ends.
//
//	func TestPublishing(t *testing.T) {
//		kit := blockstoredtest.New(t)
//		site := newSite(kit.Instance) // an api.Store, as kit.Client is
//		…
//	}
//
// A host that takes an api.Store can be tested in the process, over HTTP, or both
// ways. What a test leaves behind goes with its instance.
//
// [New] and [Kit.Close] together cost 20 to 30 ms and 1 MB of allocations:
// BenchmarkKit, three runs of 20 on two idle cores; under a load of 11 it was 60
// to 95 ms.
// So each test can have an instance of its own, or several that follow each
// other, and tests that use kits may run in parallel.
//
// The package is for tests only. It must never replace a part of the instance
// by a fake: what passes here passes against the program.
package blockstoredtest
