package rest

import (
	"context"
	"net/http"
	"time"
)

// Nodes are the nodes of the instance that an operator governs; one is named by
// its name or id. Errors carry a bundle.Kind and a text for the operator.
type Nodes interface {
	Invite(ctx context.Context, expiresIn time.Duration) (NodeInvitation, error) // 0 for the default
	Remove(ctx context.Context, node string) error
	AddVoter(ctx context.Context, node string) error
	TransferLeadership(ctx context.Context, node string) error // "" for any other
}

// NodeInvitation is a token to be handed to a node in confidence.
type NodeInvitation struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
	Warnings  []string  `json:"warnings"` // what may keep a node from using it
}

// ClusterStatus is the node that answers and what it knows of the others.
type ClusterStatus struct {
	Node         string        `json:"node"`
	State        string        `json:"state"`
	Leader       string        `json:"leader"` // "" if none is known
	Term         uint64        `json:"term"`
	CommitIndex  uint64        `json:"commit_index"`
	AppliedIndex uint64        `json:"applied_index"`
	LogEntries   uint64        `json:"log_entries"`
	Level        uint64        `json:"level"` // of commands, in force; it rises when all nodes understand more
	Nodes        []ClusterNode `json:"nodes"`
}

// ClusterNode is one node of the instance.
type ClusterNode struct {
	ID      string `json:"id"` // name and incarnation
	Name    string `json:"name"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"`
	Leader  bool   `json:"leader"`

	Answers      bool     `json:"answers"`       // just now; if not, what follows is empty
	Role         string   `json:"role"`          // leader, follower or candidate, by its own word
	Term         uint64   `json:"term"`          // it is in
	CommitIndex  uint64   `json:"commit_index"`  // last entry of the log that it knows to be committed
	AppliedIndex uint64   `json:"applied_index"` // last entry of the log in its catalog
	Lag          uint64   `json:"lag"`           // entries that any node knows to be committed and that are not in its catalog
	LastContact  *float64 `json:"last_contact"`  // seconds since it heard its leader, 0 on the leader; nil: never
	DiskStalled  bool     `json:"disk_stalled"`  // a write to its log hangs
	Unready      []string `json:"unready"`       // reasons why it should get no requests, as its /readyz names them
	Version      string   `json:"version"`       // of its program
	Level        uint64   `json:"level"`         // highest level of commands that its program understands

	// While the leader makes or sends it a copy of the catalog, the bytes of the
	// database that were made or sent, and in all; 0 of all before that is known.
	CopyBytes int64 `json:"copy_bytes,omitempty"`
	CopyTotal int64 `json:"copy_total,omitempty"`
}

// nodes returns the nodes, or the refusal of a process that has none.
func (x *exchange) nodes() (Nodes, error) {
	if x.cfg.Nodes == nil {
		return nil, unavailable("Changing the nodes of the instance")
	}
	return x.cfg.Nodes, nil
}

func inviteNode(x *exchange) error {
	var in struct {
		ExpiresIn float64 `json:"expires_in"` // seconds
	}
	if err := x.decode(&in); err != nil {
		return err
	}
	ttl, err := lifetime(in.ExpiresIn)
	if err != nil {
		return err
	}
	nodes, err := x.nodes()
	if err != nil {
		return err
	}
	made, err := nodes.Invite(x.r.Context(), ttl)
	if err != nil {
		return err
	}
	made.Warnings = append([]string{}, made.Warnings...)
	return x.show(http.StatusCreated, made)
}

func removeNode(x *exchange) error {
	nodes, err := x.nodes()
	if err == nil {
		err = nodes.Remove(x.r.Context(), x.r.PathValue("node"))
	}
	if err != nil {
		return err
	}
	return x.done()
}

func addVoter(x *exchange) error {
	nodes, err := x.nodes()
	if err == nil {
		err = nodes.AddVoter(x.r.Context(), x.r.PathValue("node"))
	}
	if err != nil {
		return err
	}
	return x.done()
}

func transferLeadership(x *exchange) error {
	var in struct {
		Node string `json:"node"`
	}
	if err := x.decode(&in); err != nil {
		return err
	}
	nodes, err := x.nodes()
	if err == nil {
		err = nodes.TransferLeadership(x.r.Context(), in.Node)
	}
	if err != nil {
		return err
	}
	return x.done()
}
