package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/client"
)

func (m *Main) clusterStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the nodes and what may be lost now; status 3 if the instance is not as it should be",
		Long: "Shows the nodes as the one that is asked sees them, and says how many may fail now. Any node can be asked, also\n" +
			"without a leader; those that do not answer within a second are shown as such. The exit status is 3 without a leader,\n" +
			"if a node does not answer, or if one with a vote should get no requests.",
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

// upToDate reports whether a node answers and knows no reason against itself.
func upToDate(n api.ClusterNode) bool { return n.Answers && !n.DiskStalled && len(n.Unready) == 0 }

// clusterFine reports whether all is as it should be. That a node without a vote
// still catches up is.
func clusterFine(s api.ClusterStatus) bool {
	for _, n := range s.Nodes {
		if !n.Answers || n.Voter && !upToDate(n) {
			return false
		}
	}
	return s.Leader != ""
}

// outlook says how many nodes may fail now.
func outlook(s api.ClusterStatus) string {
	voters, fit := 0, 0
	for _, n := range s.Nodes {
		if n.ID == s.Node && slices.Contains(n.Unready, "removed") {
			return "this node was removed from its instance, and what it knows of the others is old: ask another one"
		}
		if n.Voter {
			voters++
			if upToDate(n) {
				fit++
			}
		}
	}
	majority := voters/2 + 1
	if s.Leader == "" {
		return fmt.Sprintf("no leader: no writes, and reads only of what each node has; %d of %s must run and reach each other",
			majority, plural(voters, "voter", "voters"))
	}
	text := fmt.Sprintf("%d of %s up to date: ", fit, plural(voters, "voter is", "voters are"))
	spare, more := fit-majority, ""
	if fit < voters {
		more = " more"
	}
	switch {
	case spare < 0:
		return text + fmt.Sprintf("writes need %d", majority)
	case spare == 0:
		return text + "none" + more + " may fail"
	case fit == voters:
		return text + fmt.Sprintf("any %s may fail", words(spare))
	default:
		return text + words(spare) + more + " may fail"
	}
}

// words is a small number in words.
func words(n int) string {
	if n < 4 {
		return []string{"none", "one", "two", "three"}[n]
	}
	return strconv.Itoa(n)
}

// leaderOf names the node that leads, "" if none does.
func leaderOf(s api.ClusterStatus) string {
	for _, n := range s.Nodes {
		if n.Leader {
			return n.Name
		}
	}
	return ""
}

func printCluster(w io.Writer, s api.ClusterStatus) {
	fmt.Fprintln(w, outlook(s))
	fmt.Fprintf(w, "leader %s, term %d, level %d, as node %s sees it\n\n", plain(leaderOf(s)), s.Term, s.Level, plain(s.Node))
	var rows [][]string
	for _, n := range s.Nodes {
		row := []string{n.Name, nodeRole(n), nodeVote(n), "", "", "", "", "", "", "", "", n.Address, nodeState(n)}
		if n.Answers {
			copy(row[3:], []string{
				strconv.FormatUint(n.Term, 10), strconv.FormatUint(n.CommitIndex, 10), strconv.FormatUint(n.AppliedIndex, 10),
				strconv.FormatUint(n.Lag, 10), nodeContact(n), nodeDisk(n), strconv.FormatUint(n.Level, 10), n.Version,
			})
		}
		rows = append(rows, row)
	}
	table(w, "NODE ROLE VOTER TERM COMMIT APPLIED LAG CONTACT DISK LEVEL VERSION ADDRESS STATE", rows)
	for _, n := range s.Nodes {
		if sameName(s.Nodes, n.Name) > 1 {
			fmt.Fprintf(w, "%s at %s has the id %s\n", plain(n.Name), plain(n.Address), plain(n.ID))
		}
	}
}

func sameName(nodes []api.ClusterNode, name string) (count int) {
	for _, n := range nodes {
		if n.Name == name {
			count++
		}
	}
	return count
}

// nodeRole is a node's role: the leader's as the one that was asked sees it, else
// by the node's own word.
func nodeRole(n api.ClusterNode) string {
	if n.Leader {
		return "leader"
	}
	return n.Role
}

func nodeVote(n api.ClusterNode) string {
	if n.Voter {
		return "yes"
	}
	return "not yet"
}

func nodeContact(n api.ClusterNode) string {
	switch {
	case n.Leader:
		return ""
	case n.LastContact == nil:
		return "never"
	default:
		return seconds(*n.LastContact).Round(time.Millisecond).String()
	}
}

func nodeDisk(n api.ClusterNode) string {
	if n.DiskStalled {
		return "stalled"
	}
	return "fine"
}

// nodeState is whether a node can serve, in the words of its /readyz.
func nodeState(n api.ClusterNode) string {
	switch {
	case n.CopyTotal > 0:
		return fmt.Sprintf("gets a copy of the catalog: %d of %d MiB", n.CopyBytes>>20, n.CopyTotal>>20)
	case !n.Answers:
		return "no answer"
	case len(n.Unready) > 0:
		return strings.Join(n.Unready, ", ")
	default:
		return "ready"
	}
}
