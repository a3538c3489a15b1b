package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/client"
)

func (m *Main) tokenCommand() *cobra.Command {
	return group("token", "Tokens for host applications and operators",
		m.tokenCreateCommand(), m.tokenListCommand(), m.tokenRevokeCommand())
}

func (m *Main) tokenCreateCommand() *cobra.Command {
	var role, from string
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Make a token and print it, once",
		Long: `Make a token and print it, once: only its hash is kept.

With --from-file the token is a key that exists already, such as the one in the
settings of a site that moves here; it is not printed.`,
		Args: exactly(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if role != "reader" && role != "writer" && role != "operator" {
				return usageError{errors.New("say what the token may do: --role reader, writer or operator")}
			}
			if expires < 0 || expires%time.Second != 0 {
				return usageError{errors.New("--expires-in is a positive number of whole seconds, like 24h")}
			}
			if cmd.Flag("from-file").Changed {
				return m.adoptToken(cmd.Context(), args[0], role, from, expires)
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
	cmd.Flags().DurationVar(&expires, "expires-in", 0, "how long it is good for, like 24h; 0 for ever")
	cmd.Flags().StringVar(&from, "from-file", "", "take the key in this `file`, - for standard input")
	return cmd
}

// maxKeyFile bounds what is read where a key should be.
const maxKeyFile = 64 << 10

// adoptToken makes a token of the key in a file.
func (m *Main) adoptToken(ctx context.Context, name, role, file string, expires time.Duration) error {
	key, err := m.readKey(file)
	if err != nil {
		return err
	}
	return m.withClient(func(c *client.Client) error {
		if err := c.AdoptToken(ctx, name, role, key, expires); err != nil {
			return err
		}
		done := map[string]string{"name": name, "role": role}
		return m.result(done, func(w io.Writer) { fmt.Fprintf(w, "the key is token %s now\n", plain(name)) })
	})
}

// readKey returns the text of a file without white space around it.
func (m *Main) readKey(file string) (string, error) {
	in := m.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", usageError{fmt.Errorf("--from-file: %w", err)}
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxKeyFile))
	if err != nil {
		return "", fmt.Errorf("--from-file: %w", err)
	}
	key := strings.TrimSpace(string(raw))
	if key == "" {
		return "", usageError{errors.New("--from-file: there is no key in it")}
	}
	return key, nil
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
						rows = append(rows, []string{t.Name, t.Role, t.State, stamp(t.CreatedAt), stampOf(t.ExpiresAt), hourOf(t.LastUsedAt)})
					}
					table(w, "NAME ROLE STATE CREATED EXPIRES LAST_USED", rows)
				})
			})
		},
	}
}

// hourOf shows a time that is known to the hour.
func hourOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15h")
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
