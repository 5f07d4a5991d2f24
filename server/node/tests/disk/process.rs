//! Servers as processes: ours is this test program, started again to run a node instead of tests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quorate_config::ServerConfig;
use quorate_resp::{Value, encode_command, split_line};

const DEADLINE: Duration = Duration::from_secs(60);
/// Holds the node's configuration, as lines of a redis.conf.
const CONFIG: &str = "QUORATE_TEST_NODE";

/// Not a test: what [`Process::node`] starts.
#[test]
fn the_node_itself() {
    let Ok(text) = std::env::var(CONFIG) else { return };
    let config = ServerConfig::load(Some(("test.conf", &text)), &[], &mut |_| Err("no includes".to_owned()))
        .expect("directives");
    let code = match quorate_node::run(config, None) {
        Ok(()) => 0,
        Err(quorate_node::NodeError::Left(code)) => code,
        Err(error) => panic!("{error}"),
    };
    std::process::exit(code);
}

/// A server that ends with this value.
pub struct Process {
    child: Child,
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Process {
    /// Ours. `directives` are a command line's.
    pub fn node(dir: &Path, directives: &[&str]) -> Process {
        Process::start(|port| node_command(dir, port, directives))
    }

    /// Ours, at a port that was used before.
    pub fn node_at(port: u16, dir: &Path, directives: &[&str]) -> Process {
        Process::start_at(port, |port| node_command(dir, port, directives))
    }

    /// Debian's.
    pub fn redis(dir: &Path, directives: &[&str]) -> Process {
        Process::start(|port| {
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(dir).args(directives);
            command
        })
    }

    /// The exit code of a node that does not start.
    pub fn refused(dir: &Path, directives: &[&str]) -> i32 {
        let mut child =
            node_command(dir, free_port(), directives).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        exit_code(&mut child)
    }

    fn start(command: impl Fn(u16) -> Command) -> Process {
        Process::start_at(free_port(), command)
    }

    fn start_at(port: u16, command: impl Fn(u16) -> Command) -> Process {
        let child = command(port)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server must be installed (apt-get install redis-server)");
        let mut guard = Guard(Some(child));
        let deadline = Instant::now() + DEADLINE;
        let stream = loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                break stream;
            }
            let child = guard.0.as_mut().expect("just started");
            assert_eq!(child.try_wait().unwrap(), None, "the server refused to start");
            assert!(Instant::now() < deadline, "the server does not listen");
            std::thread::sleep(Duration::from_millis(5));
        };
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let child = guard.0.take().expect("just started");
        let mut process = Process { child, stream, unread: Vec::new() };
        eventually(|| !process.say("get nothing").starts_with("-LOADING"), || "still loading".to_owned());
        process
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn send(&mut self, command: &str) {
        let words = split_line(command.as_bytes()).expect("balanced quotes");
        let argv: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        encode_command(&mut bytes, &argv);
        self.stream.write_all(&bytes).expect("sent");
    }

    pub fn hear(&mut self) -> Value {
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Some((value, taken)) = Value::decode(&self.unread).expect("RESP") {
                self.unread.drain(..taken);
                return value;
            }
            let count = self.stream.read(&mut buffer).expect("a reply in time");
            assert!(count > 0, "the server closed the connection");
            self.unread.extend_from_slice(&buffer[..count]);
        }
    }

    pub fn ask(&mut self, command: &str) -> Value {
        self.send(command);
        self.hear()
    }

    /// A command's reply in its short form.
    pub fn say(&mut self, command: &str) -> String {
        self.ask(command).to_string()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.stream.peer_addr().expect("connected").port()
    }

    /// A field of INFO.
    pub fn info(&mut self, field: &str) -> String {
        let reply = self.ask("info");
        let text = String::from_utf8_lossy(reply.bytes().expect("text")).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no field {field} in {text}")).to_owned()
    }

    /// Waits until nothing is being saved or rewritten.
    pub fn settled(&mut self) {
        let fields = ["rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"];
        eventually(|| fields.iter().all(|field| self.info(field) == "0"), || "still writing".to_owned());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub fn terminate(&mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for the end of a server that was told to leave.
    pub fn exit_code(&mut self) -> i32 {
        exit_code(&mut self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Kills a child that has not become a [`Process`].
struct Guard(Option<Child>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn node_command(dir: &Path, port: u16, directives: &[&str]) -> Command {
    let mut lines = format!("port {port}\ndir {}\nbind 127.0.0.1\n", dir.display());
    for pair in directives.chunks_exact(2) {
        let value = if pair[1].is_empty() { "\"\"" } else { pair[1] };
        lines += &format!("{} {value}\n", pair[0].trim_start_matches("--"));
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process::the_node_itself", "--nocapture"]).env(CONFIG, lines);
    command
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn exit_code(child: &mut Child) -> i32 {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server does not leave");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Polls with a deadline; `what` says what was seen last.
pub fn eventually(mut seen: impl FnMut() -> bool, what: impl FnOnce() -> String) {
    let deadline = Instant::now() + DEADLINE;
    while !seen() {
        assert!(Instant::now() < deadline, "not in time: {}", what());
        std::thread::sleep(Duration::from_millis(10));
    }
}
