package publog

import (
	"bytes"

	"github.com/blockstored/blockstored/bundle"
	"github.com/fxamacker/cbor/v2"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxRecordSize is the largest encoded record, in bytes.
const MaxRecordSize = 64 << 10

// maxTime is the last microsecond that dates are written for: later ones have
// no form in JSON.
const maxTime = 253402300799999999

// recordFormat is the version of the envelope. What may change without a new
// one: kinds, and fields added to a kind's body.
const recordFormat = 1

// RecordKind says what a record publishes. The numbers are in signed logs and
// never change their meaning.
type RecordKind uint8

// The kinds.
const (
	RecordVersion        RecordKind = 1 // a bundle got a version
	RecordBundle         RecordKind = 2 // a bundle's metadata, whole
	RecordCollection     RecordKind = 3 // a collection's metadata, whole
	RecordWithdrawal     RecordKind = 4 // a bundle or collection was deleted by its primary
	RecordTakedown       RecordKind = 5 // versions whose bytes must go everywhere
	RecordTransferOffer  RecordKind = 6 // the owner offers a bundle to another instance
	RecordTransferAccept RecordKind = 7 // the new owner takes it
	RecordSuccessor      RecordKind = 8 // who takes over all of this instance after a disaster
	RecordGeneration     RecordKind = 9 // the instance was restored or recovered
)

// Known reports whether this program knows the kind.
func (k RecordKind) Known() bool { return int(k) < len(kinds) && kinds[k].name != "" }

// String returns the kind's name, "unknown" for one this program doesn't know.
func (k RecordKind) String() string {
	if !k.Known() {
		return "unknown"
	}
	return kinds[k].name
}

// Record is the body of one leaf. Exactly one of the body fields is set, the
// one of its Kind; Raw stands in for it in a kind this program doesn't know.
type Record struct {
	Kind     RecordKind
	Critical bool         // who doesn't know the Kind holds the Subject instead of skipping the record
	Subject  bundle.ID    // the bundle or collection; zero for successor and generation
	Owner    bundle.Owner // who published it, in which epoch
	Prev     tlog.Hash    // leaf hash of the subject's previous record, in whichever log it stands; zero for its first
	Time     int64        // microseconds since 1970 UTC

	Version        *VersionBody
	Bundle         *BundleBody
	Collection     *CollectionBody
	Withdrawal     *WithdrawalBody
	Takedown       *TakedownBody
	TransferOffer  *TransferOfferBody
	TransferAccept *TransferAcceptBody
	Successor      *SuccessorBody
	Generation     *GenerationBody
	Raw            []byte // the body of an unknown kind, deterministic CBOR
}

// envelope is what every record has on the wire.
type envelope struct {
	Format   uint64          `cbor:"1,keyasint"`
	Kind     RecordKind      `cbor:"2,keyasint"`
	Critical bool            `cbor:"3,keyasint,omitzero"`
	Subject  bundle.ID       `cbor:"4,keyasint,omitzero"`
	Instance bundle.ID       `cbor:"5,keyasint"`
	Epoch    uint64          `cbor:"6,keyasint"`
	Prev     tlog.Hash       `cbor:"7,keyasint,omitzero"`
	Time     int64           `cbor:"8,keyasint"`
	Body     cbor.RawMessage `cbor:"9,keyasint"`
}

// Encode returns the record's one encoding: deterministic CBOR of at most
// [MaxRecordSize] bytes. It refuses a record that [DecodeRecord] would refuse.
//
// A record that was decoded is passed on as the bytes it came in, never by
// encoding it again: those bytes may hold fields this program doesn't know.
func (r *Record) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	body, err := r.encodeBody()
	if err != nil {
		return nil, err
	}
	b, err := encoding.Marshal(r.envelope(body))
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "encode %s record: %w", r.Kind, err)
	}
	if len(b) > MaxRecordSize {
		return nil, bundle.Errorf(bundle.KindTooLarge,
			"this %s record has %d bytes; %d are allowed, shorten its texts", r.Kind, len(b), MaxRecordSize)
	}
	return b, nil
}

func (r *Record) envelope(body []byte) envelope {
	return envelope{
		Format: recordFormat, Kind: r.Kind, Critical: r.Critical, Subject: r.Subject,
		Instance: r.Owner.Instance, Epoch: r.Owner.Epoch, Prev: r.Prev, Time: r.Time, Body: body,
	}
}

func (r *Record) encodeBody() ([]byte, error) {
	if !r.Kind.Known() {
		return r.Raw, nil
	}
	b, err := encoding.Marshal(kinds[r.Kind].get(r).wire())
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "encode %s record: %w", r.Kind, err)
	}
	return b, nil
}

