package syndication

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

// testLog is a peer's log in memory.
type testLog struct {
	t       *testing.T
	id      bundle.ID
	skey    string
	vkey    string
	entries []publog.Entry
	hashes  []tlog.Hash
}

func newTestLog(t *testing.T, id bundle.ID) *testLog {
	t.Helper()
	skey, vkey, err := publog.GenerateLogKey(rand.Reader, id)
	if err != nil {
		t.Fatal(err)
	}
	return &testLog{t: t, id: id, skey: skey, vkey: vkey}
}

func (l *testLog) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var hashes []tlog.Hash
		for _, i := range indexes {
			hashes = append(hashes, l.hashes[i])
		}
		return hashes, nil
	})
}

// add appends a version record of owner.
func (l *testLog) add(subject bundle.ID, number uint64, owner bundle.ID) {
	l.t.Helper()
	rec := publog.Record{
		Kind: publog.RecordVersion, Critical: true, Subject: subject, Owner: bundle.Owner{Instance: owner, Epoch: 1}, Time: 1,
		Version: &publog.VersionBody{Number: number, Manifest: bundle.Digest{byte(number)}},
	}
	body, err := rec.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	l.addBody(body)
}

func (l *testLog) addBody(body []byte) {
	l.t.Helper()
	e := publog.Entry{Index: int64(len(l.entries)), Salt: publog.Salt{byte(len(l.entries)), 1}, Body: body}
	hashes, err := publog.AppendHashes(e.Index, e.LeafHash(), l.reader())
	if err != nil {
		l.t.Fatal(err)
	}
	l.entries, l.hashes = append(l.entries, e), append(l.hashes, hashes...)
}

func (l *testLog) checkpoint(size int64, issued time.Time) publog.Checkpoint {
	l.t.Helper()
	root, err := publog.Root(size, l.reader())
	if err != nil {
		l.t.Fatal(err)
	}
	return publog.Checkpoint{Instance: l.id, Generation: 1, Size: size, Root: root, Issued: issued.UnixMicro()}
}

