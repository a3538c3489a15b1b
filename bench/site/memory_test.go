package site

import (
	"strings"
	"testing"
)

func TestMemoryIsReadFromTheKernelsStatus(t *testing.T) {
	const status = "Name:\tblockstored\nVmPeak:\t 1234567 kB\nVmHWM:\t   54321 kB\nVmRSS:\t   40000 kB\nRssAnon:\t   30000 kB\n"
	got, err := parseMemory(status)
	if want := (Memory{Resident: 40000 << 10, Anonymous: 30000 << 10, Peak: 54321 << 10}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, peak := range []string{"", "VmHWM:\n", "VmHWM:\tmany kB\n"} {
		if got, err := parseMemory(strings.Replace(status, "VmHWM:\t   54321 kB\n", peak, 1)); err == nil {
			t.Errorf("%q: %+v", peak, got)
		}
	}
}
