//! The one way to change the registry: a committed entry in, events out.
//!
//! Deterministic: the same entries give the same registry and the same events on every sentinel, refusals included. Every
//! command is checked here again, whatever its proposer checked: a proposal may come late, twice, or from a leader of the
//! past. A refused command changes nothing at all.

mod voters;

use crate::command::{Command, Entry, Fault, Ground, NodeSpec};
use crate::event::{Event, instance, instance_master, instance_replica, instance_sentinel};
use crate::failover::{AbortReason, Cause, End, Failover, Next, Phase, Seen, Stage};
use crate::faults::{Fault as Broken, is_armed};
use crate::model::{Group, Identity, MAX_GROUPS, MAX_NODES, MAX_SENTINELS, Member, NodeRecord, Registry};
use crate::names::{Epoch, GroupName, NodeKey, RaftId, UnixMs};
use crate::settings::{SettingError, Settings, concern_durability};
use crate::voting::{ConfigError, Voting};

/// Why a command changed nothing. Every sentinel refuses the same commands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Sentinel's text for a group that is not watched.
    #[error("No such master with that name")]
    NoSuchGroup(GroupName),
    /// Sentinel's text for a name that is taken.
    #[error("Duplicate master name.")]
    Duplicate(GroupName),
    /// Sentinel's text for a second failover.
    #[error("Failover already in progress")]
    InProgress(GroupName),
    /// Sentinel's text for a failover that has no one to choose.
    #[error("No suitable replica to promote")]
    NoGoodReplica,
    /// The compare-and-set on the epoch failed (I1).
    #[error("the group's epoch is {actual}, not {expected}")]
    Epoch {
        /// What the proposer saw.
        expected: Epoch,
        /// What is committed.
        actual: Epoch,
    },
    /// The failover's phase has no such arrow.
    #[error("the failover is not in a phase for that")]
    Phase,
    /// The group has no such node, or the command is not for its role.
    #[error("no such replica: {0}")]
    NoSuchNode(NodeKey),
    /// A bound was reached.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A setting was refused.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Raft ids are never used twice: a sentinel that lost its log must not vote again under its old one.
    #[error("Raft id {} was given out before", .0.0)]
    RaftIdUsed(RaftId),
    /// `quorum` was asked of a group that cannot give it.
    #[error(
        "durability quorum is impossible: {0} is a stock Redis or Valkey node, which can neither promise nor withhold"
    )]
    StockNode(NodeKey),
    /// `quorum` was asked of a node that has not learnt it.
    #[error("durability quorum is impossible: the version that runs at {0} cannot withhold replies")]
    TooOld(NodeKey),
    /// `ack: fsync` was asked of a node without a log.
    #[error("{0} cannot acknowledge by fsync: its appendonly is off")]
    NoFsync(NodeKey),
    /// `quorum` was asked of too small a group.
    #[error("durability quorum with {copies} copies needs {copies} nodes that can hold them; the group has {nodes}")]
    TooFewNodes {
        /// How many are asked for.
        copies: u32,
        /// How many there are.
        nodes: usize,
    },
    /// A master cannot be removed.
    #[error("{0} is the master: fail over to another node first")]
    IsMaster(NodeKey),
    /// A sentinel must stay.
    #[error("the last sentinel cannot be removed")]
    LastSentinel,
    /// Sentinels leave one at a time (I9). Judged here too: two orders may be on their way at once.
    #[error("sentinel {} is leaving: one at a time", .0.0)]
    SentinelLeaving(RaftId),
    /// There is no such sentinel, or it was removed before.
    #[error("no such sentinel: {0}")]
    NoSuchSentinel(String),
    /// Too few voters answer to choose a master that holds everything that was acknowledged (I4).
    #[error(
        "too few voters answer: acknowledged writes that only the others hold would be lost. If those will never come back, say that it may be (accept-loss)"
    )]
    WouldLose,
    /// A change of the voters was refused.
    #[error(transparent)]
    Voters(#[from] ConfigError),
    /// The command says what is already so.
    #[error("nothing to change")]
    Unchanged,
}

