package rest

import (
	"errors"
	"net/http"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
)

type tokenView struct {
	Name     string     `json:"name"`
	Role     string     `json:"role"`
	Created  *time.Time `json:"created_at"`
	Expires  *time.Time `json:"expires_at"`
	Revoked  *time.Time `json:"revoked_at"`
	LastUsed *time.Time `json:"last_used_at"` // the hour
	State    string     `json:"state"`
}

func listTokens(x *exchange) error {
	var tokens []catalog.Token
	err := x.view(func(v *catalog.View) (err error) {
		tokens, err = v.Tokens()
		return err
	})
	if err != nil {
		return err
	}
	out := make([]tokenView, len(tokens))
	for i, t := range tokens {
		out[i] = tokenView{
			t.Name, t.Role, timeOf(t.Created), timeOf(t.Expires), timeOf(t.Revoked), timeOf(t.Used), access.State(t, x.cfg.Now()),
		}
	}
	return x.show(http.StatusOK, out)
}

func createToken(x *exchange) error {
	var in struct {
		Name      string  `json:"name"`
		Role      string  `json:"role"`
		ExpiresIn float64 `json:"expires_in"` // seconds, 0 never
		Token     string  `json:"token"`      // one that exists elsewhere; "" for a new one
	}
	if err := x.decode(&in); err != nil {
		return err
	}
	body, token, err := access.TokenRequest{
		Name: in.Name, Role: in.Role, ExpiresIn: secondsOf(in.ExpiresIn), Key: in.Token,
	}.Prepare(x.cfg.Now())
	if e, ok := errors.AsType[*bundle.Error](err); ok {
		var f faults
		for _, field := range []string{"name", "role", "expires_in", "token"} {
			if text := e.Fields[field]; text != "" {
				f.add(field, text)
			}
		}
		return f.err()
	}
	if err != nil {
		return err
	}
	result, err := x.proposed(body)
	if err != nil {
		return err
	}
	if err := x.cfg.Tokens.Made(x.r.Context(), body, result); err != nil {
		return err
	}
	if in.Token != "" {
		token = "" // whoever brought it has it
	}
	return x.show(http.StatusCreated, struct {
		Name    string     `json:"name"`
		Role    string     `json:"role"`
		Token   string     `json:"token,omitempty"`
		Expires *time.Time `json:"expires_at"`
	}{in.Name, in.Role, token, timeOf(body.Expires)})
}

// secondsOf returns a number of seconds as a duration, one beyond all bounds as
// the longest.
func secondsOf(s float64) time.Duration {
	const most = float64(1<<63 - 1<<10)
	return time.Duration(max(-most, min(s*float64(time.Second), most)))
}

// lifetime returns for how long an invitation is good, 0 for the default.
func lifetime(seconds float64) (time.Duration, error) {
	if seconds < 0 || seconds > 1e9 {
		return 0, refuseField("expires_in", "Give seconds from now, or 0 for the default.")
	}
	return secondsOf(seconds), nil
}

func revokeToken(x *exchange) error {
	if err := x.propose(catalog.RevokeToken{Name: x.r.PathValue("name")}); err != nil {
		return err
	}
	return x.done()
}
