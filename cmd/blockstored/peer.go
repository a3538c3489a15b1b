package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

// maxInvite bounds what is read of an invitation on standard input.
const maxInvite = 64 << 10

func (m *Main) peerCommand() *cobra.Command {
	return group("peer", "Other sites: whom we follow and who follows us",
		m.peerInviteCommand(), m.peerAcceptCommand(), m.peerListCommand(), m.peerRemoveCommand(), m.peerResumeCommand())
}

// parseSelectors reads all, collection=UUID and bundle=UUID.
func parseSelectors(flag string, texts []string) ([]api.Selector, error) {
	var out []api.Selector
	for _, text := range texts {
		scope, target, given := strings.Cut(text, "=")
		switch {
		case scope == "all" && !given:
			out = append(out, api.Selector{Scope: scope})
		case (scope == "collection" || scope == "bundle") && given:
			id, err := parseID(flag+" "+scope, target)
			if err != nil {
				return nil, err
			}
			out = append(out, api.Selector{Scope: scope, Target: id})
		default:
			return nil, usageError{fmt.Errorf("%s is all, collection=UUID or bundle=UUID, not %q", flag, text)}
		}
	}
	return out, nil
}

func (m *Main) peerInviteCommand() *cobra.Command {
	var grants, addresses []string
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "invite NAME --grant all|collection=UUID|bundle=UUID …", Short: "Print a one-shot token that lets another site follow this one",
		Args: exactly(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			selectors, err := parseSelectors("--grant", grants)
			if err != nil {
				return err
			}
			if len(selectors) == 0 {
				return usageError{errors.New("say what the other site may see: --grant all, collection=UUID or bundle=UUID")}
			}
			if expires < 0 || expires%time.Second != 0 {
				return usageError{errors.New("--expires-in is a positive number of whole seconds, like 30m")}
			}
			return m.withClient(func(c *client.Client) error {
				invitation, err := c.Invite(cmd.Context(), args[0], selectors, addresses, expires)
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
	cmd.Flags().StringArrayVar(&grants, "grant", nil, "what it may see: all, collection=UUID or bundle=UUID; may be given again")
	cmd.Flags().StringArrayVar(&addresses, "address", nil, "`URL` under which it reaches this site; may be given again")
	cmd.Flags().DurationVar(&expires, "expires-in", 0, "how long the token is good for (default 30m)")
	return cmd
}

func (m *Main) peerAcceptCommand() *cobra.Command {
	var as string
	var subscribe []string
	cmd := &cobra.Command{
		Use: "accept TOKEN|-", Short: "Accept another site's invitation; - reads it from standard input",
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			selectors, err := parseSelectors("--subscribe", subscribe)
			if err != nil {
				return err
			}
			token := args[0]
			if token == "-" {
				if token, err = m.readInvite(); err != nil {
					return err
				}
			}
			return m.withClient(func(c *client.Client) error {
				accepted, err := c.Accept(cmd.Context(), token, as, selectors)
				if err != nil {
					return err
				}
				return m.result(accepted, func(w io.Writer) { printAccepted(w, accepted) })
			})
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "what to call it here (default: what it calls itself)")
	cmd.Flags().StringArrayVar(&subscribe, "subscribe", nil, "what to follow: all, collection=UUID or bundle=UUID; may be given again")
	return cmd
}

func (m *Main) readInvite() (string, error) {
	text, err := bufio.NewReader(io.LimitReader(m.Stdin, maxInvite)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the invitation: %w", err)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", usageError{errors.New("standard input holds no invitation")}
	}
	return text, nil
}

func printAccepted(w io.Writer, a api.Accepted) {
	fmt.Fprintf(w, "%s (%s) is a peer now\n", plain(a.Name), a.Peer)
	fmt.Fprintf(w, "  it lets us see  %s\n", plain(selectorsText(a.Grants)))
	if len(a.Subscriptions) == 0 {
		fmt.Fprintf(w, "  followed        nothing yet; accept with --subscribe to follow it\n")
		return
	}
	fmt.Fprintf(w, "  followed        %s\n", plain(selectorsText(a.Subscriptions)))
}

func selectorsText(list []api.Selector) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = s.String()
	}
	return strings.Join(texts, ", ")
}

func (m *Main) peerListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the peers; status 3 if one is behind or unreachable, 4 on an alarm",
		Args: exactly(0), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withClient(func(c *client.Client) error {
				peers, err := c.Peers(cmd.Context())
				if err != nil {
					return err
				}
				syncs, err := c.SyncStatus(cmd.Context())
				if err != nil {
					return err
				}
				list := listPeers(peers, syncs)
				err = m.result(list, func(w io.Writer) {
					var rows [][]string
					for _, p := range list {
						rows = append(rows, []string{p.Name, p.State, selectorsText(p.Subscriptions), selectorsText(p.Grants),
							strings.Join(p.Addresses, ", "), p.ID.String()})
					}
					table(w, "NAME STATE FOLLOWED GRANTED ADDRESSES ID", rows)
				})
				if err != nil {
					return err
				}
				return health(syncs)
			})
		},
	}
}