/// Epochs end here, far beyond any number of masterships; a node that claims to have promised more is not believed. It is
/// also the last integer that every JSON reader keeps exact. Source: RFC 8259, section 6.
pub const MAX_EPOCH: Epoch = Epoch(1 << 53);

impl Registry {
    /// Applies a committed entry: the events to publish, which are in the history too, or why nothing changed.
    /// An entry at or below [`Registry::applied`] was applied before and is refused.
    pub fn apply(&mut self, index: u64, entry: Entry) -> Result<Vec<Event>, Rejected> {
        if index <= self.applied {
            return Err(Rejected::Unchanged);
        }
        self.applied = index;
        let mut news = News { index, at: entry.at, events: Vec::new() };
        self.change(entry.command, &mut news)?;
        for event in &news.events {
            self.history.push(event.clone());
        }
        Ok(news.events)
    }

    fn change(&mut self, command: Command, news: &mut News) -> Result<(), Rejected> {
        match command {
            Command::MonitorGroup { group, master, nodes, settings } => {
                self.monitor(group, master, nodes, settings, news)
            }
            Command::RemoveGroup { group } => {
                let gone = self.groups.remove(&group).ok_or_else(|| Rejected::NoSuchGroup(group.clone()))?;
                news.tell(&group, &gone, "-monitor", instance_master(&group, &gone));
                Ok(())
            }
            Command::MemberJoined(member) => self.join(member, news),
            Command::MemberLeaves { raft_id } => {
                self.expect_others(raft_id)?;
                if let Some(other) = self.leaving.iter().find(|other| **other != raft_id) {
                    return Err(Rejected::SentinelLeaving(*other));
                }
                if self.leaving.insert(raft_id) { Ok(()) } else { Err(Rejected::Unchanged) }
            }
            Command::MemberLeft { raft_id } => self.leave(raft_id, news),
            of_a_group => {
                let name = of_a_group.group().expect("only members' commands have no group").clone();
                let group = self.groups.get_mut(&name).ok_or_else(|| Rejected::NoSuchGroup(name.clone()))?;
                group.change(&name, of_a_group, news)?;
                group.revision += 1;
                Ok(())
            }
        }
    }

    fn monitor(
        &mut self,
        name: GroupName,
        master: NodeKey,
        specs: Vec<NodeSpec>,
        settings: Settings,
        news: &mut News,
    ) -> Result<(), Rejected> {
        if let Some(known) = self.groups.get(&name) {
            // The same thing said to each sentinel in turn is not an error; the master may have changed since.
            let same = known.nodes.contains_key(&master);
            return Err(if same { Rejected::Unchanged } else { Rejected::Duplicate(name) });
        }
        if self.groups.len() >= MAX_GROUPS {
            return Err(Rejected::TooMany("groups"));
        }
        let mut nodes: std::collections::BTreeMap<NodeKey, NodeRecord> = specs
            .into_iter()
            .map(|spec| (spec.node, NodeRecord { tags: spec.tags, ..NodeRecord::default() }))
            .collect();
        nodes.entry(master.clone()).or_default();
        if nodes.len() > MAX_NODES {
            return Err(Rejected::TooMany("nodes"));
        }
        let group = Group {
            epoch: Epoch::default(),
            claimed: Epoch::default(),
            voting: Voting::default(),
            lease_ms: settings.lease_ms(),
            removed: std::collections::BTreeSet::new(),
            settings,
            master,
            nodes,
            failover: None,
            down_since: None,
            interim: None,
            aborted: 0,
            revision: 0,
        };
        let text = format!("{} quorum {}", instance_master(&name, &group), group.settings.quorum);
        news.tell(&name, &group, "+monitor", text);
        for (node, _) in group.replicas() {
            news.tell(&name, &group, "+slave", instance_replica(&name, &group, node));
        }
        self.groups.insert(name, group);
        Ok(())
    }

