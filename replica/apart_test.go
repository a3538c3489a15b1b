package replica

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/syndication"
)

// lossy has lost the files of some bundles, for good.
type lossy struct {
	PeerClient
	lost map[bundle.ID]bool
}

func (l *lossy) Blobs(ctx context.Context, wants []syndication.BlobWant, fn func(bundle.Frame) error) error {
	if slices.ContainsFunc(wants, func(w syndication.BlobWant) bool { return l.lost[w.Ref.Bundle] }) {
		return bundle.Errorf(bundle.KindOther, "this instance failed to answer")
	}
	return l.PeerClient.Blobs(ctx, wants, fn)
}

func TestManyBundlesThatCannotBeHadDoNotStopTheOthers(t *testing.T) {
	north, south := two(t)
	c := north.collection("c")
	lost := make(map[bundle.ID]bool)
	var good bundle.VersionRef
	for i := range 3*maxFailing + 1 {
		b := north.bundle(c, fmt.Sprint("b", i))
		good = north.publish(b, map[string]string{"a": text(b.String(), 500)})
		lost[b] = i < 3*maxFailing
	}
	south.follow(func(pc PeerClient) PeerClient { return &lossy{PeerClient: pc, lost: lost} })
	south.awaitVersion(good)
	south.await("the others set aside", func(v *catalog.View) (bool, error) {
		parked, err := v.Parked(north.id())
		return len(parked) == 3*maxFailing, err
	})
	if p := south.peer(north.id()); len(p.Alarms) != 0 {
		t.Errorf("alarms: %+v", p.Alarms)
	}
}
