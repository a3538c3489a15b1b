package publog_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// logKey returns the signer and the verifiers of an instance's only log key.
func logKey(t testing.TB, instance bundle.ID, seed byte) (note.Signer, note.Verifiers, string) {
	t.Helper()
	skey, vkey, err := publog.GenerateLogKey(seeded(seed), instance)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := publog.NewLogSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	known, err := publog.NewLogVerifiers(instance, vkey, vkey)
	if err != nil {
		t.Fatal(err)
	}
	return signer, known, vkey
}

func someCheckpoint() publog.Checkpoint {
	return publog.Checkpoint{Instance: id(2), Generation: 1, Size: 12345, Root: hash("root"), Issued: someTime}
}

// signText signs any text, as only a broken or hostile peer does.
func signText(t testing.TB, text string, signer note.Signer) []byte {
	t.Helper()
	msg, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func TestCheckpointsKeepTheirEncoding(t *testing.T) {
	signer, known, _ := logKey(t, id(2), 7)
	msg, err := publog.Sign(someCheckpoint(), signer)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "checkpoint.txt", msg)
	got, err := publog.ParseCheckpoint(msg, id(2), known)
	if err != nil {
		t.Fatal(err)
	}
	if got != someCheckpoint() {
		t.Errorf("got %+v", got)
	}
}

func TestCheckpointsOfWitnessesAreRead(t *testing.T) {
	signer, known, _ := logKey(t, id(2), 7)
	wkey, _, err := note.GenerateKey(seeded(9), "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	witness, err := note.NewSigner(wkey)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := note.Sign(&note.Note{Text: someCheckpoint().Text()}, witness, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publog.ParseCheckpoint(msg, id(2), known); err != nil {
		t.Error(err)
	}
}

func TestParseCheckpointRefusesForgeries(t *testing.T) {
	signer, known, _ := logKey(t, id(2), 7)
	stranger, _, _ := logKey(t, id(2), 8)
	c := someCheckpoint()
	msg := signText(t, c.Text(), signer)

	_, err := publog.ParseCheckpoint(bytes.Replace(msg, []byte("12345"), []byte("12346"), 1), id(2), known)
	wantAlarm(t, err, publog.AlarmAltered)

	_, err = publog.ParseCheckpoint(signText(t, c.Text(), stranger), id(2), known)
	wantKind(t, err, bundle.KindForbidden)

	_, err = publog.ParseCheckpoint(msg, id(3), known)
	wantKind(t, err, bundle.KindForbidden)

	other := c
	other.Instance = id(3)
	_, err = publog.ParseCheckpoint(signText(t, other.Text(), signer), id(2), known)
	wantAlarm(t, err, publog.AlarmWrongOwner)

	_, err = publog.Sign(other, signer)
	wantKind(t, err, bundle.KindInvalid)
}

func TestParseCheckpointIsStrict(t *testing.T) {
	signer, known, _ := logKey(t, id(2), 7)
	text := someCheckpoint().Text()
	for name, text := range map[string]string{
		"no extension":     strings.Join(strings.SplitAfter(text, "\n")[:3], ""),
		"a second one":     text + "more\n",
		"a blank line":     text + "\n",
		"no generation":    strings.Replace(text, "/1\n", "\n", 1),
		"generation 0":     strings.Replace(text, "/1\n", "/0\n", 1),
		"leading zero":     strings.Replace(text, "/1\n", "/01\n", 1),
		"another program":  strings.Replace(text, "blockstored/", "blockstorer/", 1),
		"an odd UUID":      strings.Replace(text, id(2).String(), "{"+id(2).String()+"}", 1),
		"a negative size":  strings.Replace(text, "12345", "-1", 1),
		"a huge size":      strings.Replace(text, "12345", "281474976710657", 1),
		"plus in the size": strings.Replace(text, "12345", "+12345", 1),
		"an empty log":     strings.Replace(text, "12345", "0", 1),
		"a short root":     strings.Replace(text, hash("root").String(), "AAAA", 1),
		"an early time":    strings.Replace(text, "issued ", "issued -", 1),
		"no time":          strings.Replace(text, "issued ", "", 1),
	} {
		_, err := publog.ParseCheckpoint(signText(t, text, signer), id(2), known)
		t.Run(name, func(t *testing.T) { wantKind(t, err, bundle.KindInvalid) })
	}
	for _, msg := range []string{"", "\n\n", "<html>502</html>\n", strings.Repeat("x", publog.MaxCheckpointSize+1)} {
		_, err := publog.ParseCheckpoint([]byte(msg), id(2), known)
		wantKind(t, err, bundle.KindInvalid)
	}
}

