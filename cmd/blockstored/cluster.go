package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/client"
)

func (m *Main) clusterCommand() *cobra.Command {
	return group("cluster", "The nodes of this instance",
		m.clusterInviteCommand(), m.clusterStatusCommand(), m.clusterDigestCommand(), m.clusterRemoveCommand(), m.clusterTransferCommand(), m.clusterVoteCommand(),
		m.clusterRecoverCommand())
}

func (m *Main) clusterInviteCommand() *cobra.Command {
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "invite", Short: "Print a token with which another node joins this instance",
		Long: "Prints a token for \"blockstored serve --join\" on another machine, or for the file that cluster.join_file names\n" +
			"there. The node needs the same storage.s3 and a name of its own (cluster.node). Whoever has the token can join\n" +
			"until it expires.",
		Args: exactly(0), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if expires < 0 || expires%time.Second != 0 {
				return usageError{errors.New("--expires-in is a positive number of whole seconds, like 30m")}
			}
			return m.withClient(func(c *client.Client) error {
				invitation, err := c.InviteNode(cmd.Context(), expires)
				if err != nil {
					return err
				}
				for _, w := range invitation.Warnings {
					m.note("warning: %s", w)
				}
				return m.result(invitation, func(w io.Writer) { fmt.Fprintln(w, invitation.Token) })
			})
		},
	}
	cmd.Flags().DurationVar(&expires, "expires-in", 0, "how long the token is good for (default 30m)")
	return cmd
}

func (m *Main) clusterDigestCommand() *cobra.Command {
	return &cobra.Command{
		Use: "digest", Short: "Print digests of what this node's catalog holds, to compare nodes",
		Long: "Reads the whole catalog of the node that is asked, as of one moment, and prints the size and root of the publication\n" +
			"log and the SHA-256 of everything that nodes have in common. While nobody writes these are the same on every node.",
		Args: exactly(0), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withClient(func(c *client.Client) error {
				d, err := c.CatalogDigest(cmd.Context())
				if err != nil {
					return err
				}
				return m.result(d, func(w io.Writer) {
					for _, row := range [][2]string{
						{"applied", strconv.FormatUint(d.AppliedIndex, 10)}, {"log size", strconv.FormatInt(d.LogSize, 10)},
						{"log root", d.LogRoot.String()}, {"digest", d.Digest.String()},
					} {
						fmt.Fprintf(w, "%-9s %s\n", row[0], row[1])
					}
				})
			})
		},
	}
}

func (m *Main) clusterRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NODE", Short: "Take a node out for good; it can join again with an empty data folder",
		Long: "Takes a node, named by its name or id, out of the instance for good, through any node that runs. Stop it before or\n" +
			"after; what it still serves is old. If it leads, another node is made to lead first.",
		Args: exactly(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withClient(func(c *client.Client) error {
				if err := c.RemoveNode(cmd.Context(), args[0]); err != nil {
					return err
				}
				return m.changedNode("removed", args[0], "is no node of this instance any more")
			})
		},
	}
}

func (m *Main) clusterVoteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "add-voter NODE", Short: "Give a node a vote without waiting until it has caught up",
		Long: "Gives a node that has joined (\"blockstored serve --join\") a vote at once. It would get one by itself as soon as it has\n" +
			"caught up, so this is for emergencies: until it has caught up, it counts in the majority that every write needs and\n" +
			"cannot be part of it, and one node less may fail.",
		Args: exactly(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withClient(func(c *client.Client) error {
				if err := c.AddVoter(cmd.Context(), args[0]); err != nil {
					return err
				}
				return m.changedNode("voter", args[0], "votes")
			})
		},
	}
}

func (m *Main) clusterTransferCommand() *cobra.Command {
	return &cobra.Command{
		Use: "transfer-leader [NODE]", Short: "Make the node named lead, or else the most current of the others",
		Long: "Makes a node lead, and returns when it does. Without a name it is the voter, of those that answer, that has most of\n" +
			"the log. Writes that arrive meanwhile wait. A node that is stopped hands leadership over by itself.",
		Args: atMost(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withClient(func(c *client.Client) error {
				node := ""
				if len(args) == 1 {
					node = args[0]
				}
				if err := c.TransferLeadership(cmd.Context(), node); err != nil {
					return err
				}
				if node == "" {
					s, err := c.ClusterStatus(cmd.Context())
					if err != nil {
						return err
					}
					node = leaderOf(s)
				}
				return m.changedNode("leader", node, "leads")
			})
		},
	}
}

// changedNode says what was done to a node.
func (m *Main) changedNode(what, node, said string) error {
	return m.result(map[string]string{what: node}, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n", plain(node), said) })
}

// atMost accepts no more arguments than the command's Use line names.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usageError{fmt.Errorf("use it like this: %s", cmd.UseLine())}
		}
		return nil
	}
}
