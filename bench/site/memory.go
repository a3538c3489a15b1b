package site

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory is what a process has in memory, in bytes, as the kernel of Linux counts
// it.
type Memory struct {
	Resident  int64 `json:"resident"`
	Anonymous int64 `json:"anonymous"` // of that, what is no mapped file
	Peak      int64 `json:"peak"`      // the most that was resident at any moment of its life
}

// MemoryOf returns what a running process has in memory.
func MemoryOf(pid int) (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	return parseMemory(string(status))
}

// parseMemory finds the lines like "VmHWM:   12345 kB".
func parseMemory(status string) (m Memory, err error) {
	for name, into := range map[string]*int64{"VmRSS:": &m.Resident, "RssAnon:": &m.Anonymous, "VmHWM:": &m.Peak} {
		found := false
		for line := range strings.Lines(status) {
			value, ok := strings.CutPrefix(line, name)
			if !ok {
				continue
			}
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return Memory{}, err
			}
			*into, found = kib<<10, true
		}
		if !found {
			return Memory{}, fmt.Errorf("the kernel does not say how much memory the process has: no %s in its status", name)
		}
	}
	return m, nil
}

// PeakMemory returns the most memory in bytes that the running process had
// resident at any moment of its life.
func (s *Site) PeakMemory() (int64, error) {
	if !s.running() {
		return 0, fmt.Errorf("site %s does not run", s.cfg.Name)
	}
	m, err := MemoryOf(s.cmd.Process.Pid)
	return m.Peak, err
}
