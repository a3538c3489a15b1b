package catalog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// shape describes a body for both directions; see [codec].
type shape[T any] func(c *codec, version uint64, body *T)

// kindInfo is what the encoding knows about one kind.
type kindInfo struct {
	name    string
	levels  []uint64                    // of the versions of its body, that of the first one first
	version func(b Body) (uint64, bool) // in which b is written; false: b is of another type
	encode  func(c *codec, version uint64, b Body)
	decode  func(c *codec, version uint64) Body
}

// grown is a further version of a kind's body, which came with a level. It is
// written where needed says that the one before cannot hold what is set, and
// nowhere else, so that a command has one encoding and can be proposed at the
// lowest level that has room for it.
type grown[T any] struct {
	level  uint64
	needed func(*T) bool
}

// kind describes a kind of level 1, and the versions that its body got since;
// the shape function has a branch for each.
func kind[T any, P interface {
	*T
	Body
}](name string, s shape[T], since ...grown[T]) kindInfo {
	info := kindInfo{name: name, levels: []uint64{baseLevel}}
	for _, g := range since {
		info.levels = append(info.levels, g.level)
	}
	info.version = func(b Body) (version uint64, ok bool) {
		body, ok := pointer[T](b)
		if !ok {
			return 0, false
		}
		version = 1
		for i, g := range since {
			if g.needed(body) {
				version = uint64(i) + 2
			}
		}
		return version, true
	}
	info.encode = func(c *codec, version uint64, b Body) {
		if body, ok := pointer[T](b); ok {
			written := *body
			s(c, version, &written)
		}
	}
	info.decode = func(c *codec, version uint64) Body {
		b := new(T)
		s(c, version, b)
		return any(*b).(Body)
	}
	return info
}

// at makes a kind one that came with a higher level than 1.
func (k kindInfo) at(level uint64) kindInfo {
	k.levels[0] = level
	return k
}

// pointer returns b, which is a T or points to one.
func pointer[T any](b Body) (*T, bool) {
	switch b := any(b).(type) {
	case T:
		return &b, true
	case *T:
		return b, true
	default:
		return nil, false
	}
}

// kindOf returns what is known of a kind.
func kindOf(k Kind) (kindInfo, bool) {
	info, ok := kinds[k]
	return info, ok
}

