//go:build !linux

package dir

// renameNew renames a file and fails with fs.ErrExist rather than replace one.
func renameNew(from, to string) error { return renameByLink(from, to) }
