//! How roles change: the sentinels' orders to a node of a group, REPLICAOF and FAILOVER on a plain one.
//!
//! Every order is decided by the [`Fence`](quorate_replication::Fence), which is pure; what it changed is performed here and reported with what
//! has to be on disk before the answer leaves (the agent's thread sees to that, I2).

use std::time::Duration;

use quorate_keyspace::{ExpiryMode, Keyspace};
use quorate_replication::commit::NotAdopted;
use quorate_replication::failover::{Candidate, Failover, Next};
use quorate_replication::fence::{Change, Fence, Refused, Role, Standing};
use quorate_replication::follower::{Phase, Purpose};
use quorate_replication::history::Held;
use quorate_replication::tail::Tail;
use quorate_replication::{Address, Epoch, VotingConfig};

use super::upstream::encode_barrier;
use super::{Control, Denied, Order, Report, Ticket};
use crate::core::{Core, Pause, Paused};
use crate::effect::Level;
use crate::{Closing, Effect, Refusal};

/// Questions that may wait for an offset at once; one more is answered as if its time were over.
const CATCH_UPS: usize = 64;

/// A question that is answered when the dataset has come far enough.
#[derive(Debug)]
pub(super) struct CatchUp {
    ticket: Ticket,
    held: Held,
    pub deadline: Duration,
}

impl Core {
    /// The agent asks for something.
    pub(crate) fn control(&mut self, keyspace: &mut Keyspace, control: Control) {
        self.record_stream();
        let Control { ticket, order } = control;
        let now = self.now.mono;
        let outcome = match order {
            Order::Describe => Ok(()),
            Order::CatchUp { held, timeout } => {
                if !self.has_caught_up(held) && self.replication.catching_up.len() < CATCH_UPS {
                    self.replication.catching_up.push(CatchUp { ticket, held, deadline: now + timeout });
                    return;
                }
                Ok(())
            }
            Order::Promise { group, epoch } => self.obey(keyspace, |fence| fence.promise(&group, epoch)),
            Order::Assign { .. } if self.standing.loading => Err(Denied::Loading),
            Order::Assign { group, epoch, role, config, lease } => {
                self.replication.quorum.first_lease = lease;
                self.assign(keyspace, &group, epoch, role, config)
            }
            Order::Configure { group, epoch, config } => self.configure(&group, epoch, config),
            Order::Pause { group, epoch, timeout } => {
                self.obey(keyspace, |fence| fence.pause(&group, epoch, now + timeout))
            }
            Order::Resume { group, epoch } => self.obey(keyspace, |fence| fence.resume(&group, epoch)),
        };
        self.answer(ticket, outcome.err());
    }

    fn assign(
        &mut self,
        keyspace: &mut Keyspace,
        group: &str,
        epoch: Epoch,
        role: Role,
        config: Option<VotingConfig>,
    ) -> Result<(), Denied> {
        if role == Role::Master && !self.is_master_of(epoch) {
            self.check_master(epoch, config.as_ref())?;
        }
        let fence = self.replication.fence.as_ref().ok_or(Denied::NoGroup)?;
        fence.admits(group, epoch)?;
        if fence.epoch() != epoch {
            self.replication.quorum.tail.parted();
        }
        // A fresh master begins under it.
        self.learn_config(config.clone());
        self.obey(keyspace, |fence| fence.assign(group, epoch, role))?;
        self.rely();
        match config.map(|config| self.adopt_config(config)) {
            None | Some(Ok(()) | Err(Denied::Config(NotAdopted::Older(_)))) => Ok(()), // it was overtaken by a Configure
            Some(refused) => refused,
        }
    }

    /// Whether an order would be one of the control plane's: REPLICAOF and FAILOVER are refused on a node of a group.
    pub(crate) fn group(&self) -> Option<&str> {
        self.replication.fence.as_ref().map(Fence::group)
    }

    /// May a replica that was assigned in `epoch` follow this node (I2)?
    pub(crate) fn admits_replica_of(&self, epoch: Epoch) -> bool {
        self.replication.fence.as_ref().is_none_or(|fence| fence.admits_replica_of(epoch))
    }

    /// Is this node of a group, and waiting to be told what it is?
    pub(crate) fn is_fenced(&self) -> bool {
        self.replication.fence.as_ref().is_some_and(|fence| fence.standing() == Standing::Fenced)
    }

    /// Is a FAILOVER under way?
    pub(crate) fn is_failing_over(&self) -> bool {
        self.replication.failover.is_some()
    }