// kinds says of what level a command is: a kind that came later says at(level),
// and a body that grew since has a grown{level, needed} for each version after
// the first.
var kinds = map[Kind]kindInfo{
	KindInitInstance:     kind("InitInstance", shapeInitInstance),
	KindUpdateInstance:   kind("UpdateInstance", shapeUpdateInstance),
	KindPutSecret:        kind("PutSecret", shapePutSecret),
	KindPurge:            kind("Purge", shapePurge),
	KindRaiseLevel:       kind("RaiseLevel", shapeRaiseLevel).at(2),
	KindBeginGeneration:  kind("BeginGeneration", shapeBeginGeneration).at(2),
	KindCreateCollection: kind("CreateCollection", shapeCreateCollection),
	KindUpdateCollection: kind("UpdateCollection", shapeUpdateCollection),
	KindDeleteCollection: kind("DeleteCollection", shapeDeleteCollection),
	KindCreateBundle:     kind("CreateBundle", shapeCreateBundle),
	KindUpdateBundle:     kind("UpdateBundle", shapeUpdateBundle),
	KindDeleteBundle:     kind("DeleteBundle", shapeDeleteBundle),
	KindCreateDraft:      kind("CreateDraft", shapeCreateDraft),
	KindStagePatch:       kind("StagePatch", shapeStagePatch),
	KindPatchDraft:       kind("PatchDraft", shapePatchDraft),
	KindDeleteDraft: kind("DeleteDraft", shapeDeleteDraft,
		grown[DeleteDraft]{level: 2, needed: func(b *DeleteDraft) bool { return b.IfRevision != 0 }}),
	KindRebaseDraft:     kind("RebaseDraft", shapeRebaseDraft),
	KindForgetEdits:     kind("ForgetEdits", shapeForgetEdits),
	KindLocateBlobs:     kind("LocateBlobs", shapeLocateBlobs),
	KindCommitVersion:   kind("CommitVersion", shapeCommitVersion),
	KindDescribeVersion: kind("DescribeVersion", shapeDescribeVersion),
	KindCreateToken:     kind("CreateToken", shapeCreateToken),
	KindRevokeToken:     kind("RevokeToken", shapeRevokeToken),
	KindUseTokens:       kind("UseTokens", shapeUseTokens),
	KindCheckpoint:      kind("Checkpoint", shapeCheckpoint),
	KindCreateInvite:    kind("CreateInvite", shapeCreateInvite),
	KindAcceptInvite:    kind("AcceptInvite", shapeAcceptInvite),
	KindAddPeer:         kind("AddPeer", shapeAddPeer),
	KindUpdatePeer:      kind("UpdatePeer", shapeUpdatePeer),
	KindRemovePeer:      kind("RemovePeer", shapeRemovePeer),
	KindSetGrants:       kind("SetGrants", shapeSetGrants),
	KindSubscribe:       kind("Subscribe", shapeSubscribe),
	KindUnsubscribe:     kind("Unsubscribe", shapeUnsubscribe),
	KindIntake:          kind("Intake", shapeIntake),
	KindPark:            kind("Park", shapePark),
	KindUnpark:          kind("Unpark", shapeUnpark),
	KindRaiseAlarm:      kind("RaiseAlarm", shapeRaiseAlarm),
	KindClearAlarms:     kind("ClearAlarms", shapeClearAlarms),
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
// of kind, encoding version, request id, time, seed, term if there is one, and
// body. It refuses a command of more than [MaxCommand] bytes with KindTooLarge
// and a text that is not UTF-8 with KindInvalid. Whether its level is in force is
// the proposer's to see, see [Command.Level].
func (c Command) Encode() ([]byte, error) {
	if c.Body == nil {
		return nil, bundle.Errorf(bundle.KindOther, "a command without a body")
	}
	k := c.Body.CommandKind()
	info, ok := kindOf(k)
	if !ok {
		return nil, bundle.Errorf(bundle.KindOther, "a command of unknown %s", k)
	}
	version, ok := info.version(c.Body)
	if !ok {
		return nil, bundle.Errorf(bundle.KindOther, "%T says it is a %s", c.Body, k)
	}
	w := &codec{writing: true}
	number := uint64(k)
	if c.Term == 0 {
		w.array(envelope)
	} else {
		w.array(fencedEnvelope)
	}
	w.uint(&number)
	w.uint(&version)
	c.shape(w)
	info.encode(w, version, c.Body)
	if err := w.finish(); err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "%s: %w", k, err)
	}
	if len(w.buf) > MaxCommand {
		return nil, bundle.Errorf(bundle.KindTooLarge,
			"a %s of %d bytes; one has at most %d, split it", k, len(w.buf), MaxCommand).With("limit", fmt.Sprint(MaxCommand))
	}
	return w.buf, nil
}

// The fields of an envelope, without and with a term.
const (
	envelope       = 6
	fencedEnvelope = 7
)

// shape codes the envelope's fields between the body's version and the body.
// There is a term when Term is not 0.
func (c *Command) shape(w *codec) {
	w.fixed(c.Request[:])
	w.int(&c.Time)
	w.fixed(c.Seed[:])
	if c.Term != 0 {
		w.uint(&c.Term)
	}
}

// DecodeCommand reads what [Command.Encode] wrote and nothing else. Body is a
// value, not a pointer. An unknown kind, encoding version or level is an error
// that names it: the node is older than the one that proposed it and must be
// upgraded before it goes on.
func DecodeCommand(b []byte) (Command, error) {
	var c Command
	var number, version uint64
	r := &codec{buf: b}
	fields := r.expect(majorArray)
	r.uint(&number)
	r.uint(&version)
	if r.err == nil && fields != envelope && fields != fencedEnvelope {
		r.fail(fmt.Errorf("has %d fields where %d or %d belong", fields, envelope, fencedEnvelope))
	}
	if r.err != nil {
		return Command{}, fmt.Errorf("catalog: an entry that is no command: %w", r.err)
	}
	info, ok := kindOf(Kind(min(number, 1<<16-1)))
	if !ok {
		return Command{}, fmt.Errorf("catalog: this program does not know commands of kind %d; upgrade blockstored on this node", number)
	}
	if version == 0 || version > uint64(len(info.levels)) {
		return Command{}, fmt.Errorf("catalog: this program does not know version %d of %s; upgrade blockstored on this node",
			version, info.name)
	}
	if fields == fencedEnvelope {
		c.Term = 1 // until it is read
	}
	c.shape(r)
	if fields == fencedEnvelope && c.Term == 0 {
		r.fail(errors.New("has a term of 0"))
	}
	c.Body = info.decode(r, version)
	if needs, _ := info.version(c.Body); r.err == nil && needs != version {
		r.fail(fmt.Errorf("is written in version %d and belongs in %d", version, needs))
	}
	if err := r.finish(); err != nil {
		return Command{}, fmt.Errorf("catalog: a malformed %s: it %w", info.name, err)
	}
	return c, understood(c.Level())
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
