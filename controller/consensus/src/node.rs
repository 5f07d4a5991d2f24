//! The member itself: inputs, and the hand-out of their consequences.

use std::collections::{BTreeMap, BTreeSet};

use raft::{
    INVALID_ID, ProgressState, RawNode, Ready, SnapshotStatus, StateRole,
    eraftpb::{
        ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, HardState, Snapshot,
        SnapshotMetadata,
    },
};

use crate::{
    Config, Index, Limits, RaftId, Refused, Term, Ticket,
    batch::{self, Apply, Batch, Checkpoint, Outcome},
    message::{self, BadMessage, Standing},
    mirror::Mirror,
    reads::Reads,
    recovered::Recovered,
    trace,
};

/// A learner may become a voter when it lacks at most this many entries: else the group would wait for it (Raft thesis, 4.2.1).
const CAUGHT_UP: u64 = 64;

/// Ticks for which a member stands for election once its leader's process is gone: less than its own patience with silence.
const STANDS: u32 = 4;

/// One member of the Raft group.
pub struct Node {
    raw: RawNode<Mirror>,
    limits: Limits,
    snapshot_is_sound: fn(&[u8]) -> bool,
    /// The member list as of `applied`.
    conf: ConfState,
    /// Everything up to here was handed out for application.
    applied: u64,
    /// Term of the entry at `applied`.
    applied_term: u64,
    /// Index of the newest snapshot. Invariant: at most `applied`.
    snapshot_at: u64,
    /// The members changed since the newest snapshot.
    snapshot_outdated: bool,
    /// Proposals under way, by the index that they were given, with the term in which they were.
    proposals: BTreeMap<u64, (u64, Ticket)>,
    reads: Reads,
    /// Answers that wait for the next batch.
    refused: Vec<(Ticket, Refused)>,
    /// Members that were sent a snapshot, with the ticks since.
    snapshots_out: BTreeMap<u64, u64>,
    snapshot_patience: u64,
    /// So many ticks more it stands for election, if nobody leads by then.
    stands: u32,
    /// A batch is out and not finished. Only ever seen true after a save failed or a batch was dropped.
    batch_out: bool,
}

/// One change to the member list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Lets a member in that receives the log and has no vote.
    AddLearner(RaftId),
    /// Gives a learner that has caught up its vote.
    Promote(RaftId),
    /// Takes a member out, voter or learner.
    Remove(RaftId),
}

/// The member list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Members whose votes and acknowledgements count.
    pub voters: Vec<RaftId>,
    /// Members that only follow.
    pub learners: Vec<RaftId>,
    /// While a change of several members is under way, the former voters, whose majority counts as well; else empty.
    pub outgoing: Vec<RaftId>,
}

/// What a member is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows, without a vote.
    Learner,
    /// Follows, or waits for a leader.
    Follower,
    /// Stands for election.
    Candidate,
    /// Leads. `established` once it has applied an entry of its own term: its state machine is then the newest there is.
    Leader {
        /// Whether what its predecessors committed has been applied here.
        established: bool,
    },
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This member.
    pub id: RaftId,
    /// What it is.
    pub role: Role,
    /// The leader it knows.
    pub leader: Option<RaftId>,
    /// The newest term it knows.
    pub term: Term,
    /// Everything up to here was handed out for application.
    pub applied: Index,
    /// The newest entry known to be committed.
    pub committed: Index,
    /// The member list as of `applied`.
    pub members: Members,
}

