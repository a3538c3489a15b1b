package cluster

import (
	"os"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// errLocked is what bbolt answers when another process has the file.
var errLocked = bolterrors.ErrTimeout

func boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout: time.Second,
		// The list of free pages is rebuilt when the file is opened and not
		// written with each entry.
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
	}
}

// logBytes is the part of raft.db that is in use, or 0 if that is unknown.
func (n *Node) logBytes() int64 {
	info, err := os.Stat(n.path)
	if err != nil {
		return 0
	}
	stats := n.store.Stats()
	return max(0, info.Size()-int64(stats.FreePageN+stats.PendingPageN)*int64(os.Getpagesize()))
}
