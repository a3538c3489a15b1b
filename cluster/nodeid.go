package cluster

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blockstored/blockstored/bundle"
)

// nodeID is a node's id in its two parts: "n1-7f3a" is incarnation 7f3a of the
// node n1. The incarnation is made with the node's data folder, so a node whose
// disk was lost or copied has another id and none of the old one's votes.
type nodeID struct{ name, incarnation string }

// parseNode reads a node's id. An error has KindInvalid.
func parseNode(id string) (nodeID, error) {
	cut := strings.LastIndexByte(id, '-')
	if cut <= 0 || cut == len(id)-1 || len(id) > maxID || !utf8.ValidString(id) ||
		strings.ContainsFunc(id, func(r rune) bool { return r == '/' || !unicode.IsPrint(r) }) {
		return nodeID{}, bundle.Errorf(bundle.KindInvalid,
			"%q is no node id: it is a name, a hyphen and an incarnation, at most %d bytes, without slashes", id, maxID)
	}
	return nodeID{name: id[:cut], incarnation: id[cut+1:]}, nil
}
