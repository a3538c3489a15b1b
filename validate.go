package blockstored

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
)

// invalid is an error that names the key of the configuration to change.
func invalid(key, format string, args ...any) error {
	return bundle.Errorf(bundle.KindInvalid, "configuration: "+key+": "+format, args...)
}

// validate checks what can be checked without opening anything.
func (c Config) validate() error {
	if c.Data == "" {
		return invalid("data", "say where this node keeps its data")
	}
	if strings.TrimSpace(c.Name) == "" || len(c.Name) > 100 {
		return invalid("name", "give 1 to 100 characters")
	}
	for _, check := range []func() error{
		c.Storage.validate, c.Socket.validate, c.Peer.validate, c.Files.validate, c.Limits.validate,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	if c.Socket.Path != "" && filepath.Clean(c.Socket.Path) == filepath.Clean(c.AdminSocket()) {
		return invalid("socket.path", "%s is the operators' socket: give another path", c.Socket.Path)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return invalid("tls_cert", "give both tls_cert and tls_key, or neither")
	}
	if err := checkBase("public_url", c.PublicURL); err != nil {
		return err
	}
	if c.Drain < 0 || c.Drain > maxDrain {
		return invalid("drain", "%s is not between 0s and %s", c.Drain, maxDrain)
	}
	if err := c.validateCluster(); err != nil {
		return err
	}
	_, err := c.trustedProxies()
	return err
}

func (c Config) validateCluster() error {
	if c.Cluster.Join != "" {
		if !c.shared() {
			return invalid("cluster.join", "files in a folder (storage.driver: dir) are on one machine only; several nodes need a bucket that all of them reach (storage.driver: s3)")
		}
		if c.Cluster.Listen == "" {
			return invalid("cluster.listen", "give an address at which the other nodes reach this one, or it cannot join them")
		}
		if _, err := cluster.ParseInvitation(c.Cluster.Join); err != nil {
			return invalid("cluster.join", "%w", err)
		}
	}
	if c.Cluster.Advertise != "" {
		if err := cluster.CheckAddress(c.Cluster.Advertise); err != nil {
			return invalid("cluster.advertise", "%w", err)
		}
	}
	if n := c.Cluster; (n.TLSCert == "") != (n.TLSKey == "") || (n.TLSCert == "") != (n.TLSCA == "") {
		return invalid("cluster.tls_cert", "give tls_cert, tls_key and tls_ca, or none of them")
	}
	return c.Cluster.validateTimes()
}

// maxDrain keeps who stops a node from waiting for hours.
const maxDrain = 10 * time.Minute

const (
	// minStaleness leaves room for an election: a node between two leaders is
	// not behind.
	minStaleness = 5 * time.Second
	// minDiskStall is what a disk under load may take for a write now and then.
	minDiskStall = 200 * time.Millisecond
	// minDead is longer than a machine takes to start again.
	minDead = 10 * time.Minute
)

func (c ClusterConfig) validateTimes() error {
	if c.MaxStaleness != 0 && c.MaxStaleness < minStaleness {
		return invalid("cluster.max_staleness", "%s is too short, an election takes that long: give at least %s, or 0 for no bound", c.MaxStaleness, minStaleness)
	}
	if c.DiskStall < minDiskStall {
		return invalid("cluster.disk_stall", "%s is too short, a busy disk takes that long: give at least %s", c.DiskStall, minDiskStall)
	}
	if c.RemoveDeadAfter != 0 && c.RemoveDeadAfter < minDead {
		return invalid("cluster.remove_dead_after", "%s is too short, a machine that starts again takes that long: give at least %s, or 0 to remove nodes by hand", c.RemoveDeadAfter, minDead)
	}
	return nil
}

// shared reports whether further nodes could reach the files.
func (c Config) shared() bool { return c.Storage.Driver == "s3" }

func (c StorageConfig) validate() error {
	switch c.Driver {
	case "dir":
	case "s3":
		if c.S3.Endpoint == "" || c.S3.Bucket == "" {
			return invalid("storage.s3", "endpoint and bucket are needed with driver s3")
		}
	default:
		return invalid("storage.driver", "%q is neither dir nor s3", c.Driver)
	}
	return nil
}

func (c PeerConfig) validate() error {
	if c.PollWait < 0 || c.PollWait > 50*time.Second {
		return invalid("peer.poll_wait", "%s is not between 0s and 50s", c.PollWait)
	}
	if c.FreezeAfter < 3*time.Minute {
		return invalid("peer.freeze_after", "%s is too short: checkpoints are renewed each minute, give at least 3m", c.FreezeAfter)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return invalid("peer.tls_cert", "give both tls_cert and tls_key, or neither")
	}
	return nil
}

func (c FilesConfig) validate() error {
	if err := checkBase("files.url", c.URL); err != nil {
		return err
	}
	if strings.ContainsFunc(c.CSP, func(r rune) bool { return r < ' ' || r > '~' }) {
		return invalid("files.csp", "%q is no Content-Security-Policy: write it in ASCII, on one line", c.CSP)
	}
	for _, origin := range c.CORSOrigins {
		if origin == "*" {
			continue
		}
		u, ok := parseBase(origin)
		if !ok || u.Path != "" {
			return invalid("files.cors_origins", "%q is not an origin: write it like https://studio.example.org, without a path, or * for all", origin)
		}
	}
	return nil
}

func (c LimitsConfig) validate() error {
	if c.MaxBody < minMaxBody {
		return invalid("limits.max_body", "%d bytes are too few: give at least %d", c.MaxBody, minMaxBody)
	}
	if c.MaxUploads < 1 || c.MaxUploads > maxMaxUploads {
		return invalid("limits.max_uploads", "%d is not between 1 and %d", c.MaxUploads, maxMaxUploads)
	}
	if c.RequestsPerSecond < 0 || c.RequestsPerSecond > maxPerSecond {
		return invalid("limits.requests_per_second", "%d is not between 1 and %d, or 0 for no bound", c.RequestsPerSecond, maxPerSecond)
	}
	if c.Burst < 0 || c.Burst > maxPerSecond {
		return invalid("limits.burst", "%d is not between 1 and %d, or 0 for twice requests_per_second", c.Burst, maxPerSecond)
	}
	if c.MaxList < minMaxList {
		return invalid("limits.max_list", "%d rows are too few: give at least %d", c.MaxList, minMaxList)
	}
	if c.IdleTimeout < minIdleTimeout {
		return invalid("limits.idle_timeout", "%s is too short for a slow line: give at least %s", c.IdleTimeout, minIdleTimeout)
	}
	return nil
}

// minMaxBody is the least limits.max_body in bytes: below it ordinary changes of
// a draft would be refused.
const minMaxBody = 1 << 20

const (
	minMaxList     = 1000 // rows, as many as the longest page has
	minIdleTimeout = time.Second
	maxMaxUploads  = 10_000
	maxPerSecond   = 1_000_000
)

// checkBase refuses what absolute URLs cannot begin with; "" is fine.
func checkBase(key, base string) error {
	if base == "" {
		return nil
	}
	if _, ok := parseBase(base); !ok {
		return invalid(key, "%q is not an http(s) URL that others can begin with", base)
	}
	return nil
}

func parseBase(base string) (*url.URL, bool) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, false
	}
	known := u.Scheme == "http" || u.Scheme == "https"
	return u, known && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// trustedProxies returns the networks of TrustedProxies.
func (c Config) trustedProxies() ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(c.TrustedProxies))
	for _, text := range c.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(text); err == nil {
				network, err = addr.Prefix(addr.BitLen())
			}
		}
		if err != nil {
			return nil, invalid("trusted_proxies", "%q is neither an address nor a network: write it like 127.0.0.1 or 10.0.0.0/8", text)
		}
		networks = append(networks, network)
	}
	return networks, nil
}
