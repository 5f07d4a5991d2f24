//! This node among the voters of its group: what it may count as a copy, what it has committed, and what its lease lets it do.
//!
//! The pure decisions are `quorate_replication`'s: [`Commit`], [`Lease`], [`Failsafe`], [`Tail`]. Here they are fed, once a turn.
//!
//! A copy counts, this node's own or a replica's acknowledgement, only once what it relies on is on disk: the state file with the epoch of the assignment
//! (I2) and with what acknowledgements rely on (I10), and, of a node that keeps a log, the log as a whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate_keyspace::Keyspace;
use quorate_replication::commit::{Acks, Copy};
use quorate_replication::faults::{Fault, is_armed};
use quorate_replication::fence::{Durable, Fence, Standing};
use quorate_replication::follower::{Ack, Counted};
use quorate_replication::lease::{Granted, Writes};
use quorate_replication::master::ReplicaId;
use quorate_replication::tail::{BootId, Holds, Source, Tail};
use quorate_replication::{Commit, Epoch, Failsafe, Lease, NodeId, Offset, VotingConfig};

use super::{Denied, Keep, Memory};
use crate::Effect;
use crate::core::Core;
use crate::effect::Level;

/// A node's part in the quorum.
#[derive(Debug)]
pub(super) struct Quorum {
    /// `None` for a plain node.
    pub node: Option<NodeId>,
    boot: Option<BootId>,
    /// The newest config that an order told of.
    pub config: VotingConfig,
    /// `Some`: the master of an epoch.
    pub commit: Option<Commit>,
    /// What the last report told of the commit.
    told: (u64, bool),
    failsafe: Failsafe,
    cut_off: bool,
    lease: Arc<Mutex<Lease>>,
    /// What the order that made this node master said that it may count upon before it hears a grant.
    pub first_lease: Option<Duration>,
    pub tail: Tail,
    /// What acknowledgements relied on in the life before this one.
    held_before: Holds,
    /// What was promised in the life before this one.
    promised_before: Epoch,
    /// Revisions of what has to be remembered: the newest, the one that a copy needs in order to count, and the one on disk.
    newest: u64,
    needed: u64,
    kept: u64,
    /// Bytes of this node's own that a full resync has dropped (I12), and those that the one under way will drop.
    pub dropped_tail: u64,
    pub dropping: Option<u64>,
}

impl Quorum {
    pub fn new() -> Quorum {
        Quorum {
            node: None,
            boot: None,
            config: VotingConfig::unset(),
            commit: None,
            told: (0, false),
            failsafe: Failsafe::default(),
            cut_off: false,
            lease: Arc::new(Mutex::new(Lease::new(1))),
            first_lease: None,
            tail: Tail::Sure,
            held_before: Holds::Memory,
            promised_before: Epoch(0),
            newest: 0,
            needed: 0,
            kept: 0,
            dropped_tail: 0,
            dropping: None,
        }
    }

    /// A node of a group starts.
    pub fn join(&mut self, node: NodeId, kept: &Durable, boot: Option<BootId>) {
        (self.node, self.held_before, self.boot) = (Some(node), kept.holds, boot);
        self.promised_before = kept.promised.max(kept.epoch);
        self.tail = Tail::Unsure { until: None };
    }

    /// The dataset was loaded. Whoever was never assigned, or remembers nothing, has nothing to be unsure of.
    pub fn found(&mut self, source: Source, memory: Memory, epoch: Epoch) {
        let sure = memory == Memory::Lost || epoch == Epoch(0) || is_armed(Fault::I10Tail);
        self.tail = if sure { Tail::Sure } else { Tail::at_boot(self.held_before, self.boot, source) };
    }

    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl super::Replication {
    /// The lease, which the agent's thread fills: it answers while the engine is busy.
    #[must_use]
    pub fn lease(&self) -> Arc<Mutex<Lease>> {
        Arc::clone(&self.quorum.lease)
    }

    /// Replaces the lease by one whose renewals count from elsewhere; before the first turn.
    pub fn set_lease(&mut self, lease: Arc<Mutex<Lease>>) {
        self.quorum.lease = lease;
    }

    /// Everything up to here is held by as many voters as the config asks for; zero on whoever is no master.
    #[must_use]
    pub fn committed(&self) -> Offset {
        self.quorum.commit.as_ref().map_or(Offset(0), Commit::committed)
    }

    /// What the acknowledgements of this mastership follow; `None` on whoever is no master.
    #[must_use]
    pub fn voting(&self) -> Option<&VotingConfig> {
        self.quorum.commit.as_ref().map(Commit::config)
    }

    /// Is this an async master that may have been replaced (I13)?
    pub(crate) fn is_cut_off(&self) -> bool {
        self.quorum.cut_off
    }
}

impl Core {
    /// Must the voters' acknowledgements mean their disks, this node's among them?
    pub(crate) fn acknowledges_by_fsync(&self) -> bool {
        self.replication.fence.is_some() && self.replication.quorum.config.acks() == Acks::Synced
    }

