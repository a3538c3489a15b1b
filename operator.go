package blockstored

import (
	"context"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/primary"
)

// The methods that make an Instance an api.Operator are in the files operator*.go.
// Who calls them is trusted, as whoever reaches the operators' socket is.

var _ api.Operator = (*Instance)(nil)

// operate proposes what an operator changes; method and object are what an
// idempotency key belongs to.
func (i *Instance) operate(ctx context.Context, method, object string, body catalog.Body) (catalog.Result, error) {
	change, err := i.keyed(ctx, method, object)
	if err != nil {
		return catalog.Result{}, err
	}
	cmd := catalog.NewCommand(i.now(), body)
	if id, ok := primary.RequestOf(change); ok {
		cmd.Request = id
	}
	result, err := i.node.Propose(ctx, cmd)
	if err == nil && result.Err != nil {
		err = result.Err
	}
	return result, told(ctx, err)
}

// chosen refuses a UUID that nobody may choose.
func chosen(id bundle.ID) error {
	if id.Version() != 4 {
		return bundle.Errorf(bundle.KindInvalid, "uuid: Give a random UUID (version 4), or none.")
	}
	return nil
}

// CreateCollectionWithID implements [api.Operator].
func (i *Instance) CreateCollectionWithID(ctx context.Context, id bundle.ID, title string) (api.Collection, error) {
	if err := chosen(id); err != nil {
		return api.Collection{}, err
	}
	change, err := i.keyed(ctx, "CreateCollectionWithID", "")
	if err != nil {
		return api.Collection{}, err
	}
	c, err := i.primary.CreateCollection(change, primary.NewCollection{ID: id, Title: title})
	if err != nil {
		return api.Collection{}, told(ctx, err)
	}
	return i.shownCollection(ctx, c)
}

// CreateBundleWithID implements [api.Operator].
func (i *Instance) CreateBundleWithID(ctx context.Context, id bundle.ID, n api.NewBundle) (api.Bundle, error) {
	if err := chosen(id); err != nil {
		return api.Bundle{}, err
	}
	if err := i.ownCollection(ctx, n.Collection); err != nil {
		return api.Bundle{}, referenced(err, "collection_uuid", n.Collection)
	}
	change, err := i.keyed(ctx, "CreateBundleWithID", "")
	if err != nil {
		return api.Bundle{}, err
	}
	b, err := i.primary.CreateBundle(change, primary.NewBundle{
		ID: id, Collection: n.Collection, Slug: n.Slug, Title: n.Title, Description: n.Description,
	})
	if err != nil {
		return api.Bundle{}, told(ctx, err)
	}
	return i.shownBundle(ctx, b)
}

// Tokens implements [api.Tokens].
func (i *Instance) Tokens(ctx context.Context) ([]api.Token, error) {
	out := []api.Token{}
	err := i.view(ctx, func(s *state) error {
		tokens, err := s.Tokens()
		for _, t := range tokens {
			out = append(out, api.Token{
				Name: t.Name, Role: t.Role, CreatedAt: timeOf(t.Created), State: access.State(t, i.now()),
				ExpiresAt: anyTimeOf(t.Expires), RevokedAt: anyTimeOf(t.Revoked), LastUsedAt: anyTimeOf(t.Used),
			})
		}
		return err
	})
	return out, err
}

// CreateToken implements [api.Tokens].
func (i *Instance) CreateToken(ctx context.Context, name, role string, expiresIn time.Duration) (api.NewToken, error) {
	return i.newToken(ctx, access.TokenRequest{Name: name, Role: role, ExpiresIn: expiresIn})
}

// AdoptToken implements [api.Tokens].
func (i *Instance) AdoptToken(ctx context.Context, name, role, key string, expiresIn time.Duration) error {
	if key == "" {
		return bundle.Errorf(bundle.KindInvalid, "token: Give the key that the token shall have.")
	}
	_, err := i.newToken(ctx, access.TokenRequest{Name: name, Role: role, ExpiresIn: expiresIn, Key: key})
	return err
}

func (i *Instance) newToken(ctx context.Context, r access.TokenRequest) (api.NewToken, error) {
	r.ExpiresIn = r.ExpiresIn.Truncate(time.Second)
	body, token, err := r.Prepare(i.now())
	if err != nil {
		return api.NewToken{}, err
	}
	result, err := i.operate(ctx, "CreateToken", "", body)
	if err == nil {
		err = i.tokens.Made(ctx, body, result)
	}
	if err != nil {
		return api.NewToken{}, err
	}
	return api.NewToken{Name: r.Name, Role: r.Role, Token: token, ExpiresAt: anyTimeOf(body.Expires)}, nil
}

// RevokeToken implements [api.Tokens].
func (i *Instance) RevokeToken(ctx context.Context, name string) error {
	_, err := i.operate(ctx, "RevokeToken", name, catalog.RevokeToken{Name: name})
	return err
}

// Status implements [api.Status].
func (i *Instance) Status(ctx context.Context) (out api.InstanceStatus, err error) {
	out.Instance.Version, out.Instance.Revision, _ = buildInfo()
	err = i.view(ctx, func(s *state) error {
		self, err := s.Instance()
		if err != nil {
			return err
		}
		c, err := s.Counts()
		if err != nil {
			return err
		}
		o := &out.Instance
		o.ID, o.Name, o.Generation, o.CreatedAt = self.ID, self.Name, self.Generation, timeOf(self.Created)
		n := &out.Counts
		n.Collections, n.Bundles, n.Drafts, n.Versions, n.Records, n.Blobs = c.Collections, c.Bundles, c.Drafts, c.Versions, c.Records, c.Blobs
		return nil
	})
	if err != nil {
		return out, err
	}
	if out.CatalogBytes, err = i.catalog.Size(); err != nil {
		return out, told(ctx, err)
	}
	out.Cluster, err = i.ClusterStatus(ctx)
	return out, err
}

// ClusterStatus implements [api.Status].
func (i *Instance) ClusterStatus(ctx context.Context) (api.ClusterStatus, error) {
	s, err := i.clusterStatus(ctx)
	out := api.ClusterStatus{
		Node: s.Node, State: s.State, Leader: s.Leader, Term: s.Term,
		CommitIndex: s.CommitIndex, AppliedIndex: s.AppliedIndex, LogEntries: s.LogEntries, Level: s.Level, Nodes: []api.ClusterNode{},
	}
	for _, n := range s.Nodes {
		out.Nodes = append(out.Nodes, api.ClusterNode(n))
	}
	return out, err
}

// CatalogDigest implements [api.Status].
func (i *Instance) CatalogDigest(ctx context.Context) (api.CatalogDigest, error) {
	var f catalog.Fingerprint
	err := i.catalog.View(ctx, func(v *catalog.View) (err error) {
		f, err = v.Fingerprint()
		return err
	})
	return api.CatalogDigest{AppliedIndex: f.Applied, LogSize: f.LogSize, LogRoot: f.LogRoot, Digest: f.Dump}, told(ctx, err)
}

// timeOf returns a stored time.
func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// anyTimeOf returns a stored time, nil for none.
func anyTimeOf(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := timeOf(micros)
	return &t
}