func (l *testLog) sign(c publog.Checkpoint) []byte {
	l.t.Helper()
	signer, err := publog.NewLogSigner(l.skey)
	if err != nil {
		l.t.Fatal(err)
	}
	note, err := publog.Sign(c, signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return note
}

// answer is an honest answer with the records at the given indexes.
func (l *testLog) answer(req PollRequest, issued time.Time, at ...int64) *PollAnswer {
	l.t.Helper()
	size := int64(len(l.entries))
	a := &PollAnswer{Note: l.sign(l.checkpoint(size, issued)), Next: size}
	var err error
	if a.Consistency, err = publog.ProveConsistency(min(req.Size, size), size, l.reader()); err != nil {
		l.t.Fatal(err)
	}
	for _, i := range at {
		a.Entries = append(a.Entries, l.entries[i])
	}
	if a.Proof, err = publog.ProveLeaves(size, at, l.reader()); err != nil {
		l.t.Fatal(err)
	}
	return a
}

func (l *testLog) known(c publog.Checkpoint) Known {
	return Known{Instance: l.id, Checkpoint: c, Keys: []string{l.vkey}}
}

func wantAlarm(t *testing.T, name string, err error, want publog.Alarm) {
	t.Helper()
	if got, _ := publog.AlarmOf(err); got != want {
		t.Errorf("%s: got %v, want %s", name, err, want)
	}
}

// north is a log of 10 records whose first 4 are known.
func north(t *testing.T) (l *testLog, known Known, req PollRequest) {
	l = newTestLog(t, idA)
	for i := range 10 {
		l.add(idB, uint64(i+1), idA)
	}
	c := l.checkpoint(4, testNow.Add(-time.Minute))
	return l, l.known(c), PollRequest{Size: c.Size, Root: c.Root, Generation: 1, From: 4}
}

func TestHonestAnswersPassTheCheck(t *testing.T) {
	l, known, req := north(t)
	v, err := Check(known, req, l.answer(req, testNow, 4, 7, 9), testNow, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Checkpoint.Size != 10 || v.Next != 10 || len(v.Records) != 3 || v.Records[1].Record.Version.Number != 8 {
		t.Errorf("%+v", v)
	}
	if want := l.entries[7].LeafHash(); v.Records[1].Leaf != bundle.Digest(want) {
		t.Errorf("leaf %s", v.Records[1].Leaf)
	}
	first := PollRequest{}
	if _, err := Check(l.known(publog.Checkpoint{}), first, l.answer(first, testNow, 0), testNow, Limits{}); err != nil {
		t.Errorf("the first poll: %v", err)
	}
	quiet := l.checkpoint(10, testNow.Add(-time.Minute))
	req = PollRequest{Size: 10, From: 10}
	if _, err := Check(l.known(quiet), req, l.answer(req, testNow), testNow, Limits{}); err != nil {
		t.Errorf("nothing new: %v", err)
	}
}

func TestLyingAnswersRaiseTheirAlarm(t *testing.T) {
	later, at := testNow, testNow
	tests := []struct {
		name  string
		alarm publog.Alarm
		lie   func(t *testing.T, l *testLog, req PollRequest) *PollAnswer
	}{
		{"shortened log", publog.AlarmRollback, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			l.entries = l.entries[:2]
			return l.answer(PollRequest{}, later)
		}},
		{"another history", publog.AlarmFork, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			l.entries, l.hashes = nil, nil
			for i := range 10 {
				l.add(idB, uint64(i+100), idA)
			}
			return l.answer(req, later, 9)
		}},
		{"another history of the same size", publog.AlarmFork, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			l.entries, l.hashes = nil, nil
			for i := range 4 {
				l.add(idB, uint64(i+100), idA)
			}
			return l.answer(req, later)
		}},
		{"a generation that no record begins", publog.AlarmAltered, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later, 9)
			c := l.checkpoint(10, later)
			c.Generation++
			a.Note = l.sign(c)
			return a
		}},
		{"no consistency proof", publog.AlarmFork, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later, 9)
			a.Consistency = nil
			return a
		}},
		{"a checkpoint that is never renewed", publog.AlarmFreeze, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			at = testNow.Add(time.Hour)
			return l.answer(req, later)
		}},
		{"an altered record", publog.AlarmAltered, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later, 5)
			a.Entries[0].Body = append([]byte{}, a.Entries[0].Body...)
			a.Entries[0].Body[len(a.Entries[0].Body)-1] ^= 1
			return a
		}},
		{"an altered note", publog.AlarmAltered, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later, 5)
			a.Note[len(a.Note)-8] ^= 1
			return a
		}},
		{"no note", publog.AlarmAltered, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later, 5)
			a.Note = nil
			return a
		}},
		{"a record at the wrong place", publog.AlarmAltered, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later, 5)
			a.Entries[0].Index = 6
			return a
		}},
		{"a record twice", publog.AlarmAltered, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later, 5)
			a.Entries = append(a.Entries, a.Entries[0])
			return a
		}},
		{"a record from before the cursor", publog.AlarmAltered, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			return l.answer(req, later, 1, 5)
		}},
		{"a record beyond the next cursor", publog.AlarmAltered, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later, 5)
			a.Next = 5
			return a
		}},
		{"a cursor beyond the log", publog.AlarmAltered, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later)
			a.Next = 11
			return a
		}},
		{"a cursor that goes back", publog.AlarmAltered, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later)
			a.Next = 3
			return a
		}},
		{"more than was asked for", publog.AlarmEndless, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			a := l.answer(req, later)
			a.Entries = make([]publog.Entry, MaxPageRecords+1)
			return a
		}},
		{"another's bundle", publog.AlarmWrongOwner, func(t *testing.T, l *testLog, req PollRequest) *PollAnswer {
			l.add(idB, 1, idB)
			return l.answer(req, later, 10)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at = testNow
			l, known, req := north(t)
			v, err := Check(known, req, tt.lie(t, l, req), at, Limits{})
			wantAlarm(t, tt.name, err, tt.alarm)
			if v != nil {
				t.Errorf("verified all the same: %+v", v)
			}
		})
	}
}

