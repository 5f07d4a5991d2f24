//! Where sights meet decisions: takes what this sentinel and the others see, and on the Raft leader does what steering says.
//!
//! ```text
//! probes ──Seen──> Watch (own view) ──> fronts, events, the leader (observe)
//!                     └──────> Sights <── Report ── other sentinels
//!                                └─ leader only ─> Steering ─> Propose ─> driver
//!                                                      └────> Run ─> Hands ─> Outcome ─> Steering
//! ```
//! A *reign* is one term of leadership: its steering starts empty and derives everything from the committed phases; when it ends its
//! effects are dropped (a dropped one may still reach its node: effects are idempotent and carry their epoch).
//! It begins when this member has applied an entry of its own term, so that no decision is made upon an old registry.
//!
//! Sights are kept on every sentinel, leader or not, so that a new leader need not wait for the first reports.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quorate_consensus::{Role, Term};
use quorate_registry::{
    Action, Command, Entry, GroupName, NodeKey, Outcome, RaftId, Registry, Rejected, Steering,
    sights::{Sight, Sights},
    steering::{Failure, Manner, request_failover, request_settings},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::MissedTickBehavior,
};

use crate::{
    clock::Clock,
    driver,
    nodes::{Eyes, Hands, Seen},
    watch::Watch,
};

/// Steering is asked at least this often: its own contract says 100 ms.
const TICK: Duration = Duration::from_millis(25);
/// Inputs that may wait.
const QUEUE: usize = 4096;
/// Inputs taken before steering is asked again.
const TURN_MOST: usize = 1024;

/// What another sentinel sees.
#[derive(Debug)]
pub struct Report {
    /// Who.
    pub from: RaftId,
    /// What.
    pub sights: Vec<(GroupName, NodeKey, Sight)>,
}

/// What an operator wishes that must be judged upon what the leader sees.
#[derive(Debug)]
pub enum Wish {
    /// A failover.
    Failover {
        /// The node that is to take over; none: the leader chooses.
        candidate: Option<NodeKey>,
        /// With or without the master's help.
        manner: Manner,
    },
    /// Other settings: directive and value.
    Settings(Vec<(String, String)>),
}

/// An operator's wish for a group.
#[derive(Debug)]
pub struct Ask {
    /// Of which group.
    pub group: GroupName,
    /// What is wished for.
    pub wish: Wish,
    /// Gets the command to propose. Dropped when this sentinel does not lead.
    pub reply: oneshot::Sender<Result<Command, Rejected>>,
}

/// Ways into the office.
#[derive(Clone)]
pub struct Doors {
    /// For probes.
    pub seen: mpsc::Sender<Seen>,
    /// For other sentinels.
    pub reports: mpsc::Sender<Report>,
    /// For operators.
    pub asks: mpsc::Sender<Ask>,
}

/// The other ends.
pub struct Desk {
    seen: mpsc::Receiver<Seen>,
    reports: mpsc::Receiver<Report>,
    asks: mpsc::Receiver<Ask>,
}

/// Makes the channels.
pub fn doors() -> (Doors, Desk) {
    let (seen, seen_desk) = mpsc::channel(QUEUE);
    let (reports, reports_desk) = mpsc::channel(QUEUE);
    let (asks, asks_desk) = mpsc::channel(64);
    (Doors { seen, reports, asks }, Desk { seen: seen_desk, reports: reports_desk, asks: asks_desk })
}

/// What the office needs.
pub struct Office {
    /// This member.
    pub me: RaftId,
    /// Raft.
    pub driver: driver::Handle,
    /// The process's clocks.
    pub clock: Clock,
    /// This sentinel's own view, shared with the fronts.
    pub watch: Arc<Mutex<Watch>>,
    /// Who watches the nodes.
    pub eyes: Arc<dyn Eyes>,
    /// Who tells them.
    pub hands: Arc<dyn Hands>,
    /// To the leader, when it is another.
    pub observer: mpsc::Sender<Seen>,
}

/// One term of leadership.
struct Reign {
    term: Term,
    steering: Steering,
    work: JoinSet<Done>,
}

/// How something that was started ended.
enum Done {
    Effect(Box<Outcome>),
    Proposal { group: Option<GroupName>, applied: bool },
}

