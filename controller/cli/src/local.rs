//! A whole group on this machine: data nodes and sentinels as child processes. `up`, `drill` and the tests start theirs here.
//!
//! A group lives in a folder: `group.json` (its layout), `lock` (who runs it), and one folder a process with its configuration, its log
//! and its data. A second start on the same folder goes on with what is there. Children never outlive the process that
//! started them, however it ends: they ask the kernel for that themselves ([`crate::process::obey_parent`]).
//!
//! Blocking code on purpose: it is used from one thread that must live as long as the children do, since the kernel's notice
//! is bound to the thread that spawned them.

mod child;
mod folder;
pub mod probe;
mod settled;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use child::{Child, Ended, Kind};
pub use folder::{Durability, Layout};
pub use settled::settled;

/// How long children may take to leave after SIGTERM before they are killed. A node saves its data in that time.
const LEAVE_WITHIN: Duration = Duration::from_secs(20);
/// How often a condition that is waited for is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Why a group could not be started. `Display` is the one line that the user sees.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The folder cannot be created or written.
    #[error("cannot write to '{path}': {error}")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process runs the group in this folder.
    #[error(
        "'{path}' is in use by another 'quorate up' (process {holder}): stop that one, or choose another folder with --dir"
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process that holds it, as it wrote it down.
        holder: String,
    },
    /// Something listens on a port that the group needs.
    #[error(
        "port {port} on {host} is taken ({user} needs it): stop what listens there, or choose other ports with {flag}"
    )]
    PortTaken {
        /// The address.
        host: Ipv4Addr,
        /// The port.
        port: u16,
        /// Who needs it.
        user: String,
        /// The flag that moves it.
        flag: &'static str,
    },
    /// The folder holds a group of another shape.
    #[error(
        "'{path}' holds a group with {found}, not {asked}: start it without that flag, or choose another folder with --dir"
    )]
    OtherLayout {
        /// The folder.
        path: PathBuf,
        /// What is there, as `--nodes 3`.
        found: String,
        /// What was asked for.
        asked: String,
    },
    /// `group.json` is not what this program wrote.
    #[error("'{path}' cannot be read: {reason}")]
    BadLayout {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The program could not be run.
    #[error("cannot start {name}: {error}")]
    Spawn {
        /// Which process.
        name: String,
        /// What the system said.
        error: io::Error,
    },
    /// A process left while the group was starting.
    #[error("{name} {ended}; its log is {log}{last}")]
    Died {
        /// Which process.
        name: String,
        /// How it left.
        ended: Ended,
        /// Its log.
        log: PathBuf,
        /// What it said last, if anything.
        last: String,
    },
    /// Something did not come about in time.
    #[error("{what} within {seconds} s; the logs are in {dir}")]
    TooSlow {
        /// What did not happen.
        what: String,
        /// The deadline.
        seconds: u64,
        /// Where the logs are.
        dir: PathBuf,
    },
}

/// A group's processes. Dropping it kills whatever still runs.
pub struct Group {
    layout: Layout,
    dir: PathBuf,
    program: PathBuf,
    children: Vec<Child>,
    _lock: std::fs::File,
}

impl Group {
    /// Takes the folder and starts every process. `program` is the `quorate` binary. Returns before they are ready: see
    /// [`Group::wait`].
    pub fn start(dir: &Path, layout: Layout, program: &Path) -> Result<Self, LocalError> {
        let lock = folder::lock(dir)?;
        let dir = dir.canonicalize().map_err(|error| LocalError::Folder { path: dir.to_owned(), error })?;
        let mut group = Self { layout, dir, program: program.to_owned(), children: Vec::new(), _lock: lock };
        group.check_ports()?;
        group.layout.save(&group.dir)?;
        for index in 0..group.layout.nodes {
            let child = group.describe(Kind::Node, index)?;
            group.children.push(child);
        }
        for index in 0..group.layout.sentinels {
            let child = group.describe(Kind::Sentinel, index)?;
            group.children.push(child);
        }
        for child in &mut group.children {
            child.spawn(&group.program)?;
        }
        Ok(group)
    }

