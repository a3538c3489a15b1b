package main

import "sync"

// span is the time of a change: sent first at from, answered at to.
type span struct{ from, to int }

// write is one file of a PATCH that was acknowledged.
type write struct {
	span
	client, draft int
	path, value   string // hash_digest of the content, "" if deleted
}

// commit is a commit that was answered.
type commit struct {
	span
	draft   int
	key     string
	version int // 0 if it was refused
}

// history is what the clients did and were told. Its methods may be called from
// any goroutine; its fields are read when all clients are done.
type history struct {
	writes  []write
	commits []commit

	mu     sync.Mutex
	moment int
}

// now returns the next moment.
func (h *history) now() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moment++
	return h.moment
}

func (h *history) wrote(ws ...write) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes = append(h.writes, ws...)
}

func (h *history) committed(c commit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commits = append(h.commits, c)
}

// files are hash_digests by path.
type files map[string]string

// version is one version as the API shows it.
type version struct {
	number int
	key    string // of the commit, from the change description
	digest string // of the snapshot
	files  files
}

// view is a draft as the API shows it.
type view struct {
	draft int
	base  string // digest of the base's snapshot, "" for none
	files files
}

// shown is a bundle as the API shows it at the end.
type shown struct {
	name     string
	versions []version // as listed
	drafts   []view
}
