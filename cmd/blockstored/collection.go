package main

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

func (m *Main) collectionCommand() *cobra.Command {
	return group("collection", "Collections of bundles", m.collectionCreateCommand(), m.collectionListCommand())
}

func (m *Main) collectionCreateCommand() *cobra.Command {
	var uuid string
	cmd := &cobra.Command{
		Use: "create TITLE [--uuid UUID]", Short: "Make a collection and print its uuid",
		Args: exactly(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseOptionalID("--uuid", uuid)
			if err != nil {
				return err
			}
			return m.withClient(func(c *client.Client) error {
				collection, err := createCollection(cmd.Context(), c, id, args[0])
				if err != nil {
					return err
				}
				return m.result(collection, func(w io.Writer) { fmt.Fprintln(w, collection.ID) })
			})
		},
	}
	cmd.Flags().StringVar(&uuid, "uuid", "", "the collection's `uuid`, if it is to have a certain one (operators)")
	return cmd
}

func createCollection(ctx context.Context, c *client.Client, id bundle.ID, title string) (api.Collection, error) {
	if id == (bundle.ID{}) {
		return c.CreateCollection(ctx, title)
	}
	return c.CreateCollectionWithID(ctx, id, title)
}

func (m *Main) collectionListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the collections", Args: exactly(0), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withClient(func(c *client.Client) error {
				collections, err := collect(c.Collections(cmd.Context()))
				if err != nil {
					return err
				}
				return m.result(collections, func(w io.Writer) {
					var rows [][]string
					for _, c := range collections {
						rows = append(rows, []string{c.ID.String(), ownership(c.ReadOnly), c.Primary, c.Title})
					}
					table(w, "UUID KIND PRIMARY TITLE", rows)
				})
			})
		},
	}
}

// ownership says whether something is written here.
func ownership(readOnly bool) string {
	if readOnly {
		return "copy"
	}
	return "own"
}

// collect returns all items of a list; none are an empty list.
func collect[T any](items iter.Seq2[T, error]) ([]T, error) {
	out := []T{}
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}
