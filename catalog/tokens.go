package catalog

import "github.com/blockstored/blockstored/bundle"

func (a *applier) createToken(b CreateToken) error {
	a.tokens = true
	taken, err := a.get(`SELECT 1 FROM tokens WHERE name = ? AND revoked = 0 AND (expires = 0 OR expires > ?)`,
		[]any{b.Name, a.now}, new(int))
	if err != nil {
		return err
	}
	if taken {
		return bundle.Errorf(bundle.KindConflict, "there is a token named %q already; revoke it first or choose another name", b.Name)
	}
	n, err := a.exec(`INSERT INTO tokens (id, uuid, name, role, hash, created, expires, revoked, used)
 VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0) ON CONFLICT DO NOTHING`,
		a.state.id(), b.ID[:], b.Name, b.Role, b.Hash[:], a.now, b.Expires)
	if err == nil && n == 0 {
		err = bundle.Errorf(bundle.KindConflict, "there is a token with this id or secret already; make a new one")
	}
	a.result.ID = b.ID
	return err
}

func (a *applier) revokeToken(b RevokeToken) error {
	a.tokens = true
	n, err := a.exec(`UPDATE tokens SET revoked = ? WHERE name = ? AND revoked = 0`, a.now, b.Name)
	if err == nil && n == 0 {
		err = bundle.Errorf(bundle.KindNotFound, "there is no live token named %q", b.Name)
	}
	return err
}

// useTokens keeps the hour of a use, not the moment, and never goes back.
func (a *applier) useTokens(b UseTokens) error {
	a.tokens = true
	if len(b.Uses) > MaxTokenUses {
		return bundle.Errorf(bundle.KindTooLarge, "%d uses of tokens; a command has at most %d", len(b.Uses), MaxTokenUses)
	}
	for _, u := range b.Uses {
		at := min(u.At, a.now)
		if err := a.run(`UPDATE tokens SET used = ?1 WHERE uuid = ?2 AND used < ?1`, at-at%hour, u.Token[:]); err != nil {
			return err
		}
	}
	return nil
}

const tokenColumns = `SELECT uuid, name, role, hash, created, expires, revoked, used FROM tokens`

func scanToken(row scanner) (t Token, err error) {
	err = row.Scan(blob{t.ID[:]}, &t.Name, &t.Role, blob{t.Hash[:]}, &t.Created, &t.Expires, &t.Revoked, &t.Used)
	return t, err
}

// Tokens returns all tokens, also those revoked and expired, as they came.
func (v *View) Tokens() ([]Token, error) {
	return collect(v.session, tokenColumns+` ORDER BY id`, nil, scanToken)
}

// TokenByHash returns the token whose secret has hash h, KindNotFound if there
// is none. Whether it is revoked or expired is the caller's to judge.
func (v *View) TokenByHash(h bundle.Digest) (Token, error) {
	ts, err := collect(v.session, tokenColumns+` WHERE hash = ?`, []any{h[:]}, scanToken)
	if err != nil {
		return Token{}, err
	}
	if len(ts) == 0 {
		return Token{}, bundle.Errorf(bundle.KindNotFound, "no such token")
	}
	return ts[0], nil
}

// TokensRevision grows with every change of tokens that this process has seen:
// what was read after a call stays true while the next call returns the same. A
// token that was revoked is never the same again once Apply has returned.
func (db *DB) TokensRevision() uint64 { return db.tokens.Load() }
