package site

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PeakMemory returns the most memory in bytes that the running process had
// resident at any moment of its life, as the kernel of Linux counts it.
func (s *Site) PeakMemory() (int64, error) {
	if !s.running() {
		return 0, fmt.Errorf("site %s does not run", s.cfg.Name)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parsePeak(string(status))
}

// parsePeak finds the line "VmHWM:   12345 kB".
func parsePeak(status string) (int64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("the kernel does not say how much memory the process had: no VmHWM in its status")
}
