// Command embedded is a web host that keeps its pages in a blockstored instance
// inside its own process: pages are staged, published together as a version,
// and every version can be read again.
//
//	go run ./examples/embedded --data /tmp/pages
//	curl -T about.txt http://127.0.0.1:18300/pages/about
//	curl -X POST http://127.0.0.1:18300/publish
//	curl http://127.0.0.1:18300/pages/about
//
// It listens on loopback and lets whoever reaches it write: a real host asks
// who is there first.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/blockstored/blockstored"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embedded:", err)
		os.Exit(1)
	}
}

// run serves the pages until ctx ends, and closes everything it opened.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("embedded", flag.ContinueOnError)
	data := flags.String("data", "pages-data", "folder that the pages are kept in")
	listen := flags.String("listen", "127.0.0.1:18300", "address of the web host")
	if err := flags.Parse(args); err != nil {
		return err
	}

	cfg := blockstored.DefaultConfig(*data)
	cfg.Name = "pages"
	cfg.Listen, cfg.Peer.Listen = "", "" // this host listens itself; no other site follows it
	inst, err := blockstored.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inst.Close()) }()

	site, err := newSite(ctx, inst)
	if err != nil {
		return err
	}
	return serve(ctx, *listen, handler(site, inst), out)
}

// handler serves the pages, and beside them the store's own API for whoever
// has a token: blockstored token create NAME --data DIR.
func handler(s *site, inst *blockstored.Instance) http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/api/", "/admin/", "/files/", "/health/"} {
		mux.Handle(path, inst.Handler())
	}
	mux.Handle("/", http.NewCrossOriginProtection().Handler(s.routes()))
	return mux
}

func serve(ctx context.Context, addr string, h http.Handler, out io.Writer) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	fmt.Fprintf(out, "pages at http://%s/\n", ln.Addr())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = srv.Shutdown(grace)
	<-served // Serve has returned: nothing asks the store any more
	return err
}
