package syndication

import (
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

// The limits of the protocol. A server answers KindInvalid or KindTooLarge to
// what is beyond them.
const (
	MaxWait           = 50 * time.Second // of a long poll
	MaxPageRecords    = 1000             // records in one answer
	MaxPageBytes      = 1 << 20          // bytes of records in one answer, one record more at most
	MaxRecordVersions = 256              // versions in one RecordsRequest
	MaxManifestWants  = 1000             // versions in one request for manifests
	MaxBlobWants      = 1000             // versions in one request for blobs
	MaxBlobPositions  = 1 << 16          // files in one request for blobs
	maxSelectors      = 1000
)

// The bounds of messages in bytes, whoever sends them.
const (
	maxRequest = 1 << 20
	maxAnswer  = 4 << 20 // MaxPageBytes, the last record over it, salts and proofs: far below
	maxError   = 64 << 10
)

// wireFormat is the version of every message. Fields may be added without a new
// one: a reader skips those it does not know.
const wireFormat = 1

const mediaCBOR = "application/cbor"

var (
	encoding = must(cbor.CoreDetEncOptions().EncMode())
	decoding = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  6,
		MaxArrayElements: 1 << 18,
		MaxMapPairs:      64,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("syndication: codec options: %v", err)) // constants, wrong only by a programming error
	}
	return v
}

// PollRequest asks for what is new since the last verified checkpoint.
type PollRequest struct {
	Size          int64              // of the last verified checkpoint of this peer, 0 for none
	Root          tlog.Hash          // its root
	Generation    uint64             // its generation
	From          int64              // the cursor: the first record wanted
	GrantRevision uint64             // of the grants as last seen; a poll answers at once if they changed
	Selectors     []catalog.Selector // what is followed; nil for all that is granted
	Wait          time.Duration      // how long to wait for news, at most MaxWait; 0 answers at once
	Limit         int                // records at most, 0 for MaxPageRecords
}

// PollAnswer is a page of the log. It is to be checked with [Check].
type PollAnswer struct {
	Note        []byte         // the signed checkpoint
	Consistency []tlog.Hash    // proves that the log of the request's Size is its beginning
	Entries     []publog.Entry // the granted and followed records in [From, Next), ascending
	Proof       []tlog.Hash    // that Entries stand in the log of the checkpoint's size
	// Next is the new cursor. If it is less than the checkpoint's size, there
	// is more to be had at once.
	Next          int64
	GrantRevision uint64
	Descriptor    bundle.Digest // SHA-256 of the peer's signed descriptor as it is now
	// Generation is the record that begins the checkpoint's generation, if that is
	// later than the request's, and GenerationProof that it stands in the log.
	Generation      *publog.Entry
	GenerationProof []tlog.Hash
}

// RecordsRequest asks for single records: all granted ones of a Subject from an
// index on, or what is needed to take in single Versions: the record of each
// and its bundle's newest metadata record. One of the two is set.
type RecordsRequest struct {
	Subject  bundle.ID
	From     int64               // of Subject: the first record wanted
	Versions []bundle.VersionRef // at most MaxRecordVersions; what is not granted is absent in the answer
	Size     int64               // prove against the log of this size, which the subscriber has verified
	Limit    int                 // records at most, 0 for MaxPageRecords
}

// RecordsAnswer is to be checked with [CheckRecords].
type RecordsAnswer struct {
	Size    int64 // as requested
	Entries []publog.Entry
	Proof   []tlog.Hash
	More    bool // go on from the last entry's index + 1
}

// ManifestWant asks for the pages of a version's manifest.
type ManifestWant struct {
	Ref bundle.VersionRef
	// Manifest is the root page's digest, from the version's verified record.
	// It is not sent: the client checks the answer with it.
	Manifest bundle.Digest
	// Have is a version of the same bundle whose pages need not be sent, 0 for
	// none.
	Have uint64
	// Root is the root page, if it was fetched with [Client.File] because it
	// is too large for a frame; the pages below it are sent then.
	Root []byte
}

// BlobWant asks for files of a version by their position in its manifest,
// from 0, strictly ascending. Each must have at most [bundle.MaxFrameBlob]
// bytes.
type BlobWant struct {
	Ref       bundle.VersionRef
	Positions []int
}

