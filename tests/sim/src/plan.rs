//! What a seed decides before the world begins: how many of what, how it is configured, and what will go wrong.

use std::time::Duration;

use quorate_config::ServerConfig;
use quorate_registry::{Ack, Durability};

use crate::time::EXACT;

/// A kind of mishap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// A node's process is killed.
    KillNode,
    /// A node's process dies at one of its next disk operations.
    KillAtDisk,
    /// A node loses power, and what it had not synced.
    PowerNode,
    /// Every node loses power at once.
    PowerAll,
    /// A node's process is killed and its directory emptied.
    WipeNode,
    /// A node's process is stopped for a while.
    StopNode,
    /// Nodes' processes are stopped within their turns for a while.
    StopTurns,
    /// A sentinel's process is killed.
    KillSentinel,
    /// A sentinel's process is stopped for a while.
    StopSentinel,
    /// A host is cut off from everybody.
    Isolate,
    /// The hosts fall into two halves.
    Halves,
    /// One direction between two hosts is cut.
    OneWay,
    /// Two halves that one host still reaches.
    Bridge,
    /// A master is cut off from the sentinels alone, or from the other nodes alone.
    Aside,
    /// A stream breaks.
    BreakStreams,
    /// The network is slow, loses and doubles.
    Weather,
    /// A node's disk is slow.
    SlowDisk,
    /// A node's disk is full.
    FullDisk,
    /// The operator hands over.
    Handover,
    /// The operator goes on without the master.
    Force,
}

/// Every mishap.
pub const MISHAPS: [Mishap; 20] = [
    Mishap::KillNode,
    Mishap::KillAtDisk,
    Mishap::PowerNode,
    Mishap::PowerAll,
    Mishap::WipeNode,
    Mishap::StopNode,
    Mishap::StopTurns,
    Mishap::KillSentinel,
    Mishap::StopSentinel,
    Mishap::Isolate,
    Mishap::Halves,
    Mishap::OneWay,
    Mishap::Bridge,
    Mishap::Aside,
    Mishap::BreakStreams,
    Mishap::Weather,
    Mishap::SlowDisk,
    Mishap::FullDisk,
    Mishap::Handover,
    Mishap::Force,
];

/// See the module.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many sentinels.
    pub sentinels: usize,
    /// How many data nodes.
    pub nodes: usize,
    /// How many clients.
    pub clients: usize,
    /// What the group promises.
    pub durability: Durability,
    /// When a replica acknowledges.
    pub ack: Ack,
    /// `copies`; `None`: a majority.
    pub copies: Option<u32>,
    /// `quorum-timeout`
    pub quorum_timeout_ms: u32,
    /// Do nodes keep a log?
    pub appendonly: bool,
    /// `appendfsync`
    pub appendfsync: &'static str,
    /// `auto-aof-rewrite-min-size`
    pub rewrite_bytes: u64,
    /// `repl-backlog-size`
    pub backlog_bytes: u64,
    /// `down-after-milliseconds`
    pub down_after: Duration,
    /// What goes wrong.
    pub mishaps: Vec<Mishap>,
    /// How often, in microseconds between two at most.
    pub pace_us: u64,
    /// For how long.
    pub chaos: Duration,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(quorum: bool, rng: &mut fastrand::Rng) -> Plan {
        let sentinels = if rng.u8(..8) == 0 { 5 } else { 3 };
        let nodes = [2, 3, 3, 3, 3, 3, 4, 5][rng.usize(..8)];
        let durability = if quorum && rng.u8(..4) > 0 { Durability::Quorum } else { Durability::Async };
        let appendonly = rng.u8(..8) > 0;
        let appendfsync = ["always", "everysec"][rng.usize(..2)];
        let mut mishaps: Vec<Mishap> = MISHAPS.into_iter().filter(|_| rng.u8(..3) == 0).collect();
        if mishaps.is_empty() {
            mishaps.push(Mishap::KillNode);
        }
        Plan {
            sentinels,
            nodes,
            clients: rng.usize(2..5),
            durability,
            ack: if appendonly && rng.bool() { Ack::Fsync } else { Ack::Receipt },
            copies: if nodes > 2 && rng.u8(..6) == 0 { Some(rng.u32(2..=nodes as u32)) } else { None },
            quorum_timeout_ms: if rng.u8(..3) == 0 { rng.u32(100..1500) } else { 0 },
            appendonly,
            appendfsync,
            rewrite_bytes: if rng.bool() { 4096 } else { 1 << 26 },
            backlog_bytes: if rng.bool() { 16 << 10 } else { 1 << 20 },
            down_after: Duration::from_millis(rng.u64(300..1200)),
            mishaps,
            pace_us: rng.u64(100_000..1_500_000),
            chaos: Duration::from_millis(rng.u64(2000..7000)),
        }
    }

    /// A clock's rate: up to four parts in a hundred wrong, which the lease's five tolerate.
    pub fn rate(rng: &mut fastrand::Rng) -> u64 {
        EXACT - 40_000 + rng.u64(..=80_000)
    }

    /// A data node's configuration.
    pub fn config(&self) -> ServerConfig {
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let options = [
            ["--group", "main"],
            ["--save", ""],
            ["--appendonly", yes(self.appendonly)],
            ["--appendfsync", self.appendfsync],
            ["--repl-timeout", "2"],
            ["--repl-ping-replica-period", "1"],
            ["--auto-aof-rewrite-min-size", &self.rewrite_bytes.to_string()],
            ["--repl-backlog-size", &self.backlog_bytes.to_string()],
            ["--databases", "1"],
        ];
        let options: Vec<String> = options.iter().flatten().map(|word| (*word).to_owned()).collect();
        ServerConfig::load(None, &options, &mut |_| unreachable!("nothing is included"))
            .expect("these are directives and their values")
    }

    /// Does a killed process lose its data, as an emptied directory does?
    pub fn kill_is_amnesia(&self) -> bool {
        !self.appendonly
    }
}
