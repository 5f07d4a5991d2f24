//! The command line's shape.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::local::Durability;

/// What exit codes mean; stands in every help text.
const EXIT_CODES: &str = "Exit codes: 0 done (status: every group is ok) · 1 refused or failed (status: a group is not ok) · \
2 wrong usage · 3 no sentinel answered, or none has a quorum · 4 the secret is missing or wrong";

/// A Redis-compatible data node, the sentinels that keep groups of them available, and their operator's commands.
#[derive(Parser)]
#[command(name = "quorate", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Subcommand)]
pub enum Command {
    /// Runs a data node, as redis-server does: [CONFIG] [--port 7000 --save '' …].
    Server(Redis),
    /// Runs a sentinel: [CONFIG] [--port 26379 --sentinel monitor main 127.0.0.1 7001 2 …].
    Sentinel(Redis),
    /// Starts a group on this machine (a master, replicas, sentinels), and follows it until Ctrl-C.
    Up(Up),
    /// Shows groups, their nodes, and the sentinels.
    Status(Status),
    /// Moves a group's mastership to a replica: writes pause, the replica catches up, none is lost.
    Failover(Failover),
    /// Changes a group: its settings, its nodes.
    Group {
        /// What to change.
        #[command(subcommand)]
        change: GroupChange,
    },
    /// Lists the sentinels, or takes one out.
    Sentinels {
        /// What to do [default: list].
        #[command(subcommand)]
        order: Option<SentinelsOrder>,
        /// Where to ask.
        #[command(flatten)]
        api: Api,
    },
    /// Follows events as they happen.
    Watch(Watch),
    /// Shows what happened, newest last.
    History(History),
    /// Breaks a group of its own on purpose and measures what clients notice.
    Drill(Drill),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// redis-server's own command line.
#[derive(Args)]
pub struct Redis {
    /// A configuration file, then options: a directive with two dashes before it, and its words.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CONFIG | --OPTION VALUE…")]
    pub args: Vec<String>,
}

/// Flags of `up`.
#[derive(Args)]
pub struct Up {
    /// Folder of the group's data.
    #[arg(long, default_value = "quorate-data")]
    pub dir: PathBuf,
    /// Data nodes: one master, the rest replicas [default: 3, or what the folder holds].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=15))]
    pub nodes: Option<u16>,
    /// Sentinels [default: 3, or what the folder holds].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub sentinels: Option<u16>,
    /// Port of the first node; the next ones follow, agents listen 1000 above [default: 7001].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64000))]
    pub port: Option<u16>,
    /// Port of the first sentinel; the next ones follow, gRPC and HTTP listen 1000 above [default: 26379].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64000))]
    pub sentinel_port: Option<u16>,
    /// What an acknowledged write means [default: async].
    #[arg(long, value_enum)]
    pub durability: Option<Durability>,
}

/// Where the sentinels are, and how to show their answers.
#[derive(Args, Clone)]
pub struct Api {
    /// gRPC addresses of sentinels; each is tried until one answers.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        env = "QUORATE_API",
        default_value = "127.0.0.1:27379,127.0.0.1:27380,127.0.0.1:27381"
    )]
    pub api: Vec<String>,
    /// The sentinels' secret.
    #[arg(long, env = "QUORATE_SECRET", hide_env_values = true)]
    pub secret: Option<String>,
    /// Print JSON: the fields of the HTTP API.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `status`.
#[derive(Args)]
pub struct Status {
    /// Only this group.
    pub group: Option<String>,
    /// Where to ask.
    #[command(flatten)]
    pub api: Api,
}

/// Flags of `failover`.
#[derive(Args)]
pub struct Failover {
    /// The group.
    pub group: String,
    /// The replica to promote, as host:port [default: the sentinels choose].
    #[arg(long, value_name = "HOST:PORT")]
    pub to: Option<String>,
    /// Fail over though the master does not answer, without a handover: what only the master holds is lost.
    #[arg(long)]
    pub force: bool,
    /// So many voters will never come back that no choice is safe: go on with whoever is left. Acknowledged writes that only the lost ones held are lost.
    #[arg(long)]
    pub accept_loss: bool,
    /// Where to ask.
    #[command(flatten)]
    pub api: Api,
}

/// What `group` changes.
#[derive(Subcommand)]
pub enum GroupChange {
    /// Changes settings, all or none: durability=quorum copies=2 down-after-milliseconds=500 …
    Set(GroupSet),
    /// Lets a node join: a learner until it holds the data, then a voter.
    AddNode(GroupNode),
    /// Has a replica leave, dead or alive: its vote first, then the node.
    RemoveNode(GroupNode),
}

/// Flags of `group set`.
#[derive(Args)]
pub struct GroupSet {
    /// The group.
    pub group: String,
    /// Directives of sentinel.conf with their values.
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// Wait for as many seconds until the change is in force; 0: only until it is committed.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub wait: u64,
    /// Where to ask.
    #[command(flatten)]
    pub api: Api,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Flags of `group add-node` and `group remove-node`.
#[derive(Args)]
pub struct GroupNode {
    /// The group.
    pub group: String,
    /// The node.
    #[arg(value_name = "HOST:PORT")]
    pub node: String,
    /// Wait for as many seconds until it votes, or is gone; 0: only until the order is committed.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub wait: u64,
    /// Where to ask.
    #[command(flatten)]
    pub api: Api,
}

/// What `sentinels` does.
#[derive(Subcommand)]
pub enum SentinelsOrder {
    /// Lists them.
    List,
    /// Takes one out, dead or alive: once, not everywhere. It ends when it hears of that.
    Remove {
        /// Its id or the beginning of it, or its host:port.
        #[arg(value_name = "ID | HOST:PORT")]
        sentinel: String,
    },
}

/// Flags of `watch`.
#[derive(Args)]
pub struct Watch {
    /// Only this group.
    pub group: Option<String>,
    /// Begin with the event of this index, then follow [default: from now on].
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub from: u64,
    /// Where to ask.
    #[command(flatten)]
    pub api: Api,
}

/// Flags of `history`.
#[derive(Args)]
pub struct History {
    /// Only this group.
    pub group: Option<String>,
    /// At most this many events.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// Where to ask.
    #[command(flatten)]
    pub api: Api,
}

/// What a drill breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// The master is killed (SIGKILL).
    Kill,
    /// The master stands still (SIGSTOP).
    Stop,
    /// The master's network is cut.
    Cut,
    /// A planned failover, with handover.
    Handover,
    /// The sentinels' Raft leader is killed together with the master.
    SentinelKill,
    /// Every node is restarted in turn, the master after a handover.
    Rolling,
}

/// Flags of `drill`.
#[derive(Args)]
pub struct Drill {
    /// What to break [default: each in turn].
    #[arg(value_enum)]
    pub faults: Vec<Fault>,
    /// How often each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Writes a second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub rate: u32,
    /// The group's down-after-milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(50..))]
    pub down_after: u64,
    /// What an acknowledged write means.
    #[arg(long, value_enum, default_value_t = Durability::Async)]
    pub durability: Durability,
    /// Folder for the drill's group [default: a temporary one, removed afterwards].
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