func TestOldOrFastAnswersAreNoAlarm(t *testing.T) {
	l, known, req := north(t)
	for name, tt := range map[string]struct {
		issued time.Time
		want   error
	}{
		"a node that lags behind": {testNow.Add(-2 * time.Minute), publog.ErrStale},
		"a clock that is ahead":   {testNow.Add(time.Hour), publog.ErrClockSkew},
	} {
		_, err := Check(known, req, l.answer(req, tt.issued, 5), testNow, Limits{})
		if _, alarmed := publog.AlarmOf(err); alarmed || !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	known.Keys = []string{newTestLog(t, idA).vkey}
	if _, err := Check(known, req, l.answer(req, testNow), testNow, Limits{}); !bundle.IsKind(err, bundle.KindForbidden) {
		t.Errorf("a rotated log key: %v", err)
	}
}

func TestSingleRecordsAreHeldAgainstWhatWasAskedFor(t *testing.T) {
	l, _, _ := north(t)
	at := l.checkpoint(8, testNow)
	answer := func(indexes ...int64) *RecordsAnswer {
		proof, err := publog.ProveLeaves(8, indexes, l.reader())
		if err != nil {
			t.Fatal(err)
		}
		a := &RecordsAnswer{Size: 8, Proof: proof}
		for _, i := range indexes {
			a.Entries = append(a.Entries, l.entries[i])
		}
		return a
	}
	one := RecordsRequest{Versions: []bundle.VersionRef{{Bundle: idB, Number: 3}}, Size: 8}
	if records, err := CheckRecords(at, one, answer(2)); err != nil || len(records) != 1 {
		t.Fatalf("%v, %v", records, err)
	}
	all := RecordsRequest{Subject: idB, From: 3, Size: 8}
	if records, err := CheckRecords(at, all, answer(3, 4, 7)); err != nil || len(records) != 3 {
		t.Fatalf("%v, %v", records, err)
	}
	_, err := CheckRecords(at, one, answer(3))
	wantAlarm(t, "another version", err, publog.AlarmAltered)
	_, err = CheckRecords(at, all, answer(2))
	wantAlarm(t, "from before", err, publog.AlarmAltered)
	_, err = CheckRecords(at, RecordsRequest{Subject: idA, Size: 8}, answer(2))
	wantAlarm(t, "another subject", err, publog.AlarmAltered)
	_, err = CheckRecords(at, one, answer(1, 2, 3))
	wantAlarm(t, "too many", err, publog.AlarmEndless)
	bad := answer(2)
	bad.Size = 7
	_, err = CheckRecords(at, one, bad)
	wantAlarm(t, "another size", err, publog.AlarmAltered)
	bad = answer(2)
	bad.Proof = bad.Proof[1:]
	_, err = CheckRecords(at, one, bad)
	wantAlarm(t, "another proof", err, publog.AlarmAltered)
}

func TestAProvenRecordThatCannotBeReadIsNoAlarm(t *testing.T) {
	l, known, req := north(t)
	l.addBody([]byte{0xa1, 0x01, 0x02}) // of format 2, without a subject
	v, err := Check(known, req, l.answer(req, testNow, 9, 10), testNow, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if r := v.Records[1]; r.Record != nil || r.Unreadable == nil || r.Subject != (bundle.ID{}) {
		t.Errorf("the record is %+v", r)
	}
	if r := v.Records[0]; r.Record == nil || r.Unreadable != nil || r.Subject != idB {
		t.Errorf("the record before it is %+v", r)
	}
}

func TestNothingComesWithARedactedRecord(t *testing.T) {
	l, known, req := north(t)
	a := l.answer(req, testNow, 9)
	a.Entries[0] = publog.Entry{Index: 9, Redacted: a.Entries[0].LeafHash(), Body: []byte("covered by no hash")}
	v, err := Check(known, req, a, testNow, Limits{})
	if err != nil || v.Records[0].Body != nil || v.Records[0].Record != nil {
		t.Errorf("%+v, %v", v, err)
	}
	at := l.checkpoint(10, testNow)
	_, err = CheckRecords(at, RecordsRequest{Subject: idB, From: 10, Size: 10}, &RecordsAnswer{Size: 10, Entries: a.Entries, Proof: a.Proof, More: true})
	wantAlarm(t, "redacted records from before what was asked for", err, publog.AlarmAltered)
}

func TestACheckpointFromTheEndOfTimeIsAClockThatIsWrong(t *testing.T) {
	l, known, req := north(t)
	for _, issued := range []time.Time{time.UnixMicro(1<<63 - 1), testNow.AddDate(1000, 0, 0), testNow.Add(time.Hour)} {
		if _, err := Check(known, req, l.answer(req, issued, 9), testNow, Limits{}); !errors.Is(err, publog.ErrClockSkew) {
			t.Errorf("issued %s: %v", issued, err)
		}
	}
}

func TestAPeerThatShowsNothingNewerFreezes(t *testing.T) {
	_, known, _ := north(t)
	wantAlarm(t, "an hour", CheckLag(known, testNow.Add(time.Hour), Limits{}), publog.AlarmFreeze)
	for name, k := range map[string]Known{"a minute": known, "nothing known": {Instance: idA}} {
		if err := CheckLag(k, testNow, Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
