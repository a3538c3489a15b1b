package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"testing"
)

func TestEveryKindHasANameOfItsOwnAndAnErrorStatus(t *testing.T) {
	seen := map[string]bool{}
	for k := KindOther; k <= KindCorrupt; k++ {
		name := k.String()
		if name == "" || seen[name] {
			t.Errorf("kind %d: name %q", k, name)
		}
		seen[name] = true
		if got := ParseKind(name); got != k {
			t.Errorf("%s parses as %s", name, got)
		}
		if s := k.HTTPStatus(); s < 400 || http.StatusText(s) == "" {
			t.Errorf("%s: status %d", name, s)
		}
	}
	if len(kinds) != int(KindCorrupt)+1 {
		t.Error("the table and the constants differ in number")
	}
	if ParseKind("from the future") != KindOther || Kind(200).String() != "internal" || Kind(200).HTTPStatus() != 500 {
		t.Error("an unknown kind is not internal")
	}
}

func TestBriefLeavesOutForeignCauses(t *testing.T) {
	path := &fs.PathError{Op: "write", Path: "/var/lib/secret", Err: io.ErrShortWrite}
	inner := Errorf(KindUnavailable, "the disk failed; mend it: %w", path)
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{inner, "the disk failed; mend it"},
		{Errorf(KindUnavailable, "unknown; retry: %w", inner), "unknown; retry: the disk failed; mend it"},
		{Errorf(KindUnavailable, "unknown; retry: %w", fmt.Errorf("apply: %w", inner)), "unknown; retry: the disk failed; mend it"},
		{Errorf(KindUnavailable, "retry"), "retry"},
		{&Error{Kind: KindUnavailable, Message: "retry", Err: path}, "retry"},
	} {
		if got := c.err.Brief(); got != c.want {
			t.Errorf("%v: %q", c.err, got)
		}
	}
}

func TestErrorsKeepKindCauseAndFields(t *testing.T) {
	e := Errorf(KindNotFound, "no bundle %d: %w", 7, io.EOF)
	f := e.With("bundle", "7").With("bundle", "8").With("x", "y")
	wrapped := fmt.Errorf("commit: %w", f)
	if e.Error() != "no bundle 7: EOF" || !errors.Is(wrapped, io.EOF) || !IsKind(wrapped, KindNotFound) {
		t.Error(wrapped)
	}
	if e.Fields != nil || len(f.Fields) != 2 || f.Fields["bundle"] != "8" {
		t.Error(f.Fields)
	}
	if IsKind(nil, KindOther) || !IsKind(io.EOF, KindOther) {
		t.Error("KindOther is for errors without a kind, not for nil")
	}
}
