package site

import "testing"

func TestPeakMemoryIsReadFromTheKernelsStatus(t *testing.T) {
	got, err := parsePeak("Name:\tblockstored\nVmPeak:\t 1234567 kB\nVmHWM:\t   54321 kB\nVmRSS:\t   40000 kB\n")
	if err != nil || got != 54321<<10 {
		t.Errorf("%d, %v", got, err)
	}
	for _, status := range []string{"", "VmHWM:\n", "VmHWM:\tmany kB\n"} {
		if got, err := parsePeak(status); err == nil {
			t.Errorf("%q: %d", status, got)
		}
	}
}
