package catalog

// CommandKind returns [KindInitInstance].
func (InitInstance) CommandKind() Kind { return KindInitInstance }

// CommandKind returns [KindUpdateInstance].
func (UpdateInstance) CommandKind() Kind { return KindUpdateInstance }

// CommandKind returns [KindPutSecret].
func (PutSecret) CommandKind() Kind { return KindPutSecret }

// CommandKind returns [KindPurge].
func (Purge) CommandKind() Kind { return KindPurge }

// CommandKind returns [KindRaiseLevel].
func (RaiseLevel) CommandKind() Kind { return KindRaiseLevel }

// CommandKind returns [KindBeginGeneration].
func (BeginGeneration) CommandKind() Kind { return KindBeginGeneration }

// CommandKind returns [KindCreateCollection].
func (CreateCollection) CommandKind() Kind { return KindCreateCollection }

// CommandKind returns [KindUpdateCollection].
func (UpdateCollection) CommandKind() Kind { return KindUpdateCollection }

// CommandKind returns [KindDeleteCollection].
func (DeleteCollection) CommandKind() Kind { return KindDeleteCollection }

// CommandKind returns [KindCreateBundle].
func (CreateBundle) CommandKind() Kind { return KindCreateBundle }

// CommandKind returns [KindUpdateBundle].
func (UpdateBundle) CommandKind() Kind { return KindUpdateBundle }

// CommandKind returns [KindDeleteBundle].
func (DeleteBundle) CommandKind() Kind { return KindDeleteBundle }

// CommandKind returns [KindCreateDraft].
func (CreateDraft) CommandKind() Kind { return KindCreateDraft }

// CommandKind returns [KindStagePatch].
func (StagePatch) CommandKind() Kind { return KindStagePatch }

// CommandKind returns [KindPatchDraft].
func (PatchDraft) CommandKind() Kind { return KindPatchDraft }

// CommandKind returns [KindDeleteDraft].
func (DeleteDraft) CommandKind() Kind { return KindDeleteDraft }

// CommandKind returns [KindRebaseDraft].
func (RebaseDraft) CommandKind() Kind { return KindRebaseDraft }

// CommandKind returns [KindForgetEdits].
func (ForgetEdits) CommandKind() Kind { return KindForgetEdits }

// CommandKind returns [KindLocateBlobs].
func (LocateBlobs) CommandKind() Kind { return KindLocateBlobs }

// CommandKind returns [KindCommitVersion].
func (CommitVersion) CommandKind() Kind { return KindCommitVersion }

// CommandKind returns [KindDescribeVersion].
func (DescribeVersion) CommandKind() Kind { return KindDescribeVersion }

// CommandKind returns [KindCreateToken].
func (CreateToken) CommandKind() Kind { return KindCreateToken }

// CommandKind returns [KindRevokeToken].
func (RevokeToken) CommandKind() Kind { return KindRevokeToken }

// CommandKind returns [KindUseTokens].
func (UseTokens) CommandKind() Kind { return KindUseTokens }

// CommandKind returns [KindCheckpoint].
func (Checkpoint) CommandKind() Kind { return KindCheckpoint }

// CommandKind returns [KindCreateInvite].
func (CreateInvite) CommandKind() Kind { return KindCreateInvite }

// CommandKind returns [KindAcceptInvite].
func (AcceptInvite) CommandKind() Kind { return KindAcceptInvite }

// CommandKind returns [KindAddPeer].
func (AddPeer) CommandKind() Kind { return KindAddPeer }

// CommandKind returns [KindUpdatePeer].
func (UpdatePeer) CommandKind() Kind { return KindUpdatePeer }

// CommandKind returns [KindRemovePeer].
func (RemovePeer) CommandKind() Kind { return KindRemovePeer }

// CommandKind returns [KindSetGrants].
func (SetGrants) CommandKind() Kind { return KindSetGrants }

// CommandKind returns [KindSubscribe].
func (Subscribe) CommandKind() Kind { return KindSubscribe }

// CommandKind returns [KindUnsubscribe].
func (Unsubscribe) CommandKind() Kind { return KindUnsubscribe }

// CommandKind returns [KindIntake].
func (Intake) CommandKind() Kind { return KindIntake }

// CommandKind returns [KindPark].
func (Park) CommandKind() Kind { return KindPark }

// CommandKind returns [KindUnpark].
func (Unpark) CommandKind() Kind { return KindUnpark }

// CommandKind returns [KindRaiseAlarm].
func (RaiseAlarm) CommandKind() Kind { return KindRaiseAlarm }

// CommandKind returns [KindClearAlarms].
func (ClearAlarms) CommandKind() Kind { return KindClearAlarms }