// DecodeRecord reads a record that anyone may have written. It accepts only
// the deterministic encoding, at most [MaxRecordSize] bytes, fields that fit
// the kind. An unknown kind decodes into Raw; unknown fields of a known kind's
// body are ignored. Errors are of [bundle.KindInvalid] or
// [bundle.KindTooLarge].
func DecodeRecord(b []byte) (*Record, error) {
	if len(b) > MaxRecordSize {
		return nil, bundle.Errorf(bundle.KindTooLarge, "a record has at most %d bytes, got %d", MaxRecordSize, len(b))
	}
	if err := checkCanonical(b); err != nil {
		return nil, badRecord(err)
	}
	var e envelope
	if err := decoding.Unmarshal(b, &e); err != nil {
		return nil, badRecord(err)
	}
	if e.Format != recordFormat {
		return nil, bundle.Errorf(bundle.KindInvalid,
			"record format %d, this program reads %d; upgrade blockstored here or ask the sender", e.Format, recordFormat)
	}
	if !isMap(e.Body) {
		return nil, bundle.Errorf(bundle.KindInvalid, "record without a body")
	}
	r := &Record{
		Kind: e.Kind, Critical: e.Critical, Subject: e.Subject,
		Owner: bundle.Owner{Instance: e.Instance, Epoch: e.Epoch}, Prev: e.Prev, Time: e.Time,
	}
	if err := r.decodeBody(e.Body); err != nil {
		return nil, err
	}
	if again, err := encoding.Marshal(r.envelope(e.Body)); err != nil || !bytes.Equal(again, b) {
		return nil, bundle.Errorf(bundle.KindInvalid,
			"record: a field of the envelope is unknown, has the wrong length or is a default written out")
	}
	return r, nil
}

func (r *Record) decodeBody(b []byte) error {
	if !r.Kind.Known() {
		r.Raw = bytes.Clone(b)
		return r.check()
	}
	into := kinds[r.Kind].make(r)
	if err := decoding.Unmarshal(b, into); err != nil {
		return badRecord(err)
	}
	if err := r.check(); err != nil {
		return err
	}
	again, err := r.encodeBody()
	if err != nil {
		return err
	}
	if err := checkExtra(b, again, into.highest()); err != nil {
		return badRecord(err)
	}
	return nil
}

// SubjectOf returns what a record that [DecodeRecord] refuses says is its
// subject, false if that cannot be told: a later format may keep it elsewhere.
// Nothing else of such a record may be used.
func SubjectOf(b []byte) (bundle.ID, bool) {
	var e struct {
		Subject bundle.ID `cbor:"4,keyasint"`
	}
	if len(b) > MaxRecordSize || checkCanonical(b) != nil || decoding.Unmarshal(b, &e) != nil {
		return bundle.ID{}, false
	}
	return e.Subject, e.Subject != bundle.ID{}
}

func badRecord(err error) error {
	return bundle.Errorf(bundle.KindInvalid, "not a well-formed record: %w", err)
}

// check reports the first rule that the record's fields break.
func (r *Record) check() error {
	fail := func(what string) error {
		return bundle.Errorf(bundle.KindInvalid, "%s record (kind %d): %s", r.Kind, r.Kind, what)
	}
	switch {
	case r.Kind == 0:
		return fail("a record needs a kind")
	case r.Owner.Instance == bundle.ID{}:
		return fail("the owner's instance is missing")
	case r.Owner.Epoch == 0:
		return fail("the owner's epoch is missing; epochs start at 1")
	case r.Time < 0 || r.Time > maxTime:
		return fail("the time lies before 1970 or after 9999")
	}
	for k := range kinds {
		if RecordKind(k) != r.Kind && kinds[k].get != nil && kinds[k].get(r) != nil {
			return fail("it has the body of a " + kinds[k].name)
		}
	}
	if !r.Kind.Known() {
		if err := checkCanonical(r.Raw); err != nil || !isMap(r.Raw) {
			return fail("its body is not a map in deterministic CBOR")
		}
		return nil
	}
	kind := kinds[r.Kind]
	body := kind.get(r)
	switch {
	case r.Raw != nil:
		return fail("Raw is for unknown kinds")
	case body == nil:
		return fail("its body is missing")
	case kind.subject && r.Subject == bundle.ID{}:
		return fail("its subject is missing")
	case !kind.subject && r.Subject != bundle.ID{}:
		return fail("it concerns the whole instance and has no subject")
	}
	if what := body.check(); what != "" {
		return fail(what)
	}
	return nil
}

// Salt is 16 random bytes hashed before a record's body, so that a neighbour's
// hash in a proof says nothing about the record, however guessable it is.
type Salt [16]byte

// LeafHash returns the hash of a record's leaf: the RFC 6962 leaf hash of salt
// and encoded record, one after the other.
func LeafHash(salt Salt, body []byte) tlog.Hash {
	data := make([]byte, 0, len(salt)+len(body))
	return tlog.RecordHash(append(append(data, salt[:]...), body...))
}

// Entry is a leaf as it is sent to a peer that may see it.
type Entry struct {
	Index int64  // of the leaf, from 0
	Salt  Salt   // zero when redacted
	Body  []byte // the encoded record; nil when redacted

	// Redacted is the leaf hash in place of Salt and Body, once a takedown has
	// erased them; zero otherwise.
	Redacted tlog.Hash
}

// LeafHash returns the hash under which the entry stands in the tree.
func (e Entry) LeafHash() tlog.Hash {
	if e.Redacted != (tlog.Hash{}) {
		return e.Redacted
	}
	return LeafHash(e.Salt, e.Body)
}
