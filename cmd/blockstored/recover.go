package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored"
)

func (m *Main) clusterRecoverCommand() *cobra.Command {
	var flags nodeFlags
	var yes bool
	var abandon uint64
	cmd := &cobra.Command{
		Use: "recover", Short: "Go on from this node alone, when most nodes are gone for good",
		Long: `Makes the node in --data, which must not run, the only one of its instance, and
begins a new generation. It is the way out when most nodes are gone for good: no
vote can be held any more, and nothing else gives the instance its writes back.

All that this node has is kept, also what it could not know to be acknowledged;
what only the lost nodes had is gone. If several are left, run this on each
without --yes, and go on with the one whose log ends in the highest term, then
at the highest entry. The others join it again with empty data folders and a
token of "blockstored cluster invite".

The lost nodes must not run again. The storage is claimed for the new
generation: who starts on it refuses, and a leader that still runs stops within
a minute. Sites that follow this one go on by themselves, or raise ROLLBACK if
something they have is lost; "blockstored peer resume" there goes on.

It says what it will do, and asks. If it is interrupted, run it again.`,
		Args: exactly(0), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := m.nodeConfig(cmd, flags)
			if err != nil {
				return err
			}
			cfg.Log.Level = "warn"
			if cfg.Logger, err = newLogger(m.Stderr, cfg.Log); err != nil {
				return err
			}
			r, err := blockstored.Recover(cmd.Context(), cfg, blockstored.RecoverOptions{
				AbandonGeneration: abandon,
				Confirm:           func(r blockstored.Recovery) error { return m.confirmRecovery(cmd.Context(), r, yes) },
			})
			if err != nil {
				return err
			}
			return m.result(r, func(w io.Writer) {
				fmt.Fprintf(w, "%s is the only node of the instance now, in generation %d. Start it, and let others join with empty data folders:\n"+
					"  blockstored serve --data %s …\n  blockstored cluster invite --data %s\n", plain(r.NewNode), r.Generation, quote(cfg.Data), quote(cfg.Data))
			})
		},
	}
	flags.addConfig(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().Uint64Var(&abandon, "abandon-generation", 0, "go on although this generation, a `number`, was begun on another node; none of its nodes must be left")
	return cmd
}

// confirmRecovery tells a person what will be done and asks.
func (m *Main) confirmRecovery(ctx context.Context, r blockstored.Recovery, yes bool) error {
	lost := "none"
	if len(r.Lost) > 0 {
		lost = strings.Join(r.Lost, ", ")
	}
	renewed := "by nobody"
	if r.ClaimRenewedAt != nil {
		age := time.Since(*r.ClaimRenewedAt)
		renewed = span(age) + " ago"
		if age < 2*time.Minute {
			renewed += "; a leader does so each minute, so see that none runs"
		}
	}
	m.note("This node becomes the only one of its instance, and what only others have is lost.")
	for _, row := range [][2]string{
		{"instance", r.Instance.String()},
		{"generation", strconv.FormatUint(r.Generation, 10)},
		{"node", r.Node + ", from now on " + r.NewNode},
		{"given up", lost},
		{"log", fmt.Sprintf("ends in term %d at entry %d, of which %d are applied; the rest will be", r.LastTerm, r.LastIndex, r.AppliedIndex)},
		{"storage", "claimed last " + renewed},
	} {
		m.note("  %-10s  %s", row[0], plain(row[1]))
	}
	if r.Resumed {
		m.note("An earlier recovery was cut short; this goes on with it.")
	}
	if yes {
		return nil
	}
	if !isTerminal(m.Stdin) {
		return usageError{errors.New("nothing was changed: give --yes to go on")}
	}
	m.note("The nodes that are given up must never run again. Type yes to go on:")
	if line, err := readLine(ctx, m.Stdin); err != nil || strings.TrimSpace(line) != "yes" {
		return errors.Join(err, errors.New("nothing was changed"))
	}
	return nil
}

// readLine reads a line, or ends with ctx; the reading then ends with the program.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(r).ReadString('\n')
		got <- answer{line, err}
	}()
	select {
	case a := <-got:
		return a.line, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
