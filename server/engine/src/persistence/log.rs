//! The append-only log as the engine sees it.
//!
//! ```text
//! Off ──appendonly yes──▶ Starting ──its first base is written──▶ On
//!  ▲                          │  ▲                                 │
//!  └────── appendonly no ─────┴──┼─────────────────────────────────┤
//!                                └──── the dataset was replaced ───┘
//! ```
//! `Starting`: everything since the base's snapshot began is appended to a file that becomes part of the log with the base.
//! With `appendfsync always` the replies of a turn wait for its ticket, and so do all later ones: they may have seen what is not
//! yet on the disk.

use std::collections::VecDeque;
use std::time::Duration;

use quorate_config::{AppendFsync, ServerConfig};
use quorate_persist::aof::append::annotation;
use quorate_persist::aof::manifest::BaseFormat;
use quorate_persist::rdb::ReplicationPoint;
use quorate_replication::Offset;
use quorate_resp::encode_command;

use super::pass::Pass;
use super::{DiskTask, Incr, LogPlan, LogSizes};
use crate::core::Core;
use crate::effect::{Level, Shutdown};
use crate::{Effect, Now};

/// The stream's place is noted in the log this often, so that a restart knows its offset.
const ANNOTATE_EVERY: Duration = Duration::from_secs(1);
/// A rewrite that failed so often in a row waits, twice as long each time. Source: Redis's aofRewriteLimited.
const FAILURES_ALLOWED: u32 = 3;
const RETRY_FIRST: Duration = Duration::from_secs(60);
const RETRY_MOST: Duration = Duration::from_secs(3600);
/// A node of a group whose log is not whole counts as no copy: it tries again sooner. Source: Redis's retry of a failed save, CONFIG_BGSAVE_RETRY_DELAY.
const RETRY_WHOLE: Duration = Duration::from_secs(5);

/// The log.
#[derive(Debug, Default)]
pub(super) struct Log {
    state: State,
    /// A new base is wanted as soon as no pass runs.
    pub wanted: bool,
    /// A pass that began in this turn opens a new file behind the turn's stream.
    switching: bool,
    sizes: LogSizes,
    /// Bytes appended since the running rewrite began: the new log's, with its base.
    since_rewrite: u64,
    tickets: u64,
    confirmed: u64,
    /// Where the stream stood behind the bytes of each ticket that is not confirmed, and behind those of the last that is.
    marks: VecDeque<(u64, Offset)>,
    synced: Offset,
    annotated_at: Option<Duration>,
    /// The history and epoch that the last annotation named.
    named: Option<([u8; 40], u64)>,
    pub rewrites: u64,
    pub failures: u32,
    pub failed_at: Duration,
    pub last_took: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Off,
    /// `open`: its first base's pass has begun.
    Starting {
        open: bool,
    },
    On,
}

impl Log {
    pub fn is_on(&self) -> bool {
        self.state != State::Off
    }

    pub fn sizes(&self) -> LogSizes {
        self.sizes
    }

    /// The loader has left the log open behind its last command.
    pub fn opened(&mut self, sizes: LogSizes) {
        self.state = State::On;
        self.sizes = sizes;
    }

    pub fn confirmed(&mut self, ticket: u64) {
        self.confirmed = self.confirmed.max(ticket);
        while let Some((_, at)) = self.marks.pop_front_if(|(of, _)| *of <= ticket) {
            self.synced = at;
        }
    }

    pub fn confirmed_ticket(&self) -> u64 {
        self.confirmed
    }

    pub fn synced(&self) -> Offset {
        self.synced
    }

    /// Is every file of it in place?
    pub fn is_whole(&self) -> bool {
        self.state == State::On
    }

    /// The log tells of a dataset that is gone: it starts anew.
    pub fn dataset_replaced(&mut self) {
        (self.marks, self.synced) = (VecDeque::new(), Offset(0));
        if self.is_on() {
            self.state = State::Starting { open: false };
            self.wanted = true;
        }
    }

    /// The pass of a new base was abandoned: it is wanted again.
    pub fn abandoned(&mut self) {
        self.wanted = true;
        self.switching = false;
        if let State::Starting { open } = &mut self.state {
            *open = false;
        }
    }

