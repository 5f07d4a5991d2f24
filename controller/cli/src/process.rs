//! What every long-running process does first: obey the parent that started it, go to the background, log.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use quorate_config::LogLevel;
use rustix::process::{Signal, set_parent_process_death_signal, setsid};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Set by a parent that wants its child to die with it: the parent's process id.
pub const PARENT_VARIABLE: &str = "QUORATE_PARENT";
/// Set for the copy of itself that a process leaves in the background.
const BACKGROUND_VARIABLE: &str = "QUORATE_IN_BACKGROUND";

/// If a parent asked for it, arranges to be killed when it dies, however it dies. A parent already gone: leave at once.
pub fn obey_parent() {
    let Some(parent) = std::env::var(PARENT_VARIABLE).ok().and_then(|pid| pid.parse::<u32>().ok()) else { return };
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() || parent_id() != parent {
        eprintln!("the process that started this one (process {parent}) is gone");
        std::process::exit(1);
    }
}

/// `daemonize yes`: starts this very command again without a terminal and ends this process. Returns in the copy.
pub fn go_to_background() -> io::Result<()> {
    if std::env::var_os(BACKGROUND_VARIABLE).is_some() {
        // A session of its own, so that the terminal's end does not take it along. It fails only for a group's leader.
        let _: Result<_, rustix::io::Errno> = setsid();
        return Ok(());
    }
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(args)
        .env(BACKGROUND_VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    std::process::exit(0)
}

/// Changes the level of a running log.
static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// redis.conf's words for the log's level. It is ours: what libraries have to say in passing is not this process's log.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    };
    Targets::new().with_target("quorate", level).with_default(level.min(LevelFilter::WARN))
}

/// Starts the log: lines on standard output, or at the end of `logfile` when that is not empty.
pub fn start_log(level: LogLevel, logfile: &str) -> io::Result<()> {
    let (level, handle) = reload::Layer::new(filter(level));
    LEVEL.get_or_init(|| handle);
    let lines = tracing_subscriber::fmt::layer().with_target(false);
    let registry = tracing_subscriber::registry().with(level);
    if logfile.is_empty() {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        registry.with(lines.with_ansi(colours)).init();
    } else {
        let file = OpenOptions::new().create(true).append(true).open(logfile)?;
        registry.with(lines.with_ansi(false).with_writer(std::sync::Mutex::new(file))).init();
    }
    Ok(())
}

/// CONFIG SET loglevel.
pub fn change_level(level: LogLevel) {
    if let Some(handle) = LEVEL.get() {
        // It fails only when the log is gone, and with it whoever would read of that.
        let _: Result<(), reload::Error> = handle.reload(filter(level));
    }
}

/// Writes the process id where `pidfile` says. It is removed when the guard is dropped.
pub fn write_pidfile(path: &str) -> io::Result<Option<PidFile>> {
    if path.is_empty() {
        return Ok(None);
    }
    std::fs::write(path, format!("{}\n", std::process::id()))?;
    Ok(Some(PidFile(std::path::absolute(path)?)))
}

/// Removes the process id's file at the end.
pub struct PidFile(std::path::PathBuf);

impl Drop for PidFile {
    fn drop(&mut self) {
        let _: io::Result<()> = std::fs::remove_file(&self.0);
    }
}
