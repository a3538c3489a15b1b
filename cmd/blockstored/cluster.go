package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/client"
)

func (m *Main) clusterCommand() *cobra.Command {
	return group("cluster", "The nodes of this instance",
		m.clusterInviteCommand(), m.clusterStatusCommand(), m.clusterDigestCommand(), m.clusterRemoveCommand(), m.clusterTransferCommand(), m.clusterVoteCommand())
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

func (m *Main) clusterStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the nodes and how they are; status 3 without a leader or if a node does not answer",
		Args: exactly(0), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withClient(func(c *client.Client) error {
				s, err := c.ClusterStatus(cmd.Context())
				if err != nil {
					return err
				}
				if err := m.result(s, func(w io.Writer) { printCluster(w, s) }); err != nil {
					return err
				}
				if !clusterFine(s) {
					return statusError(exitDegraded)
				}
				return nil
			})
		},
	}
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

func clusterFine(s api.ClusterStatus) bool {
	for _, n := range s.Nodes {
		if !n.Answers || n.DiskStalled {
			return false
		}
	}
	return s.Leader != ""
}

func printCluster(w io.Writer, s api.ClusterStatus) {
	for _, row := range [][2]string{
		{"node", s.Node}, {"state", s.State}, {"leader", s.Leader},
		{"term", fmt.Sprint(s.Term)}, {"commit index", fmt.Sprint(s.CommitIndex)},
		{"applied", fmt.Sprint(s.AppliedIndex)}, {"log entries", fmt.Sprint(s.LogEntries)},
	} {
		fmt.Fprintf(w, "%-12s %s\n", row[0], plain(row[1]))
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, n := range s.Nodes {
		rows = append(rows, []string{
			n.Name, n.ID, n.Address, nodeRole(n), strconv.FormatUint(n.AppliedIndex, 10), strconv.FormatUint(n.Lag, 10), nodeState(n), n.Version,
		})
	}
	table(w, "NODE ID ADDRESS ROLE APPLIED LAG STATE VERSION", rows)
}

func nodeRole(n api.ClusterNode) string {
	switch {
	case n.Leader:
		return "leader"
	case n.Voter:
		return "voter"
	default:
		return "joining"
	}
}

func nodeState(n api.ClusterNode) string {
	switch {
	case !n.Answers:
		return "no answer"
	case n.DiskStalled:
		return "disk stalled"
	default:
		return "fine"
	}
}

func (m *Main) clusterRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NODE", Short: "Take a node out for good; it can join again with an empty data folder",
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
		Use: "transfer-leader [NODE]", Short: "Make another node lead, or the one named",
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
					return m.changedNode("transferred", "leadership", "has moved to another node")
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
