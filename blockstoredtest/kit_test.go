package blockstoredtest_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/blockstoredtest"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func publish(t *testing.T, k *blockstoredtest.Kit, text string) client.Published {
	t.Helper()
	collection, err := k.Client.CreateCollection(t.Context(), "Physics")
	if err != nil {
		t.Fatal(err)
	}
	done, err := client.Publish(t.Context(), k.Client, fstest.MapFS{"unit.xml": {Data: []byte(text)}},
		client.PublishOptions{Collection: collection.ID, Title: "Mechanics"})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func read(t *testing.T, c *client.Client, b bundle.ID) (string, error) {
	t.Helper()
	r, err := c.OpenVersionFile(t.Context(), b, 1, "unit.xml", api.Range{})
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}

func TestAKitHoldsAWorkingInstance(t *testing.T) {
	k := blockstoredtest.New(t)
	done := publish(t, k, "<p>force</p>")
	if text, err := read(t, k.Client, done.Bundle); err != nil || text != "<p>force</p>" {
		t.Errorf("read %q, %v", text, err)
	}
	tokens, err := k.Admin.Tokens(t.Context())
	if err != nil || len(tokens) != 1 || tokens[0].Role != "writer" {
		t.Errorf("tokens %+v, %v", tokens, err)
	}
	if _, err := k.Client.Tokens(t.Context()); !bundle.IsKind(err, bundle.KindForbidden) {
		t.Errorf("the writer's client may list tokens: %v", err)
	}
}

func TestKitsShareNothing(t *testing.T) {
	a, b := blockstoredtest.New(t), blockstoredtest.New(t)
	done := publish(t, a, "x")
	if a.URL == b.URL || a.Token == b.Token || a.Instance.ID() == b.Instance.ID() {
		t.Errorf("%s and %s are not apart", a.URL, b.URL)
	}
	if _, err := read(t, b.Client, done.Bundle); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Errorf("b answers for a bundle of a: %v", err)
	}
}

func TestOneKitFollowsAnother(t *testing.T) {
	north, south := blockstoredtest.New(t), blockstoredtest.New(t)
	done := publish(t, north, "<p>force</p>")
	all := []api.Selector{{Scope: "all"}}
	invitation, err := north.Admin.Invite(t.Context(), "south", all, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := south.Admin.Accept(t.Context(), invitation.Token, "north", all); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		text, err := read(t, south.Client, done.Bundle)
		if err == nil && text != "<p>force</p>" {
			t.Fatalf("the copy is %q", text)
		}
		return err
	})
}

// eventually polls until f succeeds.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

func TestAChangeIsMadeBeforeTheInstanceOpens(t *testing.T) {
	k := blockstoredtest.New(t, func(c *blockstored.Config) { c.Listen, c.Peer.Listen = "", "" })
	if k.URL != "" || k.Client != nil || k.Instance.Addresses() != (blockstored.Addresses{}) {
		t.Errorf("it listens: %+v", k.Instance.Addresses())
	}
	if err := k.Admin.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNothingRemainsWhenTheTestHasEnded(t *testing.T) {
	var k *blockstoredtest.Kit
	t.Run("inner", func(t *testing.T) { k = blockstoredtest.New(t) })
	if _, err := os.Stat(k.Config.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if resp, err := http.Get(k.URL + "/health/"); err == nil {
		resp.Body.Close()
		t.Error("the instance still answers")
	}
}

func TestAKitIsStoppedAndItsFolderOpenedAgain(t *testing.T) {
	k := blockstoredtest.New(t)
	done := publish(t, k, "kept")
	if err := errors.Join(k.Close(), k.Close()); err != nil {
		t.Fatal(err)
	}
	again := blockstoredtest.New(t, func(c *blockstored.Config) { c.Data = k.Config.Data })
	var found []bundle.ID
	for b, err := range again.Client.Bundles(t.Context(), api.BundleFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, b.ID)
	}
	if !slices.Equal(found, []bundle.ID{done.Bundle}) {
		t.Errorf("after opening again there is %v", found)
	}
}

func BenchmarkKit(b *testing.B) {
	for b.Loop() {
		if err := blockstoredtest.New(b).Close(); err != nil {
			b.Fatal(err)
		}
	}
}
