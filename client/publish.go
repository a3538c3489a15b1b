package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
	"unicode"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

const (
	// patchAtOnce is how many paths one PATCH changes; the limit is 100 000.
	// The draft gathers several, and the commit shows them together.
	patchAtOnce = 50_000
	// cleanupTime bounds the removal of the draft when the caller is gone.
	cleanupTime = 10 * time.Second
	// maxMoves is how often a bundle may be published by somebody else while
	// a publication is prepared.
	maxMoves = 5

	maxSlug = 50
)

// PublishOptions say what a folder becomes a version of.
type PublishOptions struct {
	// Bundle is the bundle that gets a new version. Zero: a new bundle is made.
	Bundle bundle.ID
	// Collection is where a new bundle is made. With Bundle it may be zero;
	// else it must be that bundle's.
	Collection bundle.ID
	// Title of a new bundle, required for one; Slug is made from it if empty.
	Title, Slug, Description string
	// Commit is what the version's record says.
	Commit api.Commit
	// Progress is told how far it is, often, by one goroutine at a time; nil
	// for nobody.
	Progress func(Progress)
}

// Published is what [Publish] did.
type Published struct {
	Bundle  bundle.ID `json:"bundle"`
	Version uint64    `json:"version"`
	// Unchanged says that the newest version has this content already, so that
	// none was made.
	Unchanged bool `json:"unchanged"`
	// Merged says that somebody else published other paths meanwhile: the
	// version holds both.
	Merged bool `json:"merged"`

	Files int   `json:"files"` // in the folder
	Bytes int64 `json:"bytes"`

	Changed int `json:"changed"` // paths added or changed
	Deleted int `json:"deleted"` // paths that went

	SentFiles int64 `json:"sent_files"` // contents the instance lacked
	SentBytes int64 `json:"sent_bytes"` // their size
	WireBytes int64 `json:"wire_bytes"` // what they were on the wire

	Skipped []Skipped `json:"skipped"` // links and special files
	// Warning says what went wrong after the version was published; empty: nothing.
	Warning string `json:"warning,omitempty"`
}

// publication is one call of Publish.
type publication struct {
	store  api.Store
	fsys   fs.FS
	opts   PublishOptions
	track  *tracker
	upload *uploader

	files   []localFile
	created bool // the bundle was made by this publication
	result  Published
}

// Publish makes the files below fsys the next version of a bundle: paths that
// are not there are deleted, links are kept. It compares with the newest
// version, sends only contents that the instance lacks, and changes nothing if
// nothing changed. On an error nothing was published; contents that were sent
// help the next attempt.
//
// The error is of [bundle.KindConflict] if somebody else published the same
// paths meanwhile or a file changed while it was read.
func Publish(ctx context.Context, store api.Store, fsys fs.FS, opts PublishOptions) (Published, error) {
	ctx = api.WithIdempotencyKey(ctx, "") // of one call, which this is not
	track := &tracker{tell: opts.Progress}
	p := &publication{
		store: store, fsys: fsys, opts: opts, track: track,
		upload: &uploader{store: store, fsys: fsys, track: track},
	}
	if err := p.checkTarget(ctx); err != nil {
		return Published{}, err
	}
	if err := p.read(ctx); err != nil {
		return Published{}, err
	}
	if err := p.publish(ctx); err != nil {
		return Published{}, errors.Join(err, p.removeBundle(ctx))
	}
	p.result.SentFiles, p.result.SentBytes = p.upload.files.Load(), p.upload.content.Load()
	p.result.WireBytes = p.upload.wire.Load()
	track.begin(StagePublished, p.result.Files, p.result.Bytes)
	return p.result, nil
}

func (p *publication) publish(ctx context.Context) error {
	for range maxMoves {
		if done, err := p.attempt(ctx); done || err != nil {
			return err
		}
	}
	return bundle.Errorf(bundle.KindConflict,
		"bundle %s was published by somebody else %d times meanwhile: publish again when it is quiet", p.opts.Bundle, maxMoves)
}

