package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/client"
)

// watch shows a job that sends 10 MiB in 20 s, a step each 0.5 s.
func watch(terminal bool) string {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	s := &progress{w: &out, terminal: terminal, now: func() time.Time { return now }}
	s.update(client.Progress{Stage: client.StageReading, FilesTotal: 20})
	for i := range 41 {
		s.update(client.Progress{
			Stage: client.StageSending, Files: i / 2, FilesTotal: 20, Bytes: int64(i) << 18, BytesTotal: 10 << 20,
		})
		now = now.Add(500 * time.Millisecond)
	}
	s.end()
	return out.String()
}

func TestProgressIsPlainLinesNowAndThenOffATerminal(t *testing.T) {
	want := "sending: 10 of 20 files, 5.0 MiB of 10.0 MiB, 512.0 KiB/s, 10s left\n" +
		"sending: 20 of 20 files, 10.0 MiB of 10.0 MiB, 512.0 KiB/s, 0s left\n"
	if got := watch(false); got != want {
		t.Errorf("got %q", got)
	}
}

func TestProgressIsOneLineOnATerminal(t *testing.T) {
	got := watch(true)
	if strings.Contains(got, "\n") || strings.Count(got, "\r") < 40 {
		t.Errorf("got %q", got)
	}
	if !strings.HasSuffix(got, " \r") {
		t.Errorf("the line was not cleared: %q", got[len(got)-20:])
	}
}

func TestBytesAndTimesAreReadable(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1023 << 10: "1.0 MiB", 5 << 40: "5.0 TiB", 1 << 62: "4096.0 PiB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-1: "0s", 1234 * time.Millisecond: "1.2s", 90 * time.Second: "1m30s", 50 * time.Hour: "2d"} {
		if got := span(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}
