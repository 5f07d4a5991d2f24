//! The task that watches one node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use quorate_registry::pulse::{Pulse, Sign};
use quorate_registry::sights::{NodeFacts, Role, Sight};
use quorate_registry::{GroupName, NodeKey};
use quorate_resp::Value;
use quorate_rpc::v1::NodeReport;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::line::{Line, LineEvent};
use super::{MAX_PENDING, REPORT_EVERY, REPORT_LEAST, Watching, agent, info};
use crate::clock::Clock;
use crate::hello;
use crate::nodes::{Seen, SeenSender};
use crate::wire::facts_of_report;

/// How often INFO is asked for, and how often while it matters. Source: a tenth of Redis Sentinel's 10 s and 1 s.
const INFO_EVERY: Duration = Duration::from_secs(1);
const INFO_HURRY: Duration = Duration::from_millis(100);

/// A wake-up that comes later than this after its time was this process's own delay, not the node's silence.
const STALL: Duration = Duration::from_millis(250);

/// INFO does not replace a heartbeat that is younger than this: it knows of no lease.
const HEARD_LATELY: Duration = Duration::from_secs(1);

/// Reports wait here while a sight is being made; the stream is held back when it is full.
const REPORTS: usize = 8;

/// What an unanswered command was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Ping,
    Info,
    Other,
}

/// Watches one node.
pub(super) struct Watcher {
    clock: Clock,
    place: (GroupName, NodeKey),
    secret: Option<Arc<str>>,
    watching: watch::Receiver<Watching>,
    out: SeenSender,
    line: Line,
    pulse: Pulse,
    pending: VecDeque<(Asked, Duration)>,
    due: Due,
    facts: Option<(NodeFacts, Duration)>,
    reported: Option<Sight>,
    reports: (mpsc::Sender<NodeReport>, mpsc::Receiver<NodeReport>),
    agent: Option<(u16, JoinHandle<()>)>,
}

/// When each thing is to be done next.
struct Due {
    ping: Duration,
    info: Duration,
    hello: Duration,
    report: Duration,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.agent {
            task.abort();
        }
    }
}

impl Watcher {
    pub(super) fn new(
        clock: Clock,
        place: (GroupName, NodeKey),
        secret: Option<Arc<str>>,
        watching: watch::Receiver<Watching>,
        out: SeenSender,
    ) -> Self {
        let now = clock.now();
        let (line, pulse) = (Line::new(place.1.clone()), Pulse::new(now, watching.borrow().down_after));
        Self {
            clock,
            place,
            secret,
            watching,
            out,
            line,
            pulse,
            pending: VecDeque::new(),
            due: Due { ping: now, info: now, hello: now, report: now },
            facts: None,
            reported: None,
            reports: mpsc::channel(REPORTS),
            agent: None,
        }
    }