// checkTarget finds out early what would be refused at the end.
func (p *publication) checkTarget(ctx context.Context) error {
	o := &p.opts
	if o.Bundle == (bundle.ID{}) {
		if o.Collection == (bundle.ID{}) || strings.TrimSpace(o.Title) == "" {
			return bundle.Errorf(bundle.KindInvalid, "name a bundle, or a collection and a title for a new one")
		}
		if o.Slug == "" {
			o.Slug = slugOf(o.Title)
		}
		collection, err := p.store.Collection(ctx, o.Collection)
		if bundle.IsKind(err, bundle.KindNotFound) {
			return bundle.Errorf(bundle.KindNotFound, "there is no collection %s", o.Collection)
		}
		if err == nil && collection.ReadOnly {
			err = readOnly("Collection", o.Collection, collection.Primary)
		}
		return err
	}
	b, err := p.store.Bundle(ctx, o.Bundle)
	switch {
	case bundle.IsKind(err, bundle.KindNotFound):
		return bundle.Errorf(bundle.KindNotFound, "there is no bundle %s; without a bundle's uuid a new one is made", o.Bundle)
	case err != nil:
		return err
	case b.ReadOnly:
		return readOnly("Bundle", o.Bundle, b.Primary)
	case o.Collection != (bundle.ID{}) && b.Collection != o.Collection:
		return bundle.Errorf(bundle.KindInvalid, "bundle %s is in collection %s, not in %s", o.Bundle, b.Collection, o.Collection)
	}
	return nil
}

func readOnly(what string, id bundle.ID, primary string) error {
	return bundle.Errorf(bundle.KindReadOnly, "%s %s is a read-only copy; its primary is %s: publish there", what, id, primary).
		With("primary", primary)
}

// read lists and hashes the folder.
func (p *publication) read(ctx context.Context) (err error) {
	p.track.begin(StageReading, 0, 0)
	if p.files, p.result.Skipped, err = scan(ctx, p.fsys); err != nil {
		return err
	}
	p.track.begin(StageReading, len(p.files), 0)
	if err := hashAll(ctx, p.fsys, p.files, p.track); err != nil {
		return err
	}
	p.result.Files = len(p.files)
	for _, f := range p.files {
		p.result.Bytes += f.blob.Size
	}
	return nil
}

// attempt publishes over the version that is the newest now. It returns false
// if the bundle moved on before the draft was made, or if a content was
// collected before the draft could hold it.
func (p *publication) attempt(ctx context.Context) (done bool, err error) {
	base, have, err := p.newest(ctx)
	if err != nil {
		return false, err
	}
	set, gone := p.compare(have)
	p.result.Changed, p.result.Deleted = len(set), len(gone)
	if len(set)+len(gone) == 0 {
		if base == 0 {
			return false, bundle.Errorf(bundle.KindInvalid, "the folder has no files to publish")
		}
		p.result.Bundle, p.result.Version, p.result.Unchanged = p.opts.Bundle, base, true
		return true, nil
	}
	if err := p.upload.send(ctx, set); err != nil {
		return false, err
	}
	if err := p.ensureBundle(ctx); err != nil {
		return false, err
	}
	return p.commit(ctx, base, set, gone)
}

// newest returns the number and files of the newest version, 0 if there is
// none.
func (p *publication) newest(ctx context.Context) (uint64, map[string]api.File, error) {
	if p.opts.Bundle == (bundle.ID{}) {
		return 0, nil, nil
	}
	b, err := p.store.Bundle(ctx, p.opts.Bundle)
	if err != nil || b.Newest() == 0 {
		return 0, nil, err
	}
	v, err := p.store.Version(ctx, b.ID, b.Newest())
	return v.Number, v.Snapshot.Files, err
}

