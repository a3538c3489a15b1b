package main

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/client"
)

func (m *Main) syncCommand() *cobra.Command {
	return group("sync", "Following other sites", &cobra.Command{
		Use: "status", Short: "Show how far each peer is followed; status 3 if behind or degraded, 4 on an alarm",
		Args: exactly(0), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.withClient(func(c *client.Client) error {
				peers, err := c.SyncStatus(cmd.Context())
				if err != nil {
					return err
				}
				if peers == nil {
					peers = []api.PeerSync{}
				}
				if err := m.result(peers, func(w io.Writer) { printSync(w, peers) }); err != nil {
					return err
				}
				return health(peers)
			})
		},
	})
}

// fineStates are the states of following a peer that call for nobody. standby:
// another node of the instance follows it.
var fineStates = []string{"following", "idle", "standby"}

// health is the exit status that the state of following others calls for.
func health(peers []api.PeerSync) error {
	degraded := false
	for _, p := range peers {
		if len(p.Alarms) > 0 || p.State == "alarmed" {
			return statusError(exitAlarm)
		}
		degraded = degraded || len(p.Parked) > 0 || !slices.Contains(fineStates, p.State)
	}
	if degraded {
		return statusError(exitDegraded)
	}
	return nil
}

func printSync(w io.Writer, peers []api.PeerSync) {
	if len(peers) == 0 {
		fmt.Fprintln(w, "no peers: \"blockstored peer accept\" makes one")
		return
	}
	var rows [][]string
	for _, p := range peers {
		age := ""
		if p.CheckpointIssuedAt != nil {
			age = span(seconds(p.CheckpointAge)) + " ago"
		}
		rows = append(rows, []string{
			p.Name, p.State, fmt.Sprintf("%d/%d", p.Cursor, p.CheckpointSize), lag(p), age, countsText(p.Bundles),
			formatBytes(p.BytesReceived), formatBytes(p.BytesUseful),
		})
	}
	table(w, "PEER STATE RECORDS LAG CHECKPOINT BUNDLES RECEIVED USEFUL", rows)
	for _, p := range peers {
		printTroubles(w, p)
	}
}

// lag says how much is published and not visible here yet.
func lag(p api.PeerSync) string {
	if p.LagRecords == 0 {
		return "none"
	}
	return fmt.Sprintf("%d, %s", p.LagRecords, span(seconds(p.Lag)))
}

func countsText(counts map[string]int64) string {
	var texts []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[state]; n > 0 {
			texts = append(texts, strconv.FormatInt(n, 10)+" "+state)
		}
	}
	return strings.Join(texts, ", ")
}

// printTroubles says what a person has to look at, and what is under way.
func printTroubles(w io.Writer, p api.PeerSync) {
	name := plain(p.Name)
	if t := p.Progress; t != nil {
		fmt.Fprintf(w, "%s: fetching %d of %d files, %s of %s, %s/s\n",
			name, t.Files, t.FilesTotal, formatBytes(t.Bytes), formatBytes(t.BytesTotal), formatBytes(int64(t.BytesPerSecond)))
	}
	for _, a := range p.Alarms {
		fmt.Fprintf(w, "%s: ALARM %s since %s: %s\n", name, a.Alarm, stamp(a.RaisedAt), plain(a.Detail))
	}
	for _, b := range p.Parked {
		kind := "parked"
		if b.Held {
			kind = "held"
		}
		fmt.Fprintf(w, "%s: bundle %s is %s since %s: %s: %s\n", name, b.Bundle, kind, stamp(b.Since), b.Reason, plain(b.Detail))
	}
	if p.LastError != "" {
		fmt.Fprintf(w, "%s: last error: %s\n", name, plain(p.LastError))
	}
}

// build is what version prints.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (m *Main) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: exactly(0), DisableFlagsInUseLine: true,
		RunE: func(*cobra.Command, []string) error {
			b := build{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				b.Version = info.Main.Version
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						b.Revision = s.Value
					}
				}
			}
			return m.result(b, func(w io.Writer) {
				fmt.Fprintf(w, "blockstored %s (revision %s, %s, %s)\n", b.Version, plain(b.Revision), b.Go, b.Platform)
			})
		},
	}
}
