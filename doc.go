// Package blockstored is a store of versioned content that several sites
// share: each site is the primary of its own bundles, others hold read-only
// copies that follow by themselves.
//
// It is made to run inside a host application. [Open] runs one node of an
// instance in this process, over a folder or a bucket and nothing else, and the
// [Instance] is the host's store: an api.Store, whose methods do everything that
// the REST API can.
//
//	inst, err := blockstored.Open(ctx, blockstored.DefaultConfig(dir))
//	…
//	draft, err := inst.CreateDraft(ctx, bundle, "studio")
//	…
//	_, err = inst.PatchDraft(ctx, draft.ID, api.Patch{Files: map[string]api.FileEdit{"unit.xml": {Content: text}}})
//	…
//	version, err := inst.CommitDraft(ctx, draft.ID, api.Commit{})
//
// A host that is written against api.Store can have its instance elsewhere
// instead: package client is the same interface over TCP and unix sockets.
// [Instance.Handler] is the REST API, for a host that mounts it in a server of its
// own; [Config] names the listeners that the instance has itself, and takes the
// host's logger, metrics registry and clock.
//
// [Instance.Close] stops and joins everything. Several instances can live in one
// process, and Open after Close works.
//
// The package only wires rooms together; what they do and how is theirs. It
// never exits the process, reads flags or the environment, or touches a global
// registry or logger.
package blockstored
