package catalog

import (
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

func (s *site) token(name string) Token {
	s.Helper()
	return read(s, func(v *View) (Token, error) { return v.TokenByHash(bundle.DigestOf([]byte(name))) })
}

func tokenOf(name string) CreateToken {
	return CreateToken{ID: idOf(name), Name: name, Role: "writer", Hash: bundle.DigestOf([]byte(name))}
}

func TestTheLastUseOfATokenIsKeptToTheHour(t *testing.T) {
	s := newSite(t)
	made := s.must(tokenOf("lms")).Time
	s.must(tokenOf("studio"))
	now := made - made%hour + 5*hour + hour/2
	use := func(names map[string]int64) {
		t.Helper()
		var body UseTokens
		for name, at := range names {
			body.Uses = append(body.Uses, TokenUse{idOf(name), at})
		}
		c := s.command(body)
		c.Time = now
		if r := s.apply(c)[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	want := func(when string, lms, studio int64) {
		t.Helper()
		if a, b := s.token("lms").Used, s.token("studio").Used; a != lms || b != studio {
			t.Errorf("%s: used at %d and %d, want %d and %d", when, a, b, lms, studio)
		}
	}
	want("before the first use", 0, 0)
	use(map[string]int64{"lms": now, "unknown": now})
	want("after one", now-hour/2, 0)
	use(map[string]int64{"lms": now - 2*hour, "studio": now - 2*hour})
	want("after one of before", now-hour/2, now-hour/2-2*hour)
	use(map[string]int64{"lms": now + 100*hour})
	want("after one of the future", now-hour/2, now-hour/2-2*hour)

	s.must(UseTokens{make([]TokenUse, MaxTokenUses)})
	s.refused(UseTokens{make([]TokenUse, MaxTokenUses+1)}, bundle.KindTooLarge, "")
}

func TestTheRevisionOfTokensMovesWithThemAlone(t *testing.T) {
	s := newSite(t)
	last := s.TokensRevision()
	for _, c := range []struct {
		body  Body
		moves bool
	}{
		{tokenOf("lms"), true},
		{CreateCollection{ID: idOf("c"), Title: "c"}, false},
		{UseTokens{[]TokenUse{{idOf("lms"), 1}}}, true},
		{RevokeToken{"lms"}, true},
	} {
		s.must(c.body)
		now := s.TokensRevision()
		if (now != last) != c.moves || now < last {
			t.Errorf("%s: from %d to %d", c.body.CommandKind(), last, now)
		}
		last = now
	}
	if err := install(s.DB, copyOf(t, s.DB)); err != nil {
		t.Fatal(err)
	}
	if now := s.TokensRevision(); now <= last {
		t.Errorf("another catalog was installed: from %d to %d", last, now)
	}
}
