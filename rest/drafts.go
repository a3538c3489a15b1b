package rest

import (
	"errors"
	"net/http"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

func listDrafts(x *exchange) error {
	return list(x, listing[catalog.Draft]{
		count: func(v *catalog.View, _ int64) (int64, error) {
			n, err := v.Counts()
			return n.Drafts, err
		},
		rows: func(v *catalog.View, p catalog.Page) (catalog.Found[catalog.Draft], error) {
			return catalog.FoundOf(func(p catalog.Page) ([]catalog.Paged[catalog.Draft], error) { return v.Drafts(bundle.ID{}, p) }, p)
		},
		show: (*printer).draft,
	})
}

func createDraft(x *exchange) error {
	in, err := x.object()
	if err != nil {
		return err
	}
	var f faults
	var owned error
	id, ok := f.reference(in, "bundle_uuid", false)
	if ok {
		if _, err := x.ownBundle(id); bundle.IsKind(err, bundle.KindNotFound) {
			f.add("bundle_uuid", noSuchObject(in["bundle_uuid"].text))
		} else {
			owned = err
		}
	}
	name := f.text(in, nameRule, false)
	if err := f.err(); err != nil {
		return err
	}
	if owned != nil {
		return owned
	}
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	d, err := x.cfg.Primary.CreateDraft(ctx, primary.NewDraft{Bundle: id, Name: *name})
	if bundle.IsKind(err, bundle.KindInvalid) {
		return refuseField("non_field_errors", "The fields bundle_uuid, name must make a unique set.")
	}
	if err != nil {
		return err
	}
	var b []byte
	err = x.view(func(v *catalog.View) error {
		b, err = x.printer(v).draft(nil, d)
		return err
	})
	if err != nil {
		return err
	}
	x.tag(d.Revision)
	return x.made(links{x.base()}.draft(d.ID), b)
}

func getDraft(x *exchange) error {
	b, err := x.shownDraft()
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, b)
}

func (x *exchange) shownDraft() ([]byte, error) {
	d, err := x.cfg.Primary.DraftView(x.r.Context(), x.id)
	if err != nil {
		return nil, err
	}
	x.tag(d.Draft.Revision)
	var b []byte
	err = x.view(func(v *catalog.View) error {
		b, err = x.printer(v).draftDetail(make([]byte, 0, 1024+400*len(d.Files)), d)
		return err
	})
	return b, err
}

func patchDraft(x *exchange) error {
	parsed, err := x.body()
	if err != nil {
		return err
	}
	patch, err := parsePatch(parsed)
	if err != nil {
		return err
	}
	if ds := patch.sized(); ds != nil {
		if err := x.view(func(v *catalog.View) error { return patch.checkSizes(v, ds) }); err != nil {
			return err
		}
	}
	if patch.IfRevision, err = x.ifDraft(); err != nil {
		return err
	}
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	d, err := x.cfg.Primary.PatchDraft(ctx, x.id, patch.Patch)
	if err != nil {
		return asList(err)
	}
	x.tag(d.Revision)
	return x.done()
}

func deleteDraft(x *exchange) error {
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	ifRevision, err := x.ifDraft()
	if err != nil {
		return err
	}
	if err := x.cfg.Primary.DeleteDraft(ctx, x.id, ifRevision); err != nil {
		return err
	}
	return x.done()
}

func commitDraft(x *exchange) error {
	opts, err := x.commitOptions()
	if err != nil {
		return err
	}
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	if opts.IfRevision, err = x.ifDraft(); err != nil {
		return err
	}
	v, err := x.cfg.Primary.Commit(ctx, x.id, opts)
	if err != nil {
		return asList(err)
	}
	l := links{x.base()}
	b := appendText([]byte("{"), "bundle_version", l.version(v.VersionRef))
	b = appendText(b, "updated_draft", l.draft(x.id))
	return x.made("", append(b, '}'))
}

// commitOptions reads what a commit may say of the version. The original ignores
// the body, whatever it is, so a body that is no JSON object says nothing.
func (x *exchange) commitOptions() (o primary.CommitOptions, err error) {
	parsed, err := x.body()
	if _, said := errors.AsType[*refusal](err); err != nil && !said {
		return o, err // it is too large, or broke off
	}
	if err != nil || parsed.json == nil || noObject(parsed.json) != nil {
		return o, nil
	}
	in, err := parsed.object()
	if err != nil {
		return o, nil
	}
	var f faults
	for _, field := range []struct {
		name string
		to   *string
	}{
		{"change_description", &o.ChangeDescription}, {"license", &o.License},
		{"attribution", &o.Attribution}, {"redistribute", &o.Redistribute},
	} {
		text := f.text(in, textRule{name: field.name, blank: true, limit: maxChangeDescription}, true)
		if text != nil {
			*field.to = *text
		}
	}
	switch o.Redistribute {
	case "", "none", "peers", "any":
	default:
		f.add("redistribute", "Choose one of none, peers, any.")
	}
	return o, f.err()
}

func rebaseDraft(x *exchange) error {
	ctx, err := x.ctx()
	if err != nil {
		return err
	}
	revision, err := x.ifDraft()
	if err != nil {
		return err
	}
	if _, err := x.cfg.Primary.Rebase(ctx, x.id, revision); err != nil {
		return asList(err)
	}
	b, err := x.shownDraft()
	if bundle.IsKind(err, bundle.KindNotFound) { // it was rebased before, and is gone since
		return x.done()
	}
	if err != nil {
		return err
	}
	return x.changed(b)
}

// asList shows what is wrong with a draft as the original does: a bare array.
func asList(err error) error {
	e := asError(err)
	if e == nil || e.Kind != bundle.KindInvalid {
		return err
	}
	return refuseList(e.Message)
}