    /// `quorum-timeout`, where replies are held.
    pub(crate) fn quorum_timeout(&self) -> Option<Duration> {
        self.replication.quorum.config.quorum_timeout()
    }

    /// Does the lease of this node's mastership cover `now` (I7)?
    pub(crate) fn lease_covers(&self, now: Duration) -> bool {
        let quorum = &self.replication.quorum;
        quorum.commit.as_ref().is_some_and(|commit| quorum.lease().covers(commit.epoch(), now))
    }

    /// An order told of a config. Older news is ignored: assignments may overtake each other.
    pub(super) fn learn_config(&mut self, config: Option<VotingConfig>) {
        let Some(config) = config else { return };
        if config.version() > self.replication.quorum.config.version() {
            self.replication.quorum.config = config;
            self.replication.version += 1;
            self.rely();
        }
    }

    /// Is it that already? Then the order says nothing new.
    pub(super) fn is_master_of(&self, epoch: Epoch) -> bool {
        self.replication.quorum.commit.as_ref().is_some_and(|commit| commit.epoch() == epoch)
    }

    /// May this node be the master of `epoch` (I4, I10, I11)? It was chosen upon the report that came with its promise: a process that started since may
    /// hold less, and one that lost its directory is not who was chosen.
    pub(super) fn check_master(&self, epoch: Epoch, config: Option<&VotingConfig>) -> Result<(), Denied> {
        let quorum = &self.replication.quorum;
        let config = config.unwrap_or(&quorum.config);
        if is_armed(Fault::I10Reborn) {
            return Ok(());
        }
        // Whatever the terms: on the way from quorum to async they say async already, and what was acknowledged before is still promised. Nor is a
        // mastership of the life before a title: the order may be as old, and so its config; who restarted is chosen anew (I11).
        if epoch <= quorum.promised_before {
            return Err(Denied::EarlierLife(epoch));
        }
        let votes = quorum.node.is_some_and(|node| config.voters().contains(&node));
        if !config.voters().is_empty() && !votes && (config.is_quorum() || !self.replication.data_known) {
            return Err(Denied::NoVoter);
        }
        Ok(())
    }

    /// `Configure`: the master of `epoch` takes a newer config (I9).
    pub(super) fn configure(&mut self, group: &str, epoch: Epoch, config: VotingConfig) -> Result<(), Denied> {
        let fence = self.replication.fence.as_ref().ok_or(Denied::NoGroup)?;
        fence.is_master_of(group, epoch)?;
        self.adopt_config(config)
    }

    /// The newest config becomes the one that writes need.
    pub(super) fn adopt_config(&mut self, config: VotingConfig) -> Result<(), Denied> {
        self.record_stream();
        let (end, own) = (self.replication.history.offset(), self.own_copy());
        let Some(commit) = &mut self.replication.quorum.commit else { return Ok(()) };
        commit.advance(end, own);
        commit.adopt(config.clone())?;
        commit.advance(end, own); // it may be in force at once
        let quorum = commit.config().is_quorum();
        self.learn_config(Some(config));
        self.hold_replies(quorum);
        Ok(())
    }

    /// A mastership begins behind its barrier (I5).
    pub(super) fn begin_commit(&mut self, epoch: Epoch) {
        let barrier = self.replication.history.offset();
        let quorum = &mut self.replication.quorum;
        let Some(node) = quorum.node else { return };
        let mut commit = Commit::begin(node, epoch, quorum.config.clone(), barrier);
        for (id, one) in self.replication.replicas.introduced() {
            if let Some(node) = one.node {
                commit.joined(id, node);
            }
        }
        let is_quorum = commit.config().is_quorum();
        (quorum.commit, quorum.failsafe, quorum.cut_off) =
            (Some(commit), Failsafe::begin(quorum.first_lease, self.now.mono), false);
        self.hold_replies(is_quorum);
    }