    fn join(&mut self, member: Member, news: &mut News) -> Result<(), Rejected> {
        let id = member.raft_id;
        let event = match self.sentinels.get(&id) {
            Some(known) if *known == member => return Err(Rejected::Unchanged),
            // Two leaders may have given out the same id: the first that was committed has it.
            Some(known) if known.sentinel_id != member.sentinel_id => return Err(Rejected::RaftIdUsed(id)),
            Some(_) => "+sentinel-address-switch",
            None if id.0 <= self.highest_raft_id => return Err(Rejected::RaftIdUsed(id)),
            None if self.sentinels.len() >= MAX_SENTINELS => return Err(Rejected::TooMany("sentinels")),
            None => "+sentinel",
        };
        for (name, group) in &self.groups {
            let text = if event == "+sentinel" {
                instance_sentinel(name, group, &member)
            } else {
                let (master, resp) = (instance_master(name, group), &member.resp);
                format!("{master} ip {} port {} for {}", resp.host(), resp.port(), member.sentinel_id)
            };
            news.tell(name, group, event, text);
        }
        self.highest_raft_id = self.highest_raft_id.max(id.0);
        self.sentinels.insert(id, member);
        Ok(())
    }

    fn expect_others(&self, raft_id: RaftId) -> Result<(), Rejected> {
        match (self.sentinels.contains_key(&raft_id), self.sentinels.len()) {
            (true, 1) => Err(Rejected::LastSentinel),
            (true, _) => Ok(()),
            (false, _) => Err(Rejected::Unchanged),
        }
    }

    /// Its id stays spent: [`Registry::is_removed`] knows it by that.
    fn leave(&mut self, raft_id: RaftId, news: &mut News) -> Result<(), Rejected> {
        self.expect_others(raft_id)?;
        let gone = self.sentinels.remove(&raft_id).ok_or(Rejected::Unchanged)?;
        self.leaving.remove(&raft_id);
        for (name, group) in &self.groups {
            news.tell(name, group, "-sentinel", instance_sentinel(name, group, &gone));
        }
        Ok(())
    }
}

/// The events of one entry, as they come up.
struct News {
    index: u64,
    at: UnixMs,
    events: Vec<Event>,
}

impl News {
    fn tell(&mut self, name: &GroupName, group: &Group, event: &str, text: String) {
        let place = self.events.len().min(255) as u64;
        self.events.push(Event {
            index: (self.index << 8) | place,
            at: self.at,
            group: Some(name.clone()),
            name: event.to_owned(),
            text,
            epoch: group.epoch,
        });
    }
}

impl Group {
    fn change(&mut self, name: &GroupName, command: Command, news: &mut News) -> Result<(), Rejected> {
        match command {
            Command::SetGroup { changes, .. } => self.set(name, changes, news),
            Command::ResetGroup { .. } => {
                self.aborted = 0;
                news.tell(name, self, "+reset-master", instance_master(name, self));
                Ok(())
            }
            Command::NodeSeen { node, identity, .. } => self.seen(name, node, identity, news),
            Command::NodeForgotten { node, .. } => self.forget(name, node, news),
            Command::NodeAdded { node, .. } => self.add(name, node, news),
            Command::NodeRemoved { node, .. } => self.remove(name, node, news),
            Command::VotersChanged { epoch, change, supersedes, .. } => {
                self.vote(name, epoch, "+voters-change", |group| group.change_voters(&change, supersedes), news)
            }
            Command::VotersSettled { epoch, version, .. } => {
                self.vote(name, epoch, "+voters", |group| group.voting.settle(version), news)
            }
            Command::VotersTurnedBack { epoch, version, to, .. } => {
                self.vote(name, epoch, "-voters-change", |group| group.turn_back_voters(version, to), news)
            }
            Command::MasterDown { epoch, votes, .. } => self.down(name, epoch, votes, news),
            Command::MasterUp { epoch, .. } => {
                self.expect_epoch(epoch)?;
                self.down_since.take().ok_or(Rejected::Unchanged)?;
                news.tell(name, self, "-odown", instance_master(name, self));
                Ok(())
            }
            Command::FailoverBegin { expected, floor, cause, wanted, .. } => {
                self.begin(name, expected, floor, cause, wanted, news)
            }
            Command::CaughtUp { epoch, .. } => self.go_on(epoch, Seen::CaughtUp),
            Command::Chosen { epoch, candidate, ground, .. } => self.choose(name, epoch, candidate, ground, news),
            Command::Promoted { epoch, .. } => self.promoted(name, epoch, news),
            Command::Reconfigured { epoch, node, stage, .. } => self.reconfigured(name, epoch, node, stage, news),
            Command::Repaired { epoch, node, fault, .. } => {
                self.expect_epoch(epoch)?;
                self.expect_replica(&node)?;
                let event = match fault {
                    Fault::RogueMaster => "+convert-to-slave",
                    Fault::WrongMaster => "+fix-slave-config",
                };
                news.tell(name, self, event, instance_replica(name, self, &node));
                Ok(())
            }
            Command::FailoverEnd { epoch, end, .. } => self.end(name, epoch, end, news),
            Command::FailoverAbort { epoch, reason, .. } => self.abort(name, epoch, reason, news),
            Command::MonitorGroup { .. }
            | Command::RemoveGroup { .. }
            | Command::MemberJoined(_)
            | Command::MemberLeaves { .. }
            | Command::MemberLeft { .. } => unreachable!("the registry's own commands do not get here"),
        }
    }

