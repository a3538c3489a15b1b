package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// usable returns the level that cmd may be of: the one in force, or the one that
// it puts in force, as raiseOnce has asked all nodes.
func (n *Node) usable(cmd catalog.Command) uint64 {
	inForce, _ := n.fsm.catalog.Levels()
	if raise, ok := cmd.Body.(catalog.RaiseLevel); ok {
		return max(inForce, raise.Level)
	}
	return inForce
}

// permitted refuses a command that a node of this cluster might not understand.
func (n *Node) permitted(cmd catalog.Command) error {
	inForce := n.usable(cmd)
	if level := cmd.Level(); level > inForce {
		return bundle.Errorf(bundle.KindUnavailable,
			"this needs level %d, and level %d is in force until all nodes of the instance run a program that understands more: upgrade the others", level, inForce).
			With("reason", "level").With("level", fmt.Sprint(level))
	}
	return nil
}

// raise puts the highest level in force that all nodes understand, for as long
// as this one leads and there is a higher one.
func (n *Node) raise(ctx context.Context, l Leader) {
	tick := time.NewTicker(n.askLimit)
	defer tick.Stop()
	told := ""
	for {
		inForce, highest := n.fsm.catalog.Levels()
		if inForce >= highest {
			return
		}
		level, behind, err := n.raiseOnce(ctx, l)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.logger.Warn("could not put a higher level in force; it is tried again", "error", err)
		case level < highest && told != behind:
			told = behind
			n.logger.Info("this program understands a higher level, and nodes keep it from coming into force",
				"in_force", level, "highest", highest, "nodes", behind)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// raiseOnce asks all nodes and raises the level as far as all of them understand
// it. One that does not answer counts as one that does not. It returns the level
// in force then and who keeps it from being higher.
func (n *Node) raiseOnce(ctx context.Context, l Leader) (level uint64, behind string, err error) {
	n.joining.Lock() // nobody joins who does not understand what is put in force
	defer n.joining.Unlock()
	inForce, _ := n.fsm.catalog.Levels()
	level, behind = n.understoodByAll(ctx)
	if level <= inForce {
		return inForce, behind, nil
	}
	n.raised.Store(level)
	result, err := l.Propose(ctx, catalog.NewCommand(n.now(), catalog.RaiseLevel{Level: level}))
	if err == nil && result.Err != nil {
		err = result.Err
	}
	if err != nil {
		return inForce, behind, err
	}
	n.logger.Info("all nodes understand a higher level, and it is in force", "level", level)
	return level, behind, nil
}

// understoodByAll returns the highest level that every member understands, 0 if
// one of them does not answer, and the members that understand less than this
// one or do not answer.
func (n *Node) understoodByAll(ctx context.Context) (lowest uint64, behind string) {
	members := n.servers()
	levels := make([]uint64, len(members))
	var asking sync.WaitGroup
	for k, m := range members {
		asking.Go(func() {
			if m.ID == n.id {
				_, levels[k] = n.fsm.catalog.Levels()
			} else if h, err := n.healthOf(ctx, m.ID); err == nil {
				levels[k] = levelOf(h.Level)
			}
		})
	}
	asking.Wait()
	if len(members) == 0 {
		return 0, "" // raft has stopped
	}
	_, highest := n.fsm.catalog.Levels()
	var names []string
	for k, m := range members {
		if levels[k] < highest {
			names = append(names, string(m.ID))
		}
	}
	return slices.Min(levels), strings.Join(names, " ")
}

// levelOf is the highest level of a node that says it is told, or of one whose
// program is older than levels and says nothing.
func levelOf(told uint64) uint64 { return max(1, told) }

// joins refuses a node whose program does not understand what is in force, or
// what this leader has begun to put in force. The caller holds n.joining.
func (n *Node) joins(id string, level uint64) error {
	if _, ready, _ := n.leadership.current(); !ready && n.raft.State() == raft.Leader {
		return bundle.Errorf(bundle.KindUnavailable, "node %s has just begun to lead and is not up to date yet; retry in a moment", n.id)
	}
	inForce, _ := n.fsm.catalog.Levels()
	inForce = max(inForce, n.raised.Load())
	if level < inForce {
		return bundle.Errorf(bundle.KindConflict,
			"node %s: this program understands level %d, the instance is at %d: upgrade it first", id, level, inForce).
			With("reason", "level")
	}
	return nil
}

// alone reports whether this node is the only member.
func (n *Node) alone() bool {
	members := n.servers()
	return len(members) == 1 && members[0].ID == n.id && members[0].Suffrage == raft.Voter
}
