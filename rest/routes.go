package rest

import "github.com/blockstored/blockstored/access"

// handle answers one request. What it returns is shown to the client, so it
// returns an error only before it has answered.
type handle func(x *exchange) error

// manner is how the requests of a route are met.
type manner uint8

const (
	asAPI    manner = iota // a token, JSON, the original's headers
	asAdmin                // an operator's token, JSON
	asSigned               // no token: the URL is signed
	asProbe                // no token: shows nothing of the store
	asPlain                // a token; the handler writes what it likes
)

// route is a path, who may come, and what each method does there.
type route struct {
	pattern string
	manner  manner
	allow   string // the Allow header, and with it the methods
	name    string // for OPTIONS
	id      idForm // of the wildcard {id}
	asItIs  bool   // shows this process or goes to the leader by itself: no level of reads holds
	methods map[string]handle
}

// idForm is how strictly the wildcard {id} of a route is read.
type idForm uint8

const (
	noID      idForm = iota
	anyID            // any text; what is no UUID is not found, after authentication
	exactID          // one spelling of a UUID (see strictID); else there is no such route
	versionID        // an exact ID, a comma and a number
)

// action is what a request of the method does, as far as roles are concerned.
func (rt *route) action(method string) access.Action {
	switch {
	case rt.manner == asAdmin:
		return access.ActionOperate
	case method == "GET" || method == "HEAD" || method == "OPTIONS":
		return access.ActionRead
	}
	return access.ActionWrite
}

func (a *API) routes() []*route {
	var all []*route
	for _, group := range [][]*route{blockstoreRoutes(), additionRoutes(), fileRoutes(), adminRoutes(), probeRoutes(), docRoutes()} {
		all = append(all, group...)
	}
	return all
}

// blockstoreRoutes are those of the original.
func blockstoreRoutes() []*route {
	return []*route{
		{pattern: "/", allow: "", methods: nil},
		{pattern: "/api/v1", manner: asProbe, allow: "GET, HEAD, OPTIONS", methods: map[string]handle{"GET": toRoot}},
		{pattern: "/api/v1/{$}", allow: "GET, HEAD, OPTIONS", name: "Api Root", methods: map[string]handle{"GET": getRoot}},
		{pattern: "/api/v1/collections", allow: "GET, POST, HEAD, OPTIONS", name: "Collection List", methods: map[string]handle{
			"GET": listCollections, "POST": createCollection,
		}},
		{pattern: "/api/v1/collections/{id}", id: exactID, allow: "GET, PUT, PATCH, DELETE, HEAD, OPTIONS", name: "Collection Instance", methods: map[string]handle{
			"GET": getCollection, "PUT": putCollection, "PATCH": patchCollection, "DELETE": deleteCollection,
		}},
		{pattern: "/api/v1/bundles", allow: "GET, POST, HEAD, OPTIONS", name: "Bundle List", methods: map[string]handle{
			"GET": listBundles, "POST": createBundle,
		}},
		{pattern: "/api/v1/bundles/{id}", id: exactID, allow: "GET, PUT, PATCH, DELETE, HEAD, OPTIONS", name: "Bundle Instance", methods: map[string]handle{
			"GET": getBundle, "PUT": putBundle, "PATCH": patchBundle, "DELETE": deleteBundle,
		}},
		{pattern: "/api/v1/bundle_versions", allow: "GET, HEAD, OPTIONS", name: "Bundle Version List", methods: map[string]handle{
			"GET": listVersions,
		}},
		{pattern: "/api/v1/bundle_versions/{id}", id: versionID, allow: "GET, PUT, PATCH, HEAD, OPTIONS", name: "Bundle Version Instance", methods: map[string]handle{
			"GET": getVersion, "PUT": describeVersion, "PATCH": describeVersion,
		}},
		{pattern: "/api/v1/drafts", allow: "GET, HEAD, OPTIONS, POST", name: "Draft List", methods: map[string]handle{
			"GET": listDrafts, "POST": createDraft,
		}},
		{pattern: "/api/v1/drafts/{id}", id: anyID, allow: "GET, HEAD, OPTIONS, PATCH, DELETE", name: "Draft Instance", methods: map[string]handle{
			"GET": getDraft, "PATCH": patchDraft, "DELETE": deleteDraft,
		}},
		{pattern: "/api/v1/drafts/{id}/commit", id: anyID, allow: "OPTIONS, POST", name: "Commit", methods: map[string]handle{
			"POST": commitDraft,
		}},
	}
}

