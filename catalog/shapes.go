package catalog

// The shapes of the command bodies: arrays of the fields in the order of their
// declaration. The first version of a body is of the level that its kind came with.

func shapeInitInstance(c *codec, _ uint64, b *InitInstance) {
	c.array(5)
	c.id(&b.Instance)
	c.text(&b.Name)
	c.bytes(&b.Descriptor)
	c.uint(&b.Generation)
	shapeSecrets(c, &b.Secrets)
}

func shapeUpdateInstance(c *codec, _ uint64, b *UpdateInstance) {
	c.array(2)
	c.text(&b.Name)
	c.bytes(&b.Descriptor)
}

func shapePutSecret(c *codec, _ uint64, b *PutSecret) {
	c.array(2)
	c.text(&b.Name)
	c.bytes(&b.Sealed)
}

func shapePurge(c *codec, _ uint64, b *Purge) {
	c.array(1)
	n := int64(b.Limit)
	c.int(&n)
	b.Limit = int(n)
}

func shapeRaiseLevel(c *codec, _ uint64, b *RaiseLevel) {
	c.array(1)
	c.uint(&b.Level)
}

func shapeBeginGeneration(c *codec, _ uint64, b *BeginGeneration) {
	c.array(2)
	c.uint(&b.Number)
	c.text(&b.Reason)
}

func shapeCreateCollection(c *codec, _ uint64, b *CreateCollection) {
	c.array(2)
	c.id(&b.ID)
	c.text(&b.Title)
}

func shapeUpdateCollection(c *codec, _ uint64, b *UpdateCollection) {
	c.array(2)
	c.id(&b.ID)
	c.text(&b.Title)
}

func shapeDeleteCollection(c *codec, _ uint64, b *DeleteCollection) {
	c.array(1)
	c.id(&b.ID)
}

func shapeCreateBundle(c *codec, _ uint64, b *CreateBundle) {
	c.array(5)
	c.id(&b.ID)
	c.id(&b.Collection)
	c.text(&b.Slug)
	c.text(&b.Title)
	c.text(&b.Description)
}

func shapeUpdateBundle(c *codec, _ uint64, b *UpdateBundle) {
	c.array(6)
	c.id(&b.ID)
	optional(c, &b.Collection, (*codec).id)
	optional(c, &b.Slug, (*codec).text)
	optional(c, &b.Title, (*codec).text)
	optional(c, &b.Description, (*codec).text)
	c.uint(&b.IfRevision)
}

func shapeDeleteBundle(c *codec, _ uint64, b *DeleteBundle) {
	c.array(1)
	c.id(&b.ID)
}

func shapeCreateDraft(c *codec, _ uint64, b *CreateDraft) {
	c.array(3)
	c.id(&b.ID)
	c.id(&b.Bundle)
	c.text(&b.Name)
}

func shapeStagePatch(c *codec, _ uint64, b *StagePatch) {
	c.array(4)
	c.id(&b.Draft)
	c.id(&b.Patch)
	list(c, &b.Files, shapeFileOp)
	list(c, &b.Blobs, shapeLocated)
}

func shapePatchDraft(c *codec, _ uint64, b *PatchDraft) {
	c.array(6)
	c.id(&b.Draft)
	c.id(&b.Patch)
	list(c, &b.Files, shapeFileOp)
	list(c, &b.Links, shapeLinkOp)
	list(c, &b.Blobs, shapeLocated)
	c.uint(&b.IfRevision)
}

func shapeDeleteDraft(c *codec, version uint64, b *DeleteDraft) {
	if version == 1 {
		c.array(1)
		c.id(&b.ID)
		return
	}
	c.array(2)
	c.id(&b.ID)
	c.uint(&b.IfRevision)
}

func shapeRebaseDraft(c *codec, _ uint64, b *RebaseDraft) {
	c.array(3)
	c.id(&b.ID)
	c.uint(&b.Revision)
	c.uint(&b.Base)
}

func shapeForgetEdits(c *codec, _ uint64, b *ForgetEdits) {
	c.array(4)
	c.id(&b.Draft)
	c.uint(&b.Revision)
	list(c, &b.Files, func(c *codec, s *string) { c.text(s) })
	list(c, &b.Links, func(c *codec, s *string) { c.text(s) })
}

func shapeLocateBlobs(c *codec, _ uint64, b *LocateBlobs) {
	c.array(1)
	list(c, &b.Blobs, shapeLocated)
}

func shapeCommitVersion(c *codec, _ uint64, b *CommitVersion) {
	c.array(9)
	c.id(&b.Draft)
	c.uint(&b.Revision)
	c.uint(&b.ExpectedHead)
	shapeSnapshot(c, &b.Snapshot)
	list(c, &b.Blobs, shapeLocated)
	c.text(&b.ChangeDescription)
	c.text(&b.License)
	c.text(&b.Attribution)
	c.text(&b.Redistribute)
}

