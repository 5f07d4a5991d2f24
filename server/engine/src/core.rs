//! Everything that the engine knows beside the data and the running session: what a command reaches as `call.core`.

use std::sync::Arc;
use std::time::Duration;

use quorate_config::{Apply, ServerConfig};
use quorate_keyspace::{DbIndex, Keyspace};

use crate::blocking::Blocking;
use crate::gather::Ahead;
use crate::holding::Holding;
use crate::lent::Lending;
use crate::pubsub::Pubsub;
use crate::session::Session;
use crate::sessions::Sessions;
use crate::stats::{CommandStats, Lap, SlowLog, Stats};
use crate::watch::Watch;
use crate::{Effect, Host, Now, Persistence, Propagation, Replication, SessionId, Table};

/// What the gates look at: conditions that other rooms report, each by its own.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// A dataset is being loaded.
    pub loading: bool,
    /// More memory is used than maxmemory allows, and no key may be evicted.
    pub out_of_memory: bool,
    /// A replica with replica-read-only, or a node that the sentinels have not assigned yet: clients may not write.
    pub read_only: bool,
    /// A replica without its master: with replica-serve-stale-data no it answers nothing.
    pub stale: bool,
    /// The last snapshot failed.
    pub snapshot_failing: bool,
    /// The AOF cannot be written; the operating system's text.
    pub aof_failing: Option<String>,
    /// Fewer good replicas than min-replicas-to-write, or an async master that may have been replaced (I13).
    pub few_replicas: bool,
}

impl Standing {
    /// Whether there is nothing that any gate would object to.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        let troubled = self.loading
            | self.out_of_memory
            | self.read_only
            | self.stale
            | self.snapshot_failing
            | self.few_replicas
            | self.aof_failing.is_some();
        !troubled
    }
}

/// CLIENT PAUSE, or the agent's handover: commands wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    pub until: Duration,
    pub what: Paused,
}

/// Which commands a pause stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Paused {
    /// Those that may change data.
    Writes,
    /// All.
    All,
}

/// The engine without its data.
#[derive(Debug)]
pub struct Core {
    /// The configuration, changed by CONFIG SET.
    pub config: ServerConfig,
    /// The time of the turn.
    pub now: Now,
    /// Measures commands.
    pub(crate) lap: Lap,
    /// Randomness, seeded by the shell.
    pub rng: fastrand::Rng,
    /// The shell's answers.
    pub host: Host,
    /// Counts.
    pub stats: Stats,
    /// The slow log.
    pub slow_log: SlowLog,
    /// What the gates look at.
    pub standing: Standing,
    /// This process: 40 hexadecimal digits, fresh at every start.
    pub run_id: String,
    /// The configuration file's absolute path, or empty.
    pub config_file: String,
    /// Bytes in use when the engine was made: not the data's.
    pub startup_memory: usize,
    /// The stream for AOF and replicas.
    pub propagation: Propagation,
    /// RDB and AOF.
    pub persistence: Persistence,
    /// Master and replicas.
    pub replication: Replication,
    /// Effects of this turn, in order.
    pub effects: Vec<Effect>,
    /// Every command.
    pub table: &'static Table,
    pub(crate) sessions: Sessions,
    pub(crate) pubsub: Pubsub,
    pub(crate) blocking: Blocking,
    pub(crate) watch: Watch,
    pub(crate) holding: Holding,
    /// Values that the running session's commands have lent to its output.
    pub(crate) lent: Lending,
    /// Large arguments of the running command, which may take them over.
    pub(crate) given: Vec<Arc<[u8]>>,
    /// Bytes that were made room for before they arrived.
    pub(crate) ahead: Ahead,
    /// Sessions whose large arguments have begun to arrive in this turn.
    pub(crate) gathering: Vec<SessionId>,
    pub(crate) pause: Option<Pause>,
    /// Sessions that may go on with what they have sent: they were unblocked, or a pause ended.
    pub(crate) resumed: Vec<SessionId>,
    /// Sessions whose wait somebody ended as if its deadline had come (CLIENT UNBLOCK).
    pub(crate) to_time_out: Vec<SessionId>,
    /// When idle clients and slow readers are looked for next.
    pub(crate) next_census: Duration,
    /// Everything that went to AOF and replicas, for tests to look at.
    #[cfg(test)]
    pub(crate) streamed: Vec<u8>,
    /// Active expiry runs (DEBUG SET-ACTIVE-EXPIRE).
    pub(crate) active_expire: bool,
}

