package catalog

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// encodingVersion is the version of every kind's body as this program writes
// it. A kind whose body changes shape gets its own higher version here and a
// branch in its shape function; the others stay.
const encodingVersion = 1

// shape describes a body for both directions; see [codec].
type shape[T any] func(c *codec, version uint64, body *T)

// kindInfo is what the encoding knows about one kind.
type kindInfo struct {
	name    string
	version uint64
	encode  func(c *codec, b Body) bool // false: b is of another type
	decode  func(c *codec, version uint64) Body
}

func kind[T any, P interface {
	*T
	Body
}](name string, s shape[T]) kindInfo {
	return kindInfo{
		name: name, version: encodingVersion,
		encode: func(c *codec, b Body) bool {
			switch b := any(b).(type) {
			case T:
				s(c, encodingVersion, &b)
			case *T:
				s(c, encodingVersion, b)
			default:
				return false
			}
			return true
		},
		decode: func(c *codec, version uint64) Body {
			b := new(T)
			s(c, version, b)
			return any(*b).(Body)
		},
	}
}

// kindOf returns what is known of a kind.
func kindOf(k Kind) (kindInfo, bool) {
	info, ok := kinds[k]
	return info, ok
}

var kinds = map[Kind]kindInfo{
	KindInitInstance:     kind("InitInstance", shapeInitInstance),
	KindUpdateInstance:   kind("UpdateInstance", shapeUpdateInstance),
	KindPutSecret:        kind("PutSecret", shapePutSecret),
	KindPurge:            kind("Purge", shapePurge),
	KindCreateCollection: kind("CreateCollection", shapeCreateCollection),
	KindUpdateCollection: kind("UpdateCollection", shapeUpdateCollection),
	KindDeleteCollection: kind("DeleteCollection", shapeDeleteCollection),
	KindCreateBundle:     kind("CreateBundle", shapeCreateBundle),
	KindUpdateBundle:     kind("UpdateBundle", shapeUpdateBundle),
	KindDeleteBundle:     kind("DeleteBundle", shapeDeleteBundle),
	KindCreateDraft:      kind("CreateDraft", shapeCreateDraft),
	KindStagePatch:       kind("StagePatch", shapeStagePatch),
	KindPatchDraft:       kind("PatchDraft", shapePatchDraft),
	KindDeleteDraft:      kind("DeleteDraft", shapeDeleteDraft),
	KindRebaseDraft:      kind("RebaseDraft", shapeRebaseDraft),
	KindForgetEdits:      kind("ForgetEdits", shapeForgetEdits),
	KindLocateBlobs:      kind("LocateBlobs", shapeLocateBlobs),
	KindCommitVersion:    kind("CommitVersion", shapeCommitVersion),
	KindDescribeVersion:  kind("DescribeVersion", shapeDescribeVersion),
	KindCreateToken:      kind("CreateToken", shapeCreateToken),
	KindRevokeToken:      kind("RevokeToken", shapeRevokeToken),
	KindUseTokens:        kind("UseTokens", shapeUseTokens),
	KindCheckpoint:       kind("Checkpoint", shapeCheckpoint),
	KindCreateInvite:     kind("CreateInvite", shapeCreateInvite),
	KindAcceptInvite:     kind("AcceptInvite", shapeAcceptInvite),
	KindAddPeer:          kind("AddPeer", shapeAddPeer),
	KindUpdatePeer:       kind("UpdatePeer", shapeUpdatePeer),
	KindRemovePeer:       kind("RemovePeer", shapeRemovePeer),
	KindSetGrants:        kind("SetGrants", shapeSetGrants),
	KindSubscribe:        kind("Subscribe", shapeSubscribe),
	KindUnsubscribe:      kind("Unsubscribe", shapeUnsubscribe),
	KindIntake:           kind("Intake", shapeIntake),
	KindPark:             kind("Park", shapePark),
	KindUnpark:           kind("Unpark", shapeUnpark),
	KindRaiseAlarm:       kind("RaiseAlarm", shapeRaiseAlarm),
	KindClearAlarms:      kind("ClearAlarms", shapeClearAlarms),
}

// String returns the kind's name, or its number if this program does not know
// it.
func (k Kind) String() string {
	if info, ok := kindOf(k); ok {
		return info.name
	}
	return fmt.Sprintf("kind %d", uint16(k))
}

// NewCommand returns a command of body, proposed at now, with a fresh random
// request id and seed. A caller that retries sends the same Command again; one
// with an id of its own (an Idempotency-Key) replaces Request.
func NewCommand(now time.Time, body Body) Command {
	c := Command{Time: now.UnixMicro(), Body: body}
	rand.Read(c.Request[:]) // never fails, see crypto/rand
	rand.Read(c.Seed[:])
	return c
}

