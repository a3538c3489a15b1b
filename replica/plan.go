package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

const (
	// batchFiles and batchBytes bound what becomes visible together: of a first
	// pull, what is whole is shown while the rest is on its way.
	batchFiles = 1 << 17
	batchBytes = 1 << 30

	maxClosure = 8    // rounds in which links may lead to more versions
	maxLinked  = 4096 // versions that one batch may pull along by links
)

// complete makes the batch whole: when it returns nil, every version left in it
// has all its bytes here, located or among b.stow.rest; the others are among the
// faults.
func (f *follower) complete(ctx context.Context, b *batch) error {
	g, gctx := errgroup.WithContext(ctx)
	b.stow = newStow(gctx, f, g)
	err := f.fetchAll(gctx, b)
	if err == nil {
		err = b.stow.settle(gctx)
	}
	if failed := g.Wait(); failed != nil { // it is the cause where gctx ended
		err = failed
	}
	if err != nil {
		return err
	}
	return f.checkWhole(ctx, b)
}

func (f *follower) fetchAll(ctx context.Context, b *batch) error {
	if len(b.versions()) == 0 {
		return nil
	}
	if err := f.fetchManifests(ctx, b, b.versions()); err != nil {
		return err
	}
	if err := f.closeLinks(ctx, b); err != nil {
		return err
	}
	p, err := f.plan(ctx, b)
	if err != nil || len(p.wants) == 0 {
		return err
	}
	f.live.begin(p, f.cfg.Now())
	defer f.live.done()
	f.log.Info("peer: pulling", "versions", p.versions, "files", len(p.wants), "bytes", p.bytes)
	return f.fetchFiles(ctx, b, p)
}

// fetchManifests brings the manifests of versions here and opens them. A
// version whose manifest cannot be had, or is none, sets its bundle aside.
func (f *follower) fetchManifests(ctx context.Context, b *batch, items []*item) error {
	if err := f.previous(ctx, items); err != nil {
		return err
	}
	missing, err := f.lacking(ctx, b, items)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(missing, syndication.MaxManifestWants) {
		if err := f.requestManifests(ctx, b, chunk); err != nil {
			return err
		}
	}
	heads := make(map[bundle.ID]*bundle.Manifest)
	for _, it := range items {
		if b.failed(it.subject()) {
			continue
		}
		m, err := bundle.Open(ctx, it.Record.Version.Manifest, b.stow.fetch)
		if err == nil {
			err = m.Verify(ctx, b.stow.fetch)
		}
		if err != nil {
			if err := b.badManifest(it, err); err != nil {
				return err
			}
			continue
		}
		it.manifest = m
		if prev, ok := heads[it.subject()]; ok {
			it.prev = prev
		}
		heads[it.subject()] = m
	}
	return nil
}

// badManifest sets the bundle of it aside for an error that is the peer's doing
// and returns any other.
func (b *batch) badManifest(it *item, err error) error {
	switch bundle.KindOf(err) {
	case bundle.KindInvalid:
		b.fail(it, fault{reason: reasonManifest, held: true, detail: fmt.Sprintf(
			"the manifest of version %d, %s, is not one: %v; its primary must publish it anew", it.ref().Number, it.Record.Version.Manifest, err)})
	case bundle.KindBlobGone:
		b.fail(it, fault{reason: reasonManifest, detail: fmt.Sprintf(
			"the peer did not send all of the manifest of version %d, %s", it.ref().Number, it.Record.Version.Manifest)})
	default:
		return err
	}
	return nil
}

