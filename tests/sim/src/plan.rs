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
    /// The master is cut off with some of the clients, perhaps with the leader too, for longer than its lease; perhaps it stands still besides, and
    /// perhaps the operator goes on without it.
    CutMaster,
    /// A node that was just chosen dies before it is told.
    KillChosen,
    /// Most sentinels die.
    LoseControl,
    /// The operator changes what the group promises: `durability`, `copies`, `ack`, `quorum-timeout`.
    Settings,
    /// A node joins.
    AddNode,
    /// A replica leaves.
    RemoveNode,
    /// A machine dies for good: another takes its place, with its disk or with an empty one.
    ReplaceNode,
    /// A sentinel joins.
    AddSentinel,
    /// A sentinel leaves.
    RemoveSentinel,
}

/// Every mishap.
pub const MISHAPS: [Mishap; 29] = [
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
    Mishap::CutMaster,
    Mishap::KillChosen,
    Mishap::LoseControl,
    Mishap::Settings,
    Mishap::AddNode,
    Mishap::RemoveNode,
    Mishap::ReplaceNode,
    Mishap::AddSentinel,
    Mishap::RemoveSentinel,
];

/// See the module.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many sentinels found the cluster.
    pub sentinels: usize,
    /// How many more may join.
    pub spare_sentinels: usize,
    /// How many data nodes found the group.
    pub nodes: usize,
    /// How many more may join.
    pub spare_nodes: usize,
    /// `replica-priority` of each data node, the spare ones included.
    pub priorities: Vec<u32>,
    /// How many clients.
    pub clients: usize,
    /// So many of them only read.
    pub readers: usize,
    /// How long those wait for a reply at most, in microseconds.
    pub reader_patience_us: u64,
    /// How long those rest between two operations at most, in microseconds.
    pub reader_rest_us: u64,
    /// Whether a master that is cut off has the leader on its side, and is gone on without; `None`: as it comes.
    pub cut_leader: Option<bool>,
    /// A master that is cut off stands still between the beginning of a turn and its work; else it may do so by chance.
    pub stands_in_turn: bool,
    /// How long a client waits for a reply: at least, and at most, in microseconds.
    pub patience_us: (u64, u64),
    /// What the group promises at first.
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
    /// Once healed, the group has to go on while most sentinels are gone (I13).
    pub control_lost: bool,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(rng: &mut fastrand::Rng) -> Plan {
        let sentinels = if rng.u8(..8) == 0 { 5 } else { 3 };
        let nodes = [2, 3, 3, 3, 3, 3, 4, 5][rng.usize(..8)];
        let durability = if rng.u8(..4) > 0 { Durability::Quorum } else { Durability::Async };
        let appendonly = rng.u8(..8) > 0;
        let appendfsync = ["always", "everysec"][rng.usize(..2)];
        let mut mishaps: Vec<Mishap> = MISHAPS.into_iter().filter(|_| rng.u8(..4) == 0).collect();
        if mishaps.is_empty() {
            mishaps.push(Mishap::KillNode);
        }
        let spare_nodes = rng.usize(1..=2);
        let spare_sentinels = rng.usize(..2);
        Plan {
            sentinels,
            spare_sentinels,
            nodes,
            spare_nodes,
            priorities: Plan::priorities(nodes, spare_nodes, rng),
            clients: rng.usize(2..5),
            readers: usize::from(rng.u8(..3) == 0),
            reader_patience_us: 1_500_000,
            reader_rest_us: 50_000,
            cut_leader: None,
            stands_in_turn: false,
            patience_us: (300_000, 1_500_000),
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
            control_lost: rng.u8(..8) == 0,
        }
    }

    /// Mostly the same for all; sometimes any, and one that may not become master.
    fn priorities(nodes: usize, spare: usize, rng: &mut fastrand::Rng) -> Vec<u32> {
        let mut priorities = vec![100; nodes + spare];
        if rng.u8(..4) == 0 {
            priorities.iter_mut().for_each(|priority| *priority = rng.u32(1..200));
            if nodes > 2 && rng.bool() {
                priorities[rng.usize(..nodes)] = 0;
            }
        }
        priorities
    }

    /// Every machine that may run a data node.
    pub fn machines(&self) -> usize {
        self.nodes + self.spare_nodes
    }

    /// Every machine that may run a sentinel.
    pub fn watchers(&self) -> usize {
        self.sentinels + self.spare_sentinels
    }

    /// A clock's rate: up to four parts in a hundred wrong, which the lease's five tolerate.
    pub fn rate(rng: &mut fastrand::Rng) -> u64 {
        EXACT - 40_000 + rng.u64(..=80_000)
    }

    /// A data node's configuration.
    pub fn config(&self, node: usize) -> ServerConfig {
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
            ["--replica-priority", &self.priorities[node].to_string()],
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
