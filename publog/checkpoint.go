package publog

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxCheckpointSize is the largest signed checkpoint that is read, in bytes.
// One with a single signature has about 300.
const MaxCheckpointSize = 16 << 10

const issuedPrefix = "issued "

// Checkpoint is the state of an instance's publication log at one moment.
type Checkpoint struct {
	Instance   bundle.ID
	Generation uint64 // from 1; grows when the instance was restored or recovered
	Size       int64  // in records, at most [MaxLogSize]
	Root       tlog.Hash
	Issued     int64 // microseconds since 1970 UTC; never goes back in one log
}

// LogName returns the name of an instance's log keys, blockstored/<id>. It
// outlives generations and changes of the display name.
func LogName(instance bundle.ID) string { return "blockstored/" + instance.String() }

// Origin returns the checkpoint's origin line, blockstored/<id>/<generation>.
func (c Checkpoint) Origin() string {
	return LogName(c.Instance) + "/" + strconv.FormatUint(c.Generation, 10)
}

// Text returns the text that is signed: a C2SP tlog-checkpoint with one
// extension line, "issued " and Issued in decimal.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n%s%d\n", c.Origin(), c.Size, c.Root, issuedPrefix, c.Issued)
}

// IssuedAt returns Issued as a time in UTC.
func (c Checkpoint) IssuedAt() time.Time { return time.UnixMicro(c.Issued).UTC() }

func (c Checkpoint) check() error {
	switch {
	case c.Instance == bundle.ID{}:
		return bundle.Errorf(bundle.KindInvalid, "a checkpoint needs an instance")
	case c.Generation == 0:
		return bundle.Errorf(bundle.KindInvalid, "a checkpoint needs a generation; they start at 1")
	case c.Issued < 0:
		return bundle.Errorf(bundle.KindInvalid, "a checkpoint cannot be issued before 1970")
	case c.Size == 0 && c.Root != emptyRoot():
		return bundle.Errorf(bundle.KindInvalid, "the root of an empty log is the SHA-256 of nothing")
	}
	return checkSize(c.Size)
}

// GenerateLogKey makes an Ed25519 key for an instance's checkpoints, in the
// encoding of package note. skey is secret; vkey goes into the descriptor.
func GenerateLogKey(rand io.Reader, instance bundle.ID) (skey, vkey string, err error) {
	skey, vkey, err = note.GenerateKey(rand, LogName(instance))
	if err != nil {
		return "", "", fmt.Errorf("generate a log key: %w", err)
	}
	return skey, vkey, nil
}

// NewLogSigner returns the signer of a secret key that [GenerateLogKey] made.
func NewLogSigner(skey string) (note.Signer, error) {
	s, err := note.NewSigner(skey)
	if err != nil {
		return nil, bundle.Errorf(bundle.KindInvalid, "this log key cannot be read: %w", err)
	}
	return s, nil
}

// NewLogVerifiers returns the verifiers of an instance's log keys, as they
// stand in its descriptor. A key with the name of another is refused; one that
// occurs twice counts once.
func NewLogVerifiers(instance bundle.ID, vkeys ...string) (note.Verifiers, error) {
	var list []note.Verifier
	seen := make(map[string]bool)
	for _, vkey := range vkeys {
		if seen[vkey] {
			continue
		}
		seen[vkey] = true
		v, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, bundle.Errorf(bundle.KindInvalid, "log key %q: %w", vkey, err)
		}
		if v.Name() != LogName(instance) {
			return nil, bundle.Errorf(bundle.KindInvalid, "log key %q is not named %s", vkey, LogName(instance))
		}
		list = append(list, v)
	}
	return note.VerifierList(list...), nil
}

// Sign returns c as a signed note. The signer's name must be that of c's
// instance.
func Sign(c Checkpoint, signer note.Signer) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if signer.Name() != LogName(c.Instance) {
		return nil, bundle.Errorf(bundle.KindInvalid,
			"the log key of %s cannot sign a checkpoint of %s", signer.Name(), LogName(c.Instance))
	}
	msg, err := note.Sign(&note.Note{Text: c.Text()}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint %s at %d: %w", c.Origin(), c.Size, err)
	}
	return msg, nil
}

// ParseCheckpoint verifies a signed note and reads the checkpoint in it, which
// must be of the given instance and signed by one of its keys in known
// (signatures by unknown keys, such as witnesses', are ignored). The errors:
//
//   - [AlarmAltered]: a known key's signature is wrong
//   - [AlarmWrongOwner]: well signed, but the origin is another log's
//   - [bundle.KindForbidden]: no signature by a known key; the keys may have
//     been rotated, so fetch the descriptor and try again
//   - [bundle.KindInvalid]: not a checkpoint
func ParseCheckpoint(msg []byte, instance bundle.ID, known note.Verifiers) (Checkpoint, error) {
	if len(msg) > MaxCheckpointSize {
		return Checkpoint{}, bundle.Errorf(bundle.KindInvalid,
			"a checkpoint has at most %d bytes, got %d", MaxCheckpointSize, len(msg))
	}
	n, err := note.Open(msg, known)
	if err != nil {
		return Checkpoint{}, openError(err)
	}
	signed := false
	for _, sig := range n.Sigs {
		signed = signed || sig.Name == LogName(instance)
	}
	if !signed {
		return Checkpoint{}, openError(&note.UnverifiedNoteError{Note: n})
	}
	c, err := parseText(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Instance != instance {
		return Checkpoint{}, alarm(AlarmWrongOwner, "instance %s signed a checkpoint of %s", instance, c.Origin())
	}
	return c, nil
}

func openError(err error) error {
	if e, ok := errors.AsType[*note.InvalidSignatureError](err); ok {
		return alarm(AlarmAltered, "the checkpoint's signature by %s+%08x does not verify", e.Name, e.Hash)
	}
	if _, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		return bundle.Errorf(bundle.KindForbidden,
			"the checkpoint is not signed with a log key that is known here; fetch the peer's descriptor again: %w", err)
	}
	return bundle.Errorf(bundle.KindInvalid, "not a signed checkpoint: %w", err)
}

func parseText(text string) (c Checkpoint, err error) {
	malformed := func() (Checkpoint, error) {
		return Checkpoint{}, bundle.Errorf(bundle.KindInvalid, "the signed text is not a checkpoint of this program's format")
	}
	lines := strings.Split(text, "\n")
	if len(lines) != 5 {
		return malformed()
	}
	origin := strings.Split(lines[0], "/")
	issued, ok := strings.CutPrefix(lines[3], issuedPrefix)
	if len(origin) != 3 || !ok {
		return malformed()
	}
	var errs [5]error
	c.Instance, errs[0] = bundle.ParseID(origin[1])
	c.Generation, errs[1] = strconv.ParseUint(origin[2], 10, 64)
	c.Size, errs[2] = strconv.ParseInt(lines[1], 10, 64)
	c.Root, errs[3] = tlog.ParseHash(lines[2])
	c.Issued, errs[4] = strconv.ParseInt(issued, 10, 64)
	if errors.Join(errs[:]...) != nil || c.check() != nil || c.Text() != text {
		return malformed()
	}
	return c, nil
}