    /// The disk takes writes again: a log that is not whole tries at once what failed for the lack of it.
    pub fn writable_again(&mut self) {
        if !self.is_whole() {
            self.failures = self.failures.min(FAILURES_ALLOWED - 1);
        }
    }

    fn limited(&self, now: Duration, in_group: bool) -> bool {
        let Some(doublings) = self.failures.checked_sub(FAILURES_ALLOWED) else { return false };
        let most = if in_group && !self.is_whole() { RETRY_WHOLE } else { RETRY_MOST };
        let wait = RETRY_FIRST.saturating_mul(1 << doublings.min(16)).min(most);
        now.saturating_sub(self.failed_at) < wait
    }

    pub fn wants_base(&self, config: &ServerConfig) -> Option<LogPlan> {
        let incr = match self.state {
            State::Off => Incr::None,
            State::Starting { .. } => Incr::First,
            State::On => Incr::Next,
        };
        let format = if config.aof_use_rdb_preamble { BaseFormat::Rdb } else { BaseFormat::Commands };
        self.wanted.then_some(LogPlan { format, incr })
    }

    pub fn base_begun(&mut self, plan: LogPlan, now: Now) {
        self.wanted = false;
        self.switching = plan.incr != Incr::None;
        self.failed_at = now.mono;
    }

    #[inline]
    pub(super) fn writes(&self) -> bool {
        matches!(self.state, State::On | State::Starting { open: true })
    }
}

impl Core {
    /// The configuration may have switched the log on or off.
    pub(super) fn log_step(&mut self) {
        let log = &mut self.persistence.log;
        match (self.config.appendonly, log.state) {
            (true, State::Off) => {
                (log.state, log.wanted) = (State::Starting { open: false }, true);
                (log.sizes, log.failures) = (LogSizes::default(), 0);
            }
            (false, State::On | State::Starting { .. }) => {
                (log.state, log.wanted, log.annotated_at) = (State::Off, false, None);
                self.standing.aof_failing = None;
                self.effects.push(Effect::Disk(DiskTask::CloseLog));
            }
            _ => {}
        }
    }

    /// Is a rewrite due?
    pub(super) fn log_tick(&mut self) {
        let (now, in_group) = (self.now.mono, self.group().is_some());
        let log = &mut self.persistence.log;
        if self.persistence.pass.is_some() || log.wanted || log.limited(now, in_group) {
            return;
        }
        match log.state {
            State::Off => {}
            // Its first base failed: the next attempt.
            State::Starting { .. } => log.wanted = true,
            State::On => {
                let LogSizes { base, current } = log.sizes;
                let percentage = u64::from(self.config.auto_aof_rewrite_percentage);
                let growth = (u128::from(current) * 100 / u128::from(base.max(1))).saturating_sub(100);
                if percentage > 0 && current > self.config.auto_aof_rewrite_min_size && growth >= u128::from(percentage)
                {
                    log.wanted = true;
                    self.note(Level::Notice, &format!("Starting automatic rewriting of AOF on {growth}% growth"));
                }
            }
        }
    }

    /// The turn's stream, before anybody else gets it: the AOF's bytes. Returns the ticket that replies wait for.
    pub(crate) fn append(&mut self, stream: &[u8]) -> Option<u64> {
        if self.persistence.log.writes() && !stream.is_empty() {
            let bytes = self.annotated(stream);
            self.append_bytes(bytes, stream);
        }
        self.pass_tasks();
        if std::mem::take(&mut self.persistence.log.switching) {
            if let State::Starting { open } = &mut self.persistence.log.state {
                *open = true;
            }
            self.persistence.log.since_rewrite = 0;
            self.begin_file(stream);
        }
        // A ticket that the group's acknowledgements need holds no reply: the commit does.
        let log = &self.persistence.log;
        let waits = log.confirmed < log.tickets && self.config.appendfsync == AppendFsync::Always;
        waits.then_some(log.tickets)
    }

