package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

// site is one instance of the demo: its own data folder, listeners and token,
// asked over HTTP as a host application would.
type site struct {
	name, dir string
	inst      *blockstored.Instance
	admin     *client.Client // over the operators' socket
	client    *client.Client // over TCP, with a writer's token
	token     string
}

// openSite opens the instance in dir, making it on the first call.
func openSite(ctx context.Context, name, dir string) (*site, error) {
	cfg := blockstored.DefaultConfig(dir)
	cfg.Name = name
	cfg.Listen, cfg.Peer.Listen = "127.0.0.1:0", "127.0.0.1:0"
	inst, err := blockstored.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	s := &site{name: name, dir: dir, inst: inst}
	if err := s.connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), s.close())
	}
	return s, nil
}

func (s *site) connect(ctx context.Context) error {
	socket, err := blockstored.FindAdminSocket(s.dir)
	if err != nil {
		return err
	}
	if s.admin, err = client.New(client.Config{Socket: socket}); err != nil {
		return err
	}
	token, err := s.admin.CreateToken(ctx, "demo-"+bundle.NewID().String()[:8], "writer", 0)
	if err != nil {
		return err
	}
	s.token = token.Token
	s.client, err = client.New(client.Config{Server: s.inst.Addresses().API, Token: s.token})
	return err
}

// close stops the site. It may be called more than once, and for a site that
// was never opened.
func (s *site) close() error {
	if s == nil {
		return nil
	}
	for _, c := range []*client.Client{s.admin, s.client} {
		if c != nil {
			c.Close()
		}
	}
	return s.inst.Close()
}

func (s *site) invite(ctx context.Context, peer string) (string, error) {
	in, err := s.admin.Invite(ctx, peer, []api.Selector{{Scope: "all"}}, nil, 0)
	return in.Token, err
}

func (s *site) accept(ctx context.Context, token string) error {
	_, err := s.admin.Accept(ctx, token, "", []api.Selector{{Scope: "all"}})
	return err
}

// received returns the bytes that came over the wire from peers so far.
func (s *site) received(ctx context.Context) (int64, error) {
	peers, err := s.admin.SyncStatus(ctx)
	var n int64
	for _, p := range peers {
		n += p.BytesReceived
	}
	return n, err
}

// waitVersion returns when this site first answered that it has the version.
func (s *site) waitVersion(ctx context.Context, b bundle.ID, version uint64) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		found, err := s.client.Bundle(ctx, b)
		switch {
		case err == nil && found.Newest() >= version:
			return time.Now(), nil
		case err != nil && !bundle.IsKind(err, bundle.KindNotFound):
			return time.Time{}, err
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("version %d did not appear at %s within %s", version, s.name, demoPatience)
		case <-tick.C:
		}
	}
}

// compare holds every byte of a version at this site against a folder.
func (s *site) compare(ctx context.Context, b bundle.ID, version uint64, dir string) (files int, total int64, err error) {
	shown, err := s.client.Version(ctx, b, version)
	if err != nil {
		return 0, 0, err
	}
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		want, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		if err != nil {
			return err
		}
		r, err := s.client.OpenVersionFile(ctx, b, version, path, api.Range{})
		if err != nil {
			return fmt.Errorf("%s at %s: %w", path, s.name, err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("%s at %s: %w", path, s.name, err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s differs at %s: %d bytes there, %d published", path, s.name, len(got), len(want))
		}
		files++
		total += int64(len(got))
		return nil
	})
	if err == nil && files != len(shown.Snapshot.Files) {
		err = fmt.Errorf("%s shows %d files, the folder has %d", s.name, len(shown.Snapshot.Files), files)
	}
	return files, total, err
}
