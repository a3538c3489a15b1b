package metrics

import "github.com/prometheus/client_golang/prometheus"

// namespace is the first word of every family's name.
const namespace = "blockstored"

// kind is a family's metric type, by its name in the exposition format.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// family is a row of the table. Its name carries no namespace; names and
// values are in base units (seconds, bytes).
type family struct {
	name    string
	kind    kind
	help    string
	labels  []string
	buckets []float64 // of a histogram
}

// id is a family's place in the table.
type id int

const (
	buildInfo id = iota

	httpRequests
	httpRequestDuration

	commits
	commitDuration
	publishToVisible
	bundles

	blobBytesStored
	objectsWritten
	objectWriteDuration
	storageReadBytes

	raftLeader
	raftTerm
	raftCommitIndex
	raftAppliedIndex
	raftApplyDuration
	raftLogEntries
	raftLogBytes
	raftLogAppendDuration
	raftDiskStalled
	raftMembers
	raftMembersRemoved
	raftElections
	raftLeaderChanges
	raftLastContact
	raftLagEntries
	raftBehind
	proposals
	forwardedCommands
	reads
	catalogCopies
	catalogCopyBytes
	catalogCopyDuration
	catalogCopiesRunning
	certificateExpiry
	ready
	catalogSize
	logRecords

	peerCheckpointAge
	peerOldestUnapplied
	peerBytes
	peerUsefulBytes
	peerRequests
	alarms

	numFamilies
)

// The bounds of the histograms, in seconds. A request or commit takes from a
// fraction of a millisecond to the 50 s of a long poll; an apply is local and
// short, and so is an append to the log; a copy of the catalog takes what its
// gigabytes take; from publishing to visible elsewhere may take hours after an outage.
var (
	requestBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	applyBuckets   = prometheus.ExponentialBuckets(.0001, 2, 15)
	copyBuckets    = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800}
	visibleBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 43200}
)

