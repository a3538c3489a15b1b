package storage

// Queued returns how many blobs wait for a pack.
func Queued(s *Store) int {
	s.packs.mu.Lock()
	defer s.packs.mu.Unlock()
	return len(s.packs.queue)
}
