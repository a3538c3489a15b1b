package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

func (m *Main) bundleCommand() *cobra.Command {
	return group("bundle", "Bundles and their versions",
		m.publishCommand(), m.bundleListCommand(), m.bundleShowCommand(), m.downloadCommand())
}

// parseVersion reads BUNDLE[@N]; the number is 0 if it is left out.
func parseVersion(s string) (bundle.ID, uint64, error) {
	text, number, given := strings.Cut(s, "@")
	id, err := parseID("BUNDLE", text)
	if err != nil || !given {
		return id, 0, err
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n == 0 {
		return id, 0, usageError{fmt.Errorf("%q is not a version; write BUNDLE@N with a number from 1", s)}
	}
	return id, n, nil
}

func (m *Main) bundleListCommand() *cobra.Command {
	var collection, search string
	cmd := &cobra.Command{
		Use: "list", Short: "List the bundles, with the number of the newest version", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := parseOptionalID("--collection", collection)
			if err != nil {
				return err
			}
			return m.withClient(func(c *client.Client) error {
				bundles, err := collect(c.Bundles(cmd.Context(), api.BundleFilter{Collection: id, Text: search}))
				if err != nil {
					return err
				}
				return m.result(bundles, func(w io.Writer) {
					var rows [][]string
					for _, b := range bundles {
						rows = append(rows, []string{b.ID.String(), number(b.Newest()), ownership(b.ReadOnly), b.Primary, b.Title})
					}
					table(w, "UUID VERSION KIND PRIMARY TITLE", rows)
				})
			})
		},
	}
	cmd.Flags().StringVar(&collection, "collection", "", "only those of the collection with this `uuid`")
	cmd.Flags().StringVar(&search, "search", "", "only those with this `text` in title, description or slug")
	return cmd
}

// shown is what show prints of a bundle.
type shown struct {
	Bundle  api.Bundle   `json:"bundle"`
	Version *api.Version `json:"version"` // null before the first
}

func (m *Main) bundleShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show BUNDLE[@N]", Short: "Show a bundle and the files of a version, the newest without @N",
		Args: exactly(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, n, err := parseVersion(args[0])
			if err != nil {
				return err
			}
			return m.withClient(func(c *client.Client) error {
				b, err := c.Bundle(cmd.Context(), id)
				if err != nil {
					return named(err, "bundle", args[0])
				}
				out := shown{Bundle: b}
				if n == 0 {
					n = b.Newest()
				}
				if n != 0 {
					v, err := c.Version(cmd.Context(), id, n)
					if err != nil {
						return named(err, "version", args[0])
					}
					out.Version = &v
				}
				return m.result(out, out.print)
			})
		},
	}
}

// named says what was not found.
func named(err error, what, name string) error {
	if bundle.IsKind(err, bundle.KindNotFound) {
		return bundle.Errorf(bundle.KindNotFound, "there is no %s %s", what, name)
	}
	return err
}

func (s shown) print(w io.Writer) {
	line := func(name, value string) { fmt.Fprintf(w, "%-12s %s\n", name, plain(value)) }
	b := s.Bundle
	line("bundle", b.ID.String())
	line("title", b.Title)
	line("slug", b.Slug)
	if b.Description != "" {
		line("description", b.Description)
	}
	line("collection", b.Collection.String())
	line("primary", b.Primary)
	line("kind", ownership(b.ReadOnly))
	line("versions", strconv.Itoa(len(b.Versions)))
	if s.Version == nil {
		return
	}
	v := s.Version
	line("version", strconv.FormatUint(v.Number, 10))
	line("published", stamp(v.Snapshot.CreatedAt))
	if v.ChangeDescription != "" {
		line("change", v.ChangeDescription)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Snapshot.Links)) {
		to := v.Snapshot.Links[name].Direct
		line("link", fmt.Sprintf("%s -> %s@%d", name, to.Bundle, to.Version))
	}
	var rows [][]string
	for _, path := range slices.Sorted(maps.Keys(v.Snapshot.Files)) {
		f := v.Snapshot.Files[path]
		rows = append(rows, []string{f.Hash.String(), strconv.FormatInt(f.Size, 10), path})
	}
	fmt.Fprintln(w)
	table(w, "HASH SIZE PATH", rows)
}

func (m *Main) downloadCommand() *cobra.Command {
	var overwrite bool
	cmd := &cobra.Command{
		Use: "download BUNDLE[@N] DIR", Short: "Write the files of a version to a folder, the newest without @N",
		Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, n, err := parseVersion(args[0])
			if err != nil {
				return err
			}
			return m.withClient(func(c *client.Client) error {
				bar := m.newProgress()
				done, err := client.Download(cmd.Context(), c, id, n, args[1], client.DownloadOptions{Overwrite: overwrite, Progress: bar.update})
				bar.end()
				if err != nil {
					return named(err, "version", args[0])
				}
				return m.result(done, func(w io.Writer) {
					fmt.Fprintf(w, "%s@%d: %s, %s, in %s; %d of them fetched, all checked\n",
						done.Bundle, done.Version, plural(done.Files, "file", "files"), formatBytes(done.Bytes), args[1], done.Fetched)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&overwrite, "overwrite", false, "replace files that are there with another content")
	return cmd
}
