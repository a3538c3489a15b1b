package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
)

// The exit codes of the program.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2 // the command line is wrong
	exitDegraded = 3 // it works, but is behind or degraded
	exitAlarm    = 4 // a peer's log lied; an operator is needed
)

// Main is the program. Tests start it as the shell does.
type Main struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string

	// The flags that every command has.
	data, server, token, format string
	dataGiven                   bool // --data stands on the command line
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// statusError ends a command that did its work with another code than 0; what
// there is to say was said.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// Run runs one command and returns its exit code. It returns when everything
// it started has ended; cancelling ctx ends it early, and a server in order.
func (m *Main) Run(ctx context.Context, args []string) int {
	root := m.rootCommand()
	root.SetArgs(args)
	root.SetIn(m.Stdin)
	root.SetOut(m.Stdout)
	root.SetErr(m.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if status, ok := errors.AsType[statusError](err); ok {
		return int(status)
	}
	fmt.Fprintf(m.Stderr, "blockstored: %s\n", describe(err))
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(m.Stderr, "%q tells how to use it.\n", cmd.CommandPath()+" --help")
		return exitUsage
	}
	return exitFailed
}

// describe returns the error's text with what a person needs beside it.
func describe(err error) string {
	text := err.Error()
	if c, ok := errors.AsType[*api.ConflictError](err); ok {
		var all []string
		for _, one := range c.Conflicts {
			all = append(all, one.String())
		}
		text += ": " + strings.Join(all, ", ")
	}
	if e, ok := errors.AsType[*bundle.Error](err); ok {
		if url := e.Fields["primary_url"]; url != "" {
			text += " (" + url + ")"
		}
	}
	if errors.Is(err, context.Canceled) {
		text = "interrupted"
	}
	return text
}

func (m *Main) rootCommand() *cobra.Command {
	root := group("blockstored", "Versioned content that several sites share",
		m.serveCommand(), m.initCommand(), m.demoCommand(), m.tokenCommand(), m.collectionCommand(), m.bundleCommand(),
		m.peerCommand(), m.syncCommand(), m.clusterCommand(), m.versionCommand())
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentPreRunE = m.checkFlags
	flags := root.PersistentFlags()
	flags.StringVar(&m.data, "data", "", "data `folder` of the instance on this machine (BLOCKSTORED_DATA)")
	flags.StringVar(&m.server, "server", "", "`URL` of an instance elsewhere (BLOCKSTORED_SERVER)")
	flags.StringVar(&m.token, "token", "", "token for --server (BLOCKSTORED_TOKEN, BLOCKSTORED_TOKEN_FILE)")
	flags.StringVar(&m.format, "format", "table", "how to print results: table or json")
	return root
}

func (m *Main) checkFlags(cmd *cobra.Command, _ []string) error {
	m.dataGiven = cmd.Flags().Changed("data")
	if m.format != "table" && m.format != "json" {
		return usageError{fmt.Errorf("--format is table or json, not %q", m.format)}
	}
	if m.dataGiven && m.server != "" {
		return usageError{errors.New("--data is for an instance on this machine, --server for one elsewhere: give one of them")}
	}
	return nil
}

// group returns a command that only has commands below it.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			text := fmt.Sprintf("there is no command %q", cmd.CommandPath()+" "+args[0])
			cmd.SuggestionsMinimumDistance = 2
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				text += fmt.Sprintf("; did you mean %q?", near[0])
			}
			return usageError{errors.New(text)}
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.HasParent() {
				return usageError{fmt.Errorf("say what to do: %s", subcommands(cmd))}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(subs...)
	return cmd
}

func subcommands(cmd *cobra.Command) string {
	text := ""
	for _, sub := range cmd.Commands() {
		if text != "" {
			text += ", "
		}
		text += sub.Name()
	}
	return text
}

// exactly accepts the arguments that the command's Use line names.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("use it like this: %s", cmd.UseLine())}
		}
		return nil
	}
}
