package rest

import (
	"net/http"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

func listVersions(x *exchange) error {
	query := queryOf(x.r)
	var f faults
	var filter catalog.BundleFilter
	one := f.idFilter(query, "bundle__uuid")
	filter.Collection = f.idFilter(query, "bundle__collection__uuid")
	if err := f.err(); err != nil {
		return err
	}
	if one != (bundle.ID{}) {
		filter.IDs = []bundle.ID{one}
	}
	return list(x, listing[catalog.Version]{
		count: func(v *catalog.View, _ int64) (int64, error) { return v.CountVersions(filter) },
		rows: func(v *catalog.View, p catalog.Page) (catalog.Found[catalog.Version], error) {
			return v.FindVersions(filter, p)
		},
		show: (*printer).version,
	})
}

func (x *exchange) ref() bundle.VersionRef { return bundle.VersionRef{Bundle: x.id, Number: x.number} }

// versionRow returns the version and its bundle; KindNotFound if either is gone.
func (x *exchange) versionRow(v *catalog.View) (catalog.Version, catalog.Bundle, error) {
	o, err := v.Bundle(x.id)
	if err != nil {
		return catalog.Version{}, o, err
	}
	row, err := v.Version(x.ref())
	return row, o, err
}

func getVersion(x *exchange) error {
	var p *printer
	var row catalog.Version
	var owner bundle.Owner
	err := x.view(func(v *catalog.View) error {
		var o catalog.Bundle
		var err error
		if row, o, err = x.versionRow(v); err != nil {
			return err
		}
		p, owner = x.printer(v), o.Owner
		_, _, err = p.owners.Name(owner) // the printer keeps it beyond the view
		return err
	})
	if err != nil {
		return err
	}
	m, files, err := x.cfg.Primary.Content(x.r.Context(), row)
	if err != nil {
		return err
	}
	b, err := p.versionDetail(make([]byte, 0, 1024+400*len(files)), owner, row, m, files)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, b)
}

// describeVersion changes the one thing about a version that is not its content,
// and answers without that content.
func describeVersion(x *exchange) error {
	var row catalog.Version
	err := x.view(func(v *catalog.View) error {
		var err error
		if row, _, err = x.versionRow(v); err != nil {
			return err
		}
		_, err = primary.OwnBundle(v, x.id)
		return err
	})
	if err != nil {
		return err
	}
	in, err := x.object()
	if err != nil {
		return err
	}
	var f faults
	text := f.text(in, changeRule, true)
	if err := f.err(); err != nil {
		return err
	}
	if text != nil {
		ctx, err := x.ctx()
		if err != nil {
			return err
		}
		if row, err = x.cfg.Primary.DescribeVersion(ctx, x.ref(), *text); err != nil {
			return err
		}
	}
	var b []byte
	err = x.view(func(v *catalog.View) error {
		b, err = x.printer(v).version(nil, row)
		return err
	})
	if err != nil {
		return err
	}
	return x.changed(b)
}