    /// The compare of the compare-and-set (I1).
    fn expect_epoch(&self, expected: Epoch) -> Result<(), Rejected> {
        if self.epoch == expected || is_armed(Broken::I1Cas) {
            Ok(())
        } else {
            Err(Rejected::Epoch { expected, actual: self.epoch })
        }
    }

    fn expect_replica(&self, node: &NodeKey) -> Result<(), Rejected> {
        let replica = *node != self.master && self.nodes.contains_key(node);
        if replica { Ok(()) } else { Err(Rejected::NoSuchNode(node.clone())) }
    }

    fn set(&mut self, name: &GroupName, changes: Vec<(String, String)>, news: &mut News) -> Result<(), Rejected> {
        let mut settings = self.settings.clone();
        for (option, value) in &changes {
            settings.set(option, value)?;
        }
        if concern_durability(&changes) {
            self.expect_possible(&settings)?;
        }
        self.lease_ms = self.lease_ms.max(settings.lease_ms());
        self.settings = settings;
        for (option, value) in &changes {
            let text = format!("{} {option} {}", instance_master(name, self), Settings::shown(option, value));
            news.tell(name, self, "+set", text);
        }
        Ok(())
    }

    fn seen(
        &mut self,
        name: &GroupName,
        node: NodeKey,
        identity: Option<Identity>,
        news: &mut News,
    ) -> Result<(), Rejected> {
        let Some(record) = self.nodes.get_mut(&node) else {
            if self.nodes.len() >= MAX_NODES {
                return Err(Rejected::TooMany("nodes"));
            }
            if self.removed.contains(&node) {
                return Err(Rejected::Unchanged); // the master lists it still
            }
            self.nodes.insert(node.clone(), NodeRecord { identity, ..NodeRecord::default() });
            news.tell(name, self, "+slave", instance_replica(name, self, &node));
            return Ok(());
        };
        if identity.is_none() || record.identity == identity {
            return Err(Rejected::Unchanged);
        }
        let run_id = |of: &Option<Identity>| of.as_ref().map(|identity| identity.run_id.clone());
        let rebooted = record.identity.is_some() && run_id(&record.identity) != run_id(&identity);
        record.identity = identity;
        if rebooted {
            news.tell(name, self, "+reboot", crate::event::instance(name, self, &node));
        }
        Ok(())
    }

    fn down(&mut self, name: &GroupName, epoch: Epoch, votes: u32, news: &mut News) -> Result<(), Rejected> {
        self.expect_epoch(epoch)?;
        if self.down_since.is_some() {
            return Err(Rejected::Unchanged);
        }
        self.down_since = Some(news.at);
        let text = format!("{} #quorum {votes}/{}", instance_master(name, self), self.settings.quorum);
        news.tell(name, self, "+odown", text);
        Ok(())
    }

