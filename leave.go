package blockstored

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/blockstored/blockstored/rest"
)

// unready says why this node should get no requests. It asks nobody.
func (i *Instance) unready() []rest.Reason {
	var out []rest.Reason
	for _, r := range i.node.Unready() {
		out = append(out, rest.Reason(r))
	}
	if err := i.store.Refusal(); err != nil {
		out = append(out, rest.Reason{Name: "storage_claim", Detail: err.Error()})
	}
	return out
}

// joining says how far a node is that joins.
func (i *Instance) joining(since time.Time) func() rest.Reason {
	return func() rest.Reason {
		s := i.node.Stats()
		detail := fmt.Sprintf("node %s is joining its instance, and waits for the leader to bring it up to date", s.ID)
		if in := s.Copies.Receiving; len(in) > 0 {
			detail = fmt.Sprintf("node %s is joining its instance: it has %d of %d bytes of a copy of the catalog", s.ID, in[0].Bytes, in[0].Total)
		} else if s.Lag > 0 {
			detail = fmt.Sprintf("node %s is joining its instance: it has %d of %d entries of the log", s.ID, s.Applied, s.Applied+s.Lag)
		}
		return rest.Reason{Name: "joining", Detail: detail, Since: since}
	}
}

// Leave makes ready for [Instance.Close] without a request that fails, where
// other nodes of the instance can take over. At once /readyz answers 503, answers
// end their connections, and polls of other sites that wait are answered; another
// node is made to lead; and this one serves on for Config.Drain, so that load
// balancers find out; if nobody took the lead by then, for a few election timeouts
// more. A node without others returns at once, and so does Leave when ctx ends.
func (i *Instance) Leave(ctx context.Context) {
	i.doors.leaving.Store(true)
	i.server.Close()
	drained := time.NewTimer(i.cfg.Drain)
	defer drained.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	told := false
	for err := i.node.Leave(ctx); err != nil; err = i.node.Leave(ctx) {
		if !told {
			i.log.Warn("leaving, but no other node has taken the lead yet; if none does, the others elect one when this one is gone", "error", err)
		}
		told = true
		select {
		case <-again.C:
		case <-drained.C:
			return
		case <-ctx.Done():
			return
		}
	}
	if !i.several() {
		return
	}
	i.log.Info("leaving: other nodes get the requests from now on", "drain", i.cfg.Drain)
	select {
	case <-drained.C:
	case <-ctx.Done():
	}
}

// doors are what the listeners lead to.
type doors struct {
	host, admin, peer atomic.Pointer[http.Handler]
	leaving           atomic.Bool
}

// shut makes all doors lead to the word that this node does not serve yet.
func (d *doors) shut(waiting func() rest.Reason) {
	d.open(rest.Opening(waiting), rest.Opening(waiting), rest.Opening(waiting))
}

func (d *doors) open(host, admin, peer http.Handler) {
	d.host.Store(&host)
	d.admin.Store(&admin)
	d.peer.Store(&peer)
}

// through serves what a door leads to at the time. While the node leaves, the
// connection ends with the answer: the client's next one goes to another node.
func (d *doors) through(door *atomic.Pointer[http.Handler]) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		(*door.Load()).ServeHTTP(w, r)
	})
}
