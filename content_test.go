package blockstored_test

import (
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// What an Instance does as a store is tested where it is compared with a client:
// in client/suite_test.go.

func TestTooManyAtOnceAreRefused(t *testing.T) {
	inst := open(t, config(t.TempDir()))
	files := make(map[string]api.FileEdit, 100_001)
	for k := range 100_001 {
		files[strconv.Itoa(k)] = api.FileEdit{Delete: true}
	}
	_, patch := inst.PatchDraft(t.Context(), bundle.NewID(), api.Patch{Files: files})
	_, missing := inst.MissingBlobs(t.Context(), make([]bundle.Digest, 100_001))
	for what, err := range map[string]error{"files": patch, "digests": missing} {
		if !bundle.IsKind(err, bundle.KindTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCallsAfterCloseAreUnavailable(t *testing.T) {
	inst := open(t, config(t.TempDir()))
	ctx := t.Context()
	c, err := inst.CreateCollection(ctx, "c")
	if err != nil {
		t.Fatal(err)
	}
	b, err := inst.CreateBundle(ctx, api.NewBundle{Collection: c.ID, Title: "b", Slug: "b"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := inst.CreateDraft(ctx, b.ID, "d")
	if err != nil {
		t.Fatal(err)
	}
	closeInstance(t, inst)
	_, create := inst.CreateCollection(ctx, "late")
	_, update := inst.UpdateCollection(ctx, c.ID, "late")
	_, read := inst.Bundle(ctx, b.ID)
	_, draft := inst.Draft(ctx, d.ID)
	_, patch := inst.PatchDraft(ctx, d.ID, api.Patch{Files: map[string]api.FileEdit{"a": {Content: []byte("x")}}})
	_, commit := inst.CommitDraft(ctx, d.ID, api.Commit{})
	_, put := inst.PutDraftFile(ctx, d.ID, "a", strings.NewReader("x"), 1)
	_, missing := inst.MissingBlobs(ctx, []bundle.Digest{bundle.DigestOf(nil)})
	for what, err := range map[string]error{
		"create": create, "update": update, "read": read, "draft": draft, "patch": patch, "commit": commit, "missing": missing,
		"healthy": inst.Healthy(ctx), "put": put,
		"blob":    inst.StoreBlob(ctx, bundle.DigestOf([]byte("x")), strings.NewReader("x"), 1),
		"archive": inst.WriteArchive(ctx, b.ID, 1, api.Zip, io.Discard),
	} {
		if !bundle.IsKind(err, bundle.KindUnavailable) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	for _, err := range inst.Bundles(ctx, api.BundleFilter{}) {
		if !bundle.IsKind(err, bundle.KindUnavailable) {
			t.Errorf("list after Close: %v", err)
		}
	}
}
