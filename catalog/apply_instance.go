package catalog

import (
	"maps"
	"math"
	"slices"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

func (a *applier) initInstance(b InitInstance) error {
	n, err := a.exec(`INSERT INTO instance (id, uuid, name, descriptor, generation, created) VALUES (1, ?, ?, ?, ?, ?)
 ON CONFLICT DO NOTHING`, b.Instance[:], b.Name, orEmpty(b.Descriptor), clamp(b.Generation), a.now)
	if err != nil {
		return err
	}
	if n == 0 {
		return bundle.Errorf(bundle.KindConflict, "this instance exists already; use another data folder for a new one")
	}
	for _, name := range slices.Sorted(maps.Keys(b.Secrets)) {
		if err := a.putSecret(name, b.Secrets[name]); err != nil {
			return err
		}
	}
	a.result.ID = b.Instance
	return nil
}

func (a *applier) updateInstance(b UpdateInstance) error {
	if _, err := instanceOf(a.session); err != nil {
		return err
	}
	return a.run(`UPDATE instance SET name = ?, descriptor = ?`, b.Name, orEmpty(b.Descriptor))
}

func (a *applier) beginGeneration(b BeginGeneration) error {
	self, err := instanceOf(a.session)
	if err != nil {
		return err
	}
	if b.Number <= self.Generation || b.Number > math.MaxInt64 {
		return bundle.Errorf(bundle.KindConflict, "this instance is at generation %d; %d cannot follow it", self.Generation, b.Number)
	}
	if _, _, err := a.publish(0, publog.Record{
		Kind: publog.RecordGeneration, Owner: bundle.Owner{Epoch: 1}, Generation: &publog.GenerationBody{Number: b.Number, Reason: b.Reason},
	}); err != nil {
		return err
	}
	return a.run(`UPDATE instance SET generation = ?`, clamp(b.Number))
}

func (a *applier) putSecret(name string, sealed []byte) error {
	return a.run(`INSERT INTO secrets (name, sealed) VALUES (?, ?)
 ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed`, name, orEmpty(sealed))
}
