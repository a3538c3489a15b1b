package rest

import (
	"math"
	"strconv"
	"strings"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// Entity tags of drafts and bundles are their revisions: they name the state
// that a write would change. Bodies may differ under one tag in what is not of
// that state, such as signed URLs, or a bundle's versions.

func (x *exchange) tag(revision uint64) {
	x.w.Header().Set("ETag", `"`+strconv.FormatUint(revision, 10)+`"`)
}

// noRevision is never an object's.
const noRevision = math.MaxUint64

// ifMatch returns the revision that If-Match wants, 0 for any. Of several it is
// the current one, if that is among them; otherwise one that will be refused
// where the change is decided, which knows whether this very request was
// answered before.
func (x *exchange) ifMatch(current func() (uint64, error)) (uint64, error) {
	header := strings.TrimSpace(strings.Join(x.r.Header.Values("If-Match"), ","))
	if header == "" || header == "*" {
		return 0, nil
	}
	wanted := []uint64{}
	for tag := range strings.SplitSeq(header, ",") {
		wanted = append(wanted, parseTag(strings.TrimSpace(tag)))
	}
	if len(wanted) == 1 {
		return wanted[0], nil
	}
	now, err := current()
	if err != nil {
		return 0, err
	}
	for _, one := range wanted {
		if one == now {
			return now, nil
		}
	}
	return noRevision, nil
}

// parseTag reads the revision in an entity tag as [exchange.tag] writes it.
func parseTag(tag string) uint64 {
	text, opened := strings.CutPrefix(tag, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	n, err := strconv.ParseUint(text, 10, 64)
	if !opened || !closed || err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
		return noRevision
	}
	return n
}

// ifDraft is ifMatch for the exchange's draft. One that is missing is for the
// change to report.
func (x *exchange) ifDraft() (uint64, error) {
	return x.ifMatch(func() (revision uint64, err error) {
		err = x.view(func(v *catalog.View) error {
			d, err := v.Draft(x.id)
			revision = d.Revision
			return err
		})
		if bundle.IsKind(err, bundle.KindNotFound) {
			err = nil
		}
		return revision, err
	})
}
