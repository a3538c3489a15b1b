package rest

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/publog"
)

// follow takes everything that another instance has published into this one,
// as a pull would.
func (s *stack) follow(primary *stack, name string) {
	s.t.Helper()
	ctx := context.Background()
	s.propose(catalog.AddPeer{
		Peer: primary.self, Name: name, Descriptor: []byte("descriptor"), RootKey: make([]byte, 32),
		Addresses: []string{"https://" + name + ".example"}, Subscribe: []catalog.Selector{{Scope: "all"}},
	})
	var items []catalog.IntakeItem
	err := primary.db.View(ctx, func(v *catalog.View) error {
		records, err := v.Records(0, 1000)
		if err != nil {
			return err
		}
		for _, r := range records {
			item := catalog.IntakeItem{Index: r.Index, Leaf: r.Leaf, Body: r.Body}
			decoded, err := publog.DecodeRecord(r.Body)
			if err != nil {
				return err
			}
			if decoded.Kind == publog.RecordVersion {
				row, err := v.Version(bundle.VersionRef{Bundle: r.Subject, Number: decoded.Version.Number})
				if err != nil {
					return err
				}
				item.Snapshot = &catalog.Snapshot{Manifest: row.Manifest, Alias: row.Alias, Files: row.Files, Bytes: row.Bytes}
			}
			items = append(items, item)
		}
		return nil
	})
	check(s.t, err)
	for _, i := range items {
		if i.Snapshot != nil {
			s.fetch(primary, i.Snapshot.Manifest)
		}
	}
	s.propose(catalog.Intake{
		Peer: primary.self, Items: items, Cursor: int64(len(items)),
		Note: []byte("note"), Generation: 1, Size: int64(len(items)),
	})
}

// fetch copies a snapshot's pages and files.
func (s *stack) fetch(from *stack, manifest bundle.Digest) {
	s.t.Helper()
	ctx := context.Background()
	fetch := from.api.cfg.Primary.Fetch
	m, err := bundle.Open(ctx, manifest, fetch)
	check(s.t, err)
	digests, err := m.Pages(ctx, fetch)
	check(s.t, err)
	check(s.t, m.Walk(ctx, fetch, func(f bundle.File) error {
		digests = append(digests, f.Digest)
		return nil
	}))
	blobs, err := from.api.cfg.Contents.Fetch(ctx, digests)
	check(s.t, err)
	frames := make([]bundle.Frame, len(blobs))
	for i, b := range blobs {
		frames[i] = bundle.MakeFrame(b)
	}
	_, err = s.api.cfg.Primary.StoreFrames(ctx, frames)
	check(s.t, err)
}

