package cluster

import (
	"errors"
	"fmt"
	"io"

	"github.com/blockstored/blockstored/bundle"
)

// A connection between nodes begins, inside TLS where there is TLS, with what
// the dialing node says of it:
//
//	4 bytes   "bsc1"
//	1 byte    the stream: 'r' for raft, 'c' for calls (HTTP/1.1)
//	1 byte    length of the next field, at least 1
//	n bytes   id of the node that is meant
//	1 byte    length of the next field, at least 1
//	n bytes   id of the node that dials
//
// and one byte of answer, see [admission]. Ids hold the incarnation, so what is
// meant for a node whose disk was lost never reaches the one that came back at
// its address.
const helloMagic = "bsc1"

// streamKind says what a connection is for.
type streamKind byte

const (
	streamRaft  streamKind = 'r'
	streamCalls streamKind = 'c'
	// streamNewcomer is no stream of a hello: TLS itself says so, see
	// newcomerProtocol.
	streamNewcomer streamKind = 0
)

// maxID is the length of the longest node id in bytes.
const maxID = 255

type hello struct {
	stream   streamKind
	to, from string
}

// admission is the byte that answers a hello.
type admission byte

const (
	admitted      admission = 0
	refusedNode   admission = 1 // another node, or another incarnation, is here
	refusedStream admission = 2 // a stream that only a newer program knows
	refusedSender admission = 3 // the certificate is not that of the sender
	refusedBusy   admission = 4 // no room for another connection, or shutting down
)

func (a admission) err(to string) error {
	switch a {
	case admitted:
		return nil
	case refusedNode:
		return fmt.Errorf("what answers there is not node %s: another node or another incarnation has its address", to)
	case refusedStream:
		return fmt.Errorf("node %s runs an older program that does not know this kind of connection: update it", to)
	case refusedSender:
		return fmt.Errorf("node %s refused this node's certificate: it does not name this node", to)
	case refusedBusy:
		return fmt.Errorf("node %s takes no more connections now", to)
	default:
		return fmt.Errorf("node %s refused the connection for a reason (%d) that this program does not know", to, a)
	}
}

func (h hello) append(b []byte) ([]byte, error) {
	b = append(b, helloMagic...)
	b = append(b, byte(h.stream))
	for _, id := range []string{h.to, h.from} {
		if len(id) == 0 || len(id) > maxID {
			return nil, bundle.Errorf(bundle.KindInvalid, "a node's id has 1 to %d bytes, not %d", maxID, len(id))
		}
		b = append(b, byte(len(id)))
		b = append(b, id...)
	}
	return b, nil
}

// readHello reads a hello and not a byte more.
func readHello(r io.Reader) (h hello, err error) {
	head := make([]byte, len(helloMagic)+1)
	if _, err := io.ReadFull(r, head); err != nil {
		return h, err
	}
	if string(head[:len(helloMagic)]) != helloMagic {
		return h, errors.New("it does not speak as a node of this version does")
	}
	h.stream = streamKind(head[len(helloMagic)])
	if h.to, err = readID(r); err == nil {
		h.from, err = readID(r)
	}
	return h, err
}

func readID(r io.Reader) (string, error) {
	var length [1]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return "", err
	}
	if length[0] == 0 {
		return "", errors.New("it names no node")
	}
	id := make([]byte, length[0])
	_, err := io.ReadFull(r, id)
	return string(id), err
}
