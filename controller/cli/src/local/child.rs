//! One child process of a local group.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::LocalError;
use crate::process::PARENT_VARIABLE;

/// What a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `quorate server`.
    Node,
    /// `quorate sentinel`.
    Sentinel,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended(ExitStatus);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "ended with code {code}"),
            (None, Some(signal)) => write!(f, "was killed by signal {signal}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

/// Where a child is in its life.
enum Life {
    /// Not started yet, or ended and known to be.
    Off(Option<Ended>),
    /// Running; `asked` once it was told to leave.
    On { process: std::process::Child, asked: bool },
}

/// A node or a sentinel of a local group.
pub struct Child {
    /// Node or sentinel.
    pub kind: Kind,
    /// `node-7001`, `sentinel-26379`: unique in the group, and its folder's name.
    pub name: String,
    /// RESP port.
    pub port: u16,
    /// Agent port of a node, gRPC and HTTP port of a sentinel.
    pub side_port: u16,
    /// Its folder.
    pub dir: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Its log.
    pub log: PathBuf,
    address: SocketAddr,
    life: Life,
    started_at: Instant,
}

impl Child {
    /// A process that was not started yet. `dir` is its folder, `file` its configuration's name in there.
    pub fn new(kind: Kind, address: SocketAddr, side_port: u16, dir: PathBuf, file: &str) -> Self {
        let name = dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let (config, log) = (dir.join(file), dir.join("log"));
        Self {
            kind,
            name,
            port: address.port(),
            side_port,
            dir,
            config,
            log,
            address,
            life: Life::Off(None),
            started_at: Instant::now(),
        }
    }

    /// Where its RESP port listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        match &self.life {
            Life::On { process, .. } => Some(process.id()),
            Life::Off(_) => None,
        }
    }

    /// When it was last started.
    pub fn started_at(&self) -> Instant {
        self.started_at
    }

    /// Starts it as `quorate server` or `quorate sentinel` with its configuration.
    pub(super) fn spawn(&mut self, program: &Path) -> Result<(), LocalError> {
        let mut command = Command::new(program);
        command.arg(match self.kind {
            Kind::Node => "server",
            Kind::Sentinel => "sentinel",
        });
        command.arg(&self.config);
        self.start(command)
    }

    /// Starts it with this command in its folder; its output goes to the end of its log. It leads a process group of its own, so that Ctrl-C at
    /// the terminal reaches the parent alone, which then decides the order in which children leave.
    pub fn start(&mut self, mut command: Command) -> Result<(), LocalError> {
        let fault = |error| LocalError::Spawn { name: self.name.clone(), error };
        let log = OpenOptions::new().create(true).append(true).open(&self.log).map_err(fault)?;
        let process = command
            .current_dir(&self.dir)
            .env(PARENT_VARIABLE, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(fault)?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(fault)?;
        self.life = Life::On { process, asked: false };
        self.started_at = Instant::now();
        Ok(())
    }

    /// Does it run? Notes its end.
    pub fn is_running(&mut self) -> bool {
        self.ended().is_none() && matches!(self.life, Life::On { .. })
    }

    /// How it ended, if it was started and has.
    pub fn ended(&mut self) -> Option<Ended> {
        if let Life::On { process, .. } = &mut self.life
            && let Ok(Some(status)) = process.try_wait()
        {
            self.life = Life::Off(Some(Ended(status)));
        }
        match &self.life {
            Life::Off(ended) => *ended,
            Life::On { .. } => None,
        }
    }

    /// Did it end without having been told to?
    pub fn died_unasked(&mut self) -> bool {
        let asked = matches!(self.life, Life::On { asked: true, .. } | Life::Off(_));
        !asked && self.ended().is_some()
    }

    /// The report of its death, with the last line of its log.
    pub(super) fn died(&mut self) -> LocalError {
        let ended = self.ended().expect("asked of a child that ended");
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        let last = last.map(|line| format!(": {}", line.trim())).unwrap_or_default();
        LocalError::Died { name: self.name.clone(), ended, log: self.log.clone(), last }
    }

    /// SIGTERM: it saves and leaves.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        if let Life::On { asked, .. } = &mut self.life {
            *asked = true;
        }
    }

    /// SIGKILL, and waits until the kernel has taken it down.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Life::On { process, .. } = &mut self.life
            && let Ok(status) = process.wait()
        {
            self.life = Life::Off(Some(Ended(status)));
        }
    }

    /// Waits at most so long until it has ended, then kills it.
    pub fn end(&mut self, within: std::time::Duration) {
        if self.wait_ended(within).is_err() {
            self.kill();
        }
    }

    /// SIGSTOP: it stands still, its sockets stay open.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// A process that is already gone needs no signal.
    fn signal(&mut self, signal: Signal) {
        if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(pid as i32)) {
            let _: Result<(), rustix::io::Errno> = kill_process(pid, signal);
        }
    }

    /// Waits until it has ended, at most so long.
    pub fn wait_ended(&mut self, within: std::time::Duration) -> io::Result<()> {
        let deadline = Instant::now() + within;
        while self.is_running() {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(super::POLL);
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
    }
}
