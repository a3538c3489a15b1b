package catalog

import (
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

// TestADamagedRowIsNoRefusal damages the record of a version on this node alone.
// A command that needs it must stop the node: a refusal would be this node's only,
// and its state another than the others'.
func TestADamagedRowIsNoRefusal(t *testing.T) {
	s := newSite(t)
	target, other := s.bundleIn("target")
	s.commit(other)
	_, draft := s.bundleIn("linking")
	var alias bundle.Hash20
	s.view(func(v *View) error {
		version, err := v.Version(bundle.VersionRef{Bundle: target, Number: 1})
		alias = version.Alias
		return err
	})
	if err := s.handle.writer.run(`UPDATE log_records SET body = x'00FF' WHERE id = (SELECT record FROM versions)`); err != nil {
		t.Fatal(err)
	}
	cmd, err := s.command(PatchDraft{Draft: draft, Links: []LinkOp{{Link: bundle.Link{
		Name: "l", Direct: bundle.Dependency{Bundle: target, Version: 1, Snapshot: alias},
	}}}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if rs, err := s.DB.Apply([]Entry{{Index: s.index + 1, Term: 1, Data: cmd}}); err == nil {
		t.Errorf("answered with %v", rs[0].Err)
	}
}