func shapeDescribeVersion(c *codec, _ uint64, b *DescribeVersion) {
	c.array(2)
	shapeRef(c, &b.VersionRef)
	c.text(&b.ChangeDescription)
}

func shapeCreateToken(c *codec, _ uint64, b *CreateToken) {
	c.array(5)
	c.id(&b.ID)
	c.text(&b.Name)
	c.text(&b.Role)
	c.digest(&b.Hash)
	c.int(&b.Expires)
}

func shapeRevokeToken(c *codec, _ uint64, b *RevokeToken) {
	c.array(1)
	c.text(&b.Name)
}

func shapeUseTokens(c *codec, _ uint64, b *UseTokens) {
	c.array(1)
	list(c, &b.Uses, func(c *codec, u *TokenUse) {
		c.array(2)
		c.id(&u.Token)
		c.int(&u.At)
	})
}

func shapeCheckpoint(c *codec, _ uint64, b *Checkpoint) {
	c.array(5)
	c.bytes(&b.Note)
	c.uint(&b.Generation)
	c.int(&b.Size)
	c.digest(&b.Root)
	c.int(&b.Issued)
}

func shapeCreateInvite(c *codec, _ uint64, b *CreateInvite) {
	c.array(5)
	c.id(&b.ID)
	c.text(&b.Name)
	c.digest(&b.SecretHash)
	c.int(&b.Expires)
	list(c, &b.Grants, shapeSelector)
}

func shapeAcceptInvite(c *codec, _ uint64, b *AcceptInvite) {
	c.array(4)
	c.digest(&b.SecretHash)
	c.id(&b.Peer)
	c.bytes(&b.Descriptor)
	c.bytes(&b.RootKey)
}

func shapeAddPeer(c *codec, _ uint64, b *AddPeer) {
	c.array(6)
	c.id(&b.Peer)
	c.text(&b.Name)
	c.bytes(&b.Descriptor)
	c.bytes(&b.RootKey)
	list(c, &b.Addresses, (*codec).text)
	list(c, &b.Subscribe, shapeSelector)
}

func shapeUpdatePeer(c *codec, _ uint64, b *UpdatePeer) {
	c.array(3)
	c.id(&b.Peer)
	c.bytes(&b.Descriptor)
	list(c, &b.Addresses, (*codec).text)
}

func shapeRemovePeer(c *codec, _ uint64, b *RemovePeer) {
	c.array(1)
	c.id(&b.Peer)
}

func shapeSetGrants(c *codec, _ uint64, b *SetGrants) {
	c.array(2)
	c.id(&b.Peer)
	list(c, &b.Grants, shapeSelector)
}

func shapeSubscribe(c *codec, _ uint64, b *Subscribe) {
	c.array(2)
	c.id(&b.Peer)
	shapeSelector(c, &b.Selector)
}

func shapeUnsubscribe(c *codec, _ uint64, b *Unsubscribe) {
	c.array(2)
	c.id(&b.Peer)
	shapeSelector(c, &b.Selector)
}

func shapeIntake(c *codec, _ uint64, b *Intake) {
	c.array(11)
	c.id(&b.Peer)
	c.bytes(&b.Note)
	c.uint(&b.Generation)
	c.int(&b.Size)
	c.digest(&b.Root)
	c.int(&b.Issued)
	c.int(&b.ExpectCursor)
	c.int(&b.Cursor)
	c.uint(&b.GrantRevision)
	list(c, &b.Items, shapeIntakeItem)
	list(c, &b.Blobs, shapeLocated)
}

func shapePark(c *codec, _ uint64, b *Park) {
	c.array(7)
	c.id(&b.Peer)
	c.id(&b.Bundle)
	c.bool(&b.Held)
	c.text(&b.Reason)
	c.text(&b.Detail)
	c.int(&b.Index)
	c.int(&b.RetryAt)
}

func shapeUnpark(c *codec, _ uint64, b *Unpark) {
	c.array(2)
	c.id(&b.Peer)
	c.id(&b.Bundle)
}

func shapeRaiseAlarm(c *codec, _ uint64, b *RaiseAlarm) {
	c.array(4)
	c.id(&b.Peer)
	c.text(&b.Alarm)
	c.text(&b.Detail)
	c.bytes(&b.Evidence)
}

func shapeClearAlarms(c *codec, _ uint64, b *ClearAlarms) {
	c.array(2)
	c.id(&b.Peer)
	c.text(&b.Alarm)
}

func shapeIntakeItem(c *codec, i *IntakeItem) {
	c.array(5)
	c.int(&i.Index)
	c.digest(&i.Leaf)
	c.bytes(&i.Body)
	optional(c, &i.Snapshot, shapeSnapshot)
	c.bool(&i.Linked)
}
