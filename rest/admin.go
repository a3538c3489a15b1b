package rest

import (
	"net/http"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/replica"
)

// propose puts an operator's change into the log.
func (x *exchange) propose(change catalog.Body) error {
	cmd := catalog.NewCommand(x.cfg.Now(), change)
	if id, ok, err := x.idempotency(); err != nil {
		return err
	} else if ok {
		cmd.Request = id
	}
	result, err := x.cfg.Proposer.Propose(x.r.Context(), cmd)
	if err != nil {
		return err
	}
	if result.Err != nil {
		return result.Err
	}
	return nil
}

func (x *exchange) show(status int, v any) error {
	b, err := marshal(v)
	if err != nil {
		return err
	}
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		x.moved()
	}
	return x.json(status, b)
}

// timeOf returns a stored time, nil for none.
func timeOf(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := time.UnixMicro(micros).UTC()
	return &t
}

func unavailable(what string) error {
	return bundle.Errorf(bundle.KindUnavailable, "%s is not available in this process.", what)
}

// The admin routes of collections and bundles are the API's, but for a uuid that
// the operator chooses.

func adminCreateCollection(x *exchange) error {
	in, id, err := x.objectWithID()
	if err != nil {
		return err
	}
	return x.newCollection(in, id)
}

func adminCreateBundle(x *exchange) error {
	in, id, err := x.objectWithID()
	if err != nil {
		return err
	}
	return x.newBundle(in, id)
}

// objectWithID reads a body that may carry a uuid.
func (x *exchange) objectWithID() (in input, id bundle.ID, err error) {
	if in, err = x.object(); err != nil {
		return nil, id, err
	}
	v := in["uuid"]
	if v.kind == isMissing || v.kind == isNull || v.text == "" {
		return in, id, nil
	}
	id, ok := looseID(v.text)
	if !ok || v.kind != isString || id.Version() != 4 {
		return nil, id, refuseField("uuid", "Give a random UUID (version 4), or none.")
	}
	return in, id, nil
}

type tokenView struct {
	Name    string     `json:"name"`
	Role    string     `json:"role"`
	Created *time.Time `json:"created_at"`
	Expires *time.Time `json:"expires_at"`
	Revoked *time.Time `json:"revoked_at"`
	State   string     `json:"state"`
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
		state := "live"
		switch {
		case t.Revoked != 0:
			state = "revoked"
		case !access.Live(t, x.cfg.Now()):
			state = "expired"
		}
		out[i] = tokenView{t.Name, t.Role, timeOf(t.Created), timeOf(t.Expires), timeOf(t.Revoked), state}
	}
	return x.show(http.StatusOK, out)
}

const maxTokenName = 100

func createToken(x *exchange) error {
	var in struct {
		Name      string  `json:"name"`
		Role      string  `json:"role"`
		ExpiresIn float64 `json:"expires_in"` // seconds, 0 never
	}
	if err := x.decode(&in); err != nil {
		return err
	}
	var f faults
	if in.Name == "" || len(in.Name) > maxTokenName {
		f.add("name", "Give a name of 1 to 100 bytes.")
	}
	if _, err := access.ParseRole(in.Role); err != nil {
		f.add("role", err.Error())
	}
	if in.ExpiresIn < 0 || in.ExpiresIn > 1e9 {
		f.add("expires_in", "Give seconds from now, or 0 for a token that does not expire.")
	}
	if err := f.err(); err != nil {
		return err
	}
	token, hash := access.NewToken()
	var expires int64
	if in.ExpiresIn > 0 {
		expires = x.cfg.Now().Add(time.Duration(in.ExpiresIn * float64(time.Second))).UnixMicro()
	}
	err := x.propose(catalog.CreateToken{ID: bundle.NewID(), Name: in.Name, Role: in.Role, Hash: hash, Expires: expires})
	if err != nil {
		return err
	}
	return x.show(http.StatusCreated, struct {
		Name    string     `json:"name"`
		Role    string     `json:"role"`
		Token   string     `json:"token"`
		Expires *time.Time `json:"expires_at"`
	}{in.Name, in.Role, token, timeOf(expires)})
}

func revokeToken(x *exchange) error {
	if err := x.propose(catalog.RevokeToken{Name: x.r.PathValue("name")}); err != nil {
		return err
	}
	return x.done()
}

func getStatus(x *exchange) error {
	var out struct {
		Instance struct {
			ID         bundle.ID  `json:"id"`
			Name       string     `json:"name"`
			Generation uint64     `json:"generation"`
			Created    *time.Time `json:"created_at"`
			Version    string     `json:"version"`
			Revision   string     `json:"revision"`
		} `json:"instance"`
		Counts struct {
			Collections int64            `json:"collections"`
			Bundles     map[string]int64 `json:"bundles"`
			Drafts      int64            `json:"drafts"`
			Versions    int64            `json:"versions"`
			Records     int64            `json:"records"`
			Blobs       int64            `json:"blobs"`
		} `json:"counts"`
		CatalogBytes int64          `json:"catalog_bytes"`
		Cluster      *ClusterStatus `json:"cluster"`
	}
	err := x.view(func(v *catalog.View) error {
		self, err := v.Instance()
		if err != nil {
			return err
		}
		c, err := v.Counts()
		if err != nil {
			return err
		}
		i := &out.Instance
		i.ID, i.Name, i.Generation, i.Created = self.ID, self.Name, self.Generation, timeOf(self.Created)
		i.Version, i.Revision = x.cfg.Version, x.cfg.Revision
		n := &out.Counts
		n.Collections, n.Bundles, n.Drafts, n.Versions, n.Records, n.Blobs = c.Collections, c.Bundles, c.Drafts, c.Versions, c.Records, c.Blobs
		return nil
	})
	if err != nil {
		return err
	}
	if out.CatalogBytes, err = x.cfg.Catalog.Size(); err != nil {
		return err
	}
	if x.cfg.ClusterStatus != nil {
		c, err := x.cfg.ClusterStatus(x.r.Context())
		if err != nil {
			return err
		}
		out.Cluster = &c
	}
	return x.show(http.StatusOK, out)
}

func getCluster(x *exchange) error {
	if x.cfg.ClusterStatus == nil {
		return unavailable("The cluster's status")
	}
	c, err := x.cfg.ClusterStatus(x.r.Context())
	if err != nil {
		return err
	}
	return x.show(http.StatusOK, c)
}

func getSync(x *exchange) error {
	if x.cfg.SyncStatus == nil {
		return unavailable("The state of following peers")
	}
	peers, err := x.cfg.SyncStatus(x.r.Context())
	if err != nil {
		return err
	}
	return x.show(http.StatusOK, struct {
		Peers []replica.PeerStatus `json:"peers"`
	}{peers})
}
