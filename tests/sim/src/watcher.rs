//! One sentinel's watch over one node: heartbeats over a stream of its own, judged by the real [`Pulse`]; mirrors `sentinel/src/probe`.

use std::time::Duration;

use quorate_registry::pulse::{Pulse, Sign};
use quorate_registry::sights::{NodeFacts, Role, Sight};

use crate::net::{End, Host, Piece, Service, StreamId};
use crate::node::Around;

/// A sight is repeated this often at most and at least: as `sentinel::probe` does.
const REPORT_EVERY: Duration = Duration::from_millis(500);
const REPORT_LEAST: Duration = Duration::from_millis(20);
/// A look that comes later than this was the sentinel's own delay.
const STALL: Duration = Duration::from_millis(250);
/// Between two attempts to connect.
const REDIAL: Duration = Duration::from_millis(50);
/// How long an attempt may take.
const DIAL_LIMIT: Duration = Duration::from_secs(1);

/// The connection.
#[derive(Debug)]
enum Line {
    Down { again_at: Duration },
    Dialing { stream: StreamId, since: Duration },
    Up { stream: StreamId, heard_at: Duration },
}

/// See the module.
#[derive(Debug)]
pub struct Watcher {
    node: usize,
    pulse: Pulse,
    line: Line,
    facts: Option<(NodeFacts, Duration)>,
    /// What was last told.
    pub reported: Option<Sight>,
    /// When it is told again though nothing changed.
    pub report_due: Duration,
}

impl Watcher {
    /// Trusts the node for `down_after` from now.
    pub fn new(now: Duration, node: usize, down_after: Duration) -> Watcher {
        let line = Line::Down { again_at: now };
        Watcher { node, pulse: Pulse::new(now, down_after), line, facts: None, reported: None, report_due: now }
    }

    /// The stream of its heartbeats.
    pub fn stream(&self) -> Option<StreamId> {
        match self.line {
            Line::Down { .. } => None,
            Line::Dialing { stream, .. } | Line::Up { stream, .. } => Some(stream),
        }
    }

    /// Time has passed. `late`: for so long the sentinel itself stood still.
    pub fn tick(&mut self, around: &mut Around<'_>, here: Host, now: Duration, late: Duration, down_after: Duration) {
        self.pulse.set_down_after(down_after);
        if late > STALL {
            self.pulse.excuse(now, late);
        }
        let stuck = (down_after / 2).max(Duration::from_millis(200));
        match self.line {
            Line::Down { again_at } if now >= again_at => {
                let stream = around.net.dial(around.queue, here, Host::Node(self.node), Service::Beats);
                self.line = Line::Dialing { stream, since: now };
            }
            Line::Dialing { stream, since } if now.saturating_sub(since) > DIAL_LIMIT => {
                self.hang_up(around, stream, now)
            }
            Line::Up { stream, heard_at } if now.saturating_sub(heard_at) > stuck => self.hang_up(around, stream, now),
            _ => {}
        }
    }

    fn hang_up(&mut self, around: &mut Around<'_>, stream: StreamId, now: Duration) {
        around.net.close(around.queue, stream, End::Dialer);
        self.line = Line::Down { again_at: now };
    }

    /// Something arrived on the stream.
    pub fn on(&mut self, around: &mut Around<'_>, now: Duration, piece: Piece) {
        let Some(stream) = self.stream() else { return };
        match piece {
            Piece::Accepted => {
                self.pulse.sign(now, Sign::Connected);
                self.line = Line::Up { stream, heard_at: now };
            }
            Piece::Beat(facts) => {
                self.pulse.sign(now, Sign::Heartbeat { busy: Duration::ZERO });
                self.line = Line::Up { stream, heard_at: now };
                self.facts = Some((*facts, now));
            }
            Piece::Reset | Piece::Fin => {
                let was_up = matches!(self.line, Line::Up { .. });
                self.pulse.sign(now, if was_up { Sign::Reset } else { Sign::Refused });
                around.net.close(around.queue, stream, End::Dialer);
                self.line = Line::Down { again_at: if was_up { now } else { now + REDIAL } };
            }
            Piece::Syn(_) | Piece::Bytes(_) => {}
        }
    }

    /// What it sees now.
    pub fn sight(&self, now: Duration) -> Sight {
        let (facts, facts_age) = match &self.facts {
            Some((facts, at)) => (Some(facts.clone()), now.saturating_sub(*at)),
            None => (None, Duration::ZERO),
        };
        Sight { liveness: self.pulse.liveness(now), silent: self.pulse.silence(now), facts, facts_age }
    }

    /// It was told.
    pub fn told(&mut self, now: Duration, sight: &Sight, down_after: Duration) {
        let every = match sight.facts.as_ref().map(|facts| facts.role) {
            Some(Role::Master) => (down_after / 10).clamp(REPORT_LEAST, REPORT_EVERY),
            Some(Role::Replica) => (down_after / 4).clamp(REPORT_LEAST, REPORT_EVERY),
            Some(Role::Fenced) | None => REPORT_EVERY,
        };
        self.report_due = now + every;
        self.reported = Some(sight.clone());
    }
}

/// Worth telling at once: everything but the offset and the times, which always move.
pub fn differs(before: &Sight, after: &Sight) -> bool {
    if before.liveness != after.liveness {
        return true;
    }
    match (&before.facts, &after.facts) {
        (Some(a), Some(b)) => {
            (a.config_version, a.fsync_acks, a.tail_unsure) != (b.config_version, b.fsync_acks, b.tail_unsure)
                || (a.role, a.epoch, a.promised, a.data_epoch, a.data_known, a.link_up, a.loading, a.paused)
                    != (b.role, b.epoch, b.promised, b.data_epoch, b.data_known, b.link_up, b.loading, b.paused)
                || a.run_id != b.run_id
                || a.node_id != b.node_id
                || a.replid != b.replid
                || a.master != b.master
        }
        (None, None) => false,
        _ => true,
    }
}
