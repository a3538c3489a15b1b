package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// NodeStatus is a node of the cluster as another one sees it.
type NodeStatus struct {
	ID      string // name and incarnation
	Name    string
	Address string
	Voter   bool
	Leader  bool

	Answers     bool          // it answered the question how it is; else what follows is 0
	Role        string        // as in Stats, by its own word
	Term        uint64        // it is in
	Commit      uint64        // last entry that it knows to be committed
	Applied     uint64        // last entry in its catalog
	Lag         uint64        // entries that any node knows to be committed and that are not in its catalog
	LastContact time.Duration // since it heard its leader: 0 on the leader, negative if it never did
	Stalled     bool          // its disk does not answer
	Unready     []string      // the names of the reasons why it should get no requests, see [Node.Unready]
	Version     string        // of its program
	Level       uint64        // the highest that its program understands

	// Copy is the copy of the catalog that the leader makes or sends for the
	// node; nil if there is none.
	Copy *Copy
}

// Nodes asks all nodes of the cluster how they are, each for a heartbeat timeout
// at most, and returns them in the order in which they joined.
func (n *Node) Nodes(ctx context.Context) []NodeStatus {
	members := n.servers()
	_, leader := n.raft.LeaderWithID()
	out := make([]NodeStatus, len(members))
	var sending []Copy // by the leader
	var asking sync.WaitGroup
	for k, m := range members {
		out[k] = NodeStatus{ID: string(m.ID), Name: nodeName(string(m.ID)), Address: string(m.Address), Voter: m.Suffrage == raft.Voter, Leader: m.ID == leader}
		asking.Go(func() {
			h, err := n.health(), error(nil)
			if m.ID != n.id {
				h, err = n.healthOf(ctx, m.ID)
			}
			if err != nil {
				return
			}
			s := &out[k]
			if s.Leader {
				sending = h.Sending // nobody else reads or writes it before all are done
			}
			s.Answers, s.Role, s.Term, s.Commit, s.Applied = true, h.Role, h.Term, h.Commit, h.Applied
			s.LastContact, s.Stalled, s.Unready = time.Duration(h.Contact)*time.Millisecond, h.Stalled, h.Unready
			s.Version, s.Level = h.Version, levelOf(h.Level)
		})
	}
	asking.Wait()
	commit := n.raft.CommitIndex()
	for _, s := range out {
		commit = max(commit, s.Commit)
	}
	for k := range out {
		if s := &out[k]; s.Answers {
			s.Lag = max(commit, s.Applied) - s.Applied
		}
	}
	for _, c := range sending {
		for k := range out {
			if out[k].ID == c.Node {
				out[k].Copy = &c
			}
		}
	}
	return out
}

// nodeName is the name in a node's id.
func nodeName(id string) string {
	who, err := parseNode(id)
	if err != nil {
		return id
	}
	return who.name
}

// Change is what an operator can do to a member.
type Change string

const (
	ChangeRemove Change = "remove" // see [Node.Remove]
	ChangeVote   Change = "vote"   // see [Node.AddVoter]
	ChangeLead   Change = "lead"   // see [Node.TransferLeadership]
)

// memberChange is a change on the wire.
type memberChange struct {
	Change Change `json:"change"`
	Node   string `json:"node"`
}

// ChangeMember carries out a change of the member that id or, if only one has
// it, a name says, through the leader wherever that is; for ChangeLead "" is any
// other voter. While there is no leader it tries again for a few election
// timeouts. Errors are those of the method that the change names, and
// KindNotFound if there is no such member.
func (n *Node) ChangeMember(ctx context.Context, c Change, node string) error {
	ctx, cancel := context.WithTimeout(ctx, n.rpcLimit)
	defer cancel()
	patience := time.NewTimer(n.patience)
	defer patience.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := n.changeOnce(ctx, c, node)
		if _, again := errors.AsType[elsewhere](err); !again {
			return err
		}
		select {
		case <-tick.C:
		case <-patience.C:
			return plain(err)
		case <-ctx.Done():
			return plain(err)
		case <-n.closing:
			return plain(err)
		}
	}
}

// changeOnce carries out a change here or through the leader. The error is
// elsewhere if certainly nothing was done and the leader may be another by now.
func (n *Node) changeOnce(ctx context.Context, c Change, node string) error {
	err := n.changeHere(ctx, c, node)
	if _, follows := errors.AsType[elsewhere](err); !follows {
		return err
	}
	_, leader := n.raft.LeaderWithID()
	if leader == "" || leader == n.id {
		return elsewhere{n.noLeader(nil)}
	}
	body, err := json.Marshal(memberChange{c, node})
	if err != nil {
		return err
	}
	_, _, err = n.peers.call(ctx, leader, http.MethodPost, callMembers, body)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[unreached](err); ok {
		return elsewhere{bundle.Errorf(bundle.KindUnavailable, "the leader could not be reached, and nothing was changed; retry in a moment: %w", e.err)}
	}
	if _, ok := errors.AsType[*bundle.Error](err); ok {
		return err // the leader's own word
	}
	return bundle.Errorf(bundle.KindUnavailable, "the change of members was not confirmed; look at the members and retry: %w", err)
}

// changeHere carries out a change on this node, which must lead; else the error
// is elsewhere.
func (n *Node) changeHere(ctx context.Context, c Change, node string) error {
	if err := n.stopped(); err != nil {
		return err
	}
	if n.raft.State() != raft.Leader {
		return elsewhere{n.notLeader()}
	}
	var m raft.Server
	if node != "" || c != ChangeLead {
		var err error
		if m, err = n.memberNamed(node); err != nil {
			return err
		}
	}
	switch c {
	case ChangeRemove:
		if m.ID == n.id && n.otherVoters() > 0 {
			// The instance is not to be without a leader: the next one does it.
			if err := n.TransferLeadership(ctx, ""); err == nil {
				return elsewhere{n.notLeader()}
			}
		}
		return n.Remove(ctx, string(m.ID))
	case ChangeVote:
		return n.AddVoter(ctx, string(m.ID), string(m.Address))
	case ChangeLead:
		return n.TransferLeadership(ctx, string(m.ID))
	default:
		return bundle.Errorf(bundle.KindInvalid, "this program does not know the change %q of members: update it", string(c))
	}
}

// memberNamed returns the member that has the id or the name.
func (n *Node) memberNamed(node string) (raft.Server, error) {
	var found []raft.Server
	for _, m := range n.servers() {
		if string(m.ID) == node {
			return m, nil
		}
		if nodeName(string(m.ID)) == node {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return raft.Server{}, bundle.Errorf(bundle.KindNotFound, "there is no node %q; \"blockstored cluster status\" lists them", node)
	case 1:
		return found[0], nil
	default:
		return raft.Server{}, bundle.Errorf(bundle.KindInvalid, "several nodes are called %q: name one by its id", node)
	}
}

// changeMember is the call of a node that was asked to change a member.
func (s *server) changeMember(w http.ResponseWriter, r *http.Request) {
	var c memberChange
	if err := readJSON(w, r, 1<<10, &c); err != nil {
		refuse(w, bundle.Errorf(bundle.KindInvalid, "the change of members did not arrive: %w", err))
		return
	}
	if err := s.node.changeHere(r.Context(), c.Change, c.Node); err != nil {
		refuse(w, err)
		return
	}
	reply(w, s.node.fsm.position().index, nil)
}