impl Node {
    /// A member with what its disk holds. The state machine must have been restored from [`Recovered::state`]; entries
    /// behind that are handed out again once they are known to be committed.
    ///
    /// # Panics
    /// When the configuration contradicts itself: a programmer's error.
    pub fn new(config: &Config, recovered: Recovered) -> Self {
        assert!(config.id.0 != 0, "member 0 does not exist");
        let meta = recovered.snapshot.get_metadata().clone();
        let elections = config.timing.elections.range();
        let settings = raft::Config {
            id: config.id.0,
            election_tick: config.timing.election,
            heartbeat_tick: config.timing.heartbeat,
            min_election_tick: elections.start,
            max_election_tick: elections.end,
            applied: meta.index,
            pre_vote: true,
            check_quorum: true,
            max_size_per_msg: config.limits.message_bytes,
            max_inflight_msgs: config.limits.inflight,
            max_uncommitted_size: config.limits.uncommitted_bytes,
            max_committed_size_per_ready: config.limits.batch_bytes,
            ..Default::default()
        };
        let raw = RawNode::new(&settings, Mirror::new(recovered), &trace::logger())
            .expect("the timing is consistent and the recovered state was checked");
        Self {
            raw,
            limits: config.limits.clone(),
            snapshot_is_sound: config.snapshot_is_sound,
            conf: meta.conf_state.unwrap_or_default(),
            applied: meta.index,
            applied_term: meta.term,
            snapshot_at: meta.index,
            snapshot_outdated: false,
            proposals: BTreeMap::new(),
            reads: Reads::new(config.id.0, config.boot, config.timing.read, config.limits.reads),
            refused: Vec::new(),
            snapshots_out: BTreeMap::new(),
            snapshot_patience: config.timing.snapshot,
            stands: 0,
            batch_out: false,
        }
    }

    /// Time passed.
    pub fn tick(&mut self) {
        self.raw.tick();
        self.step_down_if_removed();
        if self.stands > 0 {
            self.stand();
        }
        for name in self.reads.tick(&mut self.refused) {
            self.raw.read_index(name);
        }
        self.resend_lost_snapshots();
    }

    /// A message from another member, whom the transport has authenticated as `from`.
    pub fn step(&mut self, from: RaftId, bytes: &[u8]) -> Result<(), BadMessage> {
        let message = message::decode(bytes, from, self.id(), self.limits.incoming_bytes)?;
        let raft = &self.raw.raft;
        let standing =
            Standing { term: raft.term, last: raft.raft_log.last_index(), leading: raft.state == StateRole::Leader };
        message::check_against(&message, &standing)?;
        if let Some(snapshot) = &message.snapshot
            && !snapshot.is_empty()
            && !(self.snapshot_is_sound)(snapshot.get_data())
        {
            return Err(BadMessage::Malformed("a snapshot that cannot be restored"));
        }
        // The one error left is an answer from somebody who is no longer a member: harmless.
        let _ = self.raw.step(message);
        Ok(())
    }

    /// Proposes a command. The answer comes as [`Apply::Command`] or [`Apply::Refused`] with the ticket.
    pub fn propose(&mut self, data: Vec<u8>, ticket: Ticket) -> Result<(), Refused> {
        self.must_lead()?;
        let limit = self.limits.command_bytes;
        if data.len() > limit {
            return Err(Refused::TooLarge { bytes: data.len(), limit });
        }
        assert!(!data.is_empty(), "an empty command cannot be told from a leader's first entry");
        self.raw
            .propose(Vec::new(), data)
            .map_err(|_| Refused::Busy("too much is uncommitted, or leadership moves"))?;
        self.expect_proposal(ticket);
        Ok(())
    }

    /// Asks a quorum whether everything committed so far is known here; on any member. The answer comes as [`Apply::Read`]
    /// behind the commands that the read must see, or as [`Apply::Refused`].
    pub fn read_index(&mut self, ticket: Ticket) -> Result<(), Refused> {
        self.reads.add(ticket)
    }

    /// Proposes changes to the member list, together: several at once go through a joint configuration.
    /// The answer comes as [`Apply::Members`] or [`Apply::Refused`] with the ticket.
    pub fn change(&mut self, changes: &[Change], ticket: Ticket) -> Result<(), Refused> {
        self.must_lead()?;
        if self.raw.raft.has_pending_conf() || !self.conf.voters_outgoing.is_empty() {
            return Err(Refused::Busy("another change of members is under way"));
        }
        if changes.is_empty() {
            return Err(Refused::Members("nothing to change"));
        }
        let mut named = BTreeSet::new();
        for change in changes {
            self.check_change(*change)?;
            if !named.insert(change.id()) {
                return Err(Refused::Members("one member is named twice"));
            }
        }
        let change =
            ConfChangeV2 { changes: changes.iter().map(|change| change.single()).collect(), ..Default::default() };
        self.raw
            .propose_conf_change(Vec::new(), change)
            .map_err(|_| Refused::Busy("too much is uncommitted, or leadership moves"))?;
        self.expect_proposal(ticket);
        Ok(())
    }