    /// The mastership is over.
    pub(super) fn end_commit(&mut self) {
        let quorum = &mut self.replication.quorum;
        (quorum.commit, quorum.cut_off, quorum.told) = (None, false, (0, false));
        quorum.tail.parted();
        self.holding.end();
    }

    fn hold_replies(&mut self, quorum: bool) {
        match (quorum, self.holding.is_on()) {
            (true, false) => self.holding.begin(),
            (true, true) => {
                // An epoch's begin changes every key; another quorum config changes none.
                if self.replication.quorum.commit.as_ref().is_some_and(|commit| !commit.is_established()) {
                    self.holding.begin();
                }
            }
            (false, _) => self.holding.end(),
        }
    }

    /// Once a turn: the stream's end, and what is committed and confirmed. For a plain node everything is.
    pub(crate) fn commit_step(&mut self) -> (Offset, Offset, Offset) {
        let end = self.replication.history.offset();
        if self.replication.quorum.commit.is_none() {
            return (end, end, end);
        }
        let own = self.own_copy();
        let quorum = &mut self.replication.quorum;
        let commit = quorum.commit.as_mut().expect("just seen");
        commit.advance(end, own);
        let told = (commit.in_force(), commit.is_established());
        if told != quorum.told {
            quorum.told = told;
            self.replication.version += 1;
        }
        (end, commit.committed(), commit.confirmed())
    }

    /// The offset behind which replies that are not held have nothing to wait for.
    fn own_copy(&self) -> Copy {
        let received = self.replication.history.offset();
        if !self.may_count() {
            return Copy { received, ..Copy::default() };
        }
        let synced = self.persistence_synced().min(received);
        let held = if self.counts_by_disk() { synced } else { received };
        Copy { received, held, synced }
    }

    /// What a replica acknowledges now.
    pub(super) fn ack(&self) -> Ack {
        let applied = self.stream_position();
        let Some(fence) = self.replication.fence.as_ref().filter(|_| self.may_count()) else {
            return Ack { applied, counted: None };
        };
        let synced = self.counts_by_disk().then(|| self.persistence_synced().min(applied));
        Ack { applied, counted: Some(Counted { epoch: fence.epoch(), synced }) }
    }

    fn persistence_synced(&self) -> Offset {
        if is_armed(Fault::I3Unsynced) { self.stream_position() } else { self.synced() }
    }

    /// Is what this node holds what its disk holds?
    fn counts_by_disk(&self) -> bool {
        self.config.appendonly && self.log_syncs_first()
    }

    /// May this node's copy count? See the module.
    fn may_count(&self) -> bool {
        let quorum = &self.replication.quorum;
        let assigned = self.replication.fence.as_ref().is_some_and(|fence| fence.standing() != Standing::Fenced);
        assigned && quorum.kept >= quorum.needed && (!self.config.appendonly || self.log_is_whole())
    }

    /// What acknowledgements rely on may be something else by now: makes it durable. Less than before has to be on disk before anything counts again.
    /// Whoever is fenced acknowledges nothing: what its former life relied on still tells what that acknowledged.
    pub(super) fn rely(&mut self) {
        if self.is_fenced() {
            return;
        }
        let quorum = &self.replication.quorum;
        let holds = match quorum.boot {
            // Whoever is not sure of its tail must not be after the next start either.
            _ if !self.config.appendonly || !self.log_is_whole() || !quorum.tail.is_sure() => Holds::Memory,
            _ if self.counts_by_disk() => Holds::Disk,
            Some(boot) => Holds::Log(boot),
            None => Holds::Memory,
        };
        let Some(fence) = &mut self.replication.fence else { return };
        let before = fence.relies_on();
        if before == holds {
            return;
        }
        fence.rely_on(holds);
        let quorum = &mut self.replication.quorum;
        quorum.newest += 1;
        if before.is_weakened_to(holds) {
            quorum.needed = quorum.newest;
        }
        if let Some(keep) = self.keep() {
            self.effects.push(Effect::Keep(keep));
        }
    }

    /// Epoch, promise or role have changed: a copy counts once that is on disk (I2).
    pub(super) fn must_remember(&mut self) {
        let quorum = &mut self.replication.quorum;
        quorum.newest += 1;
        quorum.needed = quorum.newest;
    }

