package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

// course is the sample course that the demo publishes.
//
//go:embed all:course
var course embed.FS

// demoPatience bounds each wait of the demo; on an idle machine a wait takes
// milliseconds.
const demoPatience = 2 * time.Minute

// demo plays the main job with two sites in this process: publish, follow,
// verify.
type demo struct {
	m            *Main
	content      string // the folder that north publishes
	north, south *site
	bundle       bundle.ID
	step         int
}

func (m *Main) demoCommand() *cobra.Command {
	var exit bool
	var from string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The main job: two sites, publish, follow, verify",
		Long: "Opens two real sites on free loopback ports, publishes a sample course at north, lets south follow it,\n" +
			"edits a file, publishes again, and checks every byte of the copy. Nothing outlives it: the sites lie in a\n" +
			"temporary folder.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return m.runDemo(cmd.Context(), from, exit) },
	}
	cmd.Flags().BoolVar(&exit, "exit", false, "end after the last step; status 0 only if every step was verified")
	cmd.Flags().StringVar(&from, "from", "", "publish a copy of this folder instead of the sample course")
	return cmd
}

func (m *Main) runDemo(ctx context.Context, from string, exit bool) (err error) {
	dir, err := os.MkdirTemp("", "blockstored-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &demo{m: m, content: filepath.Join(dir, "content")}
	if err := d.copyContent(from); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.north.close(), d.south.close()) }()
	if d.north, err = openSite(ctx, "north", filepath.Join(dir, "north")); err != nil {
		return err
	}
	if d.south, err = openSite(ctx, "south", filepath.Join(dir, "south")); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{d.open, d.follow, d.publish, d.edit, d.refuse, d.stop} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("step %d: %w", d.step, err)
		}
	}
	m.printf("\nAll %d steps verified.\n", d.step)
	if exit {
		return nil
	}
	return d.stay(ctx)
}

// say prints the title of the next step.
func (d *demo) say(format string, args ...any) {
	d.step++
	d.m.printf("\n%d. %s\n", d.step, fmt.Sprintf(format, args...))
}

// tell prints a line of the current step.
func (d *demo) tell(format string, args ...any) { d.m.printf("   "+format+"\n", args...) }

func (d *demo) open(context.Context) error {
	d.say("Two sites open, each its own instance")
	for _, s := range []*site{d.north, d.south} {
		a := s.inst.Addresses()
		d.tell("%s  %s  instance %s  peers at %s", s.name, a.API, s.inst.ID(), a.Peer)
	}
	return nil
}

func (d *demo) follow(ctx context.Context) error {
	d.say("South follows north: an invitation, taken")
	token, err := d.north.invite(ctx, "south")
	if err != nil {
		return err
	}
	d.tell("north$ blockstored peer invite south --grant all     -> %.14s…", token)
	if err := d.south.accept(ctx, token); err != nil {
		return err
	}
	d.tell("south$ blockstored peer accept %.14s… --subscribe all", token)
	return nil
}

func (d *demo) publish(ctx context.Context) error {
	d.say("North publishes, the copy appears at south")
	collection, err := d.north.client.CreateCollection(ctx, "Demo")
	if err != nil {
		return err
	}
	return d.publishAndCompare(ctx, 1, client.PublishOptions{Collection: collection.ID, Title: "Mechanics, a first week"})
}

func (d *demo) edit(ctx context.Context) error {
	d.say("North edits one file and publishes again, the copy moves")
	path, err := d.editOneFile()
	if err != nil {
		return err
	}
	d.tell("edited %s", path)
	return d.publishAndCompare(ctx, 2, client.PublishOptions{Bundle: d.bundle})
}