    /// Hands leadership to a voter, if it can be done at once; nothing happens otherwise.
    pub fn transfer(&mut self, to: RaftId) -> Result<(), Refused> {
        self.must_lead()?;
        if !self.conf.voters.contains(&to.0) {
            return Err(Refused::Members("leadership goes to voters only"));
        }
        self.raw.transfer_leader(to.0);
        Ok(())
    }

    /// The link to a member broke, or a snapshot for it was dropped: what was under way to it is taken for lost.
    pub fn link_down(&mut self, id: RaftId) {
        self.raw.report_unreachable(id.0);
        // The first acts on appends only; a member that was being sent a snapshot would wait forever.
        self.raw.report_snapshot(id.0, SnapshotStatus::Failure);
        self.snapshots_out.remove(&id.0);
    }

    /// A member's process is known to be gone: its connections broke, and new ones are refused. If it led, a successor need not wait until
    /// silence tells the same. That this is true is nothing that safety depends on.
    ///
    /// Of the voters that are left, the one with the lowest number stands for election, again with each tick for a while: the others may hear of it
    /// a little later, and refuse to depose a leader until then. They wait as ever, should nothing come of it.
    pub fn peer_gone(&mut self, id: RaftId) {
        let raft = &mut self.raw.raft;
        if raft.leader_id != id.0 || raft.state != StateRole::Follower {
            return;
        }
        let term = raft.term;
        raft.become_follower(term, INVALID_ID);
        let first = self.conf.voters.iter().filter(|voter| **voter != id.0).min();
        if first == Some(&raft.id) {
            self.stands = STANDS;
            self.stand();
        }
    }

    /// A leader that has applied its own removal: it was elected with the change in its log, of the leader before. It could propose nothing and would
    /// hold the others off for ever, since `raft` leaves it in place.
    fn step_down_if_removed(&mut self) {
        let raft = &mut self.raw.raft;
        let votes = self.conf.voters.contains(&raft.id) || self.conf.voters_outgoing.contains(&raft.id);
        if raft.state == StateRole::Leader && !votes {
            let term = raft.term;
            raft.become_follower(term, INVALID_ID);
        }
    }

    fn stand(&mut self) {
        let raft = &self.raw.raft;
        let waits = matches!(raft.state, StateRole::Follower | StateRole::PreCandidate);
        if raft.leader_id != INVALID_ID || !waits {
            self.stands = 0;
            return;
        }
        self.stands -= 1;
        // Refused while a change of members is to be applied; the next tick tries again.
        let _ = self.raw.campaign();
    }

