//! The servers under test: started on loopback and a free port, bound to their core before they run, killed when dropped.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quorate_resp::Value;
use serde::{Deserialize, Serialize};

use crate::error::{BenchError, Tried};
use crate::process;

/// How long a server may take to answer its first PING; it may have a dataset to load.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
/// Between two tries.
const POLL: Duration = Duration::from_millis(2);
/// How long an administrator's question may take: SAVE of a large dataset is one.
const ANSWERS_WITHIN: Duration = Duration::from_secs(300);

/// Whose server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// This project's.
    Quorate,
    /// Valkey, which ratios are taken to.
    Valkey,
    /// Redis.
    Redis,
}

impl Kind {
    /// Its name in tables and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Quorate => "quorate",
            Kind::Valkey => "valkey",
            Kind::Redis => "redis",
        }
    }
}

/// Where the programs are; absent ones are left out.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Each server's program, in the order of the tables.
    pub servers: Vec<(Kind, PathBuf)>,
}

impl Programs {
    /// Which servers there are.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.servers.iter().map(|(kind, _)| *kind)
    }

    /// A server's program.
    pub fn path(&self, kind: Kind) -> Result<&Path, BenchError> {
        let found = self.servers.iter().find(|(known, _)| *known == kind);
        found.map(|(_, path)| path.as_path()).ok_or_else(|| BenchError::Usage(format!("{} is not there", kind.name())))
    }

    /// What each program says of itself.
    pub fn versions(&self) -> Result<Vec<(Kind, String)>, BenchError> {
        let asked = self.servers.iter().map(|(kind, path)| {
            let mut command = Command::new(path);
            let output = command.arg("--version").output().tried(|| path.display().to_string())?;
            Ok((*kind, String::from_utf8_lossy(&output.stdout).trim().to_owned()))
        });
        asked.collect()
    }
}

/// Where a server may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this core alone.
    Core(usize),
    /// Wherever the kernel likes: what it starts (threads, forks) may use the other cores.
    Anywhere,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Whose.
    pub kind: Kind,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its folder.
    pub folder: PathBuf,
    process: Child,
}

impl Server {
    /// Starts one with an empty database and these further options; `folder` is made if absent.
    pub fn start(
        programs: &Programs,
        kind: Kind,
        place: Place,
        folder: &Path,
        options: &[&str],
    ) -> Result<Server, BenchError> {
        let port = free_port()?;
        let server = Self::spawn(programs, kind, place, folder, port, options)?;
        server.wait_for_pong(programs.path(kind)?)?;
        Ok(server)
    }

    /// The same without waiting for its first answer.
    pub fn spawn(
        programs: &Programs,
        kind: Kind,
        place: Place,
        folder: &Path,
        port: u16,
        options: &[&str],
    ) -> Result<Server, BenchError> {
        std::fs::create_dir_all(folder).tried(|| folder.display().to_string())?;
        // It is started in its folder: a path from here would not be found from there.
        let program = programs.path(kind)?;
        let program = if program.components().count() > 1 {
            std::path::absolute(program).tried(|| program.display().to_string())?
        } else {
            program.to_owned()
        };
        let log = File::create(folder.join("log")).tried(|| folder.display().to_string())?;
        let mut command = Command::new(&program);
        if kind == Kind::Quorate {
            command.arg("server");
        }
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        if kind == Kind::Valkey {
            command.args(["--io-threads", "1"]);
        }
        command.args(options).arg("--dir").arg(folder).current_dir(folder).stdin(Stdio::null());
        command.stdout(log.try_clone().tried(|| "a log".into())?).stderr(log);
        // A child inherits the affinity of the thread that starts it, so it is bound before its first instruction.
        let cores = process::cores()?;
        match place {
            Place::Core(core) => process::bind(&[core])?,
            Place::Anywhere => process::bind(&process::all_cores())?,
        }
        let spawned = command.spawn();
        process::bind(&cores)?;
        let process = spawned.tried(|| program.display().to_string())?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Server { kind, address, folder: folder.to_owned(), process })
    }

    /// Waits until it answers PING with PONG: until it has loaded its data.
    pub fn wait_for_pong(&self, program: &Path) -> Result<(), BenchError> {
        let deadline = Instant::now() + STARTS_WITHIN;
        while !matches!(self.admin().and_then(|mut admin| admin.ask(&["PING"])), Ok(Value::Simple(pong)) if pong == "PONG")
        {
            if Instant::now() > deadline {
                return Err(BenchError::Silent { program: program.to_owned(), log: self.folder.join("log") });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A connection for questions.
    pub fn admin(&self) -> Result<Admin, BenchError> {
        Admin::connect(self.kind.name(), self.address)
    }

    /// Kills it and waits until it is gone. Its folder stays.
    pub fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _: std::io::Result<()> = self.process.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").tried(|| "a free port".into())?;
    Ok(listener.local_addr().tried(|| "a free port".into())?.port())
}

/// One question at a time.
#[derive(Debug)]
pub struct Admin {
    server: &'static str,
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Admin {
    /// Connects to a server of this name.
    pub fn connect(server: &'static str, address: SocketAddr) -> Result<Admin, BenchError> {
        let stream = TcpStream::connect(address).tried(|| format!("{server} at {address}"))?;
        stream.set_read_timeout(Some(ANSWERS_WITHIN)).tried(|| "a time limit".into())?;
        stream.set_nodelay(true).tried(|| "TCP_NODELAY".into())?;
        Ok(Admin { server, stream, unread: Vec::new() })
    }

    /// An answer that takes longer is an error from now on.
    pub fn answers_within(&self, limit: Duration) -> Result<(), BenchError> {
        self.stream.set_read_timeout(Some(limit)).tried(|| "a time limit".into())
    }

    /// Asks and waits for the answer, whatever it is.
    pub fn ask(&mut self, words: &[&str]) -> Result<Value, BenchError> {
        let what = || format!("{}: {}", self.server, words.join(" "));
        let mut request = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| request.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        self.stream.write_all(request.as_bytes()).tried(what)?;
        loop {
            let decoded =
                Value::decode(&self.unread).map_err(|error| BenchError::Other(format!("{}: {error}", what())))?;
            if let Some((value, used)) = decoded {
                self.unread.drain(..used);
                return Ok(value);
            }
            let mut piece = [0; 16 * 1024];
            let count = self.stream.read(&mut piece).tried(what)?;
            if count == 0 {
                return Err(BenchError::Other(format!("{}: the connection was closed", what())));
            }
            self.unread.extend_from_slice(&piece[..count]);
        }
    }

    /// Asks; an error is none of the answers that will do.
    pub fn must(&mut self, words: &[&str]) -> Result<Value, BenchError> {
        match self.ask(words)? {
            Value::Error(reply) => Err(BenchError::Refused { server: self.server, command: words.join(" "), reply }),
            value => Ok(value),
        }
    }

    /// A field of INFO; absent, it is empty.
    pub fn info(&mut self, section: &str, field: &str) -> Result<String, BenchError> {
        let value = self.must(&["INFO", section])?;
        let text = String::from_utf8_lossy(value.bytes().unwrap_or_default()).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(line.unwrap_or_default().trim().to_owned())
    }
}