// previous finds the versions here on which the items' manifests build.
func (f *follower) previous(ctx context.Context, items []*item) error {
	roots := make(map[bundle.ID]catalog.Version)
	err := f.cfg.Catalog.View(ctx, func(v *catalog.View) error {
		for _, it := range items {
			if _, ok := roots[it.subject()]; ok {
				continue
			}
			roots[it.subject()] = catalog.Version{}
			row, err := v.Bundle(it.subject())
			if bundle.IsKind(err, bundle.KindNotFound) || err == nil && row.Head == 0 {
				continue
			}
			if err != nil {
				return err
			}
			if roots[it.subject()], err = v.Version(bundle.VersionRef{Bundle: row.ID, Number: row.Head}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	heads := make(map[bundle.ID]*bundle.Manifest)
	for _, it := range items {
		head := roots[it.subject()]
		if head.Number == 0 {
			continue
		}
		m := heads[it.subject()]
		if m == nil {
			if m, err = bundle.Open(ctx, head.Manifest, f.cfg.Contents.Fetch); err != nil {
				return err
			}
			heads[it.subject()] = m
		}
		it.prev, it.have = m, head.Number
	}
	return nil
}

// lacking returns the items whose manifests are not wholly here. One whose root
// is here was fetched before a crash or is another version's: often it is whole.
func (f *follower) lacking(ctx context.Context, b *batch, items []*item) ([]*item, error) {
	roots := make([]bundle.Digest, len(items))
	for i, it := range items {
		roots[i] = it.Record.Version.Manifest
	}
	gone := make(map[bundle.Digest]bool)
	err := f.cfg.Catalog.View(ctx, func(v *catalog.View) error {
		ds, err := v.MissingBlobs(roots)
		for _, d := range ds {
			gone[d] = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var missing []*item
	for _, it := range items {
		d := it.Record.Version.Manifest
		if gone[d] && !b.stow.has(d) {
			missing = append(missing, it)
			continue
		}
		m, err := bundle.Open(ctx, d, b.stow.fetch)
		if err == nil {
			err = m.Verify(ctx, b.stow.fetch)
		}
		switch {
		case bundle.IsKind(err, bundle.KindBlobGone):
			missing = append(missing, it)
		case err != nil && !bundle.IsKind(err, bundle.KindInvalid):
			return nil, err
		}
	}
	return missing, nil
}

// requestManifests asks for manifests in one request, and bundle by bundle if
// that fails for a reason that one of them may be.
func (f *follower) requestManifests(ctx context.Context, b *batch, items []*item) error {
	err := f.manifestsOnce(ctx, b, items)
	if _, altered := publog.AlarmOf(err); altered {
		err = f.manifestsOnce(ctx, b, items)
	}
	if err == nil || wholePeer(ctx, err) {
		return err
	}
	groups := bySubject(items)
	if len(groups) == 1 {
		if again := f.manifestsOnce(ctx, b, items); again == nil || wholePeer(ctx, again) {
			return again
		}
		b.fail(items[0], fault{reason: reasonFetch, detail: fmt.Sprintf("its manifest cannot be fetched: %v", err)})
		return nil
	}
	for _, group := range groups {
		if err := f.requestManifests(ctx, b, group); err != nil {
			return err
		}
	}
	return nil
}

func bySubject(items []*item) [][]*item {
	at := make(map[bundle.ID]int)
	var groups [][]*item
	for _, it := range items {
		i, ok := at[it.subject()]
		if !ok {
			i = len(groups)
			at[it.subject()] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], it)
	}
	return groups
}

func (f *follower) manifestsOnce(ctx context.Context, b *batch, items []*item) error {
	wants := make([]syndication.ManifestWant, len(items))
	for i, it := range items {
		wants[i] = syndication.ManifestWant{Ref: it.ref(), Manifest: it.Record.Version.Manifest, Have: it.have}
	}
	if err := f.client.Manifests(ctx, wants, b.stow.adder(ctx)); err != nil {
		return err
	}
	var large []syndication.ManifestWant
	for i, it := range items {
		if b.stow.has(it.Record.Version.Manifest) {
			continue
		}
		// The root was left out: it is too large for a frame, or here already.
		root, err := f.rootPage(ctx, b, it)
		if err != nil {
			return err
		}
		if len(root) > bundle.MaxFrameBlob {
			want := wants[i]
			want.Root = root
			large = append(large, want)
		}
	}
	return f.client.Manifests(ctx, large, b.stow.adder(ctx))
}

// rootPage returns the root page of a manifest, from here or as a file.
func (f *follower) rootPage(ctx context.Context, b *batch, it *item) ([]byte, error) {
	d := it.Record.Version.Manifest
	pages, err := b.stow.fetch(ctx, []bundle.Digest{d})
	if err == nil {
		return pages[0], nil
	}
	if !bundle.IsKind(err, bundle.KindBlobGone) {
		return nil, err
	}
	if err := f.fetchLarge(ctx, b, want{ref: it.ref(), file: bundle.File{Digest: d, Size: -1}}, bundle.MaxManifestRoot); err != nil {
		return nil, err
	}
	if pages, err = b.stow.fetch(ctx, []bundle.Digest{d}); err != nil {
		return nil, err
	}
	return pages[0], nil
}

// want is one file to fetch.
type want struct {
	ref      bundle.VersionRef
	position int // in the manifest
	file     bundle.File
}

// plan is what a batch still needs.
type plan struct {
	versions int
	wants    []want // each digest once
	bytes    int64
}

// plan compares each version with the one before it, and what is new with what
// is stored. It cuts the batch where it gets too much for one step.
func (f *follower) plan(ctx context.Context, b *batch) (*plan, error) {
	p := &plan{}
	wanted := make(map[bundle.Digest]int64) // the size
	files := 0
	for _, it := range b.versions() {
		if b.failed(it.subject()) {
			continue
		}
		if files > batchFiles || p.bytes > batchBytes {
			if !it.linked && it.Index > b.items[0].Index {
				b.cut(it.Index)
				break
			}
		}
		news, err := f.newFiles(ctx, b, it)
		if err != nil {
			return nil, err
		}
		files += len(news)
		missing, lie, err := f.missing(ctx, it, news)
		if err != nil {
			return nil, err
		}
		if lie != "" {
			b.fail(it, fault{reason: reasonManifest, held: true, detail: lie})
			continue
		}
		for _, w := range missing {
			size, ok := wanted[w.file.Digest]
			if ok && size != w.file.Size {
				b.fail(it, fault{reason: reasonManifest, held: true, detail: fmt.Sprintf(
					"file %q of version %d has %d bytes in its manifest, and %d where it stands elsewhere", w.file.Path, w.ref.Number, w.file.Size, size)})
				break
			}
			if !ok {
				wanted[w.file.Digest] = w.file.Size
				p.wants = append(p.wants, w)
				p.bytes += w.file.Size
			}
		}
		p.versions++
	}
	return p, nil
}

// newFiles returns the files of a version that the one before it does not have
// under the same path.
func (f *follower) newFiles(ctx context.Context, b *batch, it *item) ([]want, error) {
	var changed map[string]bool
	if it.prev != nil {
		changed = make(map[string]bool)
		err := bundle.Diff(ctx, it.prev, it.manifest, b.stow.fetch, func(path string, _, now *bundle.File) error {
			if now != nil {
				changed[path] = true
			}
			return nil
		})
		if err != nil || len(changed) == 0 {
			return nil, err
		}
	}
	var news []want
	position := 0
	err := it.manifest.Walk(ctx, b.stow.fetch, func(file bundle.File) error {
		if changed == nil || changed[file.Path] {
			news = append(news, want{it.ref(), position, file})
			delete(changed, file.Path)
		}
		position++
		if changed != nil && len(changed) == 0 {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return news, err
}

// errEnough ends a walk early.
var errEnough = errors.New("all files were found")

// missing returns the files that are not stored here, and notes on the item
// what has to be when it becomes visible. Of those that are here, nothing is
// fetched that would show that the manifest gives another size: lie says so.
func (f *follower) missing(ctx context.Context, it *item, news []want) (missing []want, lie string, err error) {
	ds := make([]bundle.Digest, len(news))
	for i, w := range news {
		ds[i] = w.file.Digest
	}
	it.needs = ds
	var here map[bundle.Digest]bundle.Located
	err = f.cfg.Catalog.View(ctx, func(v *catalog.View) (err error) {
		here, err = v.Blobs(ds)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	for _, w := range news {
		l, ok := here[w.file.Digest]
		switch {
		case !ok:
			missing = append(missing, w)
		case l.Size != w.file.Size:
			return nil, fmt.Sprintf("the manifest of version %d gives file %q %d bytes, and it has %d; its primary must publish it anew",
				w.ref.Number, w.file.Path, w.file.Size, l.Size), nil
		}
	}
	return missing, "", nil
}

// checkWhole holds the batch against the catalog once more before it becomes
// visible: all pages and all files that are new in each version must be located,
// or be among what is about to be.
func (f *follower) checkWhole(ctx context.Context, b *batch) error {
	for _, it := range b.versions() {
		if it.weight() > intakeBytes {
			b.fail(it, fault{reason: reasonTooLarge, held: true, detail: fmt.Sprintf(
				"version %d reaches %d others by its links, more than one step can take in", it.ref().Number, len(catalog.DepsOf(it.manifest.Links())))})
			continue
		}
		pages, err := it.manifest.Pages(ctx, b.stow.fetch)
		if err != nil {
			return err
		}
		var missing []bundle.Digest
		err = f.cfg.Catalog.View(ctx, func(v *catalog.View) error {
			missing, err = v.MissingBlobs(append(pages, it.needs...))
			return err
		})
		if err != nil {
			return err
		}
		missing = slices.DeleteFunc(missing, b.stow.stored)
		if len(missing) > 0 {
			b.fail(it, fault{reason: reasonIncomplete, detail: fmt.Sprintf(
				"%d of the files and manifest pages of version %d are not here, the first is %s", len(missing), it.ref().Number, missing[0])})
		}
	}
	return f.checkLinks(ctx, b)
}