    /// The next work to do, if there is any. Call until none is left.
    ///
    /// # Panics
    /// When an earlier batch was not saved and finished.
    pub fn ready(&mut self) -> Option<Batch<'_>> {
        assert!(!self.batch_out, "a batch was neither saved nor finished: what the disk holds is unknown");
        if let Some(name) = self.reads.start_round() {
            self.raw.read_index(name);
        }
        if !self.raw.has_ready() && self.refused.is_empty() {
            return None;
        }
        self.batch_out = true;
        let ready = self.raw.ready();
        Some(Batch::new(self, ready))
    }

    /// Should the state machine be saved? Asked after an [`Outcome`] was carried out to its end.
    pub fn checkpoint_due(&self) -> bool {
        self.snapshot_outdated || self.applied >= self.snapshot_at + self.limits.snapshot_every
    }

    /// Prepares a snapshot. `state` is the state machine as it is now: with everything applied that was handed out, and no more.
    pub fn checkpoint(&mut self, state: Vec<u8>) -> Checkpoint<'_> {
        let metadata =
            SnapshotMetadata { conf_state: Some(self.conf.clone()), index: self.applied, term: self.applied_term };
        let keep = self.limits.snapshot_every;
        Checkpoint::new(self, Snapshot { data: state, metadata: Some(metadata) }, keep)
    }

    /// Where this member stands.
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        Status {
            id: self.id(),
            role: match raft.state {
                StateRole::Leader => Role::Leader { established: self.applied_term == raft.term },
                StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
                StateRole::Follower if raft.promotable() => Role::Follower,
                StateRole::Follower => Role::Learner,
            },
            leader: self.leader(),
            term: Term(raft.term),
            applied: Index(self.applied),
            committed: Index(raft.raft_log.committed),
            members: members(&self.conf),
        }
    }

    /// On the leader: who has answered, of the others, since the last check of the quorum. For display, not for decisions.
    pub fn active(&self) -> Vec<RaftId> {
        let progress = self.raw.raft.prs().iter();
        let mut active: Vec<RaftId> =
            progress.filter(|(_, progress)| progress.recent_active).map(|(id, _)| RaftId(*id)).collect();
        active.sort_unstable();
        active
    }

    /// Could this learner be promoted now? Only the leader knows.
    pub fn caught_up(&self, id: RaftId) -> bool {
        let raft = &self.raw.raft;
        let matched = raft.prs().get(id.0).map_or(0, |progress| progress.matched);
        raft.state == StateRole::Leader && matched > 0 && matched + CAUGHT_UP >= raft.raft_log.last_index()
    }

    pub(crate) fn mirror(&mut self, snapshot: Option<&Snapshot>, entries: &[Entry], hard_state: Option<&HardState>) {
        let mirror = self.raw.mut_store();
        if let Some(snapshot) = snapshot {
            mirror.install(snapshot);
        }
        mirror.append(entries);
        if let Some(hard_state) = hard_state {
            mirror.set_hard_state(hard_state);
        }
    }

    pub(crate) fn finish(&mut self, mut ready: Ready) -> Outcome {
        let mut outcome =
            Outcome { messages: batch::outgoing(ready.take_persisted_messages(), self.id()), apply: Vec::new() };
        if !ready.snapshot().is_empty() {
            let (meta, state) = (ready.snapshot().get_metadata(), ready.snapshot().get_data().to_vec());
            self.restored(meta);
            outcome.apply.push(Apply::Restore { index: Index(meta.index), state });
        }
        for read in ready.take_read_states() {
            self.reads.confirmed(&read.request_ctx, read.index);
        }
        let committed = ready.take_committed_entries();
        let mut light = self.raw.advance_append(ready);
        outcome.messages.extend(batch::outgoing(light.take_messages(), self.id()));
        for entry in committed.into_iter().chain(light.take_committed_entries()) {
            self.apply(entry, &mut outcome.apply);
        }
        self.raw.advance_apply();
        let released = self.reads.released(self.applied);
        outcome.apply.extend(released.into_iter().map(|ticket| Apply::Read { ticket }));
        self.lose_proposals();
        let refused = self.refused.drain(..);
        outcome.apply.extend(refused.map(|(ticket, why)| Apply::Refused { ticket, why }));
        self.batch_out = false;
        outcome
    }

    pub(crate) fn checkpointed(&mut self, snapshot: Snapshot, keep: u64) {
        self.snapshot_at = snapshot.get_metadata().index;
        self.snapshot_outdated = false;
        self.raw.mut_store().checkpoint(snapshot, keep);
    }

    fn restored(&mut self, meta: &SnapshotMetadata) {
        (self.applied, self.applied_term, self.snapshot_at) = (meta.index, meta.term, meta.index);
        self.conf = meta.get_conf_state().clone();
        self.snapshot_outdated = false;
    }

    fn apply(&mut self, entry: Entry, apply: &mut Vec<Apply>) {
        assert_eq!(entry.index, self.applied + 1, "committed entries come without holes");
        (self.applied, self.applied_term) = (entry.index, entry.term);
        let index = Index(entry.index);
        let ticket = match self.proposals.remove(&entry.index) {
            Some((term, ticket)) if term == entry.term => Some(ticket),
            // Another leader's entry took the place of ours.
            Some((_, ticket)) => {
                self.refused.push((ticket, Refused::Lost));
                None
            }
            None => None,
        };
        match entry.get_entry_type() {
            EntryType::EntryNormal if entry.data.is_empty() => {
                // A leader's first entry, or a change of members that `raft` found untimely and voided.
                let why = Refused::Members("another change came first");
                self.refused.extend(ticket.map(|ticket| (ticket, why)));
            }
            EntryType::EntryNormal => apply.push(Apply::Command { index, data: entry.data, ticket }),
            EntryType::EntryConfChangeV2 | EntryType::EntryConfChange => self.apply_change(&entry, ticket, apply),
        }
    }

    fn apply_change(&mut self, entry: &Entry, ticket: Option<Ticket>, apply: &mut Vec<Apply>) {
        let change = message::decode_change(&entry.data).expect("only checked changes enter the log");
        match self.raw.apply_conf_change(&change) {
            Ok(conf) => {
                self.conf = conf;
                self.snapshot_outdated = true;
                apply.push(Apply::Members { index: Index(entry.index), members: members(&self.conf), ticket });
            }
            // The same on every member, since it depends on the list and the entry alone.
            Err(error) => {
                tracing::error!(%error, index = entry.index, "a committed change of members is void");
                self.refused.extend(ticket.map(|ticket| (ticket, Refused::Members("the change is void"))));
            }
        }
    }

    /// Proposals of a leadership that ended: they may yet be committed by the next leader, or not.
    fn lose_proposals(&mut self) {
        let raft = &self.raw.raft;
        let (leading, term) = (raft.state == StateRole::Leader, raft.term);
        let refused = &mut self.refused;
        self.proposals.retain(|_, (proposed, ticket)| {
            let keep = leading && *proposed == term;
            if !keep {
                refused.push((*ticket, Refused::Lost));
            }
            keep
        });
    }

    fn expect_proposal(&mut self, ticket: Ticket) {
        let (index, term) = (self.raw.raft.raft_log.last_index(), self.raw.raft.term);
        if let Some((_, former)) = self.proposals.insert(index, (term, ticket)) {
            self.refused.push((former, Refused::Lost));
        }
    }

    fn resend_lost_snapshots(&mut self) {
        let raft = &self.raw.raft;
        let mut waiting: BTreeMap<u64, u64> = BTreeMap::new();
        if raft.state == StateRole::Leader {
            let stuck = raft.prs().iter().filter(|(_, progress)| progress.state == ProgressState::Snapshot);
            waiting.extend(stuck.map(|(id, _)| (*id, self.snapshots_out.get(id).copied().unwrap_or(0) + 1)));
        }
        for (id, ticks) in &mut waiting {
            if *ticks >= self.snapshot_patience {
                *ticks = 0;
                self.raw.report_snapshot(*id, SnapshotStatus::Failure);
            }
        }
        self.snapshots_out = waiting;
    }

    fn check_change(&self, change: Change) -> Result<(), Refused> {
        let id = change.id();
        let (voter, learner) = (self.conf.voters.contains(&id.0), self.conf.learners.contains(&id.0));
        match change {
            Change::AddLearner(RaftId(0)) => Err(Refused::Members("member 0 does not exist")),
            Change::AddLearner(_) if voter || learner => Err(Refused::Members("it is a member already")),
            Change::Promote(_) if !learner => Err(Refused::Members("only a learner can be promoted")),
            Change::Promote(_) if !self.caught_up(id) => Err(Refused::Members("the learner has not caught up")),
            Change::Remove(_) if !voter && !learner => Err(Refused::Members("it is not a member")),
            Change::Remove(_) if id == self.id() => {
                Err(Refused::Members("the leader does not remove itself: transfer first"))
            }
            _ => Ok(()),
        }
    }

    fn must_lead(&self) -> Result<(), Refused> {
        if self.raw.raft.state == StateRole::Leader {
            Ok(())
        } else {
            Err(Refused::NotLeader { leader: self.leader() })
        }
    }

    fn leader(&self) -> Option<RaftId> {
        Some(RaftId(self.raw.raft.leader_id)).filter(|id| id.0 != 0)
    }

    pub(crate) fn id(&self) -> RaftId {
        RaftId(self.raw.raft.id)
    }
}

impl Change {
    fn id(self) -> RaftId {
        match self {
            Self::AddLearner(id) | Self::Promote(id) | Self::Remove(id) => id,
        }
    }

    fn single(self) -> ConfChangeSingle {
        let kind = match self {
            Self::AddLearner(_) => ConfChangeType::AddLearnerNode,
            Self::Promote(_) => ConfChangeType::AddNode,
            Self::Remove(_) => ConfChangeType::RemoveNode,
        };
        ConfChangeSingle { change_type: kind as i32, node_id: self.id().0 }
    }
}

fn members(conf: &ConfState) -> Members {
    let list = |ids: &[u64]| {
        let mut ids: Vec<RaftId> = ids.iter().map(|id| RaftId(*id)).collect();
        ids.sort_unstable();
        ids
    };
    // A voter that is to become a learner when the change ends still follows meanwhile.
    Members { voters: list(&conf.voters), learners: list(&conf.learners), outgoing: list(&conf.voters_outgoing) }
}
