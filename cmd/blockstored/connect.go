package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/client"
)

// withClient runs f with a client of the instance that the flags or the
// environment name: that of --server, else that of --data; in the environment
// likewise; else the one in the default data folder.
func (m *Main) withClient(f func(c *client.Client) error) error {
	c, data, err := m.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	err = f(c)
	if data != "" && (errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)) && bundle.IsKind(err, bundle.KindUnavailable) {
		return bundle.Errorf(bundle.KindUnavailable,
			"no instance runs on %s: start it with \"blockstored serve --data %s\", or name another with --data or --server", data, data)
	}
	return err
}

// connect returns the client, and the data folder if the instance is on this
// machine.
func (m *Main) connect() (*client.Client, string, error) {
	server := m.server
	if server == "" && !m.dataGiven {
		server = m.Getenv(envPrefix + "SERVER")
	}
	if server != "" {
		token, err := m.findToken()
		if err != nil {
			return nil, "", err
		}
		m.warnPlain(server)
		c, err := client.New(client.Config{Server: server, Token: token, Proxy: http.ProxyFromEnvironment})
		if err != nil {
			err = usageError{err}
		}
		return c, "", err
	}
	data, err := m.findData()
	if err != nil {
		return nil, "", err
	}
	socket, err := blockstored.FindAdminSocket(data)
	if err != nil {
		return nil, "", err
	}
	c, err := client.New(client.Config{Socket: socket})
	return c, data, err
}

// findData returns the data folder: flag, environment, default.
func (m *Main) findData() (string, error) {
	if m.data != "" {
		return m.data, nil
	}
	if data := m.Getenv(envPrefix + "DATA"); data != "" {
		return data, nil
	}
	return defaultData(m.Getenv, os.Getuid())
}

func (m *Main) findToken() (string, error) {
	if m.token != "" {
		return m.token, nil
	}
	if token := m.Getenv(envPrefix + "TOKEN"); token != "" {
		return token, nil
	}
	if file := m.Getenv(envPrefix + "TOKEN_FILE"); file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%sTOKEN_FILE: %w", envPrefix, err)
		}
		return strings.TrimSpace(string(raw)), nil
	}
	return "", usageError{errors.New("give a token for the server: --token, BLOCKSTORED_TOKEN or BLOCKSTORED_TOKEN_FILE")}
}

// warnPlain tells that a token is about to cross a network in clear text.
func (m *Main) warnPlain(server string) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		m.note("warning: the token goes to %s in clear text; use https", u.Host)
	}
}
