//! Starts real processes for tests and drills: groups of ours, and a stock Redis 7 to compare with.
//!
//! Everything listens on loopback and free ports, lives in a temporary folder, and ends with the value that holds it. Nothing here sleeps
//! blindly: [`eventually`] polls with a deadline.

pub mod http;
pub mod stock;

use std::path::Path;
use std::time::{Duration, Instant};

use quorate_cli::drill::free_layout;
use quorate_cli::local::{Group, Layout, LocalError};

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);

/// Polls until `seen` answers `Ok`; panics with the last reason at the deadline.
#[track_caller]
pub fn eventually<T, E: std::fmt::Display>(within: Duration, mut seen: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + within;
    loop {
        match seen() {
            Ok(value) => return value,
            Err(reason) if Instant::now() > deadline => panic!("not within {within:?}: {reason}"),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// A group of ours in a temporary folder.
pub struct TestGroup {
    /// Its processes.
    pub group: Group,
    folder: tempfile::TempDir,
}

impl TestGroup {
    /// Starts three nodes and three sentinels of `program` and waits until they are in order.
    pub fn start(program: &Path) -> Self {
        Self::with(program, |_| {})
    }

    /// The same with another layout.
    pub fn with(program: &Path, change: impl FnOnce(&mut Layout)) -> Self {
        let mut layout = free_layout().expect("there are free ports");
        change(&mut layout);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let group = Group::start(folder.path(), layout, program).unwrap_or_else(|error| panic!("{error}"));
        let mut started = Self { group, folder };
        started.settle();
        started
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until the group is in order; answers with its master's port.
    #[track_caller]
    pub fn settle(&mut self) -> u16 {
        let settled = self.group.wait_settled(Duration::from_secs(60));
        let settled = settled.unwrap_or_else(|error: LocalError| panic!("{error}\n{}", self.logs()));
        settled.master.expect("a group in order has a master").port as u16
    }

    /// The end of every log: what a failed test should show.
    pub fn logs(&self) -> String {
        let tail = |text: String| text.lines().rev().take(15).map(str::to_owned).collect::<Vec<_>>();
        let logs = self.group.children().iter().map(|child| {
            let lines = tail(std::fs::read_to_string(&child.log).unwrap_or_default());
            format!("--- {}\n{}\n", child.name, lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        });
        logs.collect()
    }
}

/// A connection to a node or sentinel on loopback.
pub fn connect(port: u16) -> redis::RedisResult<redis::Connection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    let connection = client.get_connection_with_timeout(Duration::from_secs(2))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(connection)
}
