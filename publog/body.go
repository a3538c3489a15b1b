package publog

import (
	"unicode/utf8"

	"github.com/blockstored/blockstored/bundle"
	"golang.org/x/mod/sumdb/tlog"
)

// kinds is the table of the known kinds, by number.
var kinds = [...]kindInfo{
	RecordVersion:        slot("version", true, func(r *Record) **VersionBody { return &r.Version }),
	RecordBundle:         slot("bundle", true, func(r *Record) **BundleBody { return &r.Bundle }),
	RecordCollection:     slot("collection", true, func(r *Record) **CollectionBody { return &r.Collection }),
	RecordWithdrawal:     slot("withdrawal", true, func(r *Record) **WithdrawalBody { return &r.Withdrawal }),
	RecordTakedown:       slot("takedown", true, func(r *Record) **TakedownBody { return &r.Takedown }),
	RecordTransferOffer:  slot("transfer_offer", true, func(r *Record) **TransferOfferBody { return &r.TransferOffer }),
	RecordTransferAccept: slot("transfer_accept", true, func(r *Record) **TransferAcceptBody { return &r.TransferAccept }),
	RecordSuccessor:      slot("successor", false, func(r *Record) **SuccessorBody { return &r.Successor }),
	RecordGeneration:     slot("generation", false, func(r *Record) **GenerationBody { return &r.Generation }),
}

type kindInfo struct {
	name    string
	subject bool               // it concerns one bundle or collection
	get     func(*Record) body // nil if the record has none of this kind
	make    func(*Record) body // sets an empty one
}

// body is what the bodies of all known kinds can do.
type body interface {
	check() string   // the rule it breaks, "" for none
	wire() any       // what is encoded
	highest() uint64 // the highest field number this program knows
}

func slot[T any, P interface {
	*T
	body
}](name string, subject bool, at func(*Record) **T) kindInfo {
	return kindInfo{
		name:    name,
		subject: subject,
		get: func(r *Record) body {
			if p := *at(r); p != nil {
				return P(p)
			}
			return nil
		},
		make: func(r *Record) body {
			*at(r) = new(T)
			return P(*at(r))
		},
	}
}

// Redistribute says to whom a copy's holder may pass the version on.
type Redistribute uint8

// The choices. A fourth would be a field of its own.
const (
	RedistributeNone  Redistribute = 0 // nobody
	RedistributePeers Redistribute = 1 // its own peers, who may not pass it on
	RedistributeAny   Redistribute = 2 // anyone
)

var redistributions = [...]string{
	RedistributeNone:  "none",
	RedistributePeers: "peers",
	RedistributeAny:   "any",
}

// String returns none, peers or any.
func (d Redistribute) String() string {
	if int(d) < len(redistributions) {
		return redistributions[d]
	}
	return redistributions[RedistributeNone]
}

// ParseRedistribute reads none, peers or any; the empty string is none.
func ParseRedistribute(s string) (Redistribute, error) {
	if s == "" {
		return RedistributeNone, nil
	}
	for d, name := range redistributions {
		if name == s {
			return Redistribute(d), nil
		}
	}
	return RedistributeNone, bundle.Errorf(bundle.KindInvalid, "redistribute is none, peers or any, got %q", s)
}

// VersionBody publishes a version of the record's subject.
type VersionBody struct {
	Number            uint64        `cbor:"1,keyasint"` // 1, 2, 3 … without a gap
	Manifest          bundle.Digest `cbor:"2,keyasint"`
	Alias             bundle.Hash20 `cbor:"3,keyasint,omitzero"` // the API's snapshot digest if it isn't derived from Manifest; see SnapshotAlias
	ChangeDescription string        `cbor:"4,keyasint,omitzero"`
	License           string        `cbor:"5,keyasint,omitzero"` // an SPDX expression or any other text
	Attribution       string        `cbor:"6,keyasint,omitzero"`
	Redistribute      Redistribute  `cbor:"7,keyasint,omitzero"`
}

// SnapshotAlias returns the digest by which the API shows the snapshot: Alias,
// or the one derived from Manifest where Alias is zero.
func (v *VersionBody) SnapshotAlias() bundle.Hash20 {
	if v.Alias.IsZero() {
		return bundle.SnapshotAlias(v.Manifest)
	}
	return v.Alias
}

func (v *VersionBody) check() string {
	switch {
	case v.Number == 0:
		return "version numbers start at 1"
	case v.Manifest.IsZero():
		return "the manifest's digest is missing"
	case int(v.Redistribute) >= len(redistributions):
		return "redistribute is none, peers or any"
	}
	return checkText(v.ChangeDescription, v.License, v.Attribution)
}

func (v *VersionBody) wire() any {
	w := *v
	if w.Alias == bundle.SnapshotAlias(w.Manifest) {
		w.Alias = bundle.Hash20{}
	}
	return w
}

func (v *VersionBody) highest() uint64 { return 7 }