    /// Claims an epoch that was never claimed before, so whatever an earlier failover left behind is fenced (I1).
    fn begin(
        &mut self,
        name: &GroupName,
        expected: Epoch,
        floor: Epoch,
        cause: Cause,
        wanted: Option<NodeKey>,
        news: &mut News,
    ) -> Result<(), Rejected> {
        self.expect_epoch(expected)?;
        let takes_over = cause == Cause::LossAccepted;
        if self.failover.as_ref().is_some_and(|running| !takes_over || !running.gives_way_to_loss()) {
            return Err(Rejected::InProgress(name.clone()));
        }
        if let Some(wanted) = &wanted {
            self.expect_replica(wanted)?;
        }
        if let Some(running) = &mut self.failover {
            (running.cause, running.wanted) = (cause, wanted);
            news.tell(name, self, "+try-failover", instance_master(name, self));
            return Ok(());
        }
        if self.claimed.max(floor) >= MAX_EPOCH {
            return Err(Rejected::TooMany("epochs"));
        }
        let phase = match (cause, &wanted) {
            (Cause::Planned, None) => return Err(Rejected::NoGoodReplica),
            (Cause::Planned, Some(candidate)) => Phase::CatchingUp { candidate: candidate.clone() },
            _ => Phase::Collecting,
        };
        if let Cause::Down { votes } = cause
            && self.down_since.is_none()
        {
            self.down(name, expected, votes, news)?;
        }
        let epoch = match is_armed(Broken::I1Cas) {
            false => self.claimed.max(floor).next(),
            true => self.epoch.next(),
        };
        self.claimed = epoch;
        self.failover = Some(Failover { epoch, cause, wanted, from: self.master.clone(), began: news.at, phase });
        news.tell(name, self, "+new-epoch", epoch.to_string());
        if let Cause::Down { .. } | Cause::Planned | Cause::Forced | Cause::LossAccepted = cause {
            for event in ["+try-failover", "+elected-leader", "+failover-state-select-slave"] {
                news.tell(name, self, event, instance_master(name, self));
            }
        }
        Ok(())
    }

    /// Takes the running failover out, if it is the one that is meant.
    fn take(&mut self, epoch: Epoch) -> Result<Failover, Rejected> {
        match self.failover.take() {
            Some(running) if running.epoch == epoch || is_armed(Broken::I1Cas) => Ok(running),
            other => {
                let actual = other.as_ref().map_or(self.claimed, |running| running.epoch);
                self.failover = other;
                Err(Rejected::Epoch { expected: epoch, actual })
            }
        }
    }

    /// Steps the running failover; `Ok` holds it as it was before, for the events.
    fn step(&mut self, epoch: Epoch, seen: Seen) -> Result<Failover, Rejected> {
        let before = self.take(epoch)?;
        let Some(next) = before.phase.clone().step(seen) else {
            self.failover = Some(before);
            return Err(Rejected::Phase);
        };
        if let Next::Phase(phase) = next {
            self.failover = Some(Failover { phase, ..before.clone() });
        }
        Ok(before)
    }

    fn go_on(&mut self, epoch: Epoch, seen: Seen) -> Result<(), Rejected> {
        self.step(epoch, seen).map(drop)
    }

    fn choose(
        &mut self,
        name: &GroupName,
        epoch: Epoch,
        candidate: NodeKey,
        ground: Ground,
        news: &mut News,
    ) -> Result<(), Rejected> {
        if !self.nodes.contains_key(&candidate) {
            return Err(Rejected::NoSuchNode(candidate));
        }
        let is_accepted = self.failover.as_ref().is_some_and(|running| running.cause == Cause::LossAccepted);
        if ground == Ground::LossAccepted && !is_accepted {
            return Err(Rejected::WouldLose); // nobody said so of this failover
        }
        let before = self.step(epoch, Seen::Chosen(candidate.clone()))?;
        match ground {
            Ground::Promises | Ground::Interim => {}
            Ground::Blank => self.voting.begin_anew(),
            Ground::LossAccepted => {
                news.tell(name, self, "+loss-accepted", instance(name, self, &candidate));
                self.voting.begin_anew();
            }
        }
        self.interim = (ground == Ground::Interim).then_some(epoch);
        // Before it is told: it takes no mastership in a config in which it does not vote. R of both configs is what it was.
        self.keep_master_a_voter(name, &candidate, news);
        if candidate != before.from {
            for event in ["+selected-slave", "+failover-state-send-slaveof-noone", "+failover-state-wait-promotion"] {
                news.tell(name, self, event, instance_replica(name, self, &candidate));
            }
        }
        Ok(())
    }

