package client

import "sync"

// Stage is what a long job is at.
type Stage string

// The stages, in the order they come.
const (
	StageReading   Stage = "reading"   // the folder's files are read and hashed
	StageSending   Stage = "sending"   // what the instance lacks is sent
	StageFetching  Stage = "fetching"  // files are fetched and checked
	StagePublished Stage = "published" // the version exists
)

// Progress is how far a stage of a job is.
type Progress struct {
	Stage             Stage
	Files, FilesTotal int
	Bytes, BytesTotal int64 // of content, before compression
}

// tracker adds up progress from many goroutines and tells one at a time.
type tracker struct {
	mu   sync.Mutex
	now  Progress
	tell func(Progress)
}

// begin starts a stage.
func (t *tracker) begin(stage Stage, files int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = Progress{Stage: stage, FilesTotal: files, BytesTotal: bytes}
	t.report()
}

// add moves the stage on; a repeated transfer takes back what it had added.
func (t *tracker) add(files int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Files += files
	t.now.Bytes += bytes
	t.report()
}

func (t *tracker) report() {
	if t.tell != nil {
		t.tell(t.now)
	}
}