func TestLogVerifiersRefuseForeignKeys(t *testing.T) {
	_, _, vkey := logKey(t, id(3), 7)
	_, err := publog.NewLogVerifiers(id(2), vkey)
	wantKind(t, err, bundle.KindInvalid)
	_, err = publog.NewLogVerifiers(id(2), "nonsense")
	wantKind(t, err, bundle.KindInvalid)
}

func TestCheckAdvanceNamesWhatIsWrong(t *testing.T) {
	log, fork := newLog(t, 30), newLog(t, 10)
	for range 20 {
		fork.append(t, hash("another history"))
	}
	at := func(m *memLog, size, issued int64) publog.Checkpoint {
		return publog.Checkpoint{Instance: id(2), Generation: 2, Size: size, Root: m.root(t, size), Issued: issued}
	}
	generation := func(g uint64, c publog.Checkpoint) publog.Checkpoint { c.Generation = g; return c }
	instance := func(c publog.Checkpoint) publog.Checkpoint { c.Instance = id(3); return c }
	prove := func(m *memLog, from, to int64) []tlog.Hash {
		proof, err := publog.ProveConsistency(from, to, m)
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	const stale = "stale"
	for name, c := range map[string]struct {
		old, next publog.Checkpoint
		proof     []tlog.Hash
		want      string // an alarm, stale, or "" for none
	}{
		"the first":                        {publog.Checkpoint{}, at(log, 20, 5), nil, ""},
		"grown":                            {at(log, 20, 5), at(log, 30, 6), prove(log, 20, 30), ""},
		"grown from nothing":               {at(log, 0, 5), at(log, 30, 6), nil, ""},
		"issued again":                     {at(log, 20, 5), at(log, 20, 6), nil, ""},
		"the same":                         {at(log, 20, 5), at(log, 20, 5), nil, ""},
		"a new generation that grew":       {at(log, 20, 5), generation(3, at(log, 30, 6)), prove(log, 20, 30), ""},
		"shorter":                          {at(log, 20, 5), at(log, 15, 6), prove(log, 15, 20), "ROLLBACK"},
		"shorter at the same instant":      {at(log, 20, 5), at(log, 15, 5), nil, "ROLLBACK"},
		"shorter in a new generation":      {at(log, 20, 5), generation(3, at(log, 15, 6)), nil, "ROLLBACK"},
		"another root, a new generation":   {at(log, 20, 5), generation(3, at(fork, 20, 6)), nil, "ROLLBACK"},
		"forked and longer, a new one":     {at(log, 20, 5), generation(3, at(fork, 30, 6)), prove(fork, 20, 30), "ROLLBACK"},
		"grown in a new one, unproven":     {at(log, 20, 5), generation(3, at(log, 30, 6)), nil, "ROLLBACK"},
		"a new generation, earlier":        {at(log, 20, 5), generation(3, at(log, 30, 4)), prove(log, 20, 30), stale},
		"shorter in a new one, earlier":    {at(log, 20, 5), generation(3, at(log, 15, 4)), nil, stale},
		"an old generation, later":         {at(log, 20, 5), generation(1, at(log, 30, 6)), prove(log, 20, 30), "ROLLBACK"},
		"an old generation, earlier":       {at(log, 20, 5), generation(1, at(log, 15, 4)), nil, stale},
		"another root":                     {at(log, 20, 5), at(fork, 20, 6), nil, "FORK"},
		"another root, earlier":            {at(log, 20, 5), at(fork, 20, 4), nil, "FORK"},
		"forked and longer":                {at(log, 20, 5), at(fork, 30, 6), prove(fork, 20, 30), "FORK"},
		"grown without a proof":            {at(log, 20, 5), at(log, 30, 6), nil, "FORK"},
		"grown with another proof":         {at(log, 20, 5), at(log, 30, 6), prove(log, 19, 30), "FORK"},
		"a node behind":                    {at(log, 20, 5), at(log, 15, 4), prove(log, 15, 20), stale},
		"a node behind, unproven":          {at(log, 20, 5), at(log, 15, 4), nil, stale},
		"a node behind, with another tree": {at(log, 20, 5), at(fork, 15, 4), prove(log, 15, 20), "FORK"},
		"a node just started":              {at(log, 20, 5), at(log, 0, 4), nil, stale},
		"an earlier issue":                 {at(log, 20, 5), at(log, 20, 4), nil, stale},
		"a clock that went back":           {at(log, 20, 5), at(log, 30, 4), prove(log, 20, 30), stale},
		"another instance":                 {at(log, 20, 5), instance(at(log, 30, 6)), prove(log, 20, 30), "WRONG_OWNER"},
	} {
		t.Run(name, func(t *testing.T) {
			err := publog.CheckAdvance(c.old, c.next, c.proof)
			switch c.want {
			case "":
				if err != nil {
					t.Errorf("refused: %v", err)
				}
			case stale:
				wantKind(t, err, bundle.KindUnavailable)
				if !errors.Is(err, publog.ErrStale) {
					t.Errorf("got %v, want ErrStale", err)
				}
			default:
				wantAlarm(t, err, publog.Alarm(c.want))
			}
		})
	}
}

func TestANewGenerationIsBegunByARecordOfItsLog(t *testing.T) {
	entry := func(index int64, r publog.Record) publog.Entry {
		body, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return publog.Entry{Index: index, Salt: publog.Salt{7}, Body: body}
	}
	begins := func(number uint64, owner bundle.ID) publog.Record {
		return publog.Record{
			Kind: publog.RecordGeneration, Owner: bundle.Owner{Instance: owner, Epoch: 1}, Time: 1,
			Generation: &publog.GenerationBody{Number: number},
		}
	}
	withdrawal := publog.Record{
		Kind: publog.RecordWithdrawal, Subject: id(9), Owner: bundle.Owner{Instance: id(2), Epoch: 1}, Time: 1, Withdrawal: &publog.WithdrawalBody{},
	}
	good := entry(20, begins(3, id(2)))
	for name, c := range map[string]struct {
		entry *publog.Entry
		known int64 // records that were verified before
		spoil bool  // the proof
		ok    bool
	}{
		"the first after them":     {entry: &good, known: 20, ok: true},
		"one of those known":       {entry: &good, known: 21},
		"none":                     {known: 20},
		"not in the log":           {entry: &good, known: 20, spoil: true},
		"of another generation":    {entry: new(entry(20, begins(4, id(2)))), known: 20},
		"of another instance":      {entry: new(entry(20, begins(3, id(3)))), known: 20},
		"of another kind":          {entry: new(entry(20, withdrawal)), known: 20},
		"redacted":                 {entry: &publog.Entry{Index: 20, Redacted: hash("gone")}, known: 20},
		"one that nobody can read": {entry: &publog.Entry{Index: 20, Body: []byte("later")}, known: 20},
	} {
		log := newLog(t, 20)
		if c.entry != nil {
			log.append(t, c.entry.LeafHash())
		}
		for i := log.size; i < 25; i++ {
			log.append(t, leafAt(i))
		}
		proof, err := publog.ProveLeaves(25, []int64{20}, log)
		if err != nil {
			t.Fatal(err)
		}
		if c.spoil {
			proof[0][0] ^= 1
		}
		old := publog.Checkpoint{Instance: id(2), Generation: 2, Size: c.known, Root: log.root(t, c.known), Issued: 1}
		next := publog.Checkpoint{Instance: id(2), Generation: 3, Size: 25, Root: log.root(t, 25), Issued: 2}
		err = publog.CheckGeneration(old, next, c.entry, proof)
		if a, _ := publog.AlarmOf(err); (err == nil) != c.ok || err != nil && a != publog.AlarmAltered {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConsistencyHoldsBetweenAnyTwoSizes(t *testing.T) {
	log := newLog(t, largest)
	rapid.Check(t, func(rt *rapid.T) {
		to := rapid.Int64Range(0, largest).Draw(rt, "to")
		from := rapid.Int64Range(0, to).Draw(rt, "from")
		proof, err := publog.ProveConsistency(from, to, log)
		if err != nil {
			rt.Fatal(err)
		}
		old := publog.Checkpoint{Instance: id(2), Generation: 1, Size: from, Root: log.root(t, from), Issued: 1}
		next := publog.Checkpoint{Instance: id(2), Generation: 1, Size: to, Root: log.root(t, to), Issued: 2}
		if err := publog.CheckAdvance(old, next, proof); err != nil {
			rt.Fatal(err)
		}
		if len(proof) == 0 {
			return
		}
		bit := rapid.IntRange(0, 256*len(proof)-1).Draw(rt, "bit")
		proof[bit/256][bit%256/8] ^= 1 << (bit % 8)
		if a, _ := publog.AlarmOf(publog.CheckAdvance(old, next, proof)); a != publog.AlarmFork {
			rt.Fatal("a spoiled proof was accepted")
		}
	})
	_, err := publog.ProveConsistency(3, 2, log)
	wantKind(t, err, bundle.KindInvalid)
}

func TestCheckFreshTellsFreezeFromClockSkew(t *testing.T) {
	c := someCheckpoint()
	const freeze, skew = time.Hour, 5 * time.Minute
	fresh := func(age time.Duration) error { return publog.CheckFresh(c, c.IssuedAt().Add(age), freeze, skew) }
	for _, age := range []time.Duration{0, freeze, -skew} {
		if err := fresh(age); err != nil {
			t.Errorf("age %s: %v", age, err)
		}
	}
	wantAlarm(t, fresh(freeze+time.Microsecond), publog.AlarmFreeze)
	err := fresh(-skew - time.Microsecond)
	wantKind(t, err, bundle.KindUnavailable)
	if !errors.Is(err, publog.ErrClockSkew) {
		t.Errorf("got %v, want ErrClockSkew", err)
	}
}

func TestAlarmNamesAreFixed(t *testing.T) {
	var names []string
	for _, a := range []publog.Alarm{
		publog.AlarmRollback, publog.AlarmFork, publog.AlarmFreeze, publog.AlarmChainBreak, publog.AlarmWrongOwner,
		publog.AlarmFenced, publog.AlarmAltered, publog.AlarmEndless, publog.AlarmReplay,
	} {
		names = append(names, string(a))
	}
	const want = "ROLLBACK FORK FREEZE CHAIN_BREAK WRONG_OWNER FENCED ALTERED ENDLESS REPLAY"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	signer, known, _ := logKey(f, id(2), 7)
	c := someCheckpoint()
	f.Add(c.Text(), true)
	c.Instance, c.Size, c.Root = id(3), 0, hash("")
	f.Add(c.Text(), true)
	f.Add(string(signText(f, c.Text(), signer)), false)
	f.Fuzz(func(t *testing.T, s string, sign bool) {
		msg := []byte(s)
		if sign { // reach the parser behind the signature
			var err error
			if msg, err = note.Sign(&note.Note{Text: s}, signer); err != nil {
				return
			}
		}
		c, err := publog.ParseCheckpoint(msg, id(2), known)
		if err != nil {
			return
		}
		if !sign && !bytes.Equal(msg[:len(c.Text())], []byte(c.Text())) || sign && c.Text() != s {
			t.Fatalf("%q was read as %+v", s, c)
		}
		if _, err := publog.Sign(c, signer); err != nil {
			t.Fatalf("parsed, but cannot be signed: %v", err)
		}
	})
}