    /// The mastership is published: from here on discovery answers with the new master.
    fn promoted(&mut self, name: &GroupName, epoch: Epoch, news: &mut News) -> Result<(), Rejected> {
        let Failover { phase: Phase::Promoting { candidate }, from, .. } = self.step(epoch, Seen::Promoted)? else {
            unreachable!("only promoting leads to promoted");
        };
        assert!(epoch > self.epoch, "a claimed epoch is above every published one");
        let was_down = self.down_since.take().is_some();
        self.aborted = 0;
        self.epoch = epoch;
        self.lease_ms = self.settings.lease_ms(); // leases of the mastership before this one are over (I8)
        self.keep_master_a_voter(name, &candidate, news); // an operator may have removed it since it was chosen
        if candidate == from {
            if was_down {
                news.tell(name, self, "-odown", instance_master(name, self));
            }
            return Ok(());
        }
        news.tell(name, self, "+promoted-slave", instance_replica(name, self, &candidate));
        news.tell(name, self, "+failover-state-reconf-slaves", instance_master(name, self));
        let (host, port) = (candidate.host().to_owned(), candidate.port());
        self.master = candidate;
        news.tell(name, self, "+switch-master", format!("{name} {} {} {host} {port}", from.host(), from.port()));
        for (node, _) in self.replicas() {
            news.tell(name, self, "+slave", instance_replica(name, self, node));
        }
        Ok(())
    }

    fn reconfigured(
        &mut self,
        name: &GroupName,
        epoch: Epoch,
        node: NodeKey,
        stage: Stage,
        news: &mut News,
    ) -> Result<(), Rejected> {
        self.expect_replica(&node)?;
        let before = self.step(epoch, Seen::Reconfigured(node.clone(), stage))?;
        let Phase::Reconfiguring { stages } = before.phase else {
            unreachable!("only reconfiguring takes replicas");
        };
        let told = stages.contains_key(&node);
        let events: &[&str] = match (stage, told) {
            (Stage::Sent, _) => &["+slave-reconf-sent"],
            (Stage::Done, true) => &["+slave-reconf-inprog", "+slave-reconf-done"],
            (Stage::Done, false) => &["+slave-reconf-sent", "+slave-reconf-inprog", "+slave-reconf-done"],
        };
        for event in events {
            news.tell(name, self, event, instance_replica(name, self, &node));
        }
        Ok(())
    }

    fn end(&mut self, name: &GroupName, epoch: Epoch, end: End, news: &mut News) -> Result<(), Rejected> {
        let before = self.step(epoch, Seen::Ended(end))?;
        if before.from == self.master {
            return Ok(()); // the same master in a new epoch: nobody was told of a failover
        }
        if end != End::Complete {
            news.tell(name, self, "+failover-end-for-timeout", instance_master(name, self));
        }
        news.tell(name, self, "+failover-end", instance_master(name, self));
        Ok(())
    }

    fn abort(&mut self, name: &GroupName, epoch: Epoch, why: AbortReason, news: &mut News) -> Result<(), Rejected> {
        let before = self.step(epoch, Seen::Aborted(why))?;
        if !matches!(before.cause, Cause::Planned | Cause::Forced | Cause::LossAccepted) {
            self.aborted = self.aborted.saturating_add(1);
        }
        let event = match why {
            AbortReason::NoGoodReplica => "-failover-abort-no-good-slave",
            AbortReason::CandidateTimeout => "-failover-abort-slave-timeout",
            AbortReason::PauseFailed | AbortReason::Superseded => "-failover-abort-not-elected",
        };
        news.tell(name, self, event, instance_master(name, self));
        Ok(())
    }
}