// compare returns the files that differ from have and the paths that only have
// has.
func (p *publication) compare(have map[string]api.File) (set []localFile, gone []string) {
	local := make(map[string]bool, len(p.files))
	for _, f := range p.files {
		local[f.path] = true
		if old, ok := have[f.path]; !ok || old.Hash != f.blob.Hash || old.Size != f.blob.Size {
			set = append(set, f)
		}
	}
	for path := range have {
		if !local[path] {
			gone = append(gone, path)
		}
	}
	return set, gone
}

// ensureBundle makes the new bundle, after all content was sent, so that a
// failed transfer leaves no empty bundle behind.
func (p *publication) ensureBundle(ctx context.Context) error {
	if p.opts.Bundle != (bundle.ID{}) {
		return nil
	}
	b, err := p.store.CreateBundle(ctx, api.NewBundle{
		Collection: p.opts.Collection, Title: p.opts.Title, Slug: p.opts.Slug, Description: p.opts.Description,
	})
	p.opts.Bundle, p.created = b.ID, err == nil
	return err
}

// removeBundle takes back a bundle that was made for a version that could not
// be published.
func (p *publication) removeBundle(ctx context.Context) error {
	if !p.created {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := p.store.DeleteBundle(ctx, p.opts.Bundle); err != nil {
		return fmt.Errorf("remove the bundle %s that was made for this: %w", p.opts.Bundle, err)
	}
	return nil
}

// commit publishes through a draft of its own.
func (p *publication) commit(ctx context.Context, base uint64, set []localFile, gone []string) (done bool, err error) {
	draft, err := p.store.CreateDraft(ctx, p.opts.Bundle, "publish-"+bundle.NewID().String())
	if err != nil {
		return false, err
	}
	defer func() {
		left := p.removeDraft(ctx, draft.ID)
		if done && left != nil { // published all the same
			p.result.Warning = left.Error()
		} else {
			err = errors.Join(err, left)
		}
	}()
	// The draft starts from the newest version. Only if that is still the one
	// compared with, the draft plus the changes is the folder.
	b, err := p.store.Bundle(ctx, p.opts.Bundle)
	if err != nil || b.Newest() != base {
		return false, err
	}
	for _, patch := range patches(set, gone) {
		_, err := p.store.PatchDraft(ctx, draft.ID, patch)
		if bundle.IsKind(err, bundle.KindBlobGone) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	number, err := p.store.CommitDraft(ctx, draft.ID, p.opts.Commit)
	if bundle.IsKind(err, bundle.KindBlobGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p.result.Bundle, p.result.Version, p.result.Merged = p.opts.Bundle, number, number != base+1
	return true, nil
}

// removeDraft runs also when the caller has given up.
func (p *publication) removeDraft(ctx context.Context, id bundle.ID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	err := p.store.DeleteDraft(ctx, id)
	if err == nil || bundle.IsKind(err, bundle.KindNotFound) {
		return nil
	}
	return fmt.Errorf("remove the draft %s: %w", id, err)
}

// patches returns the changes in requests of bounded size. Deletions come
// first: a path may become the folder of others.
func patches(set []localFile, gone []string) []api.Patch {
	var out []api.Patch
	put := func(path string, to api.FileEdit) {
		if len(out) == 0 || len(out[len(out)-1].Files) == patchAtOnce {
			out = append(out, api.Patch{Files: map[string]api.FileEdit{}})
		}
		out[len(out)-1].Files[path] = to
	}
	for _, path := range gone {
		put(path, api.FileEdit{Delete: true})
	}
	for _, f := range set {
		put(f.path, api.FileEdit{Stored: f.blob.Digest})
	}
	return out
}

// slugOf makes a slug of a title: letters and digits, in lower case, with
// hyphens between words.
func slugOf(title string) string {
	var b strings.Builder
	n, gap := 0, false
	for _, r := range strings.ToLower(title) {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' {
			gap = n > 0
			continue
		}
		if gap && n < maxSlug-1 {
			b.WriteByte('-')
			n++
		}
		if gap = false; n == maxSlug {
			break
		}
		b.WriteRune(r)
		n++
	}
	if n == 0 {
		return "bundle"
	}
	return b.String()
}