// BundleBody is all of a bundle's metadata as it is from this record on.
type BundleBody struct {
	Collection  bundle.ID `cbor:"1,keyasint"`
	Slug        string    `cbor:"2,keyasint,omitzero"`
	Title       string    `cbor:"3,keyasint,omitzero"`
	Description string    `cbor:"4,keyasint,omitzero"`
}

func (b *BundleBody) check() string {
	if b.Collection == (bundle.ID{}) {
		return "the bundle's collection is missing"
	}
	return checkText(b.Slug, b.Title, b.Description)
}

func (b *BundleBody) wire() any       { return b }
func (b *BundleBody) highest() uint64 { return 4 }

// CollectionBody is all of a collection's metadata as it is from this record on.
type CollectionBody struct {
	Title string `cbor:"1,keyasint,omitzero"`
}

func (c *CollectionBody) check() string   { return checkText(c.Title) }
func (c *CollectionBody) wire() any       { return c }
func (c *CollectionBody) highest() uint64 { return 1 }

// WithdrawalBody says that the subject, a bundle or a collection, was deleted
// by its primary. Copies are marked and stay.
type WithdrawalBody struct {
	Reason string `cbor:"1,keyasint,omitzero"`
}

func (w *WithdrawalBody) check() string   { return checkText(w.Reason) }
func (w *WithdrawalBody) wire() any       { return w }
func (w *WithdrawalBody) highest() uint64 { return 1 }

// TakedownBody demands that the bytes of versions of the subject, published by
// the same owner, are removed from every copy.
type TakedownBody struct {
	Versions []uint64 `cbor:"1,keyasint,omitempty"` // ascending; empty with All
	All      bool     `cbor:"2,keyasint,omitzero"`  // every version published before this record
	Reason   string   `cbor:"3,keyasint,omitzero"`
}

func (t *TakedownBody) check() string {
	if t.All == (len(t.Versions) > 0) {
		return "a takedown names either versions or all of them"
	}
	last := uint64(0)
	for _, n := range t.Versions {
		if n <= last {
			return "the versions to take down are not in ascending order from 1"
		}
		last = n
	}
	return checkText(t.Reason)
}

func (t *TakedownBody) wire() any       { return t }
func (t *TakedownBody) highest() uint64 { return 3 }

// TransferOfferBody offers the subject to another instance.
type TransferOfferBody struct {
	To    bundle.ID `cbor:"1,keyasint"` // the instance that may accept
	Epoch uint64    `cbor:"2,keyasint"` // in which it will be the owner: higher than the record's
}

func (t *TransferOfferBody) check() string {
	if t.To == (bundle.ID{}) || t.Epoch == 0 {
		return "an offer names an instance and an epoch"
	}
	return ""
}

func (t *TransferOfferBody) wire() any       { return t }
func (t *TransferOfferBody) highest() uint64 { return 2 }

// TransferAcceptBody takes the subject over. It stands in the new owner's log,
// and the record's owner is the new one.
type TransferAcceptBody struct {
	From    bundle.ID `cbor:"1,keyasint"`          // the instance that offered it
	Offer   tlog.Hash `cbor:"2,keyasint"`          // leaf hash of the offer
	Version uint64    `cbor:"3,keyasint,omitzero"` // the last version taken over, 0 for none
}

func (t *TransferAcceptBody) check() string {
	if t.From == (bundle.ID{}) || t.Offer == (tlog.Hash{}) {
		return "an acceptance names the former owner and its offer"
	}
	return ""
}

func (t *TransferAcceptBody) wire() any       { return t }
func (t *TransferAcceptBody) highest() uint64 { return 3 }

// SuccessorBody names the instance that may take over all of this one's
// bundles when it can no longer hand them over itself.
type SuccessorBody struct {
	Instance    bundle.ID     `cbor:"1,keyasint"`
	Fingerprint bundle.Digest `cbor:"2,keyasint"` // of its root key, see [Descriptor.Fingerprint]
}

func (s *SuccessorBody) check() string {
	if s.Instance == (bundle.ID{}) || s.Fingerprint.IsZero() {
		return "a successor is an instance and the fingerprint of its root key"
	}
	return ""
}

func (s *SuccessorBody) wire() any       { return s }
func (s *SuccessorBody) highest() uint64 { return 2 }

// GenerationBody is the first record of a generation.
type GenerationBody struct {
	Number uint64 `cbor:"1,keyasint"` // from 1
	Reason string `cbor:"2,keyasint,omitzero"`
}

func (g *GenerationBody) check() string {
	if g.Number == 0 {
		return "generations start at 1"
	}
	return checkText(g.Reason)
}

func (g *GenerationBody) wire() any       { return g }
func (g *GenerationBody) highest() uint64 { return 2 }

func checkText(texts ...string) string {
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return "a text is not valid UTF-8"
		}
	}
	return ""
}