    /// What has to be on disk; `None` for a node without a group.
    pub(super) fn keep(&self) -> Option<Keep> {
        let durable = self.replication.fence.as_ref().map(Fence::durable)?;
        Some(Keep { revision: self.replication.quorum.newest, durable })
    }

    /// What was to be remembered is on disk, up to this revision.
    pub(crate) fn kept(&mut self, revision: u64) {
        let quorum = &mut self.replication.quorum;
        quorum.kept = quorum.kept.max(revision);
    }

    /// A replica's acknowledgement of an epoch.
    pub(super) fn count_ack(&mut self, id: ReplicaId, epoch: Epoch, copy: Copy) {
        if let Some(commit) = &mut self.replication.quorum.commit {
            commit.acked(id, epoch, copy);
        }
    }

    /// A replica said which node it is.
    pub(crate) fn replica_is(&mut self, id: ReplicaId, node: NodeId) {
        if let Some(commit) = &mut self.replication.quorum.commit {
            commit.joined(id, node);
        }
    }

    /// A replica's link ended.
    pub(super) fn uncount(&mut self, id: ReplicaId) {
        if let Some(commit) = &mut self.replication.quorum.commit {
            commit.left(id);
        }
    }

    /// The master of this node's epoch said where its stream ends (I10).
    pub(super) fn met(&mut self, end: Offset) {
        self.replication.quorum.tail.met(end);
    }

    /// The dataset has grown: a node that was not sure of its tail may be now.
    pub(super) fn tail_applied(&mut self) {
        let offset = self.replication.history.offset();
        if self.replication.quorum.tail.applied(offset) {
            self.replication.version += 1;
            self.log(Level::Notice, "caught up with the master: this node counts as a voter again".to_owned());
        }
    }

    /// The lease as INFO tells it, and what it says of an async master: one without a lease goes on only while everyone acknowledges (I13).
    pub(super) fn tick_lease(&mut self) {
        let now = (self.host.clock)().max(self.now.mono);
        let quorum = &mut self.replication.quorum;
        let Some(commit) = &quorum.commit else { return };
        let granted = quorum.failsafe.counts(quorum.lease().of(commit.epoch()));
        let granted = granted.filter(|_| !commit.config().is_quorum());
        if let Some(upto) = commit.all_received() {
            quorum.failsafe.all_acked(upto);
        }
        let marker = granted.is_some_and(|granted| quorum.failsafe.wants_marker(granted, now));
        let cut_off = quorum.failsafe.writes(granted, now) == Writes::Stop;
        if std::mem::replace(&mut quorum.cut_off, cut_off) != cut_off {
            self.log(
                Level::Warning,
                match cut_off {
                    true => "no lease, and not every member acknowledges: taking no writes".to_owned(),
                    false => "writes go on: the lease was renewed, or every member acknowledges".to_owned(),
                },
            );
        }
        if marker && !self.is_paused() {
            self.ask_for_acks();
            let end = self.stream_position();
            self.replication.quorum.failsafe.marked(end, now);
        }
    }

    /// When an async master would have to stop.
    pub(super) fn lease_deadline(&self) -> Option<Duration> {
        let quorum = &self.replication.quorum;
        let commit = quorum.commit.as_ref().filter(|commit| !commit.config().is_quorum())?;
        let granted: Granted = quorum.failsafe.counts(quorum.lease().of(commit.epoch()))?;
        match quorum.failsafe.writes(Some(granted), self.now.mono) {
            Writes::Go { until } => until,
            Writes::Stop => (!quorum.cut_off).then_some(self.now.mono),
        }
    }

    /// A turn begins: its writes are refused if the lease is over by now, though nothing has happened since that would have told (I13).
    #[inline]
    pub(crate) fn end_lease(&mut self, keyspace: &mut Keyspace, now: Duration) {
        if self.replication.quorum.commit.is_some() && self.lease_deadline().is_some_and(|due| due <= now) {
            self.tick_lease();
            self.standing_changed(keyspace);
        }
    }

    /// The same by the clock as it is now, when commands have been read: they may have been asked for while the process stood still, after the
    /// turn had begun and the lease was over.
    #[inline]
    pub(crate) fn end_lease_since(&mut self, keyspace: &mut Keyspace) {
        if self.replication.quorum.commit.is_some() {
            let now = (self.host.clock)();
            self.end_lease(keyspace, now);
        }
    }
}
