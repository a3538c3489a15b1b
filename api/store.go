package api

import (
	"context"
	"io"
	"iter"

	"github.com/blockstored/blockstored/bundle"
)

// Store is an instance as a host application uses it. Its methods may be called
// from any goroutine; a cancelled context ends them with its cause. What a
// change acknowledged is durable, and later reads show it.
//
// Every method may return an error of [bundle.KindUnavailable], when the
// instance cannot be reached or is closing; a call that changes something may
// then have happened or not, and [WithIdempotencyKey] makes it safe to repeat.
// Changing what another instance is the primary of is [bundle.KindReadOnly],
// with the fields primary and primary_url; changing anything without enough
// space is [bundle.KindNoSpace]. What does not exist is [bundle.KindNotFound],
// and what is wrong with the values given is [bundle.KindInvalid].
//
// A function that needs less takes one of the interfaces that Store is made of.
type Store interface {
	Collections
	Bundles
	Versions
	Drafts
	Blobs
	// Healthy returns nil if the instance answers and its database does.
	Healthy(ctx context.Context) error
}

// Lists are read page by page while they are ranged over, so that they can be
// of any length; what changes meanwhile may or may not be in them. They come in
// the order of creation. An error is the last item.

// Collections are sets of bundles.
type Collections interface {
	// Collections lists the collections, own and copied.
	Collections(ctx context.Context) iter.Seq2[Collection, error]
	// Collection returns one collection.
	Collection(ctx context.Context, id bundle.ID) (Collection, error)
	// CreateCollection makes a collection. Titles have 1 to 180 code points,
	// once white space around them is removed, and need not be unique.
	CreateCollection(ctx context.Context, title string) (Collection, error)
	// UpdateCollection gives a collection another title.
	UpdateCollection(ctx context.Context, id bundle.ID, title string) (Collection, error)
	// DeleteCollection withdraws a collection with all its bundles, drafts
	// and versions.
	DeleteCollection(ctx context.Context, id bundle.ID) error
}

// Bundles are sets of files with versions.
type Bundles interface {
	// Bundles lists the bundles that f selects, own and copied.
	Bundles(ctx context.Context, f BundleFilter) iter.Seq2[Bundle, error]
	// Bundle returns one bundle.
	Bundle(ctx context.Context, id bundle.ID) (Bundle, error)
	// CreateBundle makes a bundle without versions.
	CreateBundle(ctx context.Context, b NewBundle) (Bundle, error)
	// UpdateBundle changes what c says of a bundle. [bundle.KindPrecondition]
	// if it is not at the revision that c names.
	UpdateBundle(ctx context.Context, id bundle.ID, c BundleChange) (Bundle, error)
	// DeleteBundle withdraws a bundle, its drafts and versions. Versions of
	// other bundles that link to it stay readable, and copies elsewhere stay,
	// marked.
	DeleteBundle(ctx context.Context, id bundle.ID) error
	// ForkBundle makes an own bundle whose version 1 has the content of a
	// version of bundle of, which may be a copy.
	ForkBundle(ctx context.Context, of bundle.ID, f Fork) (Bundle, error)
	// Borrowers lists the versions of bundles whose links reach bundle id,
	// by the version they reach.
	Borrowers(ctx context.Context, id bundle.ID) iter.Seq2[Borrower, error]
}

// Versions are the published states of bundles, numbered from 1. All but their
// change descriptions is immutable.
type Versions interface {
	// Versions lists the versions that f selects without their snapshots,
	// bundle by bundle, ascending.
	Versions(ctx context.Context, f VersionFilter) iter.Seq2[Version, error]
	// Version returns version n of bundle b with its snapshot: some 300 bytes
	// of memory a file.
	Version(ctx context.Context, b bundle.ID, n uint64) (Version, error)
	// DescribeVersion changes what a version says about its change, here
	// only: what was published to other instances stays. It returns the
	// version without its snapshot.
	DescribeVersion(ctx context.Context, b bundle.ID, n uint64, description string) (Version, error)
	// OpenVersionFile opens a file of a version. The caller closes the
	// reader, which fails with io.ErrUnexpectedEOF if the content breaks off.
	// A range that begins at or beyond the end of a file is
	// [bundle.KindInvalid], but for the start of an empty one.
	OpenVersionFile(ctx context.Context, b bundle.ID, n uint64, path string, r Range) (io.ReadCloser, error)
	// WriteArchive writes all files of a version to w as one archive; the
	// same version gives the same bytes. On an error w may hold a part of it.
	WriteArchive(ctx context.Context, b bundle.ID, n uint64, format ArchiveFormat, w io.Writer) error
	// Diff says what leads from version from of bundle b to version to. Its
	// cost grows with what differs.
	Diff(ctx context.Context, b bundle.ID, from, to uint64) (Diff, error)
}

