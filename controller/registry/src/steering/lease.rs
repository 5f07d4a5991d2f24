//! The lease (I7, I8): until when the master of record may answer reads alone, and until when nobody else is told that it is
//! master. All of it is the leader's soft state.
//!
//! - The holder counts from when it *sent* the heartbeat that a grant names, and stops at T·(1−ε). The granter counts from
//!   when that heartbeat was *heard*, which is later, and waits T·(1+ε); so how long a grant was on its way does not matter.
//! - A leader of the past could grant behind the back of its successor. So a grant leaves only once a round of a majority
//!   that began after the heartbeat was heard confirmed the leader ([`Order::is_confirmed`]); and a leader that cannot know
//!   what was granted waits a full lease from its election.
//! - Nobody waits when the holder promised the new epoch, or when its process is known to be gone: reset and refused, seen by
//!   `quorum` sentinels, and no replica that can be reached still hears it.

use std::time::Duration;

use super::{Hand, Order, View};
use crate::failover::Failover;
use crate::faults::{Fault, is_armed};
use crate::model::Group;
use crate::names::{Epoch, NodeKey};
use crate::sights::{NodeFacts, Role};

/// ε in percent: how far two clocks' rates may differ. A hundred times what NTP may slew. Source: adjtimex(2), 500 ppm.
const DRIFT_PERCENT: u32 = 5;

/// So many renewals fit into one lease: two may be lost.
const RENEWALS: u32 = 4;

/// A grant is worth nothing much later than this.
const GRANT_LIMIT: Duration = Duration::from_millis(200);

/// What this leader granted in an epoch, or must assume to have been granted.
#[derive(Debug)]
pub(super) struct Lease {
    epoch: Epoch,
    /// Whose heartbeat was granted last: its process, its number, when it was heard.
    granted: Option<(String, u64, Duration)>,
    /// Until then the holder may count upon it.
    until: Duration,
}

impl Lease {
    /// Of a leader that begins: whatever was granted before its election is over after a full lease.
    pub(super) fn unknown(now: Duration, group: &Group) -> Self {
        let lease = Duration::from_millis(group.lease_ms);
        let waits = if is_armed(Fault::I8NewLeader) { Duration::ZERO } else { granters(lease) };
        Self { epoch: group.epoch, granted: None, until: now + waits }
    }

    /// A new mastership was published: the former one's lease was over before.
    pub(super) fn notice(&mut self, now: Duration, group: &Group) {
        if self.epoch != group.epoch {
            *self = Self { epoch: group.epoch, granted: None, until: now };
        }
    }

    fn is_due(&self, facts: &NodeFacts, heard_at: Duration, lease: Duration) -> bool {
        self.granted.as_ref().is_none_or(|(run_id, renewal, at)| {
            *run_id != facts.run_id || (facts.renewal > *renewal && heard_at >= *at + lease / RENEWALS)
        })
    }
}

/// T·(1+ε).
fn granters(lease: Duration) -> Duration {
    lease + lease * DRIFT_PERCENT / 100
}

impl Hand<'_> {
    /// Grants the lease that the newest heartbeat of the master of record asks for.
    pub(super) fn renew_lease(&mut self) {
        let View { now, group, .. } = self.view;
        let Some((facts, heard_at)) = self.view.facts(&group.master) else { return };
        let lease = Duration::from_millis(group.settings.lease_ms());
        let asks = facts.role == Role::Master && facts.epoch == group.epoch && facts.renewal != 0;
        let useful = heard_at + lease / 2 > now;
        if !asks || !useful || !self.soft.lease.is_due(facts, heard_at, lease) {
            return;
        }
        self.soft.lease.granted = Some((facts.run_id.clone(), facts.renewal, heard_at));
        self.soft.lease.until = self.soft.lease.until.max(heard_at + granters(lease));
        let order = Order::Grant { renewal: facts.renewal, lease };
        self.order(&group.master, group.epoch, order, GRANT_LIMIT);
    }

    /// I8: nobody but the candidate may still count upon a lease of this group.
    pub(super) fn lease_is_over(&self, failover: &Failover, candidate: &NodeKey) -> bool {
        let holder = &failover.from;
        let promised = |facts: &NodeFacts| facts.promised >= failover.epoch;
        holder == candidate
            || self.view.now >= self.soft.lease.until
            || self.promise(failover.epoch, holder).is_some()
            || self.view.facts(holder).is_some_and(|(facts, _)| promised(facts))
            || self.view.is_gone(holder)
            || is_armed(Fault::I8Wait)
    }
}

impl View<'_> {
    /// The process is no more: `quorum` sentinels saw its connections reset and new ones refused, and no replica that can be
    /// reached still hears it.
    pub(super) fn is_gone(&self, node: &NodeKey) -> bool {
        let verdict = self.sights.verdict(self.now, self.name, node);
        let hears = |other: &NodeKey| {
            self.facts(other).is_some_and(|(facts, _)| facts.link_up && facts.master.as_ref() == Some(node))
        };
        let others = self.group.nodes.keys().filter(|other| *other != node && !self.is_down(other));
        verdict.is_gone(self.group.settings.quorum) && others.into_iter().all(|other| !hears(other))
    }

    /// The master does not answer the sentinels, yet it can serve, and most replicas that can be reached hear it: it is cut
    /// off from the sentinels, not dead. It is left alone for as long as that holds; the group is shown as objectively down
    /// meanwhile. An `async` master serves without a lease only while every voter acknowledges, a `quorum` one while as many
    /// do as writes and confirming rounds need (I13); once fewer hear it, silence counts again.
    pub(super) fn is_cut_off_alive(&self) -> bool {
        let group = self.group;
        if group.voting.is_open()
            || self.sights.verdict(self.now, self.name, &group.master).is_gone(group.settings.quorum)
        {
            return false;
        }
        let recent = group.settings.down_after() * 3 / 4;
        let reachable: Vec<(&NodeFacts, Duration)> =
            group.replicas().filter(|(node, _)| !self.is_down(node)).filter_map(|(node, _)| self.facts(node)).collect();
        let hearing: Vec<&NodeFacts> = reachable
            .iter()
            .filter(|(facts, heard_at)| {
                let follows = facts.role == Role::Replica && facts.master.as_ref() == Some(&group.master);
                let idle = facts.link_idle + self.now.saturating_sub(*heard_at);
                follows && facts.epoch == group.epoch && facts.link_up && !facts.stock() && idle <= recent
            })
            .map(|(facts, _)| *facts)
            .collect();
        let master = group.nodes.get(&group.master).and_then(|record| record.id());
        let acks = hearing.iter().filter_map(|facts| facts.id()).chain(master).collect();
        hearing.len() * 2 > reachable.len() && group.voting.parts().all(|part| part.can_serve_alone(&acks))
    }
}
