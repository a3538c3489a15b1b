package main

import (
	"testing"

	"github.com/blockstored/blockstored/bench/site"
)

func TestWhatAnAnswerTells(t *testing.T) {
	patch, commit, read := op{Kind: patchDraft, Draft: "d"}, op{Kind: commitDraft, Draft: "d"}, op{Kind: readDraft, Draft: "d"}
	for _, c := range []struct {
		op        op
		status    int
		body      string
		want      told
		explained bool
	}{
		{patch, 204, "", done, true},
		{patch, 503, `{"detail":"the cluster has no leader now"}`, refused, true},
		{patch, 503, `{"detail":"it is unknown whether the command took effect"}`, open, true},
		{patch, 503, `{"detail":"The request was given up before it was answered."}`, open, true},
		{patch, 507, `{"detail":"full"}`, refused, true},
		{patch, 404, `{"detail":"Not found."}`, missing, true},
		{patch, 412, "", refused, false},
		{op{Kind: patchDraft, Draft: "d", IfRevision: 3}, 412, "", unmet, true},
		{patch, 500, "", open, false},
		{patch, 409, "", refused, false},
		{commit, 409, `{"conflicts":[]}`, conflict, true},
		{commit, 409, `{"detail":"moved"}`, refused, false},
		{commit, 400, `["Draft has no changes to commit."]`, unchanged, true},
		{commit, 401, "", refused, false},
		{read, 503, "", refused, true},
		{read, 500, "", refused, false},
		{read, 404, "", missing, true},
		{op{Kind: readBundle}, 404, "", missing, true}, // fine at level local
		{op{Kind: listVersions}, 404, "", refused, false},
		{op{Kind: createDraft, Draft: "d"}, 404, "", refused, false},
		{op{Kind: readVersion, Number: 1}, 404, "", missing, true},
	} {
		got, explained := classify(c.op, site.Answer{Status: c.status, Body: []byte(c.body)})
		if got != c.want || explained != c.explained {
			t.Errorf("%s, %d %s: %s, explained %v", c.op, c.status, c.body, got, explained)
		}
	}
}
