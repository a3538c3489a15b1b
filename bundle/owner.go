package bundle

// Owner says who may write a bundle: the instance, and the epoch in which it
// became the owner. Of two owners the one with the higher epoch wins; an epoch
// starts at 1.
type Owner struct {
	Instance ID
	Epoch    uint64
}

// VersionRef names one version of one bundle. Number starts at 1.
type VersionRef struct {
	Bundle ID
	Number uint64
}
