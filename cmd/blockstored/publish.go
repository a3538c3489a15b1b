package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

// publishFlags are the flags of bundle publish.
type publishFlags struct {
	bundle, collection, title, slug, description string
	commit                                       api.Commit
}

func (m *Main) publishCommand() *cobra.Command {
	var flags publishFlags
	cmd := &cobra.Command{
		Use: "publish DIR", Short: "Make the files of a folder the next version of a bundle",
		Long: `Make the files of a folder the next version of a bundle, and print BUNDLE@N.

With --bundle it is that bundle; else the one of the collection that has the
title, and a new one if there is none. Only what the instance lacks is sent. If
nothing changed since the newest version, none is made. Files that are no longer
in the folder are not in the version; symbolic links and special files are
skipped.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := flags.options(args[0])
			if err != nil {
				return err
			}
			return m.withClient(func(c *client.Client) error { return m.publish(cmd.Context(), c, args[0], opts) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.collection, "collection", "", "`uuid` of the collection")
	f.StringVar(&flags.bundle, "bundle", "", "`uuid` of the bundle, if not the one with the title")
	f.StringVar(&flags.title, "title", "", "title of the bundle (default: the folder's name)")
	f.StringVar(&flags.slug, "slug", "", "slug of a new bundle (default: made from the title)")
	f.StringVar(&flags.description, "description", "", "description of a new bundle")
	f.StringVar(&flags.commit.ChangeDescription, "message", "", "what changed, for the version's record")
	f.StringVar(&flags.commit.License, "license", "", "licence of the version")
	f.StringVar(&flags.commit.Attribution, "attribution", "", "whom to name with it")
	f.StringVar(&flags.commit.Redistribute, "redistribute", "", "who may pass it on: none, peers or any")
	return cmd
}

func (f publishFlags) options(dir string) (opts client.PublishOptions, err error) {
	opts = client.PublishOptions{Title: f.title, Slug: f.slug, Description: f.description, Commit: f.commit}
	if opts.Bundle, err = parseOptionalID("--bundle", f.bundle); err != nil {
		return opts, err
	}
	if opts.Collection, err = parseOptionalID("--collection", f.collection); err != nil {
		return opts, err
	}
	if f.bundle == "" && f.collection == "" {
		return opts, usageError{errors.New("say where: --collection UUID or --bundle UUID")}
	}
	if opts.Title == "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return opts, fmt.Errorf("folder: %w", err)
		}
		opts.Title = filepath.Base(abs)
	}
	return opts, nil
}

func (m *Main) publish(ctx context.Context, c *client.Client, dir string, opts client.PublishOptions) error {
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("folder to publish: %w", err)
	} else if !info.IsDir() {
		return usageError{fmt.Errorf("%s is not a folder", dir)}
	}
	if err := findByTitle(ctx, c, &opts); err != nil {
		return err
	}
	bar := m.newProgress()
	opts.Progress = bar.update
	done, err := client.Publish(ctx, c, os.DirFS(dir), opts)
	bar.end()
	if err != nil {
		return err
	}
	for _, s := range done.Skipped {
		m.note("skipped %s: %s", plain(s.Path), s.Reason)
	}
	if done.Warning != "" {
		m.note("warning: %s", done.Warning)
	}
	if done.Merged {
		m.note("somebody else published other files meanwhile: the version holds both")
	}
	if m.format != "json" {
		m.note("%s", summary(done))
	}
	return m.result(done, func(w io.Writer) { fmt.Fprintf(w, "%s@%d\n", done.Bundle, done.Version) })
}

// findByTitle names the bundle that the collection has already, so that
// publishing the same folder twice makes two versions and not two bundles.
func findByTitle(ctx context.Context, c *client.Client, opts *client.PublishOptions) error {
	if opts.Bundle != (bundle.ID{}) {
		return nil
	}
	var found []bundle.ID
	for b, err := range c.Bundles(ctx, api.BundleFilter{Collection: opts.Collection, Text: opts.Title}) {
		if err != nil {
			return err
		}
		if b.Title == opts.Title && !b.ReadOnly {
			found = append(found, b.ID)
		}
	}
	switch len(found) {
	case 0:
	case 1:
		opts.Bundle = found[0]
	default:
		return bundle.Errorf(bundle.KindConflict,
			"the collection has %d bundles with the title %q: say which with --bundle, %s for example", len(found), opts.Title, found[0])
	}
	return nil
}

// summary says in one line what was published and what it took.
func summary(p client.Published) string {
	whole := fmt.Sprintf("%s, %s", plural(p.Files, "file", "files"), formatBytes(p.Bytes))
	if p.Unchanged {
		return fmt.Sprintf("nothing changed since version %d (%s)", p.Version, whole)
	}
	return fmt.Sprintf("version %d: %s; %d changed, %d deleted; sent %s (%s, %s on the wire)",
		p.Version, whole, p.Changed, p.Deleted, plural(int(p.SentFiles), "file", "files"), formatBytes(p.SentBytes), formatBytes(p.WireBytes))
}