// listedPeer is a peer with the state of following it.
type listedPeer struct {
	api.Peer
	State string `json:"state"`
}

func listPeers(peers []api.Peer, syncs []api.PeerSync) []listedPeer {
	states := map[bundle.ID]string{}
	for _, s := range syncs {
		states[s.Peer] = s.State
	}
	list := make([]listedPeer, len(peers))
	for i, p := range peers {
		list[i] = listedPeer{p, states[p.ID]}
	}
	return list
}

func (m *Main) peerRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove PEER", Short: "End the peering with a site; copies of its bundles stay",
		Args: exactly(1), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withClient(func(c *client.Client) error {
				if err := c.RemovePeer(cmd.Context(), args[0]); err != nil {
					return named(err, "peer", args[0])
				}
				done := map[string]string{"removed": args[0]}
				return m.result(done, func(w io.Writer) {
					fmt.Fprintf(w, "%s is no peer any more; copies of its bundles stay\n", plain(args[0]))
				})
			})
		},
	}
}

func (m *Main) peerResumeCommand() *cobra.Command {
	var alarm, released string
	cmd := &cobra.Command{
		Use: "resume PEER", Short: "End the alarms of a peer, or try a bundle again that was set aside",
		Long: "Ends the alarms of a peer, so that what it publishes is taken in again. Of a peer that was recovered and lost\n" +
			"history (ROLLBACK) that accepts the history it has now; what is here stays, also what the peer lost. With --bundle, has one bundle of it\n" +
			"that was parked or held tried again at once: for a question, such as a withdrawal of many bundles together,\n" +
			"that is the answer yes.",
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.withClient(func(c *client.Client) error {
				if released != "" {
					return m.releaseBundle(cmd.Context(), c, args[0], released)
				}
				if err := c.ResumePeer(cmd.Context(), args[0], alarm); err != nil {
					return named(err, "peer", args[0])
				}
				done := map[string]string{"resumed": args[0]}
				return m.result(done, func(w io.Writer) { fmt.Fprintf(w, "%s is followed again\n", plain(args[0])) })
			})
		},
	}
	cmd.Flags().StringVar(&alarm, "alarm", "", "end only the alarm of this `name`")
	cmd.Flags().StringVar(&released, "bundle", "", "try the bundle of this `uuid` again, and leave alarms as they are")
	cmd.MarkFlagsMutuallyExclusive("alarm", "bundle")
	return cmd
}

func (m *Main) releaseBundle(ctx context.Context, c *client.Client, peer, uuid string) error {
	id, err := parseID("--bundle", uuid)
	if err != nil {
		return err
	}
	if err := c.ReleaseBundle(ctx, peer, id); err != nil {
		return err
	}
	return m.result(map[string]string{"released": id.String()}, func(w io.Writer) { fmt.Fprintf(w, "bundle %s is tried again\n", id) })
}
