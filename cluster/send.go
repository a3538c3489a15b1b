package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

// transport is raft's, but for copies of the catalog: they travel as a call of
// their own (see [server.receiveCopy]), beside raft, which hears of one when the
// follower has it on its disk and has checked it. Raft's goroutine on the
// follower reads nothing from the network and writes nothing large meanwhile: it
// votes, and hears of other leaders.
type transport struct {
	*raft.NetworkTransport
	node *Node
}

// InstallSnapshot runs on the goroutine that replicates to one follower.
func (t *transport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest,
	resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	use, ok := data.(*ticket)
	if !ok {
		return fmt.Errorf("cannot send a %T", data)
	}
	if err := t.node.sendCopy(id, args.Term, use.outgoing); err != nil {
		return err
	}
	return t.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
}

// sendCopy sends a copy to a follower and returns when the follower has checked
// it. It gives up when this node does not lead any more in that term, when
// the follower is no member any more, and when neither bytes nor word of the
// follower move for Config.RPCTimeout.
func (n *Node) sendCopy(to raft.ServerID, term uint64, out *outgoing) error {
	ctx, cancel := context.WithCancelCause(n.asking)
	var watching sync.WaitGroup
	watching.Go(func() { n.whileWanted(ctx, cancel, to, term) })
	defer watching.Wait()
	defer cancel(nil)
	c := n.copies.begin(&transfer{node: string(to), since: n.now(), out: out})
	err := errSilent
	if n.answers(ctx, to) { // for one that is gone no copy is made
		n.copies.needs(to, out.index)
		err = n.outbox.await(ctx, out)
	}
	if err == nil {
		err = n.pushCopy(ctx, cancel, out, term, c)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // and not that a connection was closed for it
	}
	n.copies.end(c, n.now().Sub(c.since), err)
	n.copies.needs(to, out.index)
	if err != nil {
		if n.asking.Err() == nil {
			n.logger.Warn("a node that is far behind did not get its copy of the catalog; it is tried again",
				"node", to, "sent", c.bytes.Load(), "of", c.total.Load(), "error", err)
		}
		return err
	}
	n.logger.Info("sent a copy of the catalog", "node", to, "bytes", c.total.Load(), "on_the_wire", c.wire.Load(), "took", n.now().Sub(c.since))
	return nil
}

// whileWanted ends ctx when nobody wants the copy any more.
func (n *Node) whileWanted(ctx context.Context, cancel context.CancelCauseFunc, to raft.ServerID, term uint64) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		r := n.members.raft.Load()
		switch {
		case r == nil:
		case r.State() != raft.Leader || r.CurrentTerm() != term:
			cancel(errors.New("another node leads now, or none"))
		case !n.isMember(string(to)):
			cancel(errors.New("the node is no member any more"))
		}
	}
}

