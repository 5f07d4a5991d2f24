//! A stock Redis 7 to compare with: Debian's `redis-server`.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{connect, eventually};

/// A running `redis-server`; killed when dropped.
pub struct StockRedis {
    /// Where it listens.
    pub port: u16,
    process: Child,
    folder: tempfile::TempDir,
}

impl StockRedis {
    /// Starts one on a free port with these further options, and waits until it answers. Needs `redis-server` in PATH.
    pub fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("there is a free port").port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .arg("--dir")
            .arg(folder.path())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be installed (apt-get install redis-server)");
        let started = Self { port, process, folder };
        eventually(Duration::from_secs(10), || redis::cmd("PING").exec(&mut connect(port)?));
        started
    }

    /// Its working folder.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for StockRedis {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _: std::io::Result<()> = self.process.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.process.wait();
    }
}