    /// Are writes stopped by a handover? Nothing may then move the offset.
    pub(crate) fn is_paused(&self) -> bool {
        let by_agent = self.replication.fence.as_ref().and_then(Fence::due).is_some();
        by_agent || self.replication.failover.is_some()
    }

    /// Becomes a master: of a new history that continues the present one.
    pub(crate) fn become_master(&mut self, keyspace: &mut Keyspace) {
        self.record_stream();
        self.leave_upstream(keyspace);
        let fresh = self.fresh_replid();
        self.replication.history.promote(fresh);
        self.replication.history.record(self.config.repl_backlog_size);
        self.cut_replicas();
        self.replication.data_known = true;
        // What this node holds is what the group holds from now on.
        self.replication.quorum.tail = Tail::Sure;
        self.enter_epoch();
        self.log(Level::Notice, format!("master of history {fresh} from offset {}", self.replication.history.offset()));
        self.standing_changed(keyspace);
    }

    /// What follows from a change of role, link, replicas or configuration: the gates' view of it, and how expired keys are treated.
    pub(crate) fn standing_changed(&mut self, keyspace: &mut Keyspace) {
        let replication = &self.replication;
        let phase = replication.upstream.as_ref().map(|upstream| upstream.follower.phase());
        let fenced = self.is_fenced();
        let (least, lag) = (self.config.min_replicas_to_write as usize, self.config.min_replicas_max_lag_s);
        let lag = Duration::from_secs(lag.into());
        let checked = phase.is_none() && least > 0 && !lag.is_zero();
        // Redis compares whole seconds: a lag of 10.9 s is one of 10.
        let few = replication.is_cut_off()
            || checked && replication.replicas.count_good(self.now.mono, lag + Duration::from_millis(999)) < least;
        self.standing.read_only = fenced || (phase.is_some() && self.config.replica_read_only);
        self.standing.stale = fenced || phase.is_some_and(|phase| phase != Phase::Connected);
        self.standing.few_replicas = few;
        let hides = fenced || phase.is_some() || self.is_paused();
        keyspace.set_expiry_mode(if hides { ExpiryMode::Hide } else { ExpiryMode::Delete });
    }

    /// Answers whoever waited for this offset.
    pub(super) fn answer_catch_ups(&mut self) {
        let now = self.now.mono;
        let waiting = std::mem::take(&mut self.replication.catching_up);
        for one in waiting {
            if self.has_caught_up(one.held) || one.deadline <= now {
                self.answer(one.ticket, None);
            } else {
                self.replication.catching_up.push(one);
            }
        }
    }

    pub(super) fn tick_orders(&mut self, keyspace: &mut Keyspace) {
        let now = self.now.mono;
        if let Some(fence) = &mut self.replication.fence {
            let change = fence.tick(now);
            self.change(keyspace, change);
        }
    }

    /// FAILOVER begins: writes wait, and the replicas are asked how far they are.
    pub(crate) fn begin_failover(&mut self, keyspace: &mut Keyspace, failover: Failover) {
        self.ask_for_acks();
        self.replication.failover = Some(failover);
        self.pause = Some(Pause { until: Duration::MAX, what: Paused::Writes });
        self.tick_failover(keyspace);
        self.standing_changed(keyspace);
    }

    /// FAILOVER ABORT; returns whether there was one.
    pub(crate) fn abort_failover(&mut self, keyspace: &mut Keyspace) -> bool {
        match self.replication.failover.take() {
            None => return false,
            Some(Failover::InProgress { .. }) => self.stay_master(keyspace),
            Some(Failover::WaitingForSync { .. }) => {}
        }
        self.unpause();
        self.standing_changed(keyspace);
        true
    }

    /// Looks whether a FAILOVER can go on.
    pub(crate) fn tick_failover(&mut self, keyspace: &mut Keyspace) {
        let Some(failover) = self.replication.failover.take() else { return };
        let online: Vec<Candidate> = self
            .replication
            .replicas
            .iter()
            .filter(|(_, one)| one.is_online())
            .map(|(_, one)| Candidate { address: one.address(), acked: one.acked })
            .collect();
        let (left, next) = failover.next(self.now.mono, self.stream_position(), &online);
        self.replication.failover = left;
        match next {
            Next::Wait => {}
            Next::HandOver(target) => self.follow_for(keyspace, target, Purpose::HandOver),
            Next::Abort => {
                self.log(Level::Warning, "FAILOVER: the replica did not catch up in time".to_owned());
                self.unpause();
            }
        }
    }

