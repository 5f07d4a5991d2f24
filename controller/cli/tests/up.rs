//! `quorate up` as a newcomer meets it: the binary itself, its output, its exit code, its children.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use quorate_cli::drill::free_layout;
use quorate_cli::local::Layout;
use quorate_harness::{connect, eventually};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate");
const START_WITHIN: Duration = Duration::from_secs(90);

fn up(dir: &Path, layout: &Layout, more: &[&str]) -> Command {
    let mut command = Command::new(QUORATE);
    command.args(["up", "--port", &layout.port.to_string(), "--sentinel-port", &layout.sentinel_port.to_string()]);
    command.arg("--dir").arg(dir).args(more).stdin(Stdio::null());
    command
}

fn layout() -> Layout {
    free_layout().expect("there are free ports")
}

/// A run that must fail with exactly one line on standard error.
#[track_caller]
fn fails(command: &mut Command, code: i32, line: &str) {
    let Output { status, stderr, .. } = command.output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(line), "{stderr}");
}

/// A running `up` whose output is read as it comes.
struct Running {
    process: Child,
    lines: mpsc::Receiver<String>,
    heard: Vec<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(process.stdout.take().expect("it was piped"));
        let errors = BufReader::new(process.stderr.take().expect("it was piped"));
        for reader in [Box::new(output) as Box<dyn BufRead + Send>, Box::new(errors)] {
            let sender = sender.clone();
            std::thread::spawn(move || reader.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        }
        Self { process, lines, heard: Vec::new() }
    }

    /// Waits for a line that holds these words.
    #[track_caller]
    fn hears(&mut self, words: &str, within: Duration) {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(50)) {
                let found = line.contains(words);
                self.heard.push(line);
                if found {
                    return;
                }
            }
        }
        panic!("'{words}' was not heard in:\n{}", self.heard.join("\n"));
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    #[track_caller]
    fn leaves(&mut self) -> Option<i32> {
        let ended = eventually(Duration::from_secs(60), || match self.process.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it still runs".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        ended.code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone in a test that passed; its children follow it.
        let _: std::io::Result<()> = self.process.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.process.wait();
    }
}

#[track_caller]
fn all_ports_free(layout: &Layout) {
    eventually(Duration::from_secs(10), || {
        for port in (0..3).flat_map(|index| [layout.port + index, layout.sentinel_port + index]) {
            TcpListener::bind(("127.0.0.1", port)).map_err(|error| format!("port {port}: {error}"))?;
        }
        Ok::<_, String>(())
    });
}

#[test]
fn a_taken_port_is_one_line() {
    let (dir, layout) = (tempfile::tempdir().unwrap(), layout());
    let _taken = TcpListener::bind(("127.0.0.1", layout.port + 1)).unwrap();
    let line = format!("port {} on 127.0.0.1 is taken (node 2 needs it)", layout.port + 1);
    fails(&mut up(dir.path(), &layout, &[]), 1, &line);
}

#[test]
fn an_unwritable_folder_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    fails(&mut up(&file.join("data"), &layout(), &[]), 1, "cannot write to");
}

/// What the command line asks for is in force before `up` says that the group is ready (I9: and is published only then).
#[test]
fn a_quorum_group_is_ready_once_quorum_is_in_force() {
    let (dir, layout) = (tempfile::tempdir().unwrap(), layout());
    let mut running = Running::start(up(dir.path(), &layout, &["--durability", "quorum"]));
    running.hears("Ctrl-C stops everything", START_WITHIN);
    let info: String = redis::cmd("INFO").arg("replication").query(&mut connect(layout.port).unwrap()).unwrap();
    assert!(info.contains("quorate_durability:quorum"), "{info}");
    running.signal("INT");
    assert_eq!(running.leaves(), Some(0), "{:?}", running.heard);
    let line = "holds a group with --durability quorum, not --durability async";
    fails(&mut up(dir.path(), &layout, &["--durability", "async"]), 1, line);
}

#[test]
fn without_sentinels_the_exit_code_is_3() {
    for command in [&["status"][..], &["failover", "main"], &["history"], &["watch"]] {
        let line = "no sentinel could answer: 127.0.0.1:1:";
        fails(Command::new(QUORATE).args(command).args(["--api", "127.0.0.1:1"]), 3, line);
    }
}

#[test]
fn a_group_starts_goes_on_with_its_data_and_leaves_nothing_behind() {
    let (dir, layout) = (tempfile::tempdir().unwrap(), layout());
    let mut first = Running::start(up(dir.path(), &layout, &[]));
    first.hears("Ctrl-C stops everything", START_WITHIN);
    let holder = format!("in use by another 'quorate up' (process {})", first.process.id());
    fails(&mut up(dir.path(), &layout, &[]), 1, &holder);

    let mut master = connect(layout.port).unwrap();
    redis::cmd("SET").arg("kept").arg("yes").exec(&mut master).unwrap();
    let api: Vec<_> = (0..3).map(|index| format!("127.0.0.1:{}", layout.sentinel_port + 1000 + index)).collect();
    let status = Command::new(QUORATE).args(["status", "--json", "--api", &api.join(",")]).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let picture: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(picture["groups"][0]["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(picture["sentinels"].as_array().unwrap().len(), 3);

    first.signal("INT");
    assert_eq!(first.leaves(), Some(0), "{:?}", first.heard);
    all_ports_free(&layout);

    let other = Command::new(QUORATE).args(["up", "--nodes", "2", "--dir"]).arg(dir.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&other.stderr).contains("holds a group with --nodes 3, not --nodes 2"));

    let mut second = Running::start(up(dir.path(), &layout, &[]));
    second.hears("Ctrl-C stops everything", START_WITHIN);
    let value: String = redis::cmd("GET").arg("kept").query(&mut connect(layout.port).unwrap()).unwrap();
    assert_eq!(value, "yes");

    second.signal("KILL");
    second.leaves();
    all_ports_free(&layout);
}

#[test]
fn a_killed_master_is_replaced_and_started_again() {
    let (dir, layout) = (tempfile::tempdir().unwrap(), layout());
    let mut running = Running::start(up(dir.path(), &layout, &["--nodes", "2"]));
    running.hears("kills the master: watch a replica take over", START_WITHIN);
    let pid = running.heard.last().and_then(|line| line.split_whitespace().nth(2)).expect("kill -9 <pid>").to_owned();
    running.hears("Ctrl-C stops everything", START_WITHIN);
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    running.hears("+switch-master", Duration::from_secs(30));
    running.hears("started again", Duration::from_secs(30));
    running.signal("TERM");
    assert_eq!(running.leaves(), Some(0));
}