type (
	selectorWire struct {
		_      struct{} `cbor:",toarray"`
		Scope  uint8
		Target []byte
	}
	entryWire struct {
		_        struct{} `cbor:",toarray"`
		Index    int64
		Salt     []byte
		Body     []byte
		Redacted []byte
	}
	refWire struct {
		_      struct{} `cbor:",toarray"`
		Bundle []byte
		Number uint64
	}
	manifestWantWire struct {
		_      struct{} `cbor:",toarray"`
		Bundle []byte
		Number uint64
		Have   uint64
		Below  bool // the root is there already: send what is below it
	}
	blobWantWire struct {
		_      struct{} `cbor:",toarray"`
		Bundle []byte
		Number uint64
		Runs   []uint64 // gap, length, gap, length, …
	}
	pollRequestWire struct {
		Format        uint64         `cbor:"1,keyasint"`
		Size          int64          `cbor:"2,keyasint,omitzero"`
		Root          []byte         `cbor:"3,keyasint,omitempty"`
		Generation    uint64         `cbor:"4,keyasint,omitzero"`
		From          int64          `cbor:"5,keyasint,omitzero"`
		GrantRevision uint64         `cbor:"6,keyasint,omitzero"`
		Selectors     []selectorWire `cbor:"7,keyasint,omitempty"`
		WaitMillis    int64          `cbor:"8,keyasint,omitzero"`
		Limit         int64          `cbor:"9,keyasint,omitzero"`
	}
	pollAnswerWire struct {
		Format        uint64      `cbor:"1,keyasint"`
		Note          []byte      `cbor:"2,keyasint"`
		Consistency   []byte      `cbor:"3,keyasint,omitempty"`
		Entries       []entryWire `cbor:"4,keyasint,omitempty"`
		Proof         []byte      `cbor:"5,keyasint,omitempty"`
		Next          int64       `cbor:"6,keyasint,omitzero"`
		GrantRevision uint64      `cbor:"7,keyasint,omitzero"`
		Descriptor    []byte      `cbor:"8,keyasint"`
		Generation    []entryWire `cbor:"9,keyasint,omitempty"` // at most one
		GenProof      []byte      `cbor:"10,keyasint,omitempty"`
	}
	recordsRequestWire struct {
		Format   uint64    `cbor:"1,keyasint"`
		Subject  []byte    `cbor:"2,keyasint,omitempty"`
		From     int64     `cbor:"3,keyasint,omitzero"`
		Versions []refWire `cbor:"4,keyasint,omitempty"`
		Size     int64     `cbor:"5,keyasint"`
		Limit    int64     `cbor:"6,keyasint,omitzero"`
	}
	recordsAnswerWire struct {
		Format  uint64      `cbor:"1,keyasint"`
		Size    int64       `cbor:"2,keyasint"`
		Entries []entryWire `cbor:"3,keyasint,omitempty"`
		Proof   []byte      `cbor:"4,keyasint,omitempty"`
		More    bool        `cbor:"5,keyasint,omitzero"`
	}
	manifestsRequestWire struct {
		Format uint64             `cbor:"1,keyasint"`
		Wants  []manifestWantWire `cbor:"2,keyasint"`
	}
	blobsRequestWire struct {
		Format uint64         `cbor:"1,keyasint"`
		Wants  []blobWantWire `cbor:"2,keyasint"`
	}
	acceptRequestWire struct {
		Format     uint64 `cbor:"1,keyasint"`
		Secret     []byte `cbor:"2,keyasint"`
		Descriptor []byte `cbor:"3,keyasint"`
	}
	acceptAnswerWire struct {
		Format uint64         `cbor:"1,keyasint"`
		Grants []selectorWire `cbor:"2,keyasint,omitempty"`
	}
)

// formatted is what every message begins with.
type formatted interface{ format() uint64 }

func (w pollRequestWire) format() uint64      { return w.Format }
func (w pollAnswerWire) format() uint64       { return w.Format }
func (w recordsRequestWire) format() uint64   { return w.Format }
func (w recordsAnswerWire) format() uint64    { return w.Format }
func (w manifestsRequestWire) format() uint64 { return w.Format }
func (w blobsRequestWire) format() uint64     { return w.Format }
func (w acceptRequestWire) format() uint64    { return w.Format }
func (w acceptAnswerWire) format() uint64     { return w.Format }

