package catalog

import (
	"maps"
	"slices"

	"github.com/blockstored/blockstored/bundle"
)

func (a *applier) initInstance(b InitInstance) error {
	n, err := a.exec(`INSERT INTO instance (id, uuid, name, descriptor, generation, created) VALUES (1, ?, ?, ?, ?, ?)
 ON CONFLICT DO NOTHING`, b.Instance[:], b.Name, orEmpty(b.Descriptor), clamp(b.Generation), a.now)
	if err != nil {
		return err
	}
	if n == 0 {
		return bundle.Errorf(bundle.KindConflict, "this instance exists already; use another data folder for a new one")
	}
	for _, name := range slices.Sorted(maps.Keys(b.Secrets)) {
		if err := a.putSecret(name, b.Secrets[name]); err != nil {
			return err
		}
	}
	a.result.ID = b.Instance
	return nil
}

func (a *applier) updateInstance(b UpdateInstance) error {
	if _, err := instanceOf(a.session); err != nil {
		return err
	}
	return a.run(`UPDATE instance SET name = ?, descriptor = ?`, b.Name, orEmpty(b.Descriptor))
}

func (a *applier) putSecret(name string, sealed []byte) error {
	return a.run(`INSERT INTO secrets (name, sealed) VALUES (?, ?)
 ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed`, name, orEmpty(sealed))
}

func (a *applier) createToken(b CreateToken) error {
	taken, err := a.get(`SELECT 1 FROM tokens WHERE name = ? AND revoked = 0 AND (expires = 0 OR expires > ?)`,
		[]any{b.Name, a.now}, new(int))
	if err != nil {
		return err
	}
	if taken {
		return bundle.Errorf(bundle.KindConflict, "there is a token named %q already; revoke it first or choose another name", b.Name)
	}
	n, err := a.exec(`INSERT INTO tokens (id, uuid, name, role, hash, created, expires, revoked)
 VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING`,
		a.state.id(), b.ID[:], b.Name, b.Role, b.Hash[:], a.now, b.Expires)
	if err == nil && n == 0 {
		err = bundle.Errorf(bundle.KindConflict, "there is a token with this id or secret already; make a new one")
	}
	a.result.ID = b.ID
	return err
}

func (a *applier) revokeToken(b RevokeToken) error {
	n, err := a.exec(`UPDATE tokens SET revoked = ? WHERE name = ? AND revoked = 0`, a.now, b.Name)
	if err == nil && n == 0 {
		err = bundle.Errorf(bundle.KindNotFound, "there is no live token named %q", b.Name)
	}
	return err
}

const tokenColumns = `SELECT uuid, name, role, hash, created, expires, revoked FROM tokens`

func scanToken(row scanner) (t Token, err error) {
	err = row.Scan(blob{t.ID[:]}, &t.Name, &t.Role, blob{t.Hash[:]}, &t.Created, &t.Expires, &t.Revoked)
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
