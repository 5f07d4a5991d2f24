//! The server that a unit runs against.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to answer its first PING.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A running `quorate server`; killed when dropped.
pub struct Server {
    /// Where it listens, on loopback.
    pub port: u16,
    process: Child,
}

impl Server {
    /// Starts `program` with an empty `folder` and waits until it answers.
    pub fn start(program: &Path, folder: &Path, log: &Path) -> io::Result<Server> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        let port = free_port()?;
        let log = File::create(log)?;
        let process = Command::new(program)
            .args(["server", "--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
            .args(["--enable-protected-configs", "yes", "--enable-debug-command", "yes"])
            .args(["--enable-module-command", "yes"])
            .arg("--dir")
            .arg(folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let started = Server { port, process };
        let deadline = Instant::now() + STARTS_WITHIN;
        while ping(port).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other("the server does not answer"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(started)
    }

    /// Stops it; says whether it was still running.
    pub fn stop(mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

/// A port that nobody listens on.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn ping(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply)?;
    if &reply == b"+PONG\r\n" { Ok(()) } else { Err(io::Error::other("no PONG")) }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _: io::Result<()> = self.process.kill();
        let _: io::Result<std::process::ExitStatus> = self.process.wait();
    }
}
