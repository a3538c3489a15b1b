package catalog

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/blockstored/blockstored/bundle"
)

var update = flag.Bool("update", false, "write the golden files anew")

// samples has a body of every kind with every field set.
func samples() []Body {
	a, b := idOf("a"), idOf("b")
	text := "tëxt"
	op, del := fileOp("p/q", "x"), FileOp{Path: "gone", Delete: true}
	dep := bundle.Dependency{Bundle: b, Version: 3, Snapshot: bundle.Hash20{1}}
	link := LinkOp{Link: bundle.Link{Name: "l", Direct: dep, Indirect: []bundle.Dependency{dep}}}
	located := []bundle.Located{blobOf("x"), packed("pack", "y", 99)}
	digest := bundle.DigestOf([]byte("d"))
	snapshot := Snapshot{Manifest: digest, Alias: bundle.Hash20{9}, Files: 2, Bytes: 1 << 40, Deps: []Dep{{bundle.VersionRef{Bundle: b, Number: 7}, true}}}
	selectors := []Selector{{Scope: "all"}, {Scope: "bundle", Target: b}}
	return []Body{
		InitInstance{a, "n", []byte("d"), 1, map[string][]byte{"y": {1}, "x": {2}}},
		UpdateInstance{"n", []byte("d")},
		PutSecret{"n", []byte("s")},
		Purge{500},
		CreateCollection{a, text},
		UpdateCollection{a, text},
		DeleteCollection{a},
		CreateBundle{a, b, "slug", "title", "description"},
		UpdateBundle{a, &b, &text, nil, &text, 4},
		DeleteBundle{a},
		CreateDraft{a, b, "studio_draft"},
		StagePatch{a, b, []FileOp{op}, located},
		PatchDraft{a, b, []FileOp{op, del}, []LinkOp{link, {Delete: true, Link: bundle.Link{Name: "m"}}}, located, 5},
		DeleteDraft{ID: a},
		RebaseDraft{a, 3, 4},
		ForgetEdits{a, 3, []string{"p/q", text}, []string{"l"}},
		LocateBlobs{located},
		CommitVersion{a, 3, 4, snapshot, located, "what", "CC0-1.0", "who", "any"},
		DescribeVersion{bundle.VersionRef{Bundle: a, Number: 2}, text},
		CreateToken{a, "n", "writer", digest, 1 << 50},
		RevokeToken{"n"},
		UseTokens{[]TokenUse{{a, 1 << 50}, {b, 3}}},
		Checkpoint{[]byte("note"), 1, 2, digest, 3},
		CreateInvite{a, "n", digest, 5, selectors},
		AcceptInvite{digest, a, []byte("d"), []byte("k")},
		AddPeer{a, "n", []byte("d"), []byte("k"), []string{"https://x"}, selectors},
		UpdatePeer{a, []byte("d"), []string{"https://x"}},
		RemovePeer{a},
		SetGrants{a, selectors},
		Subscribe{a, selectors[1]},
		Unsubscribe{a, selectors[0]},
		Intake{a, []byte("n"), 1, 2, digest, 3, 4, 5, 6, []IntakeItem{{7, digest, []byte("r"), &snapshot, true}, {8, digest, []byte("s"), nil, false}}, located},
		Park{a, b, true, "reason", "detail", 9, 10},
		Unpark{a, b},
		RaiseAlarm{a, "FORK", "detail", []byte("e")},
		ClearAlarms{a, "FORK"},
	}
}

// later has what came with a level, level by level: bodies of kinds, and of
// versions of them, that were not there before.
func later() map[uint64][]Command {
	fenced := sampleCommand(Purge{500})
	fenced.Term = 1 << 33
	return map[uint64][]Command{
		2: {fenced, sampleCommand(RaiseLevel{2}), sampleCommand(DeleteDraft{idOf("a"), 7}), sampleCommand(BeginGeneration{2, "recovered"})},
	}
}

func sampleCommand(b Body) Command {
	return Command{Request: RequestID{1, 2}, Time: 1_700_000_000_000_000, Seed: [32]byte{3}, Body: b}
}

// commands has the samples of every level.
func commands() map[uint64][]Command {
	out := later()
	for _, body := range samples() {
		out[1] = append(out[1], sampleCommand(body))
	}
	return out
}