    /// `stream` is the turn's, which ends with these bytes.
    fn append_bytes(&mut self, bytes: Vec<u8>, stream: &[u8]) {
        let (always, end) = (self.log_syncs_first(), self.end_behind(stream.len()));
        let log = &mut self.persistence.log;
        log.sizes.current += bytes.len() as u64;
        log.since_rewrite += bytes.len() as u64;
        log.tickets += u64::from(always);
        if always {
            log.marks.push_back((log.tickets, end));
        }
        let ticket = always.then_some(log.tickets);
        self.effects.push(Effect::Disk(DiskTask::Append { bytes, ticket }));
    }

    /// A new file's first lines: which database the stream is in (for Redis), and where it stands (for us).
    fn begin_file(&mut self, stream: &[u8]) {
        let Some((point, epoch)) = self.point_behind(stream.len()) else { return };
        let mut bytes = Vec::new();
        encode_command(&mut bytes, &[b"SELECT", point.db.to_string().as_bytes()]);
        bytes.extend(annotation(&point, epoch.0));
        self.annotated_as(&point, epoch.0);
        self.append_bytes(bytes, stream);
    }

    /// The turn's stream with what says where it stands: now and then, and wherever the history got another name or epoch. A name that is
    /// new is told where it begins, in front of its first bytes: a log that ends anywhere never claims more of a history than it holds.
    fn annotated(&mut self, stream: &[u8]) -> Vec<u8> {
        let Some((point, epoch)) = self.point_behind(stream.len()) else { return stream.to_vec() };
        let (now, log) = (self.now.mono, &self.persistence.log);
        let due = log.annotated_at.is_none_or(|at| now.saturating_sub(at) >= ANNOTATE_EVERY);
        let (before, rest) = match (log.named, self.replication.history.second()) {
            (Some((replid, old)), Some(second))
                if replid != point.replid && second.replid.as_str().as_bytes() == replid =>
            {
                let begins = second.upto.0.saturating_sub(point.offset - stream.len() as u64);
                let (before, rest) = stream.split_at(usize::try_from(begins).unwrap_or(0).min(stream.len()));
                let offset = point.offset - rest.len() as u64;
                ([before, &annotation(&ReplicationPoint { offset, ..point }, old)].concat(), rest)
            }
            _ => (Vec::new(), stream),
        };
        let mut bytes = before;
        bytes.extend_from_slice(rest);
        if due || log.named != Some((point.replid, epoch.0)) {
            bytes.extend(annotation(&point, epoch.0));
            self.annotated_as(&point, epoch.0);
        }
        bytes
    }

    fn annotated_as(&mut self, point: &ReplicationPoint, epoch: u64) {
        let log = &mut self.persistence.log;
        (log.annotated_at, log.named) = (Some(self.now.mono), Some((point.replid, epoch)));
    }

    /// The log cannot be written. With `always` nothing that waits for it can ever be acknowledged: the process ends, as Redis does.
    pub(super) fn append_failed(&mut self, error: String) {
        if self.log_syncs_first() && self.config.appendonly {
            self.note(
                Level::Warning,
                &format!(
                    "Can't recover from AOF write error when the AOF fsync policy is 'always': {error}. Exiting..."
                ),
            );
            self.effects.push(Effect::Shutdown(Shutdown { code: 1 }));
            return;
        }
        if self.standing.aof_failing.is_none() {
            self.note(Level::Warning, &format!("Error writing to the AOF file: {error}"));
        }
        self.standing.aof_failing = Some(error);
    }

    /// A new base is in place, or is not.
    pub(super) fn log_finished(&mut self, pass: &Pass, outcome: Result<u64, String>) {
        let (now, log) = (self.now.mono, &mut self.persistence.log);
        log.last_took = Some(now.saturating_sub(pass.began));
        match outcome {
            Ok(bytes) => {
                log.failures = 0;
                log.rewrites += 1;
                if let State::Starting { open: true } = log.state {
                    log.state = State::On;
                }
                let current = bytes + log.since_rewrite;
                log.sizes = LogSizes { base: current, current };
                self.note(Level::Notice, "Background AOF rewrite finished successfully");
            }
            Err(error) => {
                (log.failures, log.failed_at) = (log.failures + 1, now);
                if let State::Starting { open } = &mut log.state {
                    *open = false;
                }
                self.note(Level::Warning, &format!("Background AOF rewrite failed: {error}"));
            }
        }
    }
}
