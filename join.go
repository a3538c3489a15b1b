package blockstored

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/blockstored/blockstored/access"
	"github.com/blockstored/blockstored/api"
	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/cluster"
)

// welcomeFile holds, in a data folder that is becoming a node of an instance,
// what the other nodes answered. It is written whole before anything else of the
// instance, and goes when the node has what the others have.
const welcomeFile = "welcome.json"

// join makes an empty folder one of the instance that the configuration's token
// names. What a crash cut short goes on where it was.
func (i *Instance) join(ctx context.Context) error {
	done, err := Initialized(i.cfg.Data)
	if err != nil {
		return err
	}
	w, pending, err := i.folder.welcome()
	switch {
	case err != nil:
		return err
	case done:
		if i.cfg.Cluster.Join != "" {
			i.log.Info("the data folder holds a node already; its join token is not needed any more")
		}
		return nil
	case !pending && i.cfg.Cluster.Join == "":
		return nil
	case !pending:
		if w, err = i.askToJoin(ctx); err != nil {
			return err
		}
	}
	if err := writeDurably(i.folder.join(access.KeyFile), w.Key); err != nil {
		return fmt.Errorf("keep the instance's key: %w", err)
	}
	if i.sealer, err = access.LoadSealer(i.folder.join(access.KeyFile)); err != nil {
		return err
	}
	i.port.joining = true
	i.port.authority, err = openAuthority(i.sealer, w.Authority)
	return err
}

// askToJoin asks the nodes of the instance and keeps their answer.
func (i *Instance) askToJoin(ctx context.Context) (cluster.Welcome, error) {
	if _, err := os.Stat(i.folder.join("raft")); !errors.Is(err, os.ErrNotExist) {
		return cluster.Welcome{}, pick(err, bundle.Errorf(bundle.KindConflict,
			"%s holds the beginning of an instance of its own: start it without a join token, or join with an empty data folder", i.cfg.Data))
	}
	invitation, err := cluster.ParseInvitation(i.cfg.Cluster.Join)
	if err != nil {
		return cluster.Welcome{}, err
	}
	own, err := i.ownTLS(invitation.Instance, i.port.node)
	if err != nil {
		return cluster.Welcome{}, err
	}
	w, err := cluster.AskToJoin(ctx, cluster.Newcomer{
		Token: i.cfg.Cluster.Join, Node: i.port.node, Address: i.port.advertise, Storage: i.cfg.Storage.place(),
	}, own, i.now)
	if err != nil {
		return w, fmt.Errorf("join: %w", err)
	}
	text, err := json.Marshal(w)
	if err != nil {
		return w, err
	}
	return w, writeDurably(i.folder.join(welcomeFile), text)
}

// welcome returns the answer that welcomeFile keeps, and whether there is one.
func (f *folder) welcome() (w cluster.Welcome, pending bool, err error) {
	text, err := os.ReadFile(f.join(welcomeFile))
	if errors.Is(err, os.ErrNotExist) {
		return w, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &w)
	}
	if err != nil {
		return w, false, bundle.Errorf(bundle.KindCorrupt, "%s: join anew with an empty data folder: %w", f.join(welcomeFile), err)
	}
	return w, true, nil
}

// place names where files are, so that nodes that share them can tell.
func (c StorageConfig) place() string {
	return fmt.Sprintf("bucket %s at %s, prefix %q", c.S3.Bucket, c.S3.Endpoint, c.S3.Prefix)
}

// catchUp waits until a node that joined has what the others have.
func (i *Instance) catchUp(ctx context.Context) error {
	i.log.Info("joining; the leader brings this node up to date", "node", i.port.node, "address", i.port.advertise)
	hint := time.NewTicker(10 * time.Second)
	defer hint.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		err := i.node.WaitLeader(try)
		if err == nil {
			_, _, err = i.node.ReadBarrier(try, cluster.Strong)
		}
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return err
		}
		select {
		case <-hint.C:
			i.log.Warn("still joining: see that the other nodes reach this one", "address", i.port.advertise, "error", err)
		default:
		}
	}
	if err := i.folder.markInitialized(); err != nil {
		return err
	}
	return os.Remove(i.folder.join(welcomeFile))
}

