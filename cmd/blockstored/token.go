package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/client"
)

func (m *Main) tokenCommand() *cobra.Command {
	return group("token", "Tokens for host applications and operators",
		m.tokenCreateCommand(), m.tokenListCommand(), m.tokenRevokeCommand())
}

func (m *Main) tokenCreateCommand() *cobra.Command {
	var role string
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Make a token and print it, once",
		Args: exactly(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if role != "reader" && role != "writer" && role != "operator" {
				return usageError{errors.New("say what the token may do: --role reader, writer or operator")}
			}
			if expires < 0 || expires%time.Second != 0 {
				return usageError{errors.New("--expires is a positive number of whole seconds, like 24h")}
			}
			return m.withClient(func(c *client.Client) error {
				token, err := c.CreateToken(cmd.Context(), args[0], role, expires)
				if err != nil {
					return err
				}
				if m.format != "json" {
					m.note("Keep this token, it is not shown again:")
				}
				return m.result(token, func(w io.Writer) { fmt.Fprintln(w, token.Token) })
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "reader, writer or operator")
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long it is good for, like 24h; 0 for ever")
	return cmd
}

func (m *Main) tokenListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens, without their secrets", Args: exactly(0), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withClient(func(c *client.Client) error {
				tokens, err := c.Tokens(cmd.Context())
				if err != nil {
					return err
				}
				return m.result(tokens, func(w io.Writer) {
					var rows [][]string
					for _, t := range tokens {
						rows = append(rows, []string{t.Name, t.Role, t.State, stamp(t.CreatedAt), stampOf(t.ExpiresAt)})
					}
					table(w, "NAME ROLE STATE CREATED EXPIRES", rows)
				})
			})
		},
	}
}

func (m *Main) tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Short: "End a token at once", Args: exactly(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withClient(func(c *client.Client) error {
				if err := c.RevokeToken(cmd.Context(), args[0]); err != nil {
					return err
				}
				done := map[string]string{"revoked": args[0]}
				return m.result(done, func(w io.Writer) { fmt.Fprintf(w, "token %s is revoked\n", plain(args[0])) })
			})
		},
	}
}
