package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/blockstored/blockstored/bench/site"
)

// nginxName is the rival that targets are held against.
const nginxName = "nginx"

// rival is another server of the same bytes.
type rival struct {
	name, base string
	api        *site.API
}

// startRivals serves a folder with what there is here: Go's own file server,
// in this process, and, as the last one, nginx. The caller calls stop.
func (b *bench) startRivals(ctx context.Context, folder string) ([]rival, func() error, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(folder)), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	stop := func() error {
		err := server.Close()
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		return err
	}
	rivals := []rival{newRival("Go's FileServer in this process", "http://"+ln.Addr().String())}
	path, err := exec.LookPath("nginx")
	if err != nil {
		b.skip(nginxName, "not in the PATH (Debian's package is nginx-light)")
		return rivals, stop, nil
	}
	nginx, end, err := b.startNginx(ctx, path, folder)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return append(rivals, nginx), func() error { return errors.Join(end(), stop()) }, nil
}

func newRival(name, base string) rival {
	return rival{name: name, base: base, api: site.NewAPI(base, "none")}
}

// nginxConfig runs in the foreground as the user who started it, with one
// worker, as a reader from the page cache would be set up.
const nginxConfig = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx.log;
events {}
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_body_temp_path %[1]s/nginx-body;
  proxy_temp_path %[1]s/nginx-proxy;
  fastcgi_temp_path %[1]s/nginx-fastcgi;
  uwsgi_temp_path %[1]s/nginx-uwsgi;
  scgi_temp_path %[1]s/nginx-scgi;
  server { listen %[2]s; root %[3]s; }
}
`

func (b *bench) startNginx(ctx context.Context, program, folder string) (rival, func() error, error) {
	address, err := site.FreeAddress(ctx)
	if err != nil {
		return rival{}, nil, err
	}
	config := filepath.Join(b.dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, b.dir, address, folder), 0o600); err != nil {
		return rival{}, nil, err
	}
	cmd := exec.Command(program, "-p", b.dir, "-c", config)
	if err := cmd.Start(); err != nil {
		return rival{}, nil, err
	}
	end := func() error {
		_ = cmd.Process.Kill() // it holds nothing
		_ = cmd.Wait()         // as killed
		return nil
	}
	r := newRival(nginxName, "http://"+address)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err = r.api.Discard(ctx, r.base+"/page.bin"); err == nil {
			return r, end, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return rival{}, nil, errors.Join(fmt.Errorf("nginx (see %s/nginx.log): %w", b.dir, err), end())
		}
		<-tick.C
	}
}