// additionRoutes are those that only blockstored has.
func additionRoutes() []*route {
	return []*route{
		{pattern: "/api/v1/drafts/{id}/rebase", id: anyID, allow: "POST, OPTIONS", name: "Rebase", methods: map[string]handle{
			"POST": rebaseDraft,
		}},
		{pattern: "/api/v1/drafts/{id}/files/{path...}", manner: asPlain, id: anyID, allow: "GET, PUT, DELETE, HEAD, OPTIONS", name: "Draft File", methods: map[string]handle{
			"GET": getDraftFile, "PUT": putDraftFile, "DELETE": deleteDraftFile,
		}},
		{pattern: "/api/v1/bundle_versions/{id}/files/{path...}", manner: asPlain, id: versionID, allow: "GET, HEAD, OPTIONS", name: "Version File", methods: map[string]handle{
			"GET": getVersionFile,
		}},
		{pattern: "/api/v1/bundle_versions/{id}/diff/{to}", id: versionID, allow: "GET, HEAD, OPTIONS", name: "Version Diff", methods: map[string]handle{
			"GET": diffVersions,
		}},
		{pattern: "/api/v1/bundles/{id}/borrowers", id: exactID, allow: "GET, HEAD, OPTIONS", name: "Borrower List", methods: map[string]handle{
			"GET": listBorrowers,
		}},
		{pattern: "/api/v1/bundles/{id}/fork", id: exactID, allow: "POST, OPTIONS", name: "Fork", methods: map[string]handle{
			"POST": forkBundle,
		}},
		{pattern: "/api/v1/bundle_versions/{id}/archive", manner: asPlain, id: versionID, allow: "GET, HEAD, OPTIONS", name: "Version Archive", methods: map[string]handle{
			"GET": getArchive,
		}},
		{pattern: "/api/v1/blobs/missing", allow: "POST, OPTIONS", name: "Missing Blobs", methods: map[string]handle{
			"POST": missingBlobs,
		}},
		{pattern: "/api/v1/blobs", allow: "POST, OPTIONS", name: "Blobs", methods: map[string]handle{
			"POST": uploadFrames,
		}},
		{pattern: "/api/v1/blobs/{digest}", allow: "PUT, OPTIONS", name: "Blob", methods: map[string]handle{
			"PUT": uploadBlob,
		}},
	}
}

// fileRoutes are the URLs of files in the bodies of versions and drafts.
func fileRoutes() []*route {
	return []*route{
		{pattern: "/files/{id}/{digest}/{path...}", manner: asSigned, allow: "GET, HEAD, OPTIONS", methods: map[string]handle{
			"GET": getCommitted,
		}},
		{pattern: "/files/drafts/{id}/{path...}", manner: asSigned, id: anyID, allow: "GET, HEAD, OPTIONS", methods: map[string]handle{
			"GET": getStaged,
		}},
	}
}

// adminRoutes are the operators'.
func adminRoutes() []*route {
	routes := []*route{
		{pattern: "/admin/v1/status", methods: map[string]handle{"GET": getStatus}},
		{pattern: "/admin/v1/cluster", asItIs: true, methods: map[string]handle{"GET": getCluster}},
		{pattern: "/admin/v1/cluster/digest", methods: map[string]handle{"GET": getClusterDigest}},
		{pattern: "/admin/v1/cluster/invite", methods: map[string]handle{"POST": inviteNode}},
		{pattern: "/admin/v1/cluster/leader", asItIs: true, methods: map[string]handle{"PUT": transferLeadership}},
		{pattern: "/admin/v1/cluster/nodes/{node}", asItIs: true, methods: map[string]handle{"DELETE": removeNode}},
		{pattern: "/admin/v1/cluster/nodes/{node}/vote", asItIs: true, methods: map[string]handle{"PUT": addVoter}},
		{pattern: "/admin/v1/sync", methods: map[string]handle{"GET": getSync}},
		{pattern: "/admin/v1/collections", methods: map[string]handle{"POST": adminCreateCollection}},
		{pattern: "/admin/v1/bundles", methods: map[string]handle{"POST": adminCreateBundle}},
		{pattern: "/admin/v1/tokens", methods: map[string]handle{"GET": listTokens, "POST": createToken}},
		{pattern: "/admin/v1/tokens/{name}", methods: map[string]handle{"DELETE": revokeToken}},
		{pattern: "/admin/v1/peers", methods: map[string]handle{"GET": listPeers}},
		{pattern: "/admin/v1/peers/{peer}", methods: map[string]handle{"GET": getPeer, "DELETE": removePeer}},
		{pattern: "/admin/v1/peers/{peer}/resume", methods: map[string]handle{"POST": resumePeer}},
		{pattern: "/admin/v1/peers/{peer}/grants", methods: map[string]handle{"PUT": setGrants}},
		{pattern: "/admin/v1/peers/{peer}/subscriptions", methods: map[string]handle{"POST": subscribe, "DELETE": unsubscribe}},
		{pattern: "/admin/v1/peers/invite", methods: map[string]handle{"POST": invitePeer}},
		{pattern: "/admin/v1/peers/accept", methods: map[string]handle{"POST": acceptPeer}},
		{pattern: "/admin/v1/invites", methods: map[string]handle{"GET": listInvites}},
	}
	for _, rt := range routes {
		rt.manner, rt.allow, rt.name = asAdmin, allowOf(rt.methods), rt.pattern
	}
	return routes
}

// probeRoutes say how this process is.
func probeRoutes() []*route {
	return []*route{
		{pattern: "/health/{$}", manner: asProbe, allow: "GET, HEAD, OPTIONS", methods: map[string]handle{"GET": getHealth}},
		{pattern: "/livez", manner: asProbe, allow: "GET, HEAD, OPTIONS", methods: map[string]handle{"GET": getLive}},
		{pattern: "/readyz", manner: asProbe, allow: "GET, HEAD, OPTIONS", methods: map[string]handle{"GET": getReady}},
		{pattern: "/metrics", manner: asPlain, asItIs: true, allow: "GET, HEAD, OPTIONS", methods: map[string]handle{"GET": getMetrics}},
	}
}

func allowOf(methods map[string]handle) (allow string) {
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		if methods[m] != nil {
			allow += m + ", "
		}
	}
	if methods["GET"] != nil {
		allow += "HEAD, "
	}
	return allow + "OPTIONS"
}