func marshal(w formatted) ([]byte, error) {
	b, err := encoding.Marshal(w)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "encode a peer message: %w", err)
	}
	return b, nil
}

func unmarshal[W formatted](b []byte) (w W, err error) {
	if err := decoding.Unmarshal(b, &w); err != nil {
		return w, malformed(err)
	}
	if w.format() != wireFormat {
		return w, bundle.Errorf(bundle.KindInvalid,
			"peer message of format %d, this program reads %d; upgrade the older of the two instances", w.format(), wireFormat)
	}
	return w, nil
}

func malformed(err error) error {
	return bundle.Errorf(bundle.KindInvalid, "not a well-formed peer message: %w", err)
}

var scopes = [...]string{access.ScopeAll, access.ScopeCollection, access.ScopeBundle}

func selectorsToWire(selectors []catalog.Selector) ([]selectorWire, error) {
	if err := access.CheckSelectors(selectors); err != nil {
		return nil, err
	}
	var ws []selectorWire
	for _, s := range selectors {
		w := selectorWire{Target: []byte{}}
		for i, scope := range scopes {
			if scope == s.Scope {
				w.Scope = uint8(i)
			}
		}
		if s.Scope != access.ScopeAll {
			w.Target = s.Target[:]
		}
		ws = append(ws, w)
	}
	return ws, nil
}

func selectorsFromWire(ws []selectorWire) ([]catalog.Selector, error) {
	if len(ws) > maxSelectors {
		return nil, bundle.Errorf(bundle.KindInvalid, "%d selectors; at most %d are allowed", len(ws), maxSelectors)
	}
	var selectors []catalog.Selector
	for _, w := range ws {
		if int(w.Scope) >= len(scopes) {
			return nil, bundle.Errorf(bundle.KindInvalid, "a selector of an unknown scope %d; upgrade blockstored", w.Scope)
		}
		s := catalog.Selector{Scope: scopes[w.Scope]}
		if len(w.Target) > 0 {
			if err := fixed(s.Target[:], w.Target); err != nil {
				return nil, err
			}
		}
		selectors = append(selectors, s)
	}
	return selectors, access.CheckSelectors(selectors)
}

// fixed copies src to dst, both of the same length.
func fixed(dst, src []byte) error {
	if len(src) != len(dst) {
		return bundle.Errorf(bundle.KindInvalid, "an identifier or digest has %d bytes instead of %d", len(src), len(dst))
	}
	copy(dst, src)
	return nil
}

func hashesToWire(hashes []tlog.Hash) []byte {
	var b []byte
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

func hashesFromWire(b []byte) ([]tlog.Hash, error) {
	if len(b)%tlog.HashSize != 0 {
		return nil, bundle.Errorf(bundle.KindInvalid, "a proof of %d bytes does not consist of hashes", len(b))
	}
	var hashes []tlog.Hash
	for ; len(b) > 0; b = b[tlog.HashSize:] {
		hashes = append(hashes, tlog.Hash(b[:tlog.HashSize]))
	}
	return hashes, nil
}

func entriesToWire(entries []publog.Entry) []entryWire {
	var ws []entryWire
	for _, e := range entries {
		w := entryWire{Index: e.Index, Salt: e.Salt[:], Body: e.Body, Redacted: []byte{}}
		if e.Redacted != (tlog.Hash{}) {
			w = entryWire{Index: e.Index, Salt: []byte{}, Body: []byte{}, Redacted: e.Redacted[:]}
		}
		ws = append(ws, w)
	}
	return ws
}

func entriesFromWire(ws []entryWire) ([]publog.Entry, error) {
	var entries []publog.Entry
	for _, w := range ws {
		e := publog.Entry{Index: w.Index}
		var err error
		switch {
		case len(w.Redacted) > 0 && len(w.Salt)+len(w.Body) == 0:
			err = fixed(e.Redacted[:], w.Redacted)
			if err == nil && e.Redacted == (tlog.Hash{}) { // no leaf has it, and here it means that there is a body
				err = bundle.Errorf(bundle.KindInvalid, "entry %d is redacted without its leaf hash", w.Index)
			}
		case len(w.Redacted) == 0 && len(w.Body) > 0:
			e.Body = w.Body
			err = fixed(e.Salt[:], w.Salt)
		default:
			err = bundle.Errorf(bundle.KindInvalid, "entry %d is neither a record nor a redacted one", w.Index)
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}