// Drafts are where bundles are edited: a base version and the changes since.
type Drafts interface {
	// Drafts lists all drafts without what is staged in them. Those of one
	// bundle are in [Bundle].Drafts.
	Drafts(ctx context.Context) iter.Seq2[Draft, error]
	// Draft returns one draft with what it shows.
	Draft(ctx context.Context, id bundle.ID) (Draft, error)
	// CreateDraft makes a draft that starts from the bundle's newest version.
	// The name has 1 to 180 code points and is unique in the bundle
	// ([bundle.KindInvalid] otherwise).
	CreateDraft(ctx context.Context, b bundle.ID, name string) (Draft, error)
	// PatchDraft changes a draft, as a whole or not at all, and returns its
	// revision afterwards: at most 100 000 files at once
	// ([bundle.KindTooLarge]). [bundle.KindPrecondition] if the draft is not
	// at the revision that p names, [bundle.KindBlobGone] if the instance
	// does not have, or no longer has, one of the stored blobs.
	PatchDraft(ctx context.Context, id bundle.ID, p Patch) (revision uint64, err error)
	// PutDraftFile streams a file of any size into a draft, never wholly in
	// memory, and returns the draft's revision afterwards. size is the number
	// of bytes, [bundle.KindInvalid] if there are more or fewer; -1 if it is
	// not known. To put a file at a certain revision, store it by
	// [Blobs.StoreBlob] and name it in a [Patch].
	PutDraftFile(ctx context.Context, id bundle.ID, path string, r io.Reader, size int64) (revision uint64, err error)
	// DeleteDraftFile removes a file from a draft and returns the draft's
	// revision afterwards. One that is not there is no error.
	DeleteDraftFile(ctx context.Context, id bundle.ID, path string) (revision uint64, err error)
	// OpenDraftFile opens a file of a draft as [Versions.OpenVersionFile]
	// opens one of a version.
	OpenDraftFile(ctx context.Context, id bundle.ID, path string, r Range) (io.ReadCloser, error)
	// CommitDraft makes what a draft shows the next version of its bundle and
	// returns the number. The draft stays, based on that version. If the
	// bundle moved on since the draft's base, the draft's changes are made to
	// the newest version; where both changed the same, the error is a
	// *[ConflictError] and nothing changes. A draft without changes is
	// [bundle.KindInvalid], one that is not at the revision that c names
	// [bundle.KindPrecondition].
	CommitDraft(ctx context.Context, id bundle.ID, c Commit) (number uint64, err error)
	// RebaseDraft moves a draft, at that revision unless it is 0, onto its
	// bundle's newest version and returns it as it then is; refusals are as
	// those of CommitDraft. A call that is repeated when the draft is gone
	// returns its ID alone.
	RebaseDraft(ctx context.Context, id bundle.ID, ifRevision uint64) (Draft, error)
	// DeleteDraft forgets a draft and what is staged in it.
	DeleteDraft(ctx context.Context, id bundle.ID) error
}

// Blobs stores contents ahead of the patches that name them, so that many files
// travel together and what the instance has already does not travel at all.
type Blobs interface {
	// MissingBlobs returns those of ds, each once, that the instance does not
	// have: at most 100 000 at once ([bundle.KindTooLarge]).
	MissingBlobs(ctx context.Context, ds []bundle.Digest) ([]bundle.Digest, error)
	// StoreFrames stores small blobs: r is their frames (see [bundle.Frame]),
	// one after the other, and length their bytes, -1 if not known. It returns
	// the number stored. On an error some of them may be stored.
	StoreFrames(ctx context.Context, r io.Reader, length int64) (stored int, err error)
	// StoreBlob stores one blob of any size, streamed. size is the number of
	// bytes, -1 if it is not known. Bytes that are not those of d are
	// [bundle.KindInvalid], and nothing is stored.
	StoreBlob(ctx context.Context, d bundle.Digest, r io.Reader, size int64) error
}
