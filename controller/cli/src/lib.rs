//! The `quorate` command line: one binary for a data node, a sentinel, a group on this machine, and the operator's commands.
//!
//! [`main`] looks at the name that the program was started under (`redis-server`, `redis-sentinel` and Valkey's names take those programs'
//! command lines), parses, and runs one command. Every command ends in an [`Outcome`], whose exit code the help text documents.
//!
//! Not here: anything that a node or a sentinel decides or serves; see `quorate-node` and `quorate-sentinel`.

pub mod args;
pub mod control;
pub mod drill;
pub mod local;
mod members;
mod operate;
pub mod process;
mod serve;
mod show;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub use operate::block_on;

use args::{Cli, Command};

/// How a command ended. Each has its exit code.
#[derive(Debug)]
pub enum Outcome {
    /// Done; for `status`: every group is ok.
    Done,
    /// Done, and what it found is not well: a group that is not ok, a drill that lost writes.
    Unwell,
    /// Refused or failed, with the line to print.
    Failed(String),
    /// Wrong usage that clap cannot see.
    Usage(String),
    /// No sentinel answered, or none has a quorum.
    Unreachable(String),
    /// The secret is missing or wrong.
    Unauthorized(String),
}

impl Outcome {
    /// Prints the line, if there is one, and gives the exit code.
    pub fn report(self) -> ExitCode {
        let (code, line) = match self {
            Self::Done => (0, None),
            Self::Unwell => (1, None),
            Self::Failed(line) => (1, Some(line)),
            Self::Usage(line) => (2, Some(line)),
            Self::Unreachable(line) => (3, Some(line)),
            Self::Unauthorized(line) => (4, Some(line)),
        };
        if let Some(line) = line {
            eprintln!("quorate: {line}");
        }
        ExitCode::from(code)
    }
}

/// The program.
pub fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    if let Some(role) = serve::Role::of_program(args.first().map_or("", String::as_str)) {
        return serve::run(role, &args[1..]).report();
    }
    if args.get(1).is_some_and(|arg| arg == "--sentinel") {
        return serve::run(serve::Role::Sentinel, &args[2..]).report();
    }
    let outcome = match Cli::parse_from(&args).command {
        Command::Server(redis) => serve::run(serve::Role::Server, &redis.args),
        Command::Sentinel(redis) => serve::run(serve::Role::Sentinel, &redis.args),
        Command::Up(flags) => up::run(&flags),
        Command::Status(flags) => operate::status(&flags),
        Command::Failover(flags) => operate::failover(&flags),
        Command::Group { change } => members::group(&change),
        Command::Sentinels { order, api } => members::sentinels(order.as_ref(), &api),
        Command::Watch(flags) => operate::watch(&flags),
        Command::History(flags) => operate::history(&flags),
        Command::Drill(flags) => drill::command(&flags),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "quorate", &mut std::io::stdout());
            Outcome::Done
        }
    };
    outcome.report()
}
