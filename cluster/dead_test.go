package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// cast is a cluster as a leader sees it: letters are members, capital ones vote,
// A is the leader.
func cast(letters string) (members []raft.Server) {
	for _, l := range letters {
		m := raft.Server{ID: raft.ServerID(l), Suffrage: raft.Voter}
		if l >= 'a' {
			m.Suffrage = raft.Nonvoter
		}
		members = append(members, m)
	}
	return members
}

func answering(letters string) map[raft.ServerID]bool {
	out := map[raft.ServerID]bool{}
	for _, l := range letters {
		out[raft.ServerID(l)] = true
	}
	return out
}

func TestWhoIsRemovedAsDead(t *testing.T) {
	const limit = time.Hour
	for _, c := range []struct{ members, answer, want string }{
		{"A", "A", ""},
		{"AB", "A", ""},          // then the leader would not lead for long
		{"ABC", "AB", ""},        // two are no safer than three of which one is gone
		{"ABC", "ABC", ""},       // nobody is dead
		{"ABCD", "ABC", "D"},     // its successor votes
		{"ABCDE", "ABCD", "E"},   // leaves four
		{"ABCDE", "ABC", "D"},    // one at a time
		{"ABCE", "ABC", "E"},     // and then the other
		{"ABCDE", "AB", ""},      // of four that are left two answer: no majority
		{"ABCd", "ABC", "d"},     // it does not count for the quorum
		{"ABd", "AB", "d"},       // likewise
		{"Ad", "A", "d"},         // likewise
		{"ABCd", "ABCd", ""},     // a newcomer that is receiving its copy answers
		{"ABCde", "ABC", "d"},    // one at a time
		{"ABCDe", "ABC", "D"},    // in the order of the members
		{"ABCDEFG", "ABC", ""},   // of six that are left three answer
		{"ABCDEFG", "ABCD", "E"}, // of six that are left four
	} {
		now := time.Unix(1_800_000_000, 0)
		heard := contacts{}
		heard.note(now, cast(c.members), answering(c.members))
		for range deadLooks {
			now = now.Add(limit / deadLooks)
			heard.note(now, cast(c.members), answering(c.answer))
		}
		id, ok := heard.dead(now, limit, cast(c.members))
		if string(id) != c.want || ok != (c.want != "") {
			t.Errorf("of %s answer %s: %q is removed, %v; want %q", c.members, c.answer, id, ok, c.want)
		}
		if id, ok := heard.dead(now.Add(-1), limit, cast(c.members)); ok {
			t.Errorf("of %s answer %s: %q is removed too early", c.members, c.answer, id)
		}
	}
}

func TestSilenceIsCountedFromWhenItWasSeen(t *testing.T) {
	const limit = time.Hour
	start := time.Unix(1_800_000_000, 0)
	members := cast("ABCD")
	for _, c := range []struct {
		what string
		look func(heard contacts, at func(time.Duration) time.Time)
		want bool
	}{
		{"since the leader began, though it was never heard", func(h contacts, at func(time.Duration) time.Time) {
			for k := range deadLooks + 1 {
				h.note(at(time.Duration(k)*limit), members, answering("ABC"))
			}
		}, true},
		{"at the first look", func(h contacts, at func(time.Duration) time.Time) {
			h.note(at(0), members, answering("ABC"))
			at(100 * limit)
		}, false},
		{"while the leader itself was stopped", func(h contacts, at func(time.Duration) time.Time) {
			h.note(at(0), members, answering("ABCD"))
			for range deadLooks - 1 {
				h.note(at(100*limit), members, answering("ABC"))
			}
		}, false},
		{"with an answer in between", func(h contacts, at func(time.Duration) time.Time) {
			h.note(at(0), members, answering("ABCD"))
			for k := range 3 * deadLooks {
				answer := "ABC"
				if k == 2*deadLooks+1 {
					answer = "ABCD"
				}
				h.note(at(time.Duration(k)*limit), members, answering(answer))
			}
		}, false},
		{"of one that went and came again", func(h contacts, at func(time.Duration) time.Time) {
			for range 2 * deadLooks {
				h.note(at(0), members, answering("ABC"))
			}
			h.note(at(0), cast("ABC"), answering("ABC"))
			h.note(at(100*limit), members, answering("ABC"))
		}, false},
	} {
		heard, now := contacts{}, start
		c.look(heard, func(after time.Duration) time.Time { now = start.Add(after); return now })
		if id, ok := heard.dead(now, limit, members); ok != c.want {
			t.Errorf("%s: %q is removed, %v", c.what, id, ok)
		}
	}
}

// However nodes come and go, what is left can always decide.
func TestRemovalsLeaveAQuorumThatAnswers(t *testing.T) {
	for voters := 1; voters <= 7; voters++ {
		for answer := range 1 << (voters - 1) {
			members := cast("ABCDEFG"[:voters])
			alive := answering("A")
			for k := 1; k < voters; k++ {
				alive[members[k].ID] = answer&(1<<(k-1)) != 0
			}
			now := time.Unix(1_800_000_000, 0)
			heard := contacts{}
			for range 100 {
				heard.note(now, members, alive)
				now = now.Add(time.Hour)
				id, ok := heard.dead(now, time.Minute, members)
				if !ok {
					continue
				}
				if alive[id] {
					t.Fatalf("%s answers and was removed", id)
				}
				rest := []raft.Server{}
				up := 0
				for _, m := range members {
					if m.ID == id {
						continue
					}
					rest = append(rest, m)
					if alive[m.ID] {
						up++
					}
				}
				members = rest
				if len(rest) < leastVoters || up <= len(rest)/2 {
					t.Fatalf("of %d voters, %s left of which %d answer", voters, fmt.Sprint(rest), up)
				}
			}
		}
	}
}
