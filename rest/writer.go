package rest

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// writer is an http.ResponseWriter that knows what was answered and ends a
// connection that does not move: before each read and write it pushes the
// connection's deadline on.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
	status  int
	written int64

	reads, writes bool // a deadline is set
	unread        bool // the body may go on
	readBy        time.Time
	writeBy       time.Time
}

// writePart is how many bytes of an answer a client must take in the time it has,
// as many as io.Copy writes at once: a longer answer in one piece would be cut off
// however steadily it moves.
const writePart = 32 << 10

func newWriter(w http.ResponseWriter, idle time.Duration) *writer {
	return &writer{ResponseWriter: w, control: http.NewResponseController(w), idle: idle}
}

// WriteHeader remembers the status.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write gives the client its time for the next bytes.
func (w *writer) Write(b []byte) (n int, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for {
		w.pushWrite()
		part := b[n:min(n+writePart, len(b))]
		m, err := w.ResponseWriter.Write(part)
		n += m
		w.written += int64(m)
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Deadlines belong to the connection, which knows no clock but the system's.
// They are moved only when a good part of the time has passed, since each move
// costs a system call or a timer.

func (w *writer) pushWrite() {
	now := time.Now()
	if w.writeBy.Sub(now) > w.idle*3/4 {
		return
	}
	w.writeBy, w.writes = now.Add(w.idle), true
	_ = w.control.SetWriteDeadline(w.writeBy) // not every writer has one
}

func (w *writer) pushRead() {
	now := time.Now()
	if w.readBy.Sub(now) > w.idle*3/4 {
		return
	}
	w.readBy, w.reads = now.Add(w.idle), true
	_ = w.control.SetReadDeadline(w.readBy)
}

// endReads takes the deadline off: the server reads on to notice a client that
// goes away, and must not take a long answer for one.
func (w *writer) endReads() {
	if w.reads {
		w.reads, w.readBy = false, time.Time{}
		_ = w.control.SetReadDeadline(time.Time{})
	}
}

// end hands the connection back without deadlines, but for the rest of a body
// that was not read, which the server reads on for a while.
func (w *writer) end() {
	if w.unread {
		w.pushRead()
	} else {
		w.endReads()
	}
	if w.writes {
		w.writes, w.writeBy = false, time.Time{}
		_ = w.control.SetWriteDeadline(time.Time{})
	}
}

// moving returns body as one that must keep moving.
func (w *writer) moving(body io.ReadCloser) io.ReadCloser {
	if body == nil || body == http.NoBody {
		return body
	}
	w.unread = true
	return &movingBody{body, w}
}

type movingBody struct {
	io.ReadCloser
	w *writer
}

// Read gives the client its time for the next bytes.
func (b *movingBody) Read(p []byte) (int, error) {
	b.w.pushRead()
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.w.unread = false
		b.w.endReads()
	}
	return n, err
}