// TestCommandBytesStayAsPublished holds the encoding to what nodes have in
// their logs. A failure here means a new encoding version, never -update.
func TestCommandBytesStayAsPublished(t *testing.T) {
	seen := make(map[Kind]uint64) // the versions of its body, as bits
	for level, commands := range commands() {
		var out strings.Builder
		for _, c := range commands {
			b, err := c.Encode()
			if err != nil {
				t.Fatal(err)
			}
			kind := c.Body.CommandKind()
			if c.Level() != level {
				t.Errorf("%s is of level %d and stands among those of level %d", kind, c.Level(), level)
			}
			fmt.Fprintf(&out, "%s %s\n", kind, hex.EncodeToString(b))
			version, _ := kinds[kind].version(c.Body)
			seen[kind] |= 1 << version
		}
		golden(t, fmt.Sprintf("commands-%d.golden", level), out.String())
	}
	for k, info := range kinds {
		for i := range info.levels {
			if seen[k]&(2<<i) == 0 {
				t.Errorf("there is no sample of version %d of %s", i+1, k)
			}
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("commands are encoded in another way than %s has it", path)
	}
}

func TestCommandsComeBackAsTheyWere(t *testing.T) {
	for _, commands := range commands() {
		for _, want := range commands {
			comesBack(t, want)
		}
	}
}

func comesBack(t *testing.T, want Command) {
	t.Helper()
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeCommand(b)
	if err != nil {
		t.Fatalf("%T: %v", want.Body, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for cut := range b {
		if _, err := DecodeCommand(b[:cut]); err == nil {
			t.Fatalf("%T: %d of %d bytes were accepted", want.Body, cut, len(b))
		}
	}
	if _, err := DecodeCommand(append(slices.Clone(b), 0)); err == nil {
		t.Errorf("%T: a byte too many was accepted", want.Body)
	}
	// A pointer to a body encodes like the body.
	p := reflect.New(reflect.TypeOf(want.Body))
	p.Elem().Set(reflect.ValueOf(want.Body))
	pointed := want
	pointed.Body = p.Interface().(Body)
	viaPointer, err := pointed.Encode()
	if err != nil || !slices.Equal(viaPointer, b) {
		t.Errorf("%T: a pointer to it encodes differently (%v)", want.Body, err)
	}
}

// TestACommandHasOneEncoding has commands in a form that has room for what is
// not set: a term of 0, a version of the body that nothing of it needs.
func TestACommandHasOneEncoding(t *testing.T) {
	for name, write := range map[string]func(c *codec){
		"has a term of 0": func(c *codec) {
			kind, version, none := uint64(KindPurge), uint64(1), uint64(0)
			c.array(7)
			c.uint(&kind)
			c.uint(&version)
			(&Command{}).shape(c)
			c.uint(&none)
			shapePurge(c, 1, &Purge{1})
		},
		"is written in version 2 and belongs in 1": func(c *codec) {
			kind, version := uint64(KindDeleteDraft), uint64(2)
			c.array(6)
			c.uint(&kind)
			c.uint(&version)
			(&Command{}).shape(c)
			shapeDeleteDraft(c, 2, &DeleteDraft{ID: idOf("a")})
		},
	} {
		c := &codec{writing: true}
		write(c)
		if _, err := DecodeCommand(c.buf); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want it to say that it %s", err, name)
		}
	}
}

func TestUnknownCommandsAreNamed(t *testing.T) {
	encode := func(kind, version uint64) []byte {
		c := &codec{writing: true}
		c.array(6)
		c.uint(&kind)
		c.uint(&version)
		return c.buf
	}
	for _, tc := range []struct {
		kind, version uint64
		want          string
	}{
		{77, 1, "commands of kind 77"},
		{1 << 40, 1, "commands of kind 1099511627776"},
		{uint64(KindCreateBundle), 2, "version 2 of CreateBundle"},
		{uint64(KindCreateBundle), 0, "version 0 of CreateBundle"},
		{uint64(KindDeleteDraft), 3, "version 3 of DeleteDraft"},
	} {
		_, err := DecodeCommand(encode(tc.kind, tc.version))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want it to name %q", err, tc.want)
		}
	}
}

func TestTooLargeCommandsAreRefused(t *testing.T) {
	_, err := sampleCommand(PutSecret{Sealed: make([]byte, MaxCommand)}).Encode()
	if !bundle.IsKind(err, bundle.KindTooLarge) {
		t.Errorf("got %v", err)
	}
	if _, err := sampleCommand(PutSecret{Name: "\xff"}).Encode(); !bundle.IsKind(err, bundle.KindInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestIntegersHaveOneEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64().Draw(t, "n")
		w := &codec{writing: true}
		w.int(&want)
		var got int64
		r := &codec{buf: w.buf}
		r.int(&got)
		if err := r.finish(); err != nil || got != want {
			t.Fatalf("%d came back as %d, %v", want, got, err)
		}
	})
}

func FuzzDecodeCommand(f *testing.F) {
	for _, commands := range commands() {
		for _, c := range commands {
			b, err := c.Encode()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCommand(b)
		if err != nil || len(b) > MaxCommand {
			return
		}
		again, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again, b) {
			t.Fatalf("%x was accepted, its one encoding is %x", b, again)
		}
	})
}
