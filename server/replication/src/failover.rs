//! The `FAILOVER` command's hand-over from a master to one of its replicas, without a control plane.
//!
//! ```text
//!   None ──FAILOVER──▶ WaitingForSync ──the target acknowledged everything──▶ InProgress ──the target took over──▶ None
//!                        │  │                                                   ▲   │
//!                        │  └────── deadline, FORCE ────────────────────────────┘   └── the target refused ──▶ None (master again)
//!                        └───────── deadline, or ABORT ──▶ None (writes go on)
//! ```
//! Writes are paused from the first arrow to the last. Source: Redis 6.2, the FAILOVER command.

use std::time::Duration;

use crate::id::{Address, Offset};

/// A hand-over that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failover {
    /// Writes are paused; a replica has to acknowledge all of them.
    WaitingForSync {
        /// The one to hand over to; `None` takes the first that has caught up.
        target: Option<Address>,
        /// When to stop waiting.
        deadline: Option<Deadline>,
    },
    /// The target was asked to take over (`PSYNC … FAILOVER`).
    InProgress {
        /// The one that was asked.
        target: Address,
    },
}

/// `TIMEOUT ms`, and what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Duration,
    /// What.
    pub then: AtDeadline,
}

/// What the end of the wait means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtDeadline {
    /// Go on as the master.
    Abort,
    /// `FORCE`: hand over although the target is behind.
    HandOver,
}

/// One replica as the hand-over sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it listens.
    pub address: Address,
    /// What it acknowledged.
    pub acked: Offset,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait.
    Wait,
    /// Follow this node and ask it to take over.
    HandOver(Address),
    /// Let writes go on: the hand-over came to nothing.
    Abort,
}

impl Failover {
    /// INFO's `master_failover_state`.
    pub fn name(failover: Option<&Failover>) -> &'static str {
        match failover {
            None => "no-failover",
            Some(Failover::WaitingForSync { .. }) => "waiting-for-sync",
            Some(Failover::InProgress { .. }) => "failover-in-progress",
        }
    }

    /// Looks at the replicas that are online: `offset` is the master's, which cannot move while writes are paused.
    pub fn next(self, now: Duration, offset: Offset, online: &[Candidate]) -> (Option<Failover>, Next) {
        let Failover::WaitingForSync { target, deadline } = self else {
            return (Some(self), Next::Wait);
        };
        let chosen = online
            .iter()
            .filter(|one| target.as_ref().is_none_or(|wanted| *wanted == one.address))
            .find(|one| one.acked == offset);
        if let Some(chosen) = chosen {
            let target = chosen.address.clone();
            return (Some(Failover::InProgress { target: target.clone() }), Next::HandOver(target));
        }
        match (deadline, target) {
            (Some(Deadline { at, then: AtDeadline::HandOver }), Some(target)) if at <= now => {
                (Some(Failover::InProgress { target: target.clone() }), Next::HandOver(target))
            }
            (Some(Deadline { at, .. }), _) if at <= now => (None, Next::Abort),
            (deadline, target) => (Some(Failover::WaitingForSync { target, deadline }), Next::Wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        Address::new("h", port)
    }

    fn check(target: Option<u16>, deadline: Option<(u64, AtDeadline)>, now: u64, acked: &[(u16, u64)], expected: Next) {
        let deadline = deadline.map(|(at, then)| Deadline { at: Duration::from_secs(at), then });
        let failover = Failover::WaitingForSync { target: target.map(at), deadline };
        let online: Vec<Candidate> =
            acked.iter().map(|(port, acked)| Candidate { address: at(*port), acked: Offset(*acked) }).collect();
        let (left, next) = failover.next(Duration::from_secs(now), Offset(100), &online);
        assert_eq!(next, expected);
        assert_eq!(left.is_none(), expected == Next::Abort);
    }

    #[test]
    fn it_waits_for_whoever_may_take_over() {
        check(None, None, 0, &[(1, 99), (2, 100)], Next::HandOver(at(2)));
        check(Some(1), None, 0, &[(1, 99), (2, 100)], Next::Wait);
        check(Some(1), Some((5, AtDeadline::Abort)), 4, &[(1, 99)], Next::Wait);
        check(Some(1), Some((5, AtDeadline::Abort)), 5, &[(1, 99)], Next::Abort);
        check(Some(1), Some((5, AtDeadline::HandOver)), 5, &[(1, 99)], Next::HandOver(at(1)));
        check(None, Some((5, AtDeadline::Abort)), 5, &[], Next::Abort);
    }
}
