package rest

import (
	"net/http"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/catalog"
	"github.com/blockstored/blockstored/replica"
)

// propose puts an operator's change into the log.
func (x *exchange) propose(change catalog.Body) error {
	_, err := x.proposed(change)
	return err
}

// proposed is propose for those who look at the result. A repeated
// Idempotency-Key gets that of the first time.
func (x *exchange) proposed(change catalog.Body) (catalog.Result, error) {
	cmd := catalog.NewCommand(x.cfg.Now(), change)
	if id, ok, err := x.idempotency(); err != nil {
		return catalog.Result{}, err
	} else if ok {
		cmd.Request = id
	}
	result, err := x.cfg.Proposer.Propose(x.r.Context(), cmd)
	if err == nil && result.Err != nil {
		err = result.Err
	}
	return result, err
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

// getClusterDigest reads the whole catalog of this node.
func getClusterDigest(x *exchange) error {
	var f catalog.Fingerprint
	err := x.view(func(v *catalog.View) (err error) {
		f, err = v.Fingerprint()
		return err
	})
	if err != nil {
		return err
	}
	return x.show(http.StatusOK, struct {
		AppliedIndex uint64        `json:"applied_index"`
		LogSize      int64         `json:"log_size"`
		LogRoot      bundle.Digest `json:"log_root"`
		Digest       bundle.Digest `json:"digest"`
	}{f.Applied, f.LogSize, f.LogRoot, f.Dump})
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
