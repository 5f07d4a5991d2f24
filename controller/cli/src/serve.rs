//! `quorate server` and `quorate sentinel`, and the programs whose names they take: read the configuration, start the log, run.

use std::io::Read;
use std::path::{Path, PathBuf};

use quorate_config::{LogLevel, SentinelConfig, ServerConfig};

use crate::{Outcome, process};

/// Which process to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A data node.
    Server,
    /// A sentinel.
    Sentinel,
}

impl Role {
    /// What a program of this name is; `None` for our own name.
    pub fn of_program(path: &str) -> Option<Self> {
        match Path::new(path).file_name()?.to_str()? {
            "redis-server" | "valkey-server" => Some(Self::Server),
            "redis-sentinel" | "valkey-sentinel" => Some(Self::Sentinel),
            _ => None,
        }
    }
}

/// Runs a process from redis-server's command line: `[config] [--option words…]`. A bare `--sentinel` makes a sentinel of it.
pub fn run(role: Role, args: &[String]) -> Outcome {
    process::obey_parent();
    match args {
        [only] if only == "--version" || only == "-v" => {
            println!("Quorate {} (speaks the protocol of Redis 7.2)", env!("CARGO_PKG_VERSION"));
            return Outcome::Done;
        }
        [only] if only == "--help" || only == "-h" => {
            println!(
                "Usage: [CONFIG] [--DIRECTIVE WORDS…]   CONFIG is redis.conf syntax, or YAML by its name; `-` reads it from stdin."
            );
            return Outcome::Done;
        }
        _ => {}
    }
    let (role, args) = take_sentinel_flag(role, args);
    let (file, options) = match args.split_first() {
        Some((first, rest)) if !first.starts_with("--") => (Some(first.as_str()), rest),
        _ => (None, args.as_slice()),
    };
    let source = match file.map(Source::read).transpose() {
        Ok(source) => source,
        Err(line) => return Outcome::Failed(line),
    };
    match role {
        Role::Server => server(source.as_ref(), options),
        Role::Sentinel => sentinel(source.as_ref(), options),
    }
}

/// A bare `--sentinel` (nothing, or another option, after it) chooses the role; `--sentinel monitor …` is a directive.
fn take_sentinel_flag(role: Role, args: &[String]) -> (Role, Vec<String>) {
    let bare =
        |index: usize| args[index] == "--sentinel" && args.get(index + 1).is_none_or(|next| next.starts_with("--"));
    match (0..args.len()).find(|index| bare(*index)) {
        None => (role, args.to_vec()),
        Some(index) => (Role::Sentinel, [&args[..index], &args[index + 1..]].concat()),
    }
}

/// A configuration file that was read.
struct Source {
    /// As it was named.
    name: String,
    /// Where it is; none for standard input. Resolved before `dir` is entered.
    path: Option<PathBuf>,
    text: String,
}

impl Source {
    fn read(name: &str) -> Result<Self, String> {
        let fault = |error: std::io::Error| format!("can't open config file '{name}': {error}");
        if name == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(fault)?;
            return Ok(Self { name: "standard input".into(), path: None, text });
        }
        let text = std::fs::read_to_string(name).map_err(fault)?;
        Ok(Self { name: name.into(), path: Some(std::path::absolute(name).map_err(fault)?), text })
    }
}

/// The reader for `include`.
fn included(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn server(source: Option<&Source>, options: &[String]) -> Outcome {
    let file = source.map(|source| (source.name.as_str(), source.text.as_str()));
    let mut config = match ServerConfig::load(file, options, &mut included) {
        Ok(config) => config,
        Err(error) => return fatal(&error),
    };
    let path = source.and_then(|source| source.path.clone());
    let prepared = prepare(&config.dir, config.daemonize, config.loglevel, &config.logfile, &config.pidfile);
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(line) => return Outcome::Failed(line),
    };
    config.dir.clone_from(&prepared.dir);
    for (directive, reason) in config.without_effect() {
        tracing::warn!("'{}' has no effect: {reason}", directive.name);
    }
    quorate_node::on_log_level(process::change_level);
    match quorate_node::run(config, path) {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn sentinel(source: Option<&Source>, options: &[String]) -> Outcome {
    let file = source.map(|source| (source.name.as_str(), source.text.as_str()));
    let mut config = match SentinelConfig::load(file, options, &mut included) {
        Ok(config) => config,
        Err(error) => return fatal(&error),
    };
    let prepared = prepare(&config.dir, config.daemonize, config.loglevel, &config.logfile, &config.pidfile);
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(line) => return Outcome::Failed(line),
    };
    config.dir.clone_from(&prepared.dir);
    match quorate_sentinel::run(config) {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// Redis's own headline, so that whoever starts servers by script recognises it; then file, line, directive and reason.
fn fatal(error: &quorate_config::ConfigError) -> Outcome {
    eprintln!("\n*** FATAL CONFIG FILE ERROR (Quorate {}) ***", env!("CARGO_PKG_VERSION"));
    Outcome::Failed(error.to_string())
}

/// What a process holds while it runs.
struct Prepared {
    /// The working directory, absolute.
    dir: String,
    _pidfile: Option<process::PidFile>,
}

/// Goes to the background, into the working directory, then opens the log and writes the process id: those two paths are relative to `dir`.
fn prepare(dir: &str, daemonize: bool, level: LogLevel, logfile: &str, pidfile: &str) -> Result<Prepared, String> {
    if daemonize {
        process::go_to_background().map_err(|error| format!("cannot go to the background: {error}"))?;
    }
    let entered = std::env::set_current_dir(dir).and_then(|()| std::env::current_dir());
    let absolute = entered.map_err(|error| format!("can't chdir to '{dir}': {error}"))?;
    process::start_log(level, logfile).map_err(|error| format!("can't open the log file '{logfile}': {error}"))?;
    let pidfile =
        process::write_pidfile(pidfile).map_err(|error| format!("can't write the pid file '{pidfile}': {error}"))?;
    Ok(Prepared { dir: absolute.to_string_lossy().into_owned(), _pidfile: pidfile })
}
