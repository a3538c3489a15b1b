package main

import (
	"fmt"
	"testing"

	"github.com/blockstored/blockstored/api"
)

func TestStateOfTheNodesIsTheExitCode(t *testing.T) {
	for name, want := range map[string]int{
		"cluster": exitOK, "cluster-lost": exitDegraded, "cluster-leaderless": exitDegraded, "cluster-stalled": exitDegraded,
	} {
		got := run(t, canned(t, map[string]string{"GET /admin/v1/cluster": name + ".json"}), "", "cluster", "status")
		if got.code != want || got.stderr != "" {
			t.Errorf("%s: status %d, want %d; %s", name, got.code, want, got.stderr)
		}
		golden(t, name+".table", got.stdout)
	}
}

func TestOutlookSaysHowManyNodesMayFail(t *testing.T) {
	for _, c := range []struct {
		voters, fit int
		leader      string
		want        string
	}{
		{1, 1, "n", "1 of 1 voter is up to date: none may fail"},
		{2, 2, "n", "2 of 2 voters are up to date: none may fail"},
		{3, 3, "n", "3 of 3 voters are up to date: any one may fail"},
		{3, 2, "n", "2 of 3 voters are up to date: none more may fail"},
		{3, 1, "n", "1 of 3 voters are up to date: writes need 2"},
		{5, 5, "n", "5 of 5 voters are up to date: any two may fail"},
		{5, 4, "n", "4 of 5 voters are up to date: one more may fail"},
		{5, 3, "n", "3 of 5 voters are up to date: none more may fail"},
		{3, 3, "", "no leader: no writes, and reads only of what each node has; 2 of 3 voters must run and reach each other"},
	} {
		s := api.ClusterStatus{Leader: c.leader}
		for k := range c.voters {
			s.Nodes = append(s.Nodes, api.ClusterNode{ID: fmt.Sprint(k), Voter: true, Answers: true, DiskStalled: k >= c.fit})
		}
		s.Nodes = append(s.Nodes, api.ClusterNode{ID: "joins", Answers: true})
		if got := outlook(s); got != c.want {
			t.Errorf("%d of %d: %q, want %q", c.fit, c.voters, got, c.want)
		}
	}
	removed := api.ClusterStatus{Node: "n1-1", Nodes: []api.ClusterNode{{ID: "n1-1", Answers: true, Unready: []string{"removed"}}}}
	if got := outlook(removed); got != "this node was removed from its instance, and what it knows of the others is old: ask another one" {
		t.Error(got)
	}
}

func TestACopyIsShownWhileItComes(t *testing.T) {
	n := api.ClusterNode{Answers: true, Unready: []string{"joining"}, CopyBytes: 3 << 20, CopyTotal: 10 << 20}
	if got := nodeState(n); got != "gets a copy of the catalog: 3 of 10 MiB" {
		t.Error(got)
	}
}
