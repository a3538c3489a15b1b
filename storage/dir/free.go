package dir

import (
	"math"

	"golang.org/x/sys/unix"
)

// freeBytes returns what an ordinary user can still write to the file system
// of path.
func freeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	blocks, size := uint64(st.Bavail), uint64(st.Bsize)
	if size > 0 && blocks > math.MaxInt64/size {
		return math.MaxInt64, nil
	}
	return int64(blocks * size), nil
}
