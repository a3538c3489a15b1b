package catalog

// What a row of trash is about.
const (
	trashOverlay    = 1 // of a draft, up to floor: it was committed
	trashDraft      = 2
	trashBundle     = 3
	trashCollection = 4
)

const (
	hour         = int64(3600 * 1000 * 1000) // µs
	requestsKept = 24 * hour
	maxPurge     = 10_000
)

// discard notes what Purge has to remove.
func (a *applier) discard(kind int, subject, floor int64) error {
	return a.run(`INSERT INTO trash (id, kind, subject, floor, time) VALUES (?, ?, ?, ?, ?)`,
		a.state.id(), kind, subject, floor, a.now)
}