// Encode returns the command as it stands in the cluster's log: a CBOR array
// of kind, encoding version, request id, time, seed and body. It refuses a
// command of more than [MaxCommand] bytes with KindTooLarge and a text that is
// not UTF-8 with KindInvalid.
func (c Command) Encode() ([]byte, error) {
	if c.Body == nil {
		return nil, bundle.Errorf(bundle.KindOther, "a command without a body")
	}
	k := c.Body.CommandKind()
	info, ok := kindOf(k)
	if !ok {
		return nil, bundle.Errorf(bundle.KindOther, "a command of unknown %s", k)
	}
	w := &codec{writing: true}
	number, version := uint64(k), info.version
	w.array(6)
	w.uint(&number)
	w.uint(&version)
	w.fixed(c.Request[:])
	w.int(&c.Time)
	w.fixed(c.Seed[:])
	if !info.encode(w, c.Body) {
		return nil, bundle.Errorf(bundle.KindOther, "%T says it is a %s", c.Body, k)
	}
	if err := w.finish(); err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "%s: %w", k, err)
	}
	if len(w.buf) > MaxCommand {
		return nil, bundle.Errorf(bundle.KindTooLarge,
			"a %s of %d bytes; one has at most %d, split it", k, len(w.buf), MaxCommand).With("limit", fmt.Sprint(MaxCommand))
	}
	return w.buf, nil
}

// DecodeCommand reads what [Command.Encode] wrote and nothing else. Body is a
// value, not a pointer. An unknown kind or encoding version is an error that
// names it: the node is older than the one that proposed it and must be
// upgraded before it goes on.
func DecodeCommand(b []byte) (Command, error) {
	var c Command
	var number, version uint64
	r := &codec{buf: b}
	r.array(6)
	r.uint(&number)
	r.uint(&version)
	if r.err != nil {
		return Command{}, fmt.Errorf("catalog: an entry that is no command: %w", r.err)
	}
	info, ok := kindOf(Kind(min(number, 1<<16-1)))
	if !ok {
		return Command{}, fmt.Errorf("catalog: this program does not know commands of kind %d; upgrade blockstored on this node", number)
	}
	if version == 0 || version > info.version {
		return Command{}, fmt.Errorf("catalog: this program does not know version %d of %s; upgrade blockstored on this node",
			version, info.name)
	}
	r.fixed(c.Request[:])
	r.int(&c.Time)
	r.fixed(c.Seed[:])
	c.Body = info.decode(r, version)
	if err := r.finish(); err != nil {
		return Command{}, fmt.Errorf("catalog: a malformed %s: it %w", info.name, err)
	}
	return c, nil
}

func shapeSelector(c *codec, s *Selector) {
	c.array(2)
	c.text(&s.Scope)
	c.id(&s.Target)
}

func shapeLocated(c *codec, l *bundle.Located) {
	c.array(7)
	c.digest(&l.Digest)
	c.fixed(l.Hash[:])
	c.int(&l.Size)
	// An object of its own has its blob's digest; it isn't written twice.
	object := l.Object
	if c.writing && object == l.Digest {
		object = bundle.Digest{}
	}
	c.digest(&object)
	if !c.writing {
		if l.Object = object; object.IsZero() {
			l.Object = l.Digest
		} else if object == l.Digest {
			c.fail(fmt.Errorf("names the object %s twice", object))
		}
	}
	c.int(&l.Offset)
	c.int(&l.Length)
	codec := uint64(l.Codec)
	c.uint(&codec)
	if codec > 255 {
		c.fail(fmt.Errorf("has codec %d", codec))
	}
	l.Codec = bundle.Codec(codec)
}

func shapeRef(c *codec, r *bundle.VersionRef) {
	c.array(2)
	c.id(&r.Bundle)
	c.uint(&r.Number)
}

func shapeDep(c *codec, d *Dep) {
	c.array(3)
	c.id(&d.Bundle)
	c.uint(&d.Number)
	c.bool(&d.Direct)
}

func shapeDependency(c *codec, d *bundle.Dependency) {
	c.array(3)
	c.id(&d.Bundle)
	c.uint(&d.Version)
	c.fixed(d.Snapshot[:])
}

func shapeSnapshot(c *codec, s *Snapshot) {
	c.array(5)
	c.digest(&s.Manifest)
	c.fixed(s.Alias[:])
	c.int(&s.Files)
	c.int(&s.Bytes)
	list(c, &s.Deps, shapeDep)
}

func shapeFileOp(c *codec, f *FileOp) {
	c.array(4)
	c.text(&f.Path)
	c.bool(&f.Delete)
	c.digest(&f.Digest)
	c.int(&f.Size)
}

func shapeLinkOp(c *codec, l *LinkOp) {
	c.array(4)
	c.text(&l.Name)
	c.bool(&l.Delete)
	shapeDependency(c, &l.Direct)
	list(c, &l.Indirect, shapeDependency)
}

// shapeSecrets codes a map as pairs in the order of their names.
func shapeSecrets(c *codec, m *map[string][]byte) {
	type pair struct {
		name  string
		value []byte
	}
	var pairs []pair
	for _, name := range slices.Sorted(maps.Keys(*m)) {
		pairs = append(pairs, pair{name, (*m)[name]})
	}
	list(c, &pairs, func(c *codec, p *pair) {
		c.array(2)
		c.text(&p.name)
		c.bytes(&p.value)
	})
	if c.writing || len(pairs) == 0 {
		return
	}
	*m = make(map[string][]byte, len(pairs))
	for i, p := range pairs {
		if i > 0 && p.name <= pairs[i-1].name {
			c.fail(fmt.Errorf("has the secret %q out of order", p.name))
		}
		(*m)[p.name] = p.value
	}
}
