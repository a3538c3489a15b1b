package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Every attempt to publish has a number, and its files follow from the number,
// the seed and the bundle alone: whoever meets a version later knows from its
// file numberFile what each of its bytes must be.
const numberFile = "attempt.txt"

// size says how much an attempt writes.
type size struct {
	small    int // text files of 0.3 to 6 KB
	shared   int // text files that all versions of a bundle share
	large    int // random bytes, too large for a pack
	minLarge int
}

var (
	pullSize   = size{small: 24, shared: 12, large: 2, minLarge: 300 << 10}
	commitSize = size{small: 3, shared: 1}
)

// content returns the files of attempt number in bundle (a small number).
func (s size) content(seed uint64, bundle, number int) map[string][]byte {
	own := rand.New(rand.NewPCG(seed, uint64(number)))
	files := map[string][]byte{numberFile: []byte(strconv.Itoa(number))}
	for k := range s.small {
		files[fmt.Sprintf("units/%02d.xml", k)] = text(own, number)
	}
	for k := range s.large {
		large := make([]byte, s.minLarge+own.IntN(s.minLarge))
		for i := range large {
			large[i] = byte(own.Uint32())
		}
		files[fmt.Sprintf("static/%02d.png", k)] = large
	}
	common := rand.New(rand.NewPCG(seed, 1<<40+uint64(bundle)))
	for k := range s.shared {
		files[fmt.Sprintf("shared/%02d.xml", k)] = text(common, bundle)
	}
	return files
}

// text returns words that compress like a course's.
func text(r *rand.Rand, number int) []byte {
	words := strings.Fields("problem answer video unit chapter mechanics force energy the of and a explain draw choose")
	var b bytes.Buffer
	fmt.Fprintf(&b, "<unit number=%q>\n", strconv.Itoa(number))
	for end := 300 + r.IntN(5700); b.Len() < end; {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(' ')
	}
	b.WriteString("</unit>\n")
	return b.Bytes()
}

// attempt tells from the files of a version which attempt made them, and
// checks every byte.
func (s size) attempt(seed uint64, bundle int, files map[string][]byte) (int, error) {
	number, err := strconv.Atoi(string(files[numberFile]))
	if err != nil {
		return 0, fmt.Errorf("%s is %q", numberFile, files[numberFile])
	}
	want := s.content(seed, bundle, number)
	if maps.EqualFunc(files, want, bytes.Equal) {
		return number, nil
	}
	var faults []string
	for _, path := range slices.Sorted(maps.Keys(want)) {
		switch have, ok := files[path]; {
		case !ok:
			faults = append(faults, path+" missing")
		case !bytes.Equal(have, want[path]):
			faults = append(faults, path+" other bytes")
		}
	}
	return number, fmt.Errorf("attempt %d: %d of %d files wrong, %d there: %q", number, len(faults), len(want), len(files), faults)
}