// families is the table. Nothing writes to it.
var families = [numFamilies]family{
	buildInfo: {"build_info", gauge, "Always 1; its labels name the running program.",
		[]string{"version", "revision", "goversion"}, nil},

	httpRequests: {"http_requests_total", counter, "HTTP requests answered, by route pattern and status code.",
		[]string{"route", "code"}, nil},
	httpRequestDuration: {"http_request_duration_seconds", histogram, "Time from an HTTP request's headers to the end of its answer.",
		[]string{"route"}, requestBuckets},

	commits:        {"commits_total", counter, "Drafts committed as a new version here, at their primary.", nil, nil},
	commitDuration: {"commit_duration_seconds", histogram, "Time a successful commit took, bytes already stored.", nil, requestBuckets},
	publishToVisible: {"publish_to_visible_seconds", histogram,
		"Time from a version's publication by its primary to its visibility here, by the two sites' clocks.", nil, visibleBuckets},
	bundles: {"bundles", gauge, "Bundles by state: own, copy, held, parked, withdrawn.", []string{"state"}, nil},

	blobBytesStored: {"blob_bytes_stored_total", counter, "Bytes of objects written to storage, as stored there.", nil, nil},
	objectsWritten:  {"objects_written_total", counter, "Objects written to storage, by kind.", []string{"kind"}, nil},
	objectWriteDuration: {"object_write_duration_seconds", histogram,
		"Time until an object was durable in storage.", nil, requestBuckets},
	storageReadBytes: {"storage_read_bytes_total", counter, "Bytes read from storage.", nil, nil},

	raftLeader:        {"raft_leader", gauge, "1 on the node that leads the instance, 0 on the others.", nil, nil},
	raftTerm:          {"raft_term", gauge, "Current Raft term.", nil, nil},
	raftCommitIndex:   {"raft_commit_index", gauge, "Highest log index known to be committed.", nil, nil},
	raftAppliedIndex:  {"raft_applied_index", gauge, "Highest log index applied to the catalog.", nil, nil},
	raftApplyDuration: {"raft_apply_duration_seconds", histogram, "Time one batch of commands took to apply to the catalog.", nil, applyBuckets},
	raftLogEntries:    {"raft_log_entries", gauge, "Entries kept in the Raft log on this node.", nil, nil},
	raftLogBytes:      {"raft_log_bytes", gauge, "Bytes that the Raft log takes on this node's disk.", nil, nil},
	raftLogAppendDuration: {"raft_log_append_duration_seconds", histogram,
		"Time one append of entries to the Raft log took until it was durable.", nil, applyBuckets},
	raftDiskStalled: {"raft_disk_stalled", gauge, "1 while a write to the Raft log takes longer than it may, else 0.", nil, nil},
	raftMembers: {"raft_members", gauge, "Nodes of the instance by role, as this node knows them: voter, nonvoter.",
		[]string{"role"}, nil},
	raftMembersRemoved: {"raft_members_removed_total", counter,
		"Nodes that this one, as the leader, took out of the instance, by cause: operator, replaced, dead.", []string{"cause"}, nil},
	raftElections:     {"raft_elections_total", counter, "Elections in which this node stood.", nil, nil},
	raftLeaderChanges: {"raft_leader_changes_total", counter, "Times that this node heard of another leader than before.", nil, nil},
	raftLastContact: {"raft_last_contact_seconds", gauge,
		"Time since this node heard from its leader; 0 on the leader, +Inf before the first word.", nil, nil},
	raftLagEntries: {"raft_lag_entries", gauge, "Entries that the leader has committed and that are not in this node's catalog.", nil, nil},
	raftBehind: {"raft_behind_seconds", gauge,
		"For how long this node's catalog has lacked something that the leader has committed, 0 if it lacks nothing.", nil, nil},
	proposals: {"proposals_total", counter,
		"Commands proposed on this node, by result: ok, refused (by the catalog), failed (not applied), unknown.", []string{"result"}, nil},
	forwardedCommands: {"forwarded_commands_total", counter,
		"Attempts to have the leader propose a command of this node, by result: ok, redirected (it does not lead), unreached, refused, unknown.",
		[]string{"result"}, nil},
	reads: {"reads_total", counter,
		"Reads by level (consistent, local, strong) and result: fresh, stale, failed. A local read is fresh.", []string{"level", "result"}, nil},
	catalogCopies: {"catalog_copies_total", counter,
		"Copies of the catalog that ended, by direction (received, sent) and result (ok, failed).", []string{"direction", "result"}, nil},
	catalogCopyBytes: {"catalog_copy_bytes_total", counter,
		"Bytes of copies of the catalog exchanged with other nodes, by direction.", []string{"direction"}, nil},
	catalogCopyDuration: {"catalog_copy_duration_seconds", histogram,
		"Time a copy of the catalog took that succeeded, by direction.", []string{"direction"}, copyBuckets},
	catalogCopiesRunning: {"catalog_copies_running", gauge, "Copies of the catalog under way, by direction.", []string{"direction"}, nil},
	certificateExpiry: {"node_certificate_expiry_timestamp_seconds", gauge,
		"When the certificate that this node shows to the others expires, in seconds since 1970; 0 without one.", nil, nil},
	ready:       {"ready", gauge, "1 while /readyz answers 200, else 0.", nil, nil},
	catalogSize: {"catalog_size_bytes", gauge, "Size of the catalog's files on this node.", nil, nil},
	logRecords:  {"log_records", gauge, "Records in this instance's publication log.", nil, nil},

	peerCheckpointAge: {"peer_checkpoint_age_seconds", gauge,
		"Age of the newest verified checkpoint of a peer that is followed.", []string{"peer"}, nil},
	peerOldestUnapplied: {"peer_oldest_unapplied_seconds", gauge,
		"Age of the oldest record of a peer that is known but not applied, 0 if there is none.", []string{"peer"}, nil},
	peerBytes: {"peer_bytes_total", counter, "Bytes exchanged with a peer, by direction: received, sent.",
		[]string{"peer", "direction"}, nil},
	peerUsefulBytes: {"peer_useful_bytes_total", counter,
		"Bytes of content received from a peer that were verified and stored.", []string{"peer"}, nil},
	peerRequests: {"peer_requests_total", counter, "Requests made to a peer, by result: ok or the kind of error.",
		[]string{"peer", "result"}, nil},
	alarms: {"alarms", gauge, "1 while an alarm about a peer stands, 0 after it was resolved.", []string{"peer", "alarm"}, nil},
}