// publishAndCompare publishes the folder at north, waits until south shows the
// version, and compares every byte of it with the folder.
func (d *demo) publishAndCompare(ctx context.Context, version uint64, opts client.PublishOptions) error {
	before, err := d.south.received(ctx)
	if err != nil {
		return err
	}
	started := time.Now()
	result, err := client.Publish(ctx, d.north.client, os.DirFS(d.content), opts)
	if err != nil {
		return err
	}
	published := time.Now()
	if d.bundle = result.Bundle; result.Version != version {
		return fmt.Errorf("north made version %d, not %d", result.Version, version)
	}
	visible, err := d.south.waitVersion(ctx, d.bundle, version)
	if err != nil {
		return err
	}
	d.tell("north  version %d: %d of %d files sent, %s on the wire, in %s", version, result.SentFiles, result.Files,
		formatBytes(result.WireBytes), published.Sub(started).Round(time.Millisecond))
	after, err := d.south.received(ctx)
	if err != nil {
		return err
	}
	d.tell("south  visible %s after the publish was acknowledged; %s on the wire for %s of content", visible.Sub(published).Round(time.Millisecond),
		formatBytes(after-before), formatBytes(result.Bytes))
	return d.compare(ctx, version)
}

// compare downloads the copy from south and holds it against the folder.
func (d *demo) compare(ctx context.Context, version uint64) error {
	files, total, err := d.south.compare(ctx, d.bundle, version, d.content)
	if err != nil {
		return err
	}
	d.tell("south  every byte compared: %d files, %s, all equal", files, formatBytes(total))
	return nil
}

func (d *demo) refuse(ctx context.Context) error {
	d.say("A write to the copy is refused and names the primary")
	_, err := d.south.client.CreateDraft(ctx, d.bundle, "mischief")
	if !bundle.IsKind(err, bundle.KindReadOnly) {
		return fmt.Errorf("south answered %v to a write to the copy, not read_only", err)
	}
	e, _ := errors.AsType[*bundle.Error](err)
	if e.Fields["primary"] != "north" {
		return fmt.Errorf("the refusal names %q as the primary, not north: %w", e.Fields["primary"], err)
	}
	d.tell("403 %s", err)
	return nil
}

func (d *demo) stop(ctx context.Context) error {
	d.say("North stops, south goes on serving")
	if err := d.north.close(); err != nil {
		return err
	}
	d.tell("north  stopped")
	return d.compare(ctx, 2)
}

// stay starts north again and leaves both sites to the user until ctx ends.
func (d *demo) stay(ctx context.Context) error {
	dir := d.north.dir
	var err error
	if d.north, err = openSite(ctx, "north", dir); err != nil {
		return err
	}
	d.m.printf("\nBoth sites are running until Ctrl-C. Try, in another terminal:\n\n")
	for _, s := range []*site{d.north, d.south} {
		d.m.printf("  blockstored --data %s bundle list\n", s.dir)
		d.m.printf("  curl -H 'Authorization: Token %s' %s/api/v1/bundles/%s\n", s.token, s.inst.Addresses().API, d.bundle)
	}
	<-ctx.Done()
	d.m.printf("\nstopping\n")
	return nil
}

// copyContent makes the folder that north publishes, so that editing a file
// never touches the user's.
func (d *demo) copyContent(from string) error {
	if from == "" {
		sub, err := fs.Sub(course, "course")
		if err != nil {
			return err
		}
		return os.CopyFS(d.content, sub)
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return bundle.Errorf(bundle.KindInvalid, "--from %s is not a folder", from)
	}
	return os.CopyFS(d.content, os.DirFS(from))
}

// editOneFile adds a line to a file of the folder and returns its path.
func (d *demo) editOneFile() (string, error) {
	path := "html/frames.html"
	if _, err := os.Stat(filepath.Join(d.content, path)); err != nil {
		if path, err = firstFile(d.content); err != nil {
			return "", err
		}
	}
	f, err := os.OpenFile(filepath.Join(d.content, path), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	_, err = fmt.Fprintf(f, "<p>Edited at %s.</p>\n", time.Now().UTC().Format(time.RFC3339Nano))
	return path, errors.Join(err, f.Close())
}

// firstFile returns the path of the first regular file below dir.
func firstFile(dir string) (found string, err error) {
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			found, err = path, fs.SkipAll
		}
		return err
	})
	if err == nil && found == "" {
		err = bundle.Errorf(bundle.KindInvalid, "the folder holds no file to publish")
	}
	return found, err
}