// await waits until the copy is made, which begins with the first that waits.
func (o *outbox) await(ctx context.Context, out *outgoing) error {
	out.begin.Do(func() { o.making.Go(func() { o.make(out) }) })
	select {
	case <-out.ready:
		return out.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errSilent ends a copy of which nothing moves any more.
var errSilent = errors.New("the other node does not answer any more")

// pushCopy is the call that carries a copy.
func (n *Node) pushCopy(ctx context.Context, cancel context.CancelCauseFunc, out *outgoing, term uint64, c *transfer) error {
	database, err := os.Open(out.path)
	if err != nil {
		return err
	}
	c.total.Store(out.size)
	silence := time.AfterFunc(n.rpcLimit, func() { cancel(errSilent) })
	defer silence.Stop()
	body, in := io.Pipe()
	var writing sync.WaitGroup
	writing.Go(func() {
		_ = in.CloseWithError(writeStream(in, out.copyHeader, counted{database, &c.bytes}, out.size))
	})
	defer func() {
		_ = body.Close() // ends the writer
		writing.Wait()
		_ = database.Close() // was only read
	}()
	moved := func(bytes int) {
		silence.Reset(n.rpcLimit)
		n.copies.carried(c, bytes)
	}
	trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
		silence.Reset(n.rpcLimit)
		return nil
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost,
		"http://"+hex.EncodeToString([]byte(c.node))+callCopy, moving{body, moved})
	if err != nil {
		return err
	}
	level, _ := n.fsm.catalog.Levels()
	for name, value := range map[string]string{
		"User-Agent": "", "Expect": "100-continue",
		headerTerm: strconv.FormatUint(term, 10), headerSize: strconv.FormatInt(out.size, 10), headerSchema: strconv.Itoa(catalog.SchemaVersion),
		headerLevel: strconv.FormatUint(level, 10),
	} {
		req.Header.Set(name, value)
	}
	res, err := n.peers.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err == nil && res.StatusCode != http.StatusOK {
		err = readProblem(raft.ServerID(c.node), res.StatusCode, answer)
	}
	return err
}

// offered is what the headers of a call say of the copy that it carries.
type offered struct {
	term   uint64 // in which the sender leads
	size   int64  // of the database
	schema int    // of the database
	level  uint64 // in force
}

func readOffer(h http.Header) (o offered, err error) {
	var errs [4]error
	o.term, errs[0] = strconv.ParseUint(h.Get(headerTerm), 10, 64)
	o.size, errs[1] = strconv.ParseInt(h.Get(headerSize), 10, 64)
	o.schema, errs[2] = strconv.Atoi(h.Get(headerSchema))
	o.level, errs[3] = strconv.ParseUint(h.Get(headerLevel), 10, 64)
	if err := errors.Join(errs[:]...); err != nil || o.size < 0 {
		return o, bundle.Errorf(bundle.KindInvalid, "it is not clear which copy of the catalog this is: %w", err)
	}
	return o, nil
}

// receiveCopy is the call of a leader that sends a copy of the catalog. What is
// against it is said before the first byte of it was sent. Any node of the
// instance may send one: a node that is new, or was away, need not know its
// leader yet. Nothing comes of it until raft says so, too.
func (s *server) receiveCopy(w http.ResponseWriter, r *http.Request) {
	if err := s.node.calls.enter(); err != nil {
		refuse(w, err)
		return
	}
	defer s.node.calls.leave()
	offer, err := readOffer(r.Header)
	if err == nil {
		err = s.node.acceptable(offer)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	peer, _ := r.Context().Value(peerKey{}).(*nodeConn)
	in, err := s.node.inbox.begin(r.Context(), offer, peer.peer)
	if err != nil {
		refuse(w, err)
		return
	}
	body := &arriving{rc: http.NewResponseController(w), src: r.Body, in: in, limit: s.node.rpcLimit,
		carried: func(bytes int) { s.node.copies.carried(in.transfer, bytes) }}
	listening := context.AfterFunc(in.ctx, body.interrupt)
	done := make(chan error, 1)
	go func() { done <- s.node.takeCopy(in, body) }()
	// The sender hears once a second that the copy is being checked.
	tick := time.NewTicker(min(time.Second, s.node.rpcLimit/4))
	defer tick.Stop()
	for {
		select {
		case err = <-done:
			listening() // before end: the connection is used again
			s.node.inbox.end(in, err)
			if err != nil {
				w.Header().Set("Connection", "close")
				refuse(w, err)
				return
			}
			reply(w, s.node.fsm.position().index, nil)
			return
		case <-tick.C:
			if body.ended.Load() {
				w.WriteHeader(http.StatusProcessing)
			}
		}
	}
}

// acceptable refuses a copy that this node cannot or must not take.
func (n *Node) acceptable(o offered) error {
	_, highest := n.fsm.catalog.Levels()
	switch {
	case o.schema > catalog.SchemaVersion:
		return bundle.Errorf(bundle.KindInvalid,
			"the leader's catalog has schema %d, and the program of node %s (%s) knows %d: update that node", o.schema, n.id, n.version, catalog.SchemaVersion)
	case o.level > highest:
		return bundle.Errorf(bundle.KindInvalid,
			"level %d of commands is in force, and the program of node %s (%s) understands %d: update that node", o.level, n.id, n.version, highest)
	case o.term < n.raft.CurrentTerm():
		return bundle.Errorf(bundle.KindConflict, "node %s knows of a later leader, in term %d", n.id, n.raft.CurrentTerm())
	}
	if err := n.fsm.failed(); err != nil {
		return err
	}
	return roomFor(n.inbox.dir, o.size)
}

// takeCopy reads a copy, has it checked and shortens the log, which raft would do
// on its main goroutine otherwise.
func (n *Node) takeCopy(in *incoming, body io.Reader) error {
	stream, err := openStream(body)
	if err != nil {
		return err
	}
	defer stream.Close()
	index, term, err := n.fsm.catalog.Receive(in.ctx, counted{stream, &in.bytes})
	if err != nil {
		if cause := context.Cause(in.ctx); cause != nil {
			err = cause
		}
		return err
	}
	if index < stream.index || term < stream.term {
		return errors.Join(n.fsm.catalog.Discard(), bundle.Errorf(bundle.KindCorrupt,
			"the received copy of the catalog stands at entry %d, before %d where its sender said", index, stream.index))
	}
	in.header = stream.copyHeader
	if at := n.fsm.position().index; at > 0 {
		if err := n.dropLog(at); err != nil {
			n.logger.Debug("could not shorten the log before a copy replaces the catalog", "error", err)
		}
	}
	return nil
}
