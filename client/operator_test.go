package client_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/api/apitest"
	"github.com/blockstored/blockstored/blockstoredtest"
	"github.com/blockstored/blockstored/client"
)

func TestOperatorsWorkTheSameInTheProcessAndElsewhere(t *testing.T) {
	for name, way := range map[string]func(t *testing.T, k *blockstoredtest.Kit) api.Operator{
		"in the process":        func(_ *testing.T, k *blockstoredtest.Kit) api.Operator { return k.Instance },
		"over the admin socket": func(_ *testing.T, k *blockstoredtest.Kit) api.Operator { return k.Admin },
		"over TCP with a token": func(t *testing.T, k *blockstoredtest.Kit) api.Operator {
			return operatorOf(t, k, client.Config{Server: k.URL})
		},
		"over the socket for hosts": func(t *testing.T, k *blockstoredtest.Kit) api.Operator {
			return operatorOf(t, k, client.Config{Socket: k.Config.Socket.Path})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apitest.RunOperator(t, way(t, listening(t)), way(t, listening(t)))
		})
	}
}

// listening returns a fresh instance with the socket for hosts.
func listening(t *testing.T) *blockstoredtest.Kit {
	t.Helper()
	dir, err := os.MkdirTemp("", "bs") // the test's own folder has too long a name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return blockstoredtest.New(t, func(c *blockstored.Config) { c.Socket.Path = filepath.Join(dir, "s") })
}

// operatorOf returns a client with an operator's token.
func operatorOf(t *testing.T, k *blockstoredtest.Kit, cfg client.Config) api.Operator {
	t.Helper()
	token, err := k.Instance.CreateToken(t.Context(), "suite", "operator", 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Token = token.Token
	return connect(t, cfg)
}

// What one way makes, each other way shows as the same.
func TestEveryWayShowsOperatorsTheSame(t *testing.T) {
	k, other := listening(t), listening(t)
	all := []api.Selector{{Scope: "all"}}
	in, err := k.Admin.Invite(t.Context(), "south", all, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Instance.Accept(t.Context(), in.Token, "north", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Instance.Invite(t.Context(), "west", all, nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := k.Instance.AdoptToken(t.Context(), "brought", "reader", "0123456789-0123456789-0123456789", 0); err != nil {
		t.Fatal(err)
	}
	remote := operatorOf(t, k, client.Config{Server: k.URL})
	for what, ask := range map[string]func(o api.Operator) (any, error){
		"invitations": func(o api.Operator) (any, error) { return o.Invites(t.Context()) },
		"peers":       func(o api.Operator) (any, error) { return o.Peers(t.Context()) },
		"peer":        func(o api.Operator) (any, error) { return o.Peer(t.Context(), "south") },
		"no peer":     func(o api.Operator) (any, error) { return o.Peer(t.Context(), "east") },
		"no role":     func(o api.Operator) (any, error) { return o.CreateToken(t.Context(), "", "king", -1e9) },
		"no key":      func(o api.Operator) (any, error) { return nil, o.AdoptToken(t.Context(), "x", "reader", "", 0) },
		"no token":    func(o api.Operator) (any, error) { return nil, o.RevokeToken(t.Context(), "nobody") },
		"no scope": func(o api.Operator) (any, error) {
			return nil, o.SetGrants(t.Context(), "south", []api.Selector{{Scope: "x"}})
		},
	} {
		here, errHere := ask(k.Instance)
		there, errThere := ask(remote)
		if a, b := fmt.Sprintf("%+v", there), fmt.Sprintf("%+v", here); !reflect.DeepEqual(there, here) {
			t.Errorf("%s: over TCP\n%s\nin the process\n%s", what, a, b)
		}
		if (errHere == nil) != (errThere == nil) || errHere != nil && errHere.Error() != errThere.Error() {
			t.Errorf("%s: %v over TCP, %v in the process", what, errThere, errHere)
		}
	}
}