    /// Runs until it is aborted, or nobody listens any more.
    pub(super) async fn run(mut self) {
        while !self.out.is_closed() {
            let wake = self.next_wake();
            let wait = wake.saturating_sub(self.clock.now());
            tokio::select! {
                () = sleep(wait) => {
                    let now = self.clock.now();
                    let late = now.saturating_sub(wake);
                    if late > STALL {
                        self.pulse.excuse(now, late);
                    }
                }
                event = self.line.event() => self.on_line(event),
                Some(report) = self.reports.1.recv() => self.on_report(report),
                changed = self.watching.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.instructed();
                }
            }
            self.ask();
            self.tell();
        }
    }

    /// PING's period: several within down-after, never more than ten a second.
    fn ping_every(&self) -> Duration {
        (self.watching.borrow().down_after / 10).clamp(Duration::from_millis(100), Duration::from_secs(1))
    }

    /// The leader renews a master's lease, and asks replicas whether they hear it, upon what it was told last: several times
    /// within down-after. Stock nodes have neither.
    fn report_every(&self) -> Duration {
        let part = match self.facts.as_ref().filter(|(facts, _)| !facts.stock()).map(|(facts, _)| facts.role) {
            Some(Role::Master) => 10,
            Some(Role::Replica) => 4,
            Some(Role::Fenced) | None => return REPORT_EVERY,
        };
        (self.watching.borrow().down_after / part).clamp(REPORT_LEAST, REPORT_EVERY)
    }

    fn info_every(&self) -> Duration {
        if self.watching.borrow().hurry || self.facts.is_none() { INFO_HURRY } else { INFO_EVERY }
    }

    fn instructed(&mut self) {
        let watching = self.watching.borrow().clone();
        self.pulse.set_down_after(watching.down_after);
        let now = self.clock.now();
        if watching.hurry {
            self.due.info = self.due.info.min(now + INFO_HURRY);
        }
        self.due.hello = self.due.hello.min(now + Duration::from_millis(100)); // a new configuration is news
    }

    /// The next time at which something is to be done or the judgement may change by itself.
    fn next_wake(&self) -> Duration {
        let now = self.clock.now();
        let down_after = self.watching.borrow().down_after;
        let suspect = now + down_after.saturating_sub(self.pulse.silence(now)) + Duration::from_millis(1);
        let judged = if self.pulse.liveness(now).is_down() { Duration::MAX } else { suspect };
        [self.due.ping, self.due.info, self.due.hello, self.due.report, judged].into_iter().min().unwrap_or(now)
    }

    /// Sends what is due.
    fn ask(&mut self) {
        let now = self.clock.now();
        let watching = self.watching.borrow().clone();
        self.redial_when_stuck(now, &watching);
        if now >= self.due.ping {
            self.due.ping = now + self.ping_every();
            self.send(now, Asked::Ping, watching.command("PING", &[]));
        }
        if now >= self.due.info {
            self.due.info = now + self.info_every();
            self.send(now, Asked::Info, watching.command("INFO", &[]));
        }
        if now >= self.due.hello {
            self.due.hello = now + hello::PERIOD;
            self.send(now, Asked::Other, watching.command("PUBLISH", &[hello::CHANNEL, &watching.hello]));
        }
    }

    /// A connection on which nothing is answered for half of down-after may itself be what is broken. Source: Redis Sentinel.
    fn redial_when_stuck(&mut self, now: Duration, watching: &Watching) {
        let limit = (watching.down_after / 2).max(Duration::from_millis(200));
        if self.line.is_up() && self.pending.front().is_some_and(|(_, asked)| now.saturating_sub(*asked) > limit) {
            self.line.redial();
            self.pending.clear();
        }
    }

    fn send(&mut self, now: Duration, asked: Asked, argv: Vec<Vec<u8>>) {
        // A second PING or INFO says no more than the first while that is unanswered.
        let waiting = asked != Asked::Other && self.pending.iter().any(|(kind, _)| *kind == asked);
        if !self.line.is_up() || waiting || self.pending.len() >= MAX_PENDING {
            return;
        }
        self.line.send(&argv);
        self.pending.push_back((asked, now));
    }

    fn on_line(&mut self, event: LineEvent) {
        let now = self.clock.now();
        match event {
            LineEvent::Up => {
                self.pending.clear();
                self.pulse.sign(now, Sign::Connected);
                self.greet(now);
            }
            LineEvent::Refused => self.pulse.sign(now, Sign::Refused),
            LineEvent::Failed => {}
            LineEvent::Broken => {
                self.pending.clear();
                self.pulse.sign(now, Sign::Reset);
            }
            LineEvent::Reply(value) => self.on_reply(now, &value),
        }
    }

    fn greet(&mut self, now: Duration) {
        let watching = self.watching.borrow().clone();
        if let Some(auth) = watching.auth_command() {
            self.send(now, Asked::Other, auth);
        }
        let name = format!("sentinel-{}-cmd", watching.me.get(..8).unwrap_or(&watching.me));
        self.send(now, Asked::Other, watching.command("CLIENT", &["SETNAME", &name]));
        (self.due.ping, self.due.info, self.due.hello) = (now, now, self.due.hello.min(now + hello::PERIOD));
    }

    fn on_reply(&mut self, now: Duration, value: &Value) {
        let Some((asked, asked_at)) = self.pending.pop_front() else {
            return self.line.redial(); // an answer to nothing: this is no server that we understand
        };
        match asked {
            Asked::Ping => self.pulse.sign(now, ping_sign(value)),
            Asked::Info => {
                let facts = value.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(info::parse);
                if let Some(facts) = facts {
                    self.learn(asked_at, facts);
                }
            }
            Asked::Other => {}
        }
    }

    /// INFO's facts, as old as the question: a reply may lie unread for a while. The heartbeat stream follows the agent's port.
    fn learn(&mut self, asked_at: Duration, facts: NodeFacts) {
        let port = facts.agent_port;
        if let Some((_, task)) = self.agent.take_if(|(known, _)| *known != port) {
            task.abort();
        }
        if port != 0 && self.agent.is_none() {
            let period =
                (self.watching.borrow().down_after / 10).clamp(Duration::from_millis(50), Duration::from_millis(500));
            let (host, secret) = (self.place.1.host().to_owned(), self.secret.clone());
            let task = tokio::spawn(agent::listen(host, port, secret, period, self.reports.0.clone()));
            self.agent = Some((port, task));
        }
        let newer =
            |known: &NodeFacts, at: Duration| at > asked_at || (known.renewal > 0 && at + HEARD_LATELY > asked_at);
        match &mut self.facts {
            // Heartbeats come: they say more than INFO, except of the replicas.
            Some((known, at)) if known.run_id == facts.run_id && newer(known, *at) => known.replicas = facts.replicas,
            _ => self.facts = Some((facts, asked_at)),
        }
    }

    fn on_report(&mut self, mut report: NodeReport) {
        let now = self.clock.now();
        while let Ok(newer) = self.reports.1.try_recv() {
            report = newer; // this task was late: the node is not what it was
        }
        let Some((port, _)) = self.agent else { return };
        let (busy, group) = (Duration::from_millis(report.busy_ms), report.group.clone());
        let replicas = self.facts.as_ref().map(|(facts, _)| facts.replicas.clone()).unwrap_or_default();
        let Some(facts) = facts_of_report(report, port, replicas) else { return };
        if group != self.place.0.as_str() {
            return; // a node of another group at this address: its agent takes no orders of ours
        }
        self.pulse.sign(now, Sign::Heartbeat { busy });
        self.facts = Some((facts, now));
    }

    /// Tells the main loop what changed, and everything every [`REPORT_EVERY`].
    fn tell(&mut self) {
        let now = self.clock.now();
        let (facts, facts_age) = match &self.facts {
            Some((facts, at)) => (Some(facts.clone()), now.saturating_sub(*at)),
            None => (None, Duration::ZERO),
        };
        let (liveness, silent) = (self.pulse.liveness(now), self.pulse.silence(now));
        let sight = Sight { liveness, silent, facts, facts_age };
        let news = self.reported.as_ref().is_none_or(|before| differs(before, &sight));
        if !news && now < self.due.report {
            return;
        }
        self.due.report = now + self.report_every();
        let (group, node) = self.place.clone();
        let told = self.out.try_send(Seen { group, node, sight: sight.clone() });
        // A full queue: the main loop is behind, and gets the next one.
        self.reported = told.is_ok().then_some(sight);
    }
}

/// PONG, LOADING and MASTERDOWN are what Sentinel counts as valid.
fn ping_sign(value: &Value) -> Sign {
    let valid = match value {
        Value::Error(text) => text.starts_with("LOADING") || text.starts_with("MASTERDOWN"),
        other => other.bytes() == Some(b"PONG"),
    };
    if valid { Sign::ValidReply } else { Sign::OtherReply }
}

/// Worth telling at once: everything but the offset and the times, which always move.
fn differs(before: &Sight, after: &Sight) -> bool {
    let still = |facts: &NodeFacts| NodeFacts {
        offset: Default::default(),
        committed: Default::default(),
        link_down: Duration::ZERO,
        link_idle: Duration::ZERO,
        lease_left: Duration::ZERO,
        renewal: 0,
        ..facts.clone()
    };
    before.liveness != after.liveness || before.facts.as_ref().map(still) != after.facts.as_ref().map(still)
}
