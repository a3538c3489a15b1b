package replica

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
	"github.com/blockstored/blockstored/syndication"
)

// closeLinks pulls along the versions that links lead to and that are not here,
// and so on for what they link to. What the peer does not show stays missing:
// checkLinks finds it.
func (f *follower) closeLinks(ctx context.Context, b *batch) error {
	asked := make(map[bundle.VersionRef]bool)
	for range maxClosure {
		missing, err := f.missingDeps(ctx, b)
		if err != nil {
			return err
		}
		missing = slices.DeleteFunc(missing, func(ref bundle.VersionRef) bool { return asked[ref] })
		if len(missing) == 0 {
			return nil
		}
		if len(asked)+len(missing) > maxLinked {
			return nil
		}
		for _, ref := range missing {
			asked[ref] = true
		}
		added, err := f.pullAlong(ctx, b, missing)
		if err != nil {
			return err
		}
		if len(added) == 0 {
			return nil
		}
		if err := f.fetchManifests(ctx, b, added); err != nil {
			return err
		}
	}
	return nil
}

// missingDeps returns the versions that the batch's versions reach and that are
// neither here nor before them in the batch.
func (f *follower) missingDeps(ctx context.Context, b *batch) ([]bundle.VersionRef, error) {
	var missing []bundle.VersionRef
	err := f.eachUnmet(ctx, b, func(_ *item, ref bundle.VersionRef) {
		if !slices.Contains(missing, ref) {
			missing = append(missing, ref)
		}
	})
	return missing, err
}

// eachUnmet calls fn for each version of the batch and each version it reaches
// that would not be here when it becomes visible.
func (f *follower) eachUnmet(ctx context.Context, b *batch, fn func(it *item, ref bundle.VersionRef)) error {
	return f.cfg.Catalog.View(ctx, func(v *catalog.View) error {
		before := make(map[bundle.VersionRef]bool)
		for _, it := range b.versions() {
			if it.manifest == nil {
				continue
			}
			for _, dep := range catalog.DepsOf(it.manifest.Links()) {
				if before[dep.VersionRef] {
					continue
				}
				switch _, err := v.Version(dep.VersionRef); {
				case err == nil:
					before[dep.VersionRef] = true
				case bundle.IsKind(err, bundle.KindNotFound):
					fn(it, dep.VersionRef)
				default:
					return err
				}
			}
			before[it.ref()] = true
		}
		return nil
	})
}

// pullAlong adds versions to the batch that nobody follows but that are linked
// to: from the records at hand, or else from the peer.
func (f *follower) pullAlong(ctx context.Context, b *batch, refs []bundle.VersionRef) ([]*item, error) {
	var found, unknown = []*item{}, []bundle.VersionRef{}
	for _, ref := range refs {
		if its := b.passedVersion(ref); its != nil {
			found = append(found, its...)
		} else {
			unknown = append(unknown, ref)
		}
	}
	for chunk := range slices.Chunk(unknown, syndication.MaxRecordVersions) {
		its, err := f.recordsOfVersions(ctx, b.at, chunk)
		if err != nil {
			return nil, err
		}
		found = append(found, its...)
	}
	return b.link(found), nil
}

// recordsOfVersions fetches the records of versions and verifies them. Where
// they are too large for one answer it asks for half of them at a time.
func (f *follower) recordsOfVersions(ctx context.Context, at proven, refs []bundle.VersionRef) (found []*item, err error) {
	req := syndication.RecordsRequest{Versions: refs, Size: at.Size}
	answer, err := f.client.Records(ctx, req)
	if bundle.IsKind(err, bundle.KindTooLarge) && len(refs) > 1 {
		for half := range slices.Chunk(refs, (len(refs)+1)/2) {
			its, err := f.recordsOfVersions(ctx, at, half)
			if err != nil {
				return nil, err
			}
			found = append(found, its...)
		}
		return found, nil
	}
	if err != nil {
		if wholePeer(ctx, err) {
			return nil, err
		}
		f.log.Warn("peer: linked versions cannot be asked for", "versions", len(refs), "error", err)
		return nil, nil
	}
	records, err := at.check(req, answer)
	if err != nil {
		return nil, err
	}
	for _, rec := range records {
		if rec.Record != nil {
			found = append(found, &item{VerifiedRecord: rec, linked: true})
		}
	}
	return found, nil
}

// passedVersion returns the records that came with the poll of a version that
// is not followed, and of its bundle; nil if one of them is not there.
func (b *batch) passedVersion(ref bundle.VersionRef) []*item {
	var metadata, version *item
	for _, it := range b.passed[ref.Bundle] {
		switch {
		case it.Record.Kind == publog.RecordBundle:
			metadata = it
		case it.version() && it.ref() == ref:
			version = it
		}
	}
	if metadata == nil || version == nil {
		return nil
	}
	return []*item{metadata, version}
}

// link adds dependencies, metadata before versions, and returns the versions.
func (b *batch) link(found []*item) (versions []*item) {
	have := make(map[int64]bool)
	for _, it := range b.all() {
		have[it.Index] = true
	}
	for _, it := range found {
		if have[it.Index] || b.failed(it.subject()) {
			continue
		}
		have[it.Index] = true
		b.linked = append(b.linked, it)
		if it.version() {
			versions = append(versions, it)
		}
	}
	slices.SortStableFunc(b.linked, func(x, y *item) int {
		if x.version() != y.version() {
			if y.version() {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.Index, y.Index)
	})
	return versions
}

// checkLinks sets the bundles aside whose versions reach one that is not here,
// until what is left is closed.
func (f *follower) checkLinks(ctx context.Context, b *batch) error {
	for {
		unmet := make(map[*item]bundle.VersionRef)
		err := f.eachUnmet(ctx, b, func(it *item, ref bundle.VersionRef) { unmet[it] = ref })
		if err != nil || len(unmet) == 0 {
			return err
		}
		for it, ref := range unmet {
			why := "the peer does not show it to this instance; ask for a grant of it, or follow the site it belongs to"
			if cause, ok := b.faults[ref.Bundle]; ok {
				why = cause.detail
			}
			b.fail(it, fault{reason: reasonDependency, held: true, detail: fmt.Sprintf(
				"version %d links to version %d of bundle %s, which is not here: %s", it.ref().Number, ref.Number, ref.Bundle, why)})
		}
	}
}