    /// The link to the new master is established: a FAILOVER has succeeded.
    pub(super) fn taken_over(&mut self) {
        if self.replication.failover.take().is_some() {
            self.unpause();
        }
    }

    /// The target of a FAILOVER refused: this node stays the master that it was, of the same history.
    pub(super) fn hand_over_refused(&mut self, keyspace: &mut Keyspace) {
        if self.replication.failover.take().is_some() {
            self.log(Level::Warning, "FAILOVER: the replica refused to take over".to_owned());
            self.stay_master(keyspace);
            self.unpause();
        }
    }

    fn stay_master(&mut self, keyspace: &mut Keyspace) {
        self.leave_upstream(keyspace);
        self.replication.version += 1;
        self.standing_changed(keyspace);
    }

    fn obey(
        &mut self,
        keyspace: &mut Keyspace,
        order: impl FnOnce(&mut Fence) -> Result<Change, Refused>,
    ) -> Result<(), Denied> {
        let fence = self.replication.fence.as_mut().ok_or(Denied::NoGroup)?;
        let before = fence.durable();
        let change = order(fence)?;
        if fence.durable() != before {
            self.must_remember();
        }
        self.change(keyspace, change);
        Ok(())
    }

    /// Performs what the fence decided.
    fn change(&mut self, keyspace: &mut Keyspace, change: Change) {
        if change == Change::Nothing {
            return;
        }
        self.replication.version += 1;
        match change {
            Change::Nothing => {}
            Change::Fence => {
                let was_master = !self.replication.is_following();
                self.end_mastership();
                self.leave_upstream(keyspace);
                self.cut_replicas();
                self.end_pause();
                if was_master {
                    self.close_clients();
                }
                self.log(Level::Notice, "a higher epoch was promised: fenced".to_owned());
            }
            Change::Promote => self.become_master(keyspace),
            Change::EnterEpoch => {
                self.end_pause();
                self.enter_epoch();
            }
            Change::Demote(master) => {
                self.end_mastership();
                self.end_pause();
                self.follow(keyspace, master);
                self.close_clients();
            }
            Change::Follow(master) => self.follow_unless_following(keyspace, master),
            Change::Pause => {
                let until = self.replication.fence.as_ref().and_then(Fence::due).expect("it was just paused");
                self.pause = Some(Pause { until, what: Paused::Writes });
            }
            Change::Resume => self.end_pause(),
        }
        self.standing_changed(keyspace);
    }

    fn follow_unless_following(&mut self, keyspace: &mut Keyspace, master: Address) {
        let same = self.replication.upstream.as_ref().is_some_and(|upstream| *upstream.follower.master() == master);
        if !same {
            self.follow(keyspace, master);
        }
    }

    /// A mastership begins: its barrier is written, and everything behind it is of this epoch (I5).
    fn enter_epoch(&mut self) {
        let Some(fence) = &self.replication.fence else { return };
        let epoch = fence.epoch();
        self.propagation.append_raw(&encode_barrier(epoch));
        self.replication.history.enter_epoch(epoch);
        self.record_stream();
        self.begin_commit(epoch);
        self.replication.version += 1;
    }

    fn end_pause(&mut self) {
        if self.pause.is_some() {
            self.unpause();
        }
    }

    /// Another one is or will be the master: what became of the replies that wait is unknown, and their connections say so by ending (I3).
    fn end_mastership(&mut self) {
        for id in self.drop_held_replies() {
            let Some(mut session) = self.sessions.take(id) else { continue };
            if let Some(blocked) = session.blocked.take() {
                self.blocking.leave(id, &blocked);
            }
            self.close(&mut session, Closing::AfterFlush);
            self.sessions.put_back(session);
        }
        self.end_commit();
    }

    /// Most clients leave an old master only when their connection drops: those of clients and subscribers are closed.
    fn close_clients(&mut self) {
        self.unblock_all(&Refusal::RoleChanged);
        for id in self.sessions.ids() {
            let Some(mut session) = self.sessions.take(id) else { continue };
            if session.is_client() {
                self.close(&mut session, Closing::AfterFlush);
            }
            self.sessions.put_back(session);
        }
    }

    fn has_caught_up(&self, held: Held) -> bool {
        let ours = self.replication.history.held();
        ours.replid == held.replid && ours.offset >= held.offset
    }

    fn answer(&mut self, ticket: Ticket, refused: Option<Denied>) {
        let report = Box::new(Report { facts: self.facts(), durable: self.keep(), refused });
        self.effects.push(Effect::Answer { ticket, report });
    }
}
