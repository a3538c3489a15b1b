package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// result prints what a command found or made: value as JSON, or what text
// writes for people.
func (m *Main) result(value any, text func(w io.Writer)) error {
	if m.format == "json" {
		enc := json.NewEncoder(m.Stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(value)
	}
	w := &stickyWriter{w: m.Stdout}
	text(w)
	return w.err
}

// stickyWriter remembers the first error, so that printing need not ask after
// each line.
type stickyWriter struct {
	w   io.Writer
	err error
}

func (s *stickyWriter) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// table prints rows under a header, in columns.
func table(w io.Writer, header string, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ReplaceAll(header, " ", "\t"))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain(cell)
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	_ = tw.Flush() // w remembers its error
}

// plain returns text that cannot break a table or command a terminal.
func plain(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// printf tells a person how a command goes on that is watched, not piped.
func (m *Main) printf(format string, args ...any) {
	fmt.Fprintf(m.Stdout, format, args...)
}

// note tells a person something on the side; it is no part of the result.
func (m *Main) note(format string, args ...any) {
	fmt.Fprintf(m.Stderr, format+"\n", args...)
}

// formatBytes returns a number of bytes for people.
func formatBytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if value /= 1 << 10; value < 1000 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// span returns a duration for people.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < 48*time.Hour:
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// seconds returns a duration that the API gives in seconds.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// stamp returns a time for people.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func stampOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return stamp(*t)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// number returns n, or nothing for 0.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// parseID reads an argument that is a uuid.
func parseID(what, s string) (bundle.ID, error) {
	id, err := bundle.ParseID(s)
	if err != nil {
		return id, usageError{fmt.Errorf("%s: %q is not a uuid", what, s)}
	}
	return id, nil
}

// parseOptionalID reads a flag that may be empty.
func parseOptionalID(what, s string) (bundle.ID, error) {
	if s == "" {
		return bundle.ID{}, nil
	}
	return parseID(what, s)
}
