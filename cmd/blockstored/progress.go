package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/blockstored/blockstored/client"
)

const (
	redrawEvery = 100 * time.Millisecond // on a terminal
	lineEvery   = 10 * time.Second       // elsewhere
)

// progress shows how far a job is: one line that changes on a terminal, a line
// now and then elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time

	last    client.Progress
	began   time.Time // the stage
	shown   time.Time
	columns int // of the line on the terminal
}

func (m *Main) newProgress() *progress {
	return &progress{w: m.Stderr, terminal: isTerminal(m.Stderr), now: time.Now}
}

// isTerminal reports whether a stream is a terminal, which has a size.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// update shows p if it is time to. The client calls it from one goroutine at a
// time.
func (s *progress) update(p client.Progress) {
	now := s.now()
	if p.Stage != s.last.Stage {
		s.end()
		s.last, s.began, s.shown = p, now, now
		return
	}
	s.last = p
	every := lineEvery
	if s.terminal {
		every = redrawEvery
	}
	if now.Sub(s.shown) >= every {
		s.shown = now
		s.show(s.line(now))
	}
}

// end leaves the terminal at the start of an empty line.
func (s *progress) end() {
	if s.columns > 0 {
		fmt.Fprintf(s.w, "\r%s\r", strings.Repeat(" ", s.columns))
		s.columns = 0
	}
}

func (s *progress) show(line string) {
	if !s.terminal {
		fmt.Fprintln(s.w, line)
		return
	}
	fmt.Fprintf(s.w, "\r%s%s", line, strings.Repeat(" ", max(0, s.columns-len(line))))
	s.columns = len(line)
}

// line says how far the stage is, how fast it goes and how long it will take.
func (s *progress) line(now time.Time) string {
	p := s.last
	text := fmt.Sprintf("%s: %d of %d files", p.Stage, p.Files, p.FilesTotal)
	elapsed := now.Sub(s.began)
	if p.BytesTotal == 0 {
		return text
	}
	text += fmt.Sprintf(", %s of %s", formatBytes(p.Bytes), formatBytes(p.BytesTotal))
	if elapsed <= 0 || p.Bytes <= 0 {
		return text
	}
	rate := float64(p.Bytes) / elapsed.Seconds()
	return text + fmt.Sprintf(", %s/s, %s left", formatBytes(int64(rate)), span(seconds(float64(p.BytesTotal-p.Bytes)/rate).Round(time.Second)))
}