impl Core {
    pub(crate) fn new(config: ServerConfig, host: Host, mut rng: fastrand::Rng) -> Core {
        let table = Table::get();
        let run_id = (0..40).map(|_| char::from_digit(rng.u32(0..16), 16).expect("below 16")).collect();
        let mut bits = [0; 20];
        rng.fill(&mut bits);
        let replication = Replication::new(quorate_replication::ReplId::from_random(bits));
        let stats = Stats { by_command: vec![CommandStats::default(); table.rows().len()], ..Stats::default() };
        Core {
            config,
            now: Now::default(),
            lap: Lap::default(),
            rng,
            host,
            stats,
            slow_log: SlowLog::default(),
            standing: Standing::default(),
            run_id,
            config_file: String::new(),
            startup_memory: (host.used_memory)(),
            propagation: Propagation::default(),
            persistence: Persistence::default(),
            replication,
            effects: Vec::new(),
            table,
            sessions: Sessions::default(),
            pubsub: Pubsub::default(),
            blocking: Blocking::default(),
            watch: Watch::default(),
            holding: Holding::default(),
            lent: Lending::default(),
            given: Vec::new(),
            ahead: Ahead::default(),
            gathering: Vec::new(),
            pause: None,
            resumed: Vec::new(),
            to_time_out: Vec::new(),
            next_census: Duration::ZERO,
            #[cfg(test)]
            streamed: Vec::new(),
            active_expire: true,
        }
    }

    /// A key changed: feeds WATCH, waiting sessions and keyspace events. Commands say `Call::changed`, which calls this.
    #[inline]
    pub(crate) fn changed(&mut self, db: DbIndex, key: &[u8], event: &'static str, current: Option<&mut Session>) {
        self.watch.touch(db, key);
        self.tell(db, key, event, current);
    }

    fn tell(&mut self, db: DbIndex, key: &[u8], event: &'static str, current: Option<&mut Session>) {
        self.persistence.dirty += 1;
        self.holding.change(key);
        self.blocking.signal(db, key);
        self.notify(db, key, event, current);
    }

    /// Tells of the keys that have expired: each is propagated as DEL, announced, and changed for whoever watches it.
    #[inline]
    pub(crate) fn reap(&mut self, keyspace: &mut Keyspace, current: Option<&mut Session>) {
        if keyspace.has_reaped() {
            self.reap_all(keyspace, current);
        }
    }

    fn reap_all(&mut self, keyspace: &mut Keyspace, mut current: Option<&mut Session>) {
        for reaped in keyspace.take_reaped() {
            self.stats.expired_keys += 1;
            self.propagate(reaped.db, &[b"DEL", &reaped.key]);
            self.watch.expired(reaped.db, &reaped.key);
            self.tell(reaped.db, &reaped.key, "expired", current.as_deref_mut());
        }
    }

    /// Every watched key of these databases that exists, or whose absence a watcher saw, changed: FLUSHDB, FLUSHALL.
    pub(crate) fn flushed(&mut self, keyspace: &mut Keyspace, dbs: impl Iterator<Item = DbIndex>) {
        for db in dbs {
            let view = keyspace.db(db);
            self.watch.touch_all(db, |key| view.kind(key).is_some());
        }
    }

    /// Whether anybody reads the stream: an AOF, or a history that is recorded for replicas. What nobody reads is not encoded.
    #[inline]
    pub(crate) fn is_heard(&self) -> bool {
        self.replication.is_recorded() || self.persistence.writes_log()
    }

    /// AOF and replicas get a command that no client said.
    pub(crate) fn propagate(&mut self, db: DbIndex, argv: &[&[u8]]) {
        if self.is_heard() {
            self.propagation.command(db, argv);
        }
    }

    /// Two databases are about to be exchanged: a watched or awaited key that exists in either changed.
    pub(crate) fn swapped(&mut self, keyspace: &mut Keyspace, a: DbIndex, b: DbIndex) {
        for (db, other) in [(a, b), (b, a)] {
            let mut view = keyspace.db(db);
            self.watch.touch_all(db, |key| view.kind(key).is_some() || view.other(other).kind(key).is_some());
            self.blocking.signal_all(db);
        }
    }

    /// A directive changed that somebody must act upon (CONFIG SET): rooms of the engine here, then the shell.
    pub(crate) fn config_changed(&mut self, apply: Apply) {
        self.effects.push(Effect::Apply(apply));
    }

    /// Ends a session's connection.
    pub(crate) fn close(&mut self, session: &mut Session, how: crate::Closing) {
        if session.closing.is_none() || how == crate::Closing::Now {
            session.closing = Some(how);
            self.effects.push(Effect::Close { id: session.id, how });
        }
    }
}