    /// The shape of the group.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its folder, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Every process, nodes first.
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// The node that clients reach at this port.
    pub fn node_at(&mut self, port: u16) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.kind == Kind::Node && child.port == port)
    }

    /// The sentinel with this gRPC and HTTP port.
    pub fn sentinel_at(&mut self, api_port: u16) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.kind == Kind::Sentinel && child.side_port == api_port)
    }

    /// Starts a child that ended, with the data it has.
    pub fn restart(&mut self, name: &str) -> Result<(), LocalError> {
        let child = self.children.iter_mut().find(|child| child.name == name).expect("the name came from this group");
        child.spawn(&self.program)
    }

    /// How many processes answer on their RESP port.
    pub fn answering(&self) -> usize {
        self.children.iter().filter(|child| probe::answers(child.address())).count()
    }

    /// Children that ended unasked since the last call: name, how, and how long they lived.
    pub fn take_dead(&mut self) -> Vec<(String, Ended, Duration)> {
        let dead = self.children.iter_mut().filter_map(|child| {
            let unasked = child.died_unasked();
            unasked.then(|| (child.name.clone(), child.ended().expect("it died"), child.started_at().elapsed()))
        });
        dead.collect()
    }

    /// Polls until `done` answers `Ok`; fails when a child ends meanwhile, or at the deadline with the last reason given.
    pub fn wait<T>(
        &mut self,
        within: Duration,
        mut done: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<T, LocalError> {
        let deadline = Instant::now() + within;
        loop {
            let reason = match done(self) {
                Ok(value) => return Ok(value),
                Err(reason) => reason,
            };
            for child in &mut self.children {
                if child.died_unasked() {
                    return Err(child.died());
                }
            }
            if Instant::now() > deadline {
                let dir = self.dir.clone();
                return Err(LocalError::TooSlow { what: reason, seconds: within.as_secs(), dir });
            }
            std::thread::sleep(POLL);
        }
    }

    /// Asks every child to leave, sentinels before nodes (so that none sees the others go and fails over), and kills those that do
    /// not. Answers with the names of the killed.
    pub fn stop(&mut self) -> Vec<String> {
        let mut killed = Vec::new();
        for kind in [Kind::Sentinel, Kind::Node] {
            for child in self.children.iter_mut().filter(|child| child.kind == kind) {
                child.resume();
                child.terminate();
            }
            let deadline = Instant::now() + LEAVE_WITHIN;
            for child in self.children.iter_mut().filter(|child| child.kind == kind) {
                while child.is_running() && Instant::now() < deadline {
                    std::thread::sleep(POLL);
                }
                if child.is_running() {
                    child.kill();
                    killed.push(child.name.clone());
                }
            }
        }
        killed
    }

    fn describe(&self, kind: Kind, index: u16) -> Result<Child, LocalError> {
        let (port, side_port, host) = match kind {
            Kind::Node => {
                let port = self.layout.port + index;
                (port, port + 1000, self.layout.node_bind(index))
            }
            Kind::Sentinel => {
                let port = self.layout.sentinel_port + index;
                (port, port + 1000, Ipv4Addr::LOCALHOST)
            }
        };
        let (name, file) = match kind {
            Kind::Node => (format!("node-{port}"), "redis.conf"),
            Kind::Sentinel => (format!("sentinel-{port}"), "sentinel.yaml"),
        };
        let child = Child::new(kind, SocketAddr::from((host, port)), side_port, self.dir.join(name), file);
        let config = match kind {
            Kind::Node => self.layout.node_config(index),
            Kind::Sentinel => self.layout.sentinel_config(index),
        };
        folder::write_if_absent(&child.config, &config)?;
        Ok(child)
    }

    /// Every port is tried before the first process starts, so that a clash is one line and leaves nothing behind.
    fn check_ports(&self) -> Result<(), LocalError> {
        let nodes =
            (0..self.layout.nodes).map(|i| (self.layout.node_bind(i), self.layout.port + i, "node", "--port", i));
        let sentinels = (0..self.layout.sentinels)
            .map(|i| (Ipv4Addr::LOCALHOST, self.layout.sentinel_port + i, "sentinel", "--sentinel-port", i));
        for (host, port, what, flag, index) in nodes.chain(sentinels) {
            for port in [port, port + 1000] {
                TcpListener::bind((host, port)).map_err(|_| LocalError::PortTaken {
                    host,
                    port,
                    user: format!("{what} {}", index + 1),
                    flag,
                })?;
            }
        }
        Ok(())
    }
}