// field returns a text field of a JSON body.
func (a answer) field(t *testing.T, name string) string {
	t.Helper()
	_, rest, found := strings.Cut(a.body, `"`+name+`":"`)
	if !found {
		t.Fatalf("no %s in %s", name, a.body)
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// publish makes a collection, a bundle of a file, and its first version.
func (s *stack) publish(t *testing.T) (collection, bundle string) {
	t.Helper()
	collection = s.json("POST", "/api/v1/collections", `{"title":"Course"}`).want(t, 201).field(t, "uuid")
	bundle = s.json("POST", "/api/v1/bundles", `{"collection_uuid":"`+collection+`","slug":"unit","title":"Unit"}`).want(t, 201).field(t, "uuid")
	draft := s.json("POST", "/api/v1/drafts", `{"bundle_uuid":"`+bundle+`","name":"studio"}`).want(t, 201).field(t, "uuid")
	s.json("PATCH", "/api/v1/drafts/"+draft, `{"files":{"unit.xml":"aW5pdGlhbCB2ZXJzaW9u"}}`).want(t, 204)
	s.do("POST", "/api/v1/drafts/"+draft+"/commit", "", "").want(t, 201)
	return collection, bundle
}

func TestCopiesAreReadLikeAnyBundleAndWritesNameThePrimary(t *testing.T) {
	north, south := newStack(t, nil), newStack(t, nil)
	c, b := north.publish(t)
	south.follow(north, "the north")

	shown := south.json("GET", "/api/v1/bundles/"+b, "").want(t, 200).body
	want := `{"collection":"BASE/api/v1/collections/` + c + `","collection_uuid":"` + c + `","description":"","drafts":{},` +
		`"slug":"unit","title":"Unit","url":"BASE/api/v1/bundles/` + b + `","uuid":"` + b + `",` +
		`"versions":["BASE/api/v1/bundle_versions/` + b + `,1"],"primary":"the north","read_only":true}`
	if got := strings.ReplaceAll(shown, south.server.URL, "BASE"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, list := range []string{"/api/v1/collections", "/api/v1/bundles", "/api/v1/bundle_versions?bundle__uuid=" + b} {
		if got := south.json("GET", list, "").want(t, 200).body; !strings.HasSuffix(got, `,"primary":"the north","read_only":true}]`) {
			t.Errorf("%s: %s", list, got)
		}
	}
	version := south.json("GET", "/api/v1/bundle_versions/"+b+",1", "").want(t, 200)
	url := version.field(t, "unit.xml\":{\"url")
	if got := south.do("GET", url, "", "").want(t, 200).body; got != "initial version" {
		t.Errorf("the copy's file holds %q", got)
	}

	refused := `{"detail":"Bundle ` + b + ` is a read-only copy; its primary is the north","primary":{"name":"the north","url":"https://the north.example"}}`
	for _, write := range []struct{ method, path, body, want string }{
		{"PATCH", "/api/v1/bundles/" + b, `{"title":"x"}`, refused},
		{"PATCH", "/api/v1/bundles/" + b, `{}`, refused},
		{"DELETE", "/api/v1/bundles/" + b, "", refused},
		{"POST", "/api/v1/drafts", `{"bundle_uuid":"` + b + `","name":"x"}`, refused},
		{"PATCH", "/api/v1/bundle_versions/" + b + ",1", `{"change_description":"x"}`, refused},
		{"DELETE", "/api/v1/collections/" + c, "", strings.Replace(refused, "Bundle "+b, "Collection "+c, 1)},
		{"POST", "/api/v1/bundles", `{"collection_uuid":"` + c + `","slug":"x","title":"x"}`, strings.Replace(refused, "Bundle "+b, "Collection "+c, 1)},
	} {
		a := south.json(write.method, write.path, write.body).want(t, http.StatusForbidden)
		if a.body != write.want || a.Header.Get(headerError) != "read_only" {
			t.Errorf("%s %s: %s %s", write.method, write.path, a.Header.Get(headerError), a.body)
		}
	}
	north.json("PATCH", "/api/v1/bundles/"+b, `{"title":"still mine"}`).want(t, 200)
}

func TestOwnVersionsLinkToCopies(t *testing.T) {
	north, south := newStack(t, nil), newStack(t, nil)
	_, copied := north.publish(t)
	south.follow(north, "north")
	_, own := south.publish(t)
	draft := south.json("POST", "/api/v1/drafts", `{"bundle_uuid":"`+own+`","name":"links"}`).want(t, 201).field(t, "uuid")
	south.json("PATCH", "/api/v1/drafts/"+draft, `{"links":{"x":{"bundle_uuid":"`+copied+`","version":1}}}`).want(t, 204)
	south.do("POST", "/api/v1/drafts/"+draft+"/commit", "", "").want(t, 201)
	if got := south.json("GET", "/api/v1/bundle_versions/"+own+",2", "").want(t, 200).body; !strings.Contains(got, `"direct":{"bundle_uuid":"`+copied+`","version":1,"snapshot_digest":"`) {
		t.Error(got)
	}
}

func TestACopyIsForkedIntoABundleOfOnesOwn(t *testing.T) {
	north, south := newStack(t, nil), newStack(t, nil)
	c, b := north.publish(t)
	south.follow(north, "the north")
	south.json("POST", "/api/v1/bundles/"+b+"/fork", `{"collection_uuid":"`+c+`"}`).want(t, http.StatusForbidden)
	own := south.json("POST", "/api/v1/collections", `{"title":"Ours"}`).want(t, 201).field(t, "uuid")
	fork := south.json("POST", "/api/v1/bundles/"+b+"/fork", `{"collection_uuid":"`+own+`"}`).want(t, 201)
	if !strings.HasSuffix(fork.body, `,"primary":"north","read_only":false}`) || fork.field(t, "title") != "Unit" {
		t.Error(fork.body)
	}
	file := "/api/v1/bundle_versions/" + fork.field(t, "uuid") + ",1/files/unit.xml"
	if got := south.json("GET", file, "").want(t, 200).body; got != "initial version" {
		t.Error(got)
	}
}
