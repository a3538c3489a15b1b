package site

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// admin gives a command to this site as its operator does, by the data folder.
func (s *Site) admin() []string { return []string{"BLOCKSTORED_DATA=" + s.data} }

// Command runs any command as this site's operator and returns its output.
func (s *Site) Command(ctx context.Context, args ...string) ([]byte, error) {
	return s.cfg.Program.run(ctx, s.admin(), args...)
}

// API returns a client of the host's API with a token of its own.
func (s *Site) API(ctx context.Context) (*API, error) {
	if s.api != nil {
		return s.api, nil
	}
	var created struct{ Token string }
	if err := s.cfg.Program.runJSON(ctx, s.admin(), &created, "token", "create", "bench", "--role", "writer"); err != nil {
		return nil, err
	}
	if created.Token == "" {
		return nil, fmt.Errorf("token create at %s answered no token", s.cfg.Name)
	}
	s.api = NewAPI(s.URL(), created.Token)
	return s.api, os.WriteFile(s.tokenFile(), []byte(created.Token), 0o600)
}

func (s *Site) tokenFile() string { return filepath.Join(s.cfg.Dir, "token") }

// CreateCollection returns the new collection's uuid.
func (s *Site) CreateCollection(ctx context.Context, title string) (string, error) {
	var c struct{ UUID string }
	err := s.cfg.Program.runJSON(ctx, s.admin(), &c, "collection", "create", title)
	return c.UUID, err
}

// Published is what `bundle publish` says it did.
type Published struct {
	Bundle  string `json:"bundle"`
	Version int    `json:"version"`

	Changed   int   `json:"changed"`    // paths
	SentFiles int64 `json:"sent_files"` // contents the site lacked
	SentBytes int64 `json:"sent_bytes"` // their size
}

// Publish publishes a folder with the command line, over TCP through the
// address via if that is not empty. An empty bundle makes a new one.
func (s *Site) Publish(ctx context.Context, dir, collection, bundle, title, via string) (Published, error) {
	var p Published
	args := []string{"bundle", "publish", dir, "--collection", collection}
	if bundle != "" {
		args = append(args, "--bundle", bundle)
	} else {
		args = append(args, "--title", title)
	}
	env := s.admin()
	if via != "" {
		if _, err := s.API(ctx); err != nil {
			return p, err
		}
		env = []string{"BLOCKSTORED_SERVER=" + via, "BLOCKSTORED_TOKEN_FILE=" + s.tokenFile()}
	}
	err := s.cfg.Program.runJSON(ctx, env, &p, args...)
	if err == nil && (p.Bundle == "" || p.Version == 0) {
		err = fmt.Errorf("bundle publish answered neither bundle nor version: %+v", p)
	}
	return p, err
}

// Download writes a version's files below dir with the command line.
func (s *Site) Download(ctx context.Context, bundle string, version int, dir string) error {
	_, err := s.Command(ctx, "bundle", "download", fmt.Sprintf("%s@%d", bundle, version), dir)
	return err
}

// Follow makes s follow everything that primary publishes, from now on.
func (s *Site) Follow(ctx context.Context, primary *Site) error {
	token, err := primary.Command(ctx, "peer", "invite", s.cfg.Name, "--grant", "all", "--address", primary.peerAddress())
	if err != nil {
		return err
	}
	_, err = s.Command(ctx, "peer", "accept", string(bytes.TrimSpace(token)), "--subscribe", "all")
	return err
}

func (s *Site) peerAddress() string {
	if s.cfg.PeerAddress != "" {
		return s.cfg.PeerAddress
	}
	return "http://" + s.cfg.PeerListen
}
