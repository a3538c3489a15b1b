package blockstored

import (
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says how to open an instance. [DefaultConfig] has safe, working
// values: nothing listens beyond loopback, files lie in a folder. The yaml tags
// are the keys of the configuration file (config.example.yaml).
type Config struct {
	// Name is shown to peers and people; it may change. Empty: the host's name
	// is not used, the instance calls itself "blockstored".
	Name string `yaml:"name"`
	// Data is the folder of everything this node keeps. It is created with
	// mode 0700.
	Data string `yaml:"data"`
	// Listen is the address of the host application's API; empty: none.
	Listen string `yaml:"listen"`
	// TLSCert and TLSKey are PEM files for Listen; empty: plain http, for
	// loopback or behind a proxy that ends TLS. They are read again when they
	// change, and so are those of Peer.
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`
	// Socket is a unix socket with the same API.
	Socket SocketConfig `yaml:"socket"`
	// PublicURL is the base of absolute URLs in answers; empty: each request's
	// scheme and Host, over a unix socket http://localhost.
	PublicURL string `yaml:"public_url"`
	// TrustedProxies are the addresses or networks (127.0.0.1, 10.0.0.0/8) of
	// proxies that may say in X-Forwarded-Proto and X-Forwarded-Host what the
	// client asked for; empty: the headers of nobody are heard.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// Drain is how long [Instance.Leave] serves on after /readyz began to answer
	// 503, so that load balancers find out. A node without others does not wait.
	Drain   time.Duration `yaml:"drain"`
	Limits  LimitsConfig  `yaml:"limits"`
	Peer    PeerConfig    `yaml:"peer"`
	Cluster ClusterConfig `yaml:"cluster"`
	Storage StorageConfig `yaml:"storage"`
	Files   FilesConfig   `yaml:"files"`
	Log     LogConfig     `yaml:"log"`

	// Listener serves the host application's API in the place of Listen, with
	// TLSCert if that is set. Open takes it over: it is closed with the instance,
	// or when Open fails.
	Listener net.Listener `yaml:"-"`
	// Logger receives everything the instance has to say; nil: nothing is
	// logged.
	Logger *slog.Logger `yaml:"-"`
	// Registerer receives the metrics; nil: none are kept. Close unregisters
	// them.
	Registerer prometheus.Registerer `yaml:"-"`
	// Gatherer, when set, is served at /metrics.
	Gatherer prometheus.Gatherer `yaml:"-"`
	// Now is the clock; nil: time.Now.
	Now func() time.Time `yaml:"-"`
	// OnFatal is told, once, of an I/O fault after which this node must not go
	// on. The instance has stopped accepting commands; the host should exit.
	OnFatal func(error) `yaml:"-"`
}

// SocketConfig is the unix socket for a host application on this machine. It
// serves what Listen does, and asks for a token as well; the operators' socket is
// another.
type SocketConfig struct {
	// Path is absolute and at most 100 bytes long; empty: no such socket. A socket
	// on which nobody answers is replaced, anything else is refused.
	Path string `yaml:"path"`
	// Mode is the file mode in octal, like "0660".
	Mode string `yaml:"mode"`
	// Owner is whom the socket belongs to: user, user:group or :group, by name or
	// number; empty: whom this process runs as.
	Owner string `yaml:"owner"`
}

// PeerConfig is the listener and the manners towards other instances.
type PeerConfig struct {
	// Listen is the address that serves /peer/v1 and nothing else; empty: none
	// (a site that only follows needs none).
	Listen string `yaml:"listen"`
	// Addresses are the URLs under which peers reach this site; empty: made
	// from the listener.
	Addresses []string `yaml:"addresses"`
	// TLSCert and TLSKey are PEM files for this listener, read again when they
	// change; empty: plain http, for loopback or behind a proxy that ends TLS.
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`
	// AllowInsecure permits plain http to peers beyond loopback.
	AllowInsecure bool `yaml:"allow_insecure"`
	// PollWait is how long a poll may wait at the peer for news, at most 50 s.
	PollWait time.Duration `yaml:"poll_wait"`
	// FreezeAfter is the age of a reachable peer's newest checkpoint that
	// raises FREEZE. Checkpoints are renewed each minute.
	FreezeAfter time.Duration `yaml:"freeze_after"`
}

// ClusterConfig is this node's place among the instance's nodes.
type ClusterConfig struct {
	// Node is this node's name, unique in the instance.
	Node string `yaml:"node"`
	// Listen is the address for the instance's other nodes; empty: this node
	// stays the only one. It is bound only with storage that all nodes reach,
	// which is s3. Nodes prove to each other who they are, so it need not be
	// loopback.
	Listen string `yaml:"listen"`
	// Advertise is the host:port that the other nodes dial; empty: Listen's,
	// which must name one address of this machine then.
	Advertise string `yaml:"advertise"`
	// Join is a token of [Instance.InviteNode]: an empty data folder becomes a
	// node of the instance that it names. Other folders ignore it.
	Join string `yaml:"join"` //nolint:gosec // a key's name
	// TLSCert, TLSKey and TLSCA are PEM files, read again when they change: this
	// node's certificate and key of the operator's, and the authorities of the
	// other nodes' certificates. All nodes have them or none; empty: the instance
	// issues the nodes' certificates itself. The certificate holds the URI
	// blockstored://INSTANCE/node/NODE, of the instance's id and [ClusterConfig.Node],
	// and is good for clients and servers.
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`
	TLSCA   string `yaml:"tls_ca"`
	// MaxStaleness is how long after the last word of a leader this node goes on
	// answering reads from what it has; later it refuses them (503). 0: it always
	// answers.
	MaxStaleness time.Duration `yaml:"max_staleness"`
	// DiskStall is how long one write to the log may take before a leader lets
	// another node lead.
	DiskStall time.Duration `yaml:"disk_stall"`
	// RemoveDeadAfter is how long a node may not answer the leader before it is
	// removed, if at least three others vote and most of them answer; 0: nodes
	// are removed by hand. It holds when this node leads.
	RemoveDeadAfter time.Duration `yaml:"remove_dead_after"`
}

// StorageConfig says where files are kept.
type StorageConfig struct {
	// Driver is "dir" or "s3".
	Driver string    `yaml:"driver"`
	Dir    DirConfig `yaml:"dir"`
	S3     S3Config  `yaml:"s3"`
	// MinFree is the free space in bytes below which writes are refused (507).
	MinFree int64 `yaml:"min_free"`
	// Cache is the memory in bytes for small blobs read again and again.
	Cache int64 `yaml:"cache"`
}

// DirConfig is the local folder driver.
type DirConfig struct {
	// Path is the folder; empty: DATA/store.
	Path string `yaml:"path"`
}

// S3Config is the S3-compatible driver.
type S3Config struct {
	Endpoint        string `yaml:"endpoint"` // http://host:port or https://host
	Bucket          string `yaml:"bucket"`
	Prefix          string `yaml:"prefix"`
	Region          string `yaml:"region"`            // empty: the store is asked
	AccessKeyID     string `yaml:"access_key_id"`     // empty: AWS_* environment, credentials file, IAM
	SecretAccessKey string `yaml:"secret_access_key"` //nolint:gosec // a key's name
	// PathStyle forces http://host/bucket/key for Amazon, too.
	PathStyle bool `yaml:"path_style"`
	// CreateBucket makes the bucket if it is not there.
	CreateBucket bool `yaml:"create_bucket"`
}

// FilesConfig is about the URLs of files.
type FilesConfig struct {
	// URL begins the URLs of files, where they shall have an origin of their
	// own; it leads to the host's API. Empty: they begin as all URLs do, and
	// files are served in a sandbox, without scripts.
	URL string `yaml:"url"`
	// CORSOrigins are the web origins (https://studio.example.org) whose scripts
	// may read files; "*" for all, empty for none.
	CORSOrigins []string `yaml:"cors_origins"`
	// CSP is the Content-Security-Policy of files. Empty: "sandbox", under which
	// no script in a file runs; or none on the host of URL.
	CSP string `yaml:"csp"`
	// URLExpiry is how long a file's URL stays valid at least.
	URLExpiry time.Duration `yaml:"url_expiry"`
}

// LimitsConfig bounds what a client may ask for.
type LimitsConfig struct {
	// MaxBody is the size in bytes of a JSON or form body above which it is
	// refused (413). Uploads of files are not bounded by it.
	MaxBody int64 `yaml:"max_body"`
	// MaxUploads is how many uploads of more than 256 KiB, or of a size that is
	// not announced, are taken in at once; further ones wait a moment and are
	// then refused (503).
	MaxUploads int64 `yaml:"max_uploads"`
	// RequestsPerSecond bounds the requests of each token (429); 0: it does not.
	RequestsPerSecond int64 `yaml:"requests_per_second"`
	// Burst is how many requests a token that was quiet may make at once; 0:
	// twice as many as in a second. It counts only with RequestsPerSecond.
	Burst int64 `yaml:"burst"`
	// MaxList is how many rows a list without a limit may go over; a longer one
	// is refused (400).
	MaxList int64 `yaml:"max_list"`
	// IdleTimeout ends a request whose body or answer does not move.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
}

// LogConfig is about the daemon's log; a host that sets Config.Logger need not
// fill it.
type LogConfig struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// DefaultConfig returns the defaults; data is the data folder.
func DefaultConfig(data string) Config {
	return Config{
		Name:   "blockstored",
		Data:   data,
		Listen: "127.0.0.1:18250",
		Socket: SocketConfig{Mode: "0660"},
		Drain:  3 * time.Second,
		Limits: LimitsConfig{MaxBody: 256 << 20, MaxUploads: 32, MaxList: 100_000, IdleTimeout: time.Minute},
		Peer: PeerConfig{
			Listen:      "127.0.0.1:18251",
			PollWait:    50 * time.Second,
			FreezeAfter: 10 * time.Minute,
		},
		Cluster: ClusterConfig{Node: "node1", Listen: "127.0.0.1:18252", DiskStall: 2 * time.Second},
		Storage: StorageConfig{
			Driver:  "dir",
			MinFree: 256 << 20,
			Cache:   64 << 20,
		},
		Files: FilesConfig{URLExpiry: 24 * time.Hour},
		Log:   LogConfig{Level: "info", Format: "text"},
	}
}

// AdminSocket returns the path of the operators' socket. It is short enough to
// bind on every system unless the data folder's own path is very long.
func (c Config) AdminSocket() string { return filepath.Join(c.Data, "admin.sock") }
