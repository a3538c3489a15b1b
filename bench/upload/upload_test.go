package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored/bench/site"
	"github.com/blockstored/blockstored/bench/site/sitetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// halting gives its content in pieces of odd sizes, and pauses between some.
type halting struct {
	content io.Reader
	rng     *rand.Rand
	sent    int
}

// Read implements io.Reader.
func (h *halting) Read(p []byte) (int, error) {
	if h.sent > 8<<20 {
		h.sent = 0
		time.Sleep(30 * time.Millisecond) // a line that is slow now and then
	}
	most := []int{1, 3, 509, 4097, 65_537, 1_000_003}[h.rng.IntN(6)]
	n, err := h.content.Read(p[:min(len(p), most)])
	h.sent += n
	return n, err
}

func TestAnUploadInOddPiecesWithPausesArrivesWholeInLittleMemory(t *testing.T) {
	const size = 64<<20 + 12_345
	program := sitetest.Program(t)
	for _, chunked := range []bool{false, true} {
		s, err := site.Open(t.Context(), site.Config{Program: program, Dir: filepath.Join(t.TempDir(), "site"), Name: "large"})
		if err != nil {
			t.Fatal(err)
		}
		r := &result{Size: size, Chunked: chunked}
		l, err := newLarge(t.Context(), s, r)
		if err != nil {
			t.Fatal(err)
		}
		body, sender := io.Pipe() // joins and cuts pieces as a network does
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, err := io.Copy(sender, &halting{content: newContent(size), rng: rand.New(rand.NewPCG(1, 2))})
			_ = sender.CloseWithError(err) // always nil
		}()
		if err := l.live(t.Context(), body); err != nil {
			t.Errorf("chunked %v: %v\n%s", chunked, err, s.LogTail())
		}
		if grown := r.PeakDownload - r.PeakBefore; grown > size/2 {
			t.Errorf("chunked %v: the site took %d bytes more to hold a file of %d", chunked, grown, size)
		}
		_ = body.Close() // ends the sender where the upload failed
		<-sent
		l.close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestContentIsComparedToTheLastByte(t *testing.T) {
	for _, size := range []int64{1, blockBytes - 1, blockBytes, 2*blockBytes + 7} {
		whole, err := io.ReadAll(newContent(size))
		if err != nil || int64(len(whole)) != size {
			t.Fatalf("%d bytes of %d, %v", len(whole), size, err)
		}
		if err := same(bytes.NewReader(whole), size); err != nil {
			t.Errorf("%d: %v", size, err)
		}
		spoilt := bytes.Clone(whole)
		spoilt[size-1] ^= 1
		for what, other := range map[string][]byte{
			"a byte changed": spoilt, "one less": whole[:size-1], "one more": append(bytes.Clone(whole), 0), "nothing": nil,
		} {
			if same(bytes.NewReader(other), size) == nil {
				t.Errorf("%d bytes, %s: taken for the same", size, what)
			}
		}
	}
}

func TestResultsAreShownAsRatioToTheFloor(t *testing.T) {
	r := &result{Size: 100 << 20, Storage: "dir", Floors: []float64{1, 3}, Upload: 4, PeakUpload: 50 << 20}
	var b strings.Builder
	if err := r.print(&b); err != nil || !strings.Contains(b.String(), "0.50 of its speed") || !strings.Contains(b.String(), "50 MiB after the upload") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "3KiB": 3 << 10, "64MiB": 64 << 20, "10GiB": 10 << 30} {
		if o, err := parse([]string{"--size", text}); err != nil || int64(o.size) != want {
			t.Errorf("%s: %d, %v", text, o.size, err)
		}
	}
	for _, args := range []string{"--size 0", "--size -1", "--size 3MB", "--size 9999999GiB", "--nothing", "surplus"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}