// welcome is asked for a node that wants to join.
func (i *Instance) welcome(ctx context.Context, who cluster.Newcomer) (w cluster.Welcome, err error) {
	joinKey, err := i.openSecret(ctx, access.SecretClusterJoinKey)
	if err != nil {
		return w, err
	}
	w.Instance = i.port.authority.Instance()
	if _, err := cluster.CheckInvitation(who.Token, joinKey, w.Instance, i.now()); err != nil {
		return w, err
	}
	if here := i.cfg.Storage.place(); who.Storage != here {
		return w, bundle.Errorf(bundle.KindForbidden, "all nodes keep files in the same place: this instance has %s, and the node that asks to join %s; give it the same storage.s3", here, who.Storage)
	}
	if w.Authority, err = i.secret(ctx, access.SecretClusterAuthority); err != nil {
		return w, err
	}
	w.Key, err = os.ReadFile(i.folder.join(access.KeyFile))
	return w, err
}

func (i *Instance) openSecret(ctx context.Context, name string) ([]byte, error) {
	sealed, err := i.secret(ctx, name)
	if err != nil {
		return nil, err
	}
	return i.sealer.Open(name, sealed)
}

// InviteNode implements [api.Nodes].
func (i *Instance) InviteNode(ctx context.Context, expiresIn time.Duration) (api.NodeInvitation, error) {
	switch {
	case !i.cfg.shared():
		return api.NodeInvitation{}, bundle.Errorf(bundle.KindInvalid,
			"this instance keeps files in a folder (storage.driver: dir), which other nodes cannot reach; several nodes need a bucket (storage.driver: s3)")
	case i.port == nil:
		return api.NodeInvitation{}, bundle.Errorf(bundle.KindInvalid, "this node does not listen for others: set cluster.listen and start it again")
	case expiresIn < 0 || expiresIn%time.Second != 0 || expiresIn > 24*time.Hour:
		return api.NodeInvitation{}, bundle.Errorf(bundle.KindInvalid, "expires_in: Give a number of whole seconds, at most a day.")
	case expiresIn == 0:
		expiresIn = cluster.InvitationLife
	}
	joinKey, err := i.openSecret(ctx, access.SecretClusterJoinKey)
	if err != nil {
		return api.NodeInvitation{}, err
	}
	addresses := []string{i.port.advertise}
	for _, m := range i.node.Stats().Members {
		if m.Voter && !slices.Contains(addresses, m.Address) && cluster.CheckAddress(m.Address) == nil {
			addresses = append(addresses, m.Address)
		}
	}
	expires := i.now().Add(expiresIn).UTC().Truncate(time.Second)
	token, err := cluster.Invitation{
		Instance: i.ID(), Expires: expires.Unix(), Authority: i.port.authority.Fingerprint(), Addresses: addresses,
	}.Token(joinKey)
	if err != nil {
		return api.NodeInvitation{}, err
	}
	return api.NodeInvitation{Token: token, ExpiresAt: expires, Warnings: i.unreachable()}, nil
}

// unreachable says what keeps nodes of other machines from joining.
func (i *Instance) unreachable() []string {
	host, _, err := net.SplitHostPort(i.port.advertise)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return []string{}
	}
	return []string{fmt.Sprintf("only nodes on this machine reach %s: set cluster.listen, and cluster.advertise if that is not where others reach it", i.port.advertise)}
}

// RemoveNode implements [api.Nodes].
func (i *Instance) RemoveNode(ctx context.Context, node string) error {
	return i.node.ChangeMember(ctx, cluster.ChangeRemove, node)
}

// AddVoter implements [api.Nodes].
func (i *Instance) AddVoter(ctx context.Context, node string) error {
	return i.node.ChangeMember(ctx, cluster.ChangeVote, node)
}

// TransferLeadership implements [api.Nodes].
func (i *Instance) TransferLeadership(ctx context.Context, node string) error {
	return i.node.ChangeMember(ctx, cluster.ChangeLead, node)
}
