package syndication

import (
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

func (r PollRequest) encode() ([]byte, error) {
	selectors, err := selectorsToWire(r.Selectors)
	if err != nil {
		return nil, err
	}
	w := pollRequestWire{
		Format: wireFormat, Size: r.Size, Generation: r.Generation, From: r.From, GrantRevision: r.GrantRevision,
		Selectors: selectors, WaitMillis: r.Wait.Milliseconds(), Limit: int64(r.Limit),
	}
	if r.Root != (tlog.Hash{}) {
		w.Root = r.Root[:]
	}
	return marshal(w)
}

func decodePollRequest(b []byte) (r PollRequest, err error) {
	w, err := unmarshal[pollRequestWire](b)
	if err != nil {
		return r, err
	}
	r = PollRequest{
		Size: w.Size, Generation: w.Generation, From: w.From, GrantRevision: w.GrantRevision,
		Wait: min(time.Duration(min(w.WaitMillis, MaxWait.Milliseconds()))*time.Millisecond, MaxWait),
	}
	if len(w.Root) > 0 {
		if err := fixed(r.Root[:], w.Root); err != nil {
			return r, err
		}
	}
	if r.Limit, err = pageLimit(w.Limit); err != nil {
		return r, err
	}
	if r.Size < 0 || r.Size > publog.MaxLogSize || r.From < 0 || r.From > publog.MaxLogSize || w.WaitMillis < 0 {
		return r, bundle.Errorf(bundle.KindInvalid, "a size, an index or the time to wait is out of range")
	}
	r.Selectors, err = selectorsFromWire(w.Selectors)
	return r, err
}

// pageLimit reads the number of records wanted.
func pageLimit(n int64) (int, error) {
	switch {
	case n < 0:
		return 0, bundle.Errorf(bundle.KindInvalid, "a limit of %d records", n)
	case n == 0 || n > MaxPageRecords:
		return MaxPageRecords, nil
	}
	return int(n), nil
}

func (a *PollAnswer) encode() ([]byte, error) {
	w := pollAnswerWire{
		Format: wireFormat, Note: a.Note, Consistency: hashesToWire(a.Consistency), Entries: entriesToWire(a.Entries),
		Proof: hashesToWire(a.Proof), Next: a.Next, GrantRevision: a.GrantRevision, Descriptor: a.Descriptor[:],
		GenProof: hashesToWire(a.GenerationProof),
	}
	if a.Generation != nil {
		w.Generation = entriesToWire([]publog.Entry{*a.Generation})
	}
	return marshal(w)
}

func decodePollAnswer(b []byte) (*PollAnswer, error) {
	w, err := unmarshal[pollAnswerWire](b)
	if err != nil {
		return nil, err
	}
	a := &PollAnswer{Note: w.Note, Next: w.Next, GrantRevision: w.GrantRevision}
	if a.Consistency, err = hashesFromWire(w.Consistency); err != nil {
		return nil, err
	}
	if a.Entries, err = entriesFromWire(w.Entries); err != nil {
		return nil, err
	}
	if a.Proof, err = hashesFromWire(w.Proof); err != nil {
		return nil, err
	}
	generation, err := entriesFromWire(w.Generation)
	if err != nil {
		return nil, err
	}
	if len(generation) > 0 {
		a.Generation = &generation[0]
	}
	if a.GenerationProof, err = hashesFromWire(w.GenProof); err != nil {
		return nil, err
	}
	return a, fixed(a.Descriptor[:], w.Descriptor)
}

func (r RecordsRequest) encode() ([]byte, error) {
	w := recordsRequestWire{Format: wireFormat, From: r.From, Size: r.Size, Limit: int64(r.Limit)}
	if r.Subject != (bundle.ID{}) {
		w.Subject = r.Subject[:]
	}
	for _, v := range r.Versions {
		w.Versions = append(w.Versions, refWire{Bundle: v.Bundle[:], Number: v.Number})
	}
	return marshal(w)
}

func decodeRecordsRequest(b []byte) (r RecordsRequest, err error) {
	w, err := unmarshal[recordsRequestWire](b)
	if err != nil {
		return r, err
	}
	r = RecordsRequest{From: w.From, Size: w.Size}
	if r.Limit, err = pageLimit(w.Limit); err != nil {
		return r, err
	}
	switch {
	case (len(w.Subject) == 0) == (len(w.Versions) == 0):
		return r, bundle.Errorf(bundle.KindInvalid, "ask for a subject's records, or for versions")
	case len(w.Versions) > MaxRecordVersions:
		return r, bundle.Errorf(bundle.KindInvalid, "%d versions; at most %d are allowed in one request", len(w.Versions), MaxRecordVersions)
	case r.Size <= 0 || r.Size > publog.MaxLogSize || r.From < 0 || r.From > publog.MaxLogSize:
		return r, bundle.Errorf(bundle.KindInvalid, "a size or an index is out of range")
	}
	if len(w.Subject) > 0 {
		return r, fixed(r.Subject[:], w.Subject)
	}
	for _, v := range w.Versions {
		ref, err := refFromWire(v.Bundle, v.Number)
		if err != nil {
			return r, err
		}
		r.Versions = append(r.Versions, ref)
	}
	return r, nil
}

func refFromWire(id []byte, number uint64) (ref bundle.VersionRef, err error) {
	if number == 0 {
		return ref, bundle.Errorf(bundle.KindInvalid, "version numbers start at 1")
	}
	ref.Number = number
	return ref, fixed(ref.Bundle[:], id)
}

func (a *RecordsAnswer) encode() ([]byte, error) {
	return marshal(recordsAnswerWire{
		Format: wireFormat, Size: a.Size, Entries: entriesToWire(a.Entries), Proof: hashesToWire(a.Proof), More: a.More,
	})
}

func decodeRecordsAnswer(b []byte) (*RecordsAnswer, error) {
	w, err := unmarshal[recordsAnswerWire](b)
	if err != nil {
		return nil, err
	}
	a := &RecordsAnswer{Size: w.Size, More: w.More}
	if a.Entries, err = entriesFromWire(w.Entries); err != nil {
		return nil, err
	}
	a.Proof, err = hashesFromWire(w.Proof)
	return a, err
}

func encodeManifestWants(wants []ManifestWant) ([]byte, error) {
	w := manifestsRequestWire{Format: wireFormat, Wants: []manifestWantWire{}}
	for _, m := range wants {
		w.Wants = append(w.Wants, manifestWantWire{Bundle: m.Ref.Bundle[:], Number: m.Ref.Number, Have: m.Have, Below: len(m.Root) > 0})
	}
	return marshal(w)
}

// pagesWant is a ManifestWant as the server sees it.
type pagesWant struct {
	ref   bundle.VersionRef
	have  uint64
	below bool
}

func decodeManifestWants(b []byte) ([]pagesWant, error) {
	w, err := unmarshal[manifestsRequestWire](b)
	if err != nil {
		return nil, err
	}
	if len(w.Wants) == 0 || len(w.Wants) > MaxManifestWants {
		return nil, bundle.Errorf(bundle.KindInvalid, "%d manifests; 1 to %d are allowed in one request", len(w.Wants), MaxManifestWants)
	}
	wants := make([]pagesWant, len(w.Wants))
	for i, m := range w.Wants {
		wants[i].have, wants[i].below = m.Have, m.Below
		if wants[i].ref, err = refFromWire(m.Bundle, m.Number); err != nil {
			return nil, err
		}
	}
	return wants, nil
}

func encodeBlobWants(wants []BlobWant) ([]byte, error) {
	w := blobsRequestWire{Format: wireFormat, Wants: []blobWantWire{}}
	for _, m := range wants {
		runs, err := encodeRuns(m.Positions)
		if err != nil {
			return nil, err
		}
		w.Wants = append(w.Wants, blobWantWire{Bundle: m.Ref.Bundle[:], Number: m.Ref.Number, Runs: runs})
	}
	return marshal(w)
}

func decodeBlobWants(b []byte) ([]BlobWant, error) {
	w, err := unmarshal[blobsRequestWire](b)
	if err != nil {
		return nil, err
	}
	if len(w.Wants) == 0 || len(w.Wants) > MaxBlobWants {
		return nil, bundle.Errorf(bundle.KindInvalid, "files of %d versions; 1 to %d are allowed in one request", len(w.Wants), MaxBlobWants)
	}
	wants := make([]BlobWant, len(w.Wants))
	left := MaxBlobPositions
	for i, m := range w.Wants {
		if wants[i].Ref, err = refFromWire(m.Bundle, m.Number); err != nil {
			return nil, err
		}
		if wants[i].Positions, err = decodeRuns(m.Runs, left); err != nil {
			return nil, err
		}
		left -= len(wants[i].Positions)
	}
	return wants, nil
}

// encodeRuns writes strictly ascending positions as runs: how many are left
// out, how many follow, and so on.
func encodeRuns(positions []int) ([]uint64, error) {
	var runs []uint64
	next := 0 // the position after the last run
	for _, p := range positions {
		switch {
		case p < next || p >= bundle.MaxFiles:
			return nil, bundle.Errorf(bundle.KindInvalid, "file positions must ascend from 0, strictly; %d does not", p)
		case p == next && len(runs) > 0:
			runs[len(runs)-1]++
		default:
			runs = append(runs, uint64(p-next), 1)
		}
		next = p + 1
	}
	return runs, nil
}

// decodeRuns is the inverse of encodeRuns, for at most limit positions.
func decodeRuns(runs []uint64, limit int) ([]int, error) {
	bad := func() ([]int, error) {
		return nil, bundle.Errorf(bundle.KindInvalid,
			"file positions: runs must be pairs of a gap and a length, of at most %d files in one request", MaxBlobPositions)
	}
	if len(runs) == 0 || len(runs)%2 != 0 {
		return bad()
	}
	var positions []int
	next := uint64(0)
	for i := 0; i < len(runs); i += 2 {
		gap, n := runs[i], runs[i+1]
		if n == 0 || n > uint64(limit-len(positions)) || gap > bundle.MaxFiles || i > 0 && gap == 0 {
			return bad()
		}
		if next += gap; next+n > bundle.MaxFiles {
			return bad()
		}
		for range n {
			positions = append(positions, int(next))
			next++
		}
	}
	return positions, nil
}
