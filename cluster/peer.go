package cluster

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/blockstored/blockstored/bundle"
)

// Calls between nodes are HTTP/1.1 over connections of the stream 'c'. A node
// answers members of its cluster only.
const (
	callPropose = "/v1/propose" // POST a command; answers its result and index
	callJoin    = "/v1/join"    // POST the address at which the caller, a member, listens now
	callIndex   = "/v1/index"   // GET what a read on another node must wait for
	callStatus  = "/v1/status"  // GET how the node is
	callMembers = "/v1/members" // POST a change of a member
	callCopy    = "/v1/copy"    // POST a copy of the catalog; answered when it was checked
	callTerm    = "/v1/term"    // POST a leader's term; answers the voter's, and maybe a promise not to vote

	headerTimeout = "Blockstored-Timeout" // of a request: milliseconds the asking node waits
	headerIndex   = "Blockstored-Index"   // of an answer: where the log must be applied to
	headerTerm    = "Blockstored-Term"    // of a copy: in which its sender leads
	headerSize    = "Blockstored-Size"    // of a copy: bytes of the database
	headerSchema  = "Blockstored-Schema"  // of a copy: of the database
	headerLevel   = "Blockstored-Level"   // of a copy: the level of commands in force
)

// maxCalls bounds the calls that a node makes, and that it answers, at a time;
// more wait in the node that makes them.
const maxCalls = 128

// maxAnswer bounds the answer to a call in bytes.
const maxAnswer = 1 << 20

// problem is an error on the wire.
type problem struct {
	Kind    string            `json:"kind"`
	Message string            `json:"message"`
	Fields  map[string]string `json:"fields,omitempty"`
}

// elsewhere is the error of a node that did nothing because it does not lead:
// the one that does may be asked instead.
type elsewhere struct{ err error }

func (e elsewhere) Error() string { return e.err.Error() }
func (e elsewhere) Unwrap() error { return e.err }

// plain is err as it is told outside of this package.
func plain(err error) error {
	if e, ok := errors.AsType[elsewhere](err); ok {
		return e.err
	}
	return err
}

// unreached is the error of a call that did not leave this node.
type unreached struct{ err error }

func (e unreached) Error() string { return e.err.Error() }
func (e unreached) Unwrap() error { return e.err }

// peers calls other nodes.
type peers struct {
	client *http.Client
	slots  chan struct{}
}

// newPeers calls over layer; limit is for a node to say whether it takes a copy.
func newPeers(layer streamLayer, limit time.Duration) *peers {
	dial := func(ctx context.Context, _, hostport string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(hostport)
		if err != nil {
			return nil, err
		}
		id, err := hex.DecodeString(host)
		if err != nil {
			return nil, err
		}
		conn, err := layer.dialCalls(ctx, raft.ServerID(id))
		if err != nil {
			return nil, unreached{err}
		}
		return conn, nil
	}
	return &peers{
		slots: make(chan struct{}, maxCalls),
		client: &http.Client{Transport: &http.Transport{
			DialContext: dial, MaxIdleConnsPerHost: maxCalls, IdleConnTimeout: time.Minute, DisableCompression: true,
			ExpectContinueTimeout: limit,
		}},
	}
}

// close ends the connections that no call uses.
func (p *peers) close() { p.client.CloseIdleConnections() }

// call asks node id and returns its answer and the index in it. The error is
// unreached if nothing was sent, elsewhere if the node does not lead, another
// of the node as it said it, or one of the connection: then it is unknown
// whether the node acted.
func (p *peers) call(ctx context.Context, id raft.ServerID, method, path string, body []byte) (answer []byte, index uint64, err error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, 0, unreached{context.Cause(ctx)}
	}
	// The host is the node's id: connections are made to it and kept for it.
	req, err := http.NewRequestWithContext(ctx, method, "http://"+hex.EncodeToString([]byte(id))+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, unreached{err}
	}
	req.Header.Set("User-Agent", "")
	if deadline, ok := ctx.Deadline(); ok {
		req.Header.Set(headerTimeout, strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	}
	res, err := p.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[unreached](err); ok {
			return nil, 0, e
		}
		return nil, 0, fmt.Errorf("call node %s: %w", id, err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, 0, fmt.Errorf("read the answer of node %s: %w", id, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, 0, readProblem(id, res.StatusCode, answer)
	}
	index, err = strconv.ParseUint(res.Header.Get(headerIndex), 10, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("node %s answered without an index: %w", id, err)
	}
	return answer, index, nil
}

// unknownCall is the error of a node whose program does not know the call.
type unknownCall struct{ id raft.ServerID }

func (e unknownCall) Error() string {
	return fmt.Sprintf("node %s runs an older program that does not know what it was asked: update it", e.id)
}

func readProblem(id raft.ServerID, status int, answer []byte) error {
	var p problem
	if err := json.Unmarshal(answer, &p); err != nil || p.Message == "" {
		if status == http.StatusNotFound {
			return unknownCall{id}
		}
		return fmt.Errorf("node %s answered %d without a reason", id, status)
	}
	err := &bundle.Error{Kind: bundle.ParseKind(p.Kind), Message: p.Message, Fields: p.Fields}
	if status == http.StatusMisdirectedRequest {
		return elsewhere{err}
	}
	return err
}