impl Office {
    /// Runs until dropped.
    pub async fn run(self, mut desk: Desk) {
        let mut view = self.driver.watch();
        let mut looked_at: Option<Arc<Registry>> = None;
        let mut sights = Sights::default();
        let mut reign: Option<Reign> = None;
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let work = reign.as_mut().map(|reign| &mut reign.work);
            tokio::select! {
                changed = view.changed() => if changed.is_err() { return },
                Some(seen) = desk.seen.recv() => self.take_seen(seen, &mut sights),
                Some(report) = desk.reports.recv() => self.take_report(report, &mut sights),
                Some(ask) = desk.asks.recv() => self.answer(ask, &sights),
                Some(done) = next(work) => self.done(done, &mut reign),
                _ = clock.tick() => {}
            }
            for _ in 0..TURN_MOST {
                match (desk.seen.try_recv(), desk.reports.try_recv()) {
                    (Err(_), Err(_)) => break,
                    (seen, report) => {
                        let _ = seen.map(|seen| self.take_seen(seen, &mut sights));
                        let _ = report.map(|report| self.take_report(report, &mut sights));
                    }
                }
            }
            let now = view.borrow_and_update().clone();
            if looked_at.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &now.registry)) {
                self.eyes.look(&now.registry);
                sights.retain(&now.registry);
                self.watch().retain(&now.registry);
                looked_at = Some(now.registry.clone());
            }
            self.succeed(&now, &mut reign);
            if let Some(reign) = &mut reign {
                self.steer(reign, &now.registry, &sights);
            }
        }
    }

    /// Begins and ends reigns.
    fn succeed(&self, now: &driver::View, reign: &mut Option<Reign>) {
        let leads = now.status.role == Role::Leader { established: true };
        if reign.as_ref().is_some_and(|reign| !leads || reign.term != now.status.term) {
            tracing::info!("no longer leads");
            *reign = None;
        }
        if leads && reign.is_none() {
            tracing::info!(term = now.status.term.0, "leads");
            *reign = Some(Reign { term: now.status.term, steering: Steering::default(), work: JoinSet::new() });
        }
    }

    fn steer(&self, reign: &mut Reign, registry: &Arc<Registry>, sights: &Sights) {
        for action in reign.steering.step(self.clock.now(), registry, sights) {
            match action {
                Action::Propose(command) => {
                    let (driver, at) = (self.driver.clone(), self.clock.wall());
                    reign.work.spawn(async move {
                        let group = command.group().cloned();
                        let applied = match driver.propose(&Entry { at, command }).await {
                            Ok(applied) => applied.outcome.is_ok(),
                            Err(_) => false,
                        };
                        Done::Proposal { group, applied }
                    });
                }
                Action::Run(ticket, effect) => {
                    let driver = effect.order.is_confirmed().then(|| self.driver.clone());
                    let work = self.hands.carry_out(effect, registry.clone());
                    reign.work.spawn(async move {
                        // I8: a round that began after the order was given proves that nobody was elected before it.
                        let confirmed = match &driver {
                            Some(driver) => driver.read().await.map(drop),
                            None => Ok(()),
                        };
                        let result = match confirmed {
                            Ok(()) => work.await,
                            Err(why) => Err(Failure::Error(format!("no majority confirmed the leader: {why}"))),
                        };
                        Done::Effect(Box::new(Outcome { ticket, result }))
                    });
                }
            }
        }
    }

    fn done(&self, done: Done, reign: &mut Option<Reign>) {
        let Some(reign) = reign else { return };
        match done {
            Done::Effect(outcome) => reign.steering.outcome(self.clock.now(), *outcome),
            Done::Proposal { group: Some(group), applied: false } => reign.steering.proposal_failed(&group),
            Done::Proposal { .. } => {}
        }
    }

    fn take_seen(&self, seen: Seen, sights: &mut Sights) {
        let (now, registry) = (self.clock.now(), self.driver.view().registry);
        let Seen { group, node, sight } = &seen;
        let events = self.watch().observe(now, self.clock.wall(), &registry, group, node, sight.clone());
        events.into_iter().for_each(|event| self.driver.publish(event));
        sights.report(now, self.me, group, node, sight.clone());
        // A full queue: the whole view goes to the leader when its stream moves again, or the next sight does.
        let _ = self.observer.try_send(seen);
    }

    fn take_report(&self, report: Report, sights: &mut Sights) {
        let now = self.clock.now();
        for (group, node, sight) in report.sights {
            sights.report(now, report.from, &group, &node, sight);
        }
    }

    fn answer(&self, ask: Ask, sights: &Sights) {
        let view = self.driver.view();
        if view.status.role != (Role::Leader { established: true }) {
            return; // the dropped reply says so
        }
        let Ask { group, wish, reply } = ask;
        let (now, registry) = (self.clock.now(), &view.registry);
        let judged = match wish {
            Wish::Failover { candidate, manner } => {
                request_failover(now, registry, sights, &group, candidate.as_ref(), manner)
            }
            Wish::Settings(changes) => request_settings(now, registry, sights, &group, changes),
        };
        let _ = reply.send(judged);
    }

    fn watch(&self) -> std::sync::MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next thing that ended; never, when nothing runs.
async fn next(work: Option<&mut JoinSet<Done>>) -> Option<Done> {
    match work {
        Some(work) if !work.is_empty() => match work.join_next().await? {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::error!(%error, "an effect panicked");
                None
            }
        },
        _ => std::future::pending().await,
    }
}
