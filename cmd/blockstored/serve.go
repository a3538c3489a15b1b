package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/bundle"
)

// nodeFlags are the flags of the commands that run a node.
type nodeFlags struct {
	config, listen, peerListen string
	clusterListen, join, node  string
}

func (f *nodeFlags) addConfig(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "configuration `file` (see config.example.yaml)")
}

// nodeConfig reads the configuration of a node.
func (m *Main) nodeConfig(cmd *cobra.Command, f nodeFlags) (blockstored.Config, error) {
	if m.server != "" || m.token != "" {
		return blockstored.Config{}, usageError{errors.New("--server and --token are for commands that work on a running instance")}
	}
	flags := map[string]string{}
	for name, key := range map[string]string{
		"data": "data", "listen": "listen", "peer-listen": "peer.listen",
		"cluster-listen": "cluster.listen", "node": "cluster.node", "join": "cluster.join",
	} {
		if flag := cmd.Flag(name); flag != nil && flag.Changed {
			flags[key] = flag.Value.String()
		}
	}
	return loadConfig(configSource{File: f.config, Getenv: m.Getenv, Flags: flags, UID: os.Getuid()})
}

func (m *Main) serveCommand() *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use: "serve", Short: "Run an instance until SIGINT or SIGTERM",
		Long: `Run an instance until SIGINT or SIGTERM; a second signal ends it at once. A node
that has others hands leadership over first, says at /readyz that it leaves, and
serves on for the time of "drain", so that load balancers find out.

Without --config it makes the instance on its first start. With --config it
refuses a data folder that "blockstored init" has not prepared: an empty one is
more likely a disk that is not mounted than a wish for a new instance.

With --join an empty data folder becomes a node of the instance that the token of
"blockstored cluster invite" names.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := m.nodeConfig(cmd, flags)
			if err != nil {
				return err
			}
			return m.serve(cmd.Context(), cfg, flags.config)
		},
	}
	flags.addConfig(cmd)
	cmd.Flags().StringVar(&flags.listen, "listen", "", "`address` of the API (default 127.0.0.1:18250)")
	cmd.Flags().StringVar(&flags.peerListen, "peer-listen", "", "`address` for other sites (default 127.0.0.1:18251)")
	cmd.Flags().StringVar(&flags.clusterListen, "cluster-listen", "", "`address` for the other nodes, with storage in s3 (default 127.0.0.1:18252)")
	cmd.Flags().StringVar(&flags.node, "node", "", "`name` of this node among the others (default node1)")
	cmd.Flags().StringVar(&flags.join, "join", "", "`token` of \"blockstored cluster invite\"")
	return cmd
}

// serve runs an instance until ctx ends or a fault stops it.
func (m *Main) serve(ctx context.Context, cfg blockstored.Config, configFile string) error {
	made, err := blockstored.Initialized(cfg.Data)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if configFile != "" && !made && cfg.Cluster.Join == "" {
		return bundle.Errorf(bundle.KindInvalid,
			"%s holds no instance: if its disk is mounted and it shall hold a new one, run \"blockstored init --config %s\" first",
			cfg.Data, configFile)
	}
	if cfg.Logger, err = newLogger(m.Stderr, cfg.Log); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg.Registerer, cfg.Gatherer = registry, registry
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	cfg.OnFatal = func(err error) { fail(fatalError{err}) }
	instance, err := blockstored.Open(ctx, cfg)
	if err != nil {
		return err
	}
	printErr := m.announce(cfg, instance, !made && cfg.Cluster.Join == "")
	if printErr == nil {
		<-ctx.Done()
	}
	cfg.Logger.Info("stopping")
	fatal, broken := errors.AsType[fatalError](context.Cause(ctx))
	if !broken && printErr == nil {
		instance.Leave(context.WithoutCancel(ctx)) // a second signal ends the process
	}
	err = errors.Join(printErr, instance.Close())
	if broken {
		err = errors.Join(fatal, err)
	}
	return err
}

// fatalError is a fault after which the node must not go on.
type fatalError struct{ err error }

func (e fatalError) Error() string { return "this node cannot go on: " + e.err.Error() }
func (e fatalError) Unwrap() error { return e.err }

// announced is what serve prints first.
type announced struct {
	ID      bundle.ID `json:"id"`
	Name    string    `json:"name"`
	API     string    `json:"api"`
	Socket  string    `json:"socket"`
	Peer    string    `json:"peer"`
	Cluster string    `json:"cluster"`
	Data    string    `json:"data"`
}

func (m *Main) announce(cfg blockstored.Config, i *blockstored.Instance, first bool) error {
	at := i.Addresses()
	a := announced{ID: i.ID(), Name: cfg.Name, API: at.API, Socket: at.Socket, Peer: at.Peer, Cluster: at.Cluster, Data: cfg.Data}
	return m.result(a, func(w io.Writer) {
		fmt.Fprintf(w, "%s is running, instance %s\n", a.Name, a.ID)
		for _, row := range [][2]string{{"API", a.API}, {"socket", a.Socket}, {"peers", a.Peer}, {"nodes", a.Cluster}, {"data", a.Data}} {
			if row[1] != "" {
				fmt.Fprintf(w, "  %-6s %s\n", row[0], row[1])
			}
		}
		if first {
			fmt.Fprintf(w, "It is new. In another terminal:\n"+
				"  export BLOCKSTORED_DATA=%s\n"+
				"  blockstored token create lms --role writer     # a token for the host application\n"+
				"  blockstored collection create \"My courses\"\n", quote(a.Data))
		}
	})
}

// quote returns s as one word of a shell.
func quote(s string) string {
	if strings.ContainsAny(s, " \t'\"\\$`&|;<>()*?[]#~!{}") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

func newLogger(w io.Writer, cfg blockstored.LogConfig) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "configuration: log.level: %q is not debug, info, warn or error", cfg.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch cfg.Format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, bundle.Errorf(bundle.KindInvalid, "configuration: log.format: %q is neither text nor json", cfg.Format)
}

func (m *Main) initCommand() *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use: "init", Short: "Make the data folder and the instance in it",
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := m.nodeConfig(cmd, flags)
			if err != nil {
				return err
			}
			cfg.Log.Level = "warn"
			if cfg.Logger, err = newLogger(m.Stderr, cfg.Log); err != nil {
				return err
			}
			if err := blockstored.Init(cmd.Context(), cfg); err != nil {
				return err
			}
			made := struct {
				Data string `json:"data"`
			}{cfg.Data}
			return m.result(made, func(w io.Writer) { fmt.Fprintf(w, "%s holds a new instance\n", cfg.Data) })
		},
	}
	flags.addConfig(cmd)
	return cmd
}
