//! Nodes as processes for the tests of this folder: ours (this test program, started again) and real Redis servers. Loopback, free ports,
//! a temporary directory each, killed by pid when they go out of scope.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod hand;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use quorate_config::ServerConfig;
use quorate_resp::{Value, encode_command, split_line};

/// How long anything may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The options of a node that this program shall be, one a line.
const OPTIONS: &str = "QUORATE_TEST_NODE";

/// Becomes a node if this process was started to be one. A test of this name stands in every file that uses `Server::ours`.
pub fn be_a_node_if_asked() {
    let Ok(options) = std::env::var(OPTIONS) else { return };
    let options: Vec<String> = options.lines().map(str::to_owned).collect();
    let config = ServerConfig::load(None, &options, &mut |_| unreachable!("nothing is included")).expect("options");
    quorate_node::run(config, None).expect("the node runs");
}

/// The command that starts a server in a directory and on a port.
type Start = Box<dyn Fn(&Path, u16) -> Command + Send>;

/// A server process.
pub struct Server {
    pub port: u16,
    pub dir: tempfile::TempDir,
    child: Child,
    start: Start,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on, and whose agent's port (1000 above) is free too. Below the range that the kernel takes for outgoing
/// connections (32768); each process has a place of its own to look in.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = 12_000 + (std::process::id() % 10) * 2000;
    for _ in 0..1000 {
        let place = std::process::id() / 10 * 37 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = (first + place % 1000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port + 1000)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

impl Server {
    /// One of our nodes. `options` as on a command line, separated by blanks.
    pub fn ours(options: &str) -> Server {
        let options = format!("--bind 127.0.0.1 --save \"\" {options}");
        let words = split_line(options.as_bytes()).expect("balanced quotes");
        let words: Vec<String> = words.into_iter().map(|word| String::from_utf8(word).expect("text")).collect();
        Server::start(move |dir, port| {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            let all = [words.join("\n"), format!("--port\n{port}\n--dir\n{}", dir.display())].join("\n");
            command.args(["--exact", "a_node_for_the_other_tests", "--nocapture"]).env(OPTIONS, all);
            command
        })
    }

    /// A real Redis.
    pub fn redis(options: &str) -> Server {
        let options: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
        Server::start(move |dir, port| {
            let mut command = Command::new("redis-server");
            command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
            command.args(["--repl-diskless-sync-delay", "0", "--dir"]).arg(dir).args(&options);
            command
        })
    }

    fn start(start: impl Fn(&Path, u16) -> Command + Send + 'static) -> Server {
        let start: Start = Box::new(start);
        // Somebody else may take the port between our look and the server's: it ends then, and another one is tried.
        for _ in 0..5 {
            let (dir, port) = (tempfile::tempdir().expect("a directory"), free_port());
            let mut child = spawn(start(dir.path(), port));
            if listens(&mut child, port) {
                return Server { port, dir, child, start };
            }
        }
        panic!("no server could be started");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }

    /// Freezes it: returns when every thread of it stands still.
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        wait_until(|| {
            for task in std::fs::read_dir(&tasks).map_err(|error| error.to_string())?.flatten() {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                // The state stands behind the name in parentheses. Source: man 5 proc.
                if !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')) {
                    return Err(format!("it still runs: {stat}"));
                }
            }
            Ok(())
        });
    }

    /// Lets it go on after [`Server::freeze`].
    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a child of ours");
    }

    /// Starts it again on the same directory, after [`Server::kill`].
    pub fn restart(&mut self) {
        self.child = spawn((self.start)(self.dir.path(), self.port));
        assert!(listens(&mut self.child, self.port), "the server on {} did not start again", self.port);
    }

    /// A connection.
    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client { stream, unread: Vec::new() }
    }

    /// Says one command on a connection of its own.
    pub fn say(&self, command: &str) -> String {
        self.client().say(command)
    }

    /// A field of INFO.
    pub fn info(&self, field: &str) -> String {
        let text = self.client().ask(&[b"INFO", b"everything"]);
        let text = String::from_utf8_lossy(text.bytes().expect("INFO is text")).into_owned();
        let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("INFO has no {field}")).trim().to_owned()
    }

    /// Waits until a field of INFO has this value.
    pub fn wait_for(&self, field: &str, value: &str) {
        wait_until(|| match self.info(field) {
            now if now == value => Ok(()),
            now => Err(format!("{field} is {now}, not {value}")),
        });
    }
}

/// Waits until the server listens; says whether it does, or has ended.
fn listens(child: &mut Child, port: u16) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if child.try_wait().expect("a child of ours").is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok_and(|stream| reaches_another(&stream)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens on {port} after {PATIENCE:?}");
}

/// On loopback a connection to a port that nobody listens on may be given that very port, and then it reaches itself.
fn reaches_another(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(here), Ok(there)) => here != there,
        _ => false,
    }
}

fn spawn(mut command: Command) -> Child {
    let quiet = std::env::var_os("QUORATE_TEST_LOUD").is_none();
    if quiet {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let name = command.get_program().to_string_lossy().into_owned();
    command.spawn().unwrap_or_else(|error| {
        panic!("{name} cannot be started: {error}. These tests want a real Redis 7: apt-get install redis-server")
    })
}

/// Polls until `check` is content.
pub fn wait_until(mut check: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(why) = check() {
        assert!(Instant::now() < deadline, "after {PATIENCE:?}: {why}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A connection that speaks RESP2.
pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    /// Says a command and reads its reply, in its short form.
    pub fn say(&mut self, command: &str) -> String {
        let words = split_line(command.as_bytes()).expect("balanced quotes");
        let argv: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        self.ask(&argv).to_string()
    }

    /// Says a command and reads its reply.
    pub fn ask(&mut self, argv: &[&[u8]]) -> Value {
        self.send(argv);
        self.hear()
    }

    /// Says a command.
    pub fn send(&mut self, argv: &[&[u8]]) {
        let mut bytes = Vec::new();
        encode_command(&mut bytes, argv);
        self.stream.write_all(&bytes).expect("sent");
    }

    /// Waits for the server to close the connection without another word.
    pub fn closed(&mut self) -> bool {
        let mut piece = [0; 64];
        self.unread.is_empty() && matches!(self.stream.read(&mut piece), Ok(0) | Err(_))
    }

    /// Does it stay silent for so long?
    pub fn silent_for(&mut self, time: Duration) -> bool {
        let mut piece = [0; 64 << 10];
        self.stream.set_read_timeout(Some(time)).expect("a timeout");
        let read = self.stream.read(&mut piece);
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        match read {
            Ok(count) => {
                self.unread.extend_from_slice(&piece[..count]);
                false
            }
            Err(error) => matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        }
    }

    /// Reads a reply.
    pub fn hear(&mut self) -> Value {
        loop {
            if let Some((value, taken)) = Value::decode(&self.unread).expect("RESP") {
                self.unread.drain(..taken);
                return value;
            }
            let mut piece = [0; 64 << 10];
            let count = self.stream.read(&mut piece).expect("a reply in time");
            assert!(count > 0, "the server closed the connection");
            self.unread.extend_from_slice(&piece[..count]);
        }
    }
}
