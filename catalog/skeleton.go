package catalog

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
)

var errSkeleton = errors.New("catalog: not there yet")

// Options are the settings of [Open].
type Options struct{ Logger *slog.Logger }

// DB is an open catalog.
type DB struct{}

// View is one read transaction.
type View struct{}

// OverlayLink is one visible link operation of a draft's overlay.
type OverlayLink struct {
	LinkOp
	Modified int64
}

func Open(ctx context.Context, dir string, opts Options) (*DB, error) { return nil, errSkeleton }
func (db *DB) Close() error                                           { return nil }
func (db *DB) Apply(entries []Entry) ([]Result, error)                { return nil, errSkeleton }
func (db *DB) Applied() (index, term uint64, err error)               { return 0, 0, errSkeleton }
func (db *DB) SetConfiguration(index, term uint64, conf []byte) error { return errSkeleton }
func (db *DB) Configuration() (index uint64, conf []byte, err error)  { return 0, nil, errSkeleton }
func (db *DB) Sync() error                                            { return errSkeleton }
func (db *DB) Backup(ctx context.Context, w io.Writer) error          { return errSkeleton }
func (db *DB) Install(ctx context.Context, r io.Reader) error         { return errSkeleton }
func (db *DB) Size() (bytes int64, err error)                         { return 0, errSkeleton }
func (db *DB) Changed() <-chan struct{}                               { return nil }
func (db *DB) View(ctx context.Context, fn func(v *View) error) error { return errSkeleton }

func (v *View) Instance() (Instance, error)                                  { return Instance{}, errSkeleton }
func (v *View) Secret(name string) ([]byte, error)                           { return nil, errSkeleton }
func (v *View) Applied() (index, term uint64, err error)                     { return 0, 0, errSkeleton }
func (v *View) Counts() (Counts, error)                                      { return Counts{}, errSkeleton }
func (v *View) Collection(id bundle.ID) (Collection, error)                  { return Collection{}, errSkeleton }
func (v *View) Collections(p Page) ([]Paged[Collection], error)              { return nil, errSkeleton }
func (v *View) Bundle(id bundle.ID) (Bundle, error)                          { return Bundle{}, errSkeleton }
func (v *View) Bundles(f BundleFilter, p Page) ([]Paged[Bundle], error)      { return nil, errSkeleton }
func (v *View) Versions(b bundle.ID, p Page) ([]Paged[Version], error)       { return nil, errSkeleton }
func (v *View) AllVersions(f BundleFilter, p Page) ([]Paged[Version], error) { return nil, errSkeleton }
func (v *View) Version(ref bundle.VersionRef) (Version, error)               { return Version{}, errSkeleton }
func (v *View) Draft(id bundle.ID) (Draft, error)                            { return Draft{}, errSkeleton }
func (v *View) Drafts(b bundle.ID, p Page) ([]Paged[Draft], error)           { return nil, errSkeleton }
func (v *View) Overlay(draft bundle.ID) ([]OverlayFile, []OverlayLink, error) {
	return nil, nil, errSkeleton
}
func (v *View) Deps(ref bundle.VersionRef) ([]Dep, error) { return nil, errSkeleton }
func (v *View) Dependents(ref bundle.VersionRef) ([]bundle.VersionRef, error) {
	return nil, errSkeleton
}
func (v *View) DirectDependents(ref bundle.VersionRef, limit int) ([]bundle.VersionRef, error) {
	return nil, errSkeleton
}
func (v *View) Blobs(ds []bundle.Digest) (map[bundle.Digest]bundle.Located, error) {
	return nil, errSkeleton
}
func (v *View) MissingBlobs(ds []bundle.Digest) ([]bundle.Digest, error) { return nil, errSkeleton }
func (v *View) Tokens() ([]Token, error)                                 { return nil, errSkeleton }
func (v *View) TokenByHash(h bundle.Digest) (Token, error)               { return Token{}, errSkeleton }
func (v *View) LogSize() (int64, error)                                  { return 0, errSkeleton }
func (v *View) LogReader() tlog.HashReader                               { return nil }
func (v *View) Records(from int64, limit int) ([]Record, error)          { return nil, errSkeleton }
func (v *View) RecordsAt(indexes []int64) ([]Record, error)              { return nil, errSkeleton }
func (v *View) RecordsOf(subject bundle.ID, from int64, limit int) ([]Record, error) {
	return nil, errSkeleton
}
func (v *View) Checkpoint() (SignedCheckpoint, error)         { return SignedCheckpoint{}, errSkeleton }
func (v *View) Invites() ([]Invite, error)                    { return nil, errSkeleton }
func (v *View) Peers() ([]Peer, error)                        { return nil, errSkeleton }
func (v *View) Peer(id bundle.ID) (Peer, error)               { return Peer{}, errSkeleton }
func (v *View) Parked(peer bundle.ID) ([]ParkedBundle, error) { return nil, errSkeleton }
func (v *View) Dump(w io.Writer) error                        { return errSkeleton }
func (v *View) DumpDigest() (bundle.Digest, error)            { return bundle.Digest{}, errSkeleton }

// Result returns what a request came to, KindNotFound if that is not known.
func (v *View) Result(id RequestID) (Result, error) { return Result{}, errSkeleton }

// Locate is [storage.Locator].
func (db *DB) Locate(ctx context.Context, ds []bundle.Digest) ([]bundle.Located, error) { return nil, errSkeleton }
