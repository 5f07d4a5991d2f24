//! Failover: from SIGKILL of the master to the first acknowledged write at its successor, at down-after 500 ms on both sides.
//!
//! This project's side is `quorate drill kill`, whose writer is redis-rs's Sentinel client. The other side is three `redis-server` and three of Redis's own
//! sentinels, with the writer below, which is no slower a client: it asks the sentinels again as soon as a write has failed or not been
//! answered in 100 ms, and every 5 ms from then on. Valkey's column stays empty: ratios are to Redis Sentinel.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quorate_resp::Value;
use serde_json::Value as Json;

use crate::bench::{Bench, line};
use crate::error::{BenchError, Tried};
use crate::figure::{Figure, Sample};
use crate::process;
use crate::server::{Admin, Kind, Place, Server, free_port};

const DOWN_AFTER_MS: u64 = 500;
/// Rounds of a fault for each round asked for: a failover's length depends on chance more than a command's.
const FACTOR: usize = 2;
/// Writes a second, as in the drill.
const RATE: u32 = 500;
const GROUP: &str = "bench";
/// A write that is not answered in this time has failed, as in the drill.
const ANSWERS_WITHIN: Duration = Duration::from_millis(100);
/// Between two questions to the sentinels, as in the drill.
const RETRY: Duration = Duration::from_millis(5);
/// Sentinels find each other by their hellos, every 2 s (Redis documentation, Sentinel).
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const RECOVERS_WITHIN: Duration = Duration::from_secs(60);
/// How long writes are acknowledged before the blow.
const STEADY: Duration = Duration::from_secs(1);

/// Both sides.
pub fn failover(bench: &Bench) -> Result<Vec<Figure>, BenchError> {
    let settings = [("down_after_ms", DOWN_AFTER_MS)];
    let mut figure =
        Figure::new("failover", "SIGKILL to the first acknowledged write", "ms", &settings).against(Some(Kind::Redis));
    let rounds = bench.rounds * FACTOR;
    // Groups use every core, as they would anywhere.
    let own = process::cores()?;
    process::bind(&process::all_cores())?;
    let result = sides(bench, rounds, &mut figure);
    process::bind(&own)?;
    result?;
    Ok(vec![figure])
}

fn sides(bench: &Bench, rounds: usize, figure: &mut Figure) -> Result<(), BenchError> {
    for (round, ms) in drill(bench.programs.path(Kind::Quorate)?, rounds)?.into_iter().enumerate() {
        figure.note(round, Kind::Quorate, Sample::of(ms));
    }
    if bench.programs.kinds().any(|kind| kind == Kind::Redis) {
        for round in 0..rounds {
            let folder = bench.folder.join(format!("sentinels-{round}"));
            let ms = Sentinels::start(bench, &folder)?.kill_master()?;
            figure.note(round, Kind::Redis, Sample::of(ms));
            bench.say(&line(round, figure));
        }
    }
    Ok(())
}

/// What the project's own drill measures, round by round.
fn drill(program: &Path, rounds: usize) -> Result<Vec<f64>, BenchError> {
    let output = Command::new(program)
        .args(["drill", "kill", "--json", "--rounds", &rounds.to_string()])
        .args(["--rate", &RATE.to_string(), "--down-after", &DOWN_AFTER_MS.to_string()])
        .stdin(Stdio::null())
        .output()
        .tried(|| program.display().to_string())?;
    let fault =
        |what: &str| BenchError::Other(format!("quorate drill: {what}: {}", String::from_utf8_lossy(&output.stderr)));
    let report: Json = serde_json::from_slice(&output.stdout).map_err(|error| fault(&error.to_string()))?;
    recoveries(&report).ok_or_else(|| fault("a round did not recover"))
}

/// The recovery of every round of a drill's report; `None` if one did not recover.
fn recoveries(report: &Json) -> Option<Vec<f64>> {
    let rounds = report["faults"].get(0)?["rounds"].as_array()?;
    rounds.iter().map(|round| round["recovery_ms"].as_f64()).collect()
}

/// Three servers of Redis and three of its sentinels.
struct Sentinels {
    nodes: Vec<Server>,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    port: u16,
    process: Child,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _: std::io::Result<()> = self.process.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.process.wait();
    }
}

impl Sentinels {
    fn start(bench: &Bench, folder: &Path) -> Result<Sentinels, BenchError> {
        let options = ["--repl-diskless-sync-delay", "0"];
        let start =
            |name: &str| Server::start(&bench.programs, Kind::Redis, Place::Anywhere, &folder.join(name), &options);
        let nodes = vec![start("master")?, start("replica-1")?, start("replica-2")?];
        let port = nodes[0].address.port();
        for replica in &nodes[1..] {
            replica.admin()?.must(&["REPLICAOF", "127.0.0.1", &port.to_string()])?;
        }
        for replica in &nodes[1..] {
            let mut admin = replica.admin()?;
            settle("the replicas do not follow", || Ok(admin.info("replication", "master_link_status")? == "up"))?;
        }
        let program = bench.programs.path(Kind::Redis)?;
        let sentinels = (0..3).map(|index| Sentinel::start(program, &folder.join(format!("sentinel-{index}")), port));
        let started = Sentinels { nodes, sentinels: sentinels.collect::<Result<Vec<_>, BenchError>>()? };
        for sentinel in &started.sentinels {
            settle("the sentinels do not find each other", || Ok(sentinel.sees()? == (2, 2)))?;
        }
        Ok(started)
    }

    /// Writes, kills the master, and writes on until another master has acknowledged one: how long that took.
    fn kill_master(mut self) -> Result<f64, BenchError> {
        let mut writer = Writer {
            sentinels: self.sentinels.iter().map(|sentinel| sentinel.port).collect(),
            master: None,
            number: 0,
        };
        let steady = Instant::now() + STEADY;
        while Instant::now() < steady {
            writer.write()?;
        }
        let old = self.nodes[0].address.port();
        let struck_at = Instant::now();
        self.nodes[0].kill();
        while struck_at.elapsed() < RECOVERS_WITHIN {
            if writer.write()?.is_some_and(|port| port != old) {
                return Ok(struck_at.elapsed().as_secs_f64() * 1000.0);
            }
        }
        Err(BenchError::Other("Redis Sentinel did not fail over".into()))
    }
}

impl Sentinel {
    fn start(program: &Path, folder: &Path, master: u16) -> Result<Sentinel, BenchError> {
        std::fs::create_dir_all(folder).tried(|| folder.display().to_string())?;
        let port = free_port()?;
        let config: PathBuf = folder.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {GROUP} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {GROUP} {DOWN_AFTER_MS}\n",
            folder.display()
        );
        std::fs::write(&config, text).tried(|| config.display().to_string())?;
        let mut command = Command::new(program);
        command.arg(&config).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Sentinel { port, process: command.spawn().tried(|| program.display().to_string())? })
    }

    /// How many replicas and other sentinels it knows of.
    fn sees(&self) -> Result<(i64, i64), BenchError> {
        // It does not listen yet, right after its start.
        let Ok(mut admin) = Admin::connect("redis", ([127, 0, 0, 1], self.port).into()) else { return Ok((0, 0)) };
        let master = admin.must(&["SENTINEL", "MASTER", GROUP])?;
        let words: Vec<String> = master.elements().unwrap_or_default().iter().map(text).collect();
        let field = |name: &str| {
            let place = words.iter().position(|word| word == name);
            place.and_then(|place| words.get(place + 1)?.parse().ok()).unwrap_or(0)
        };
        Ok((field("num-slaves"), field("num-other-sentinels")))
    }
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(value.bytes().unwrap_or_default()).into_owned()
}

fn settle(what: &str, mut seen: impl FnMut() -> Result<bool, BenchError>) -> Result<(), BenchError> {
    let deadline = Instant::now() + SETTLES_WITHIN;
    while !seen()? {
        if Instant::now() > deadline {
            return Err(BenchError::Other(what.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A client that knows the sentinels' addresses alone.
struct Writer {
    sentinels: Vec<u16>,
    master: Option<(u16, Admin)>,
    number: u64,
}

impl Writer {
    /// One write, then a pause to the next one; the port of the node that acknowledged it.
    fn write(&mut self) -> Result<Option<u16>, BenchError> {
        let Some((port, mut node)) = self.master.take().or_else(|| self.find()) else {
            std::thread::sleep(RETRY);
            return Ok(None);
        };
        self.number += 1;
        let (key, value) = (format!("bench:{}", self.number), self.number.to_string());
        match node.ask(&["SET", &key, &value]) {
            Ok(Value::Simple(ok)) if ok == "OK" => {
                self.master = Some((port, node));
                std::thread::sleep(Duration::from_secs(1) / RATE);
                Ok(Some(port))
            }
            // Refused (a replica still), not answered in time, or gone.
            _ => Ok(None),
        }
    }

    /// Asks one sentinel after the other for the master, and connects to it.
    fn find(&mut self) -> Option<(u16, Admin)> {
        self.sentinels.rotate_left(1);
        self.sentinels.iter().find_map(|sentinel| {
            let mut admin = connect(*sentinel)?;
            let address = admin.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP]).ok()?;
            let port = text(address.elements()?.get(1)?).parse().ok()?;
            Some((port, connect(port)?))
        })
    }
}

fn connect(port: u16) -> Option<Admin> {
    let admin = Admin::connect("redis", ([127, 0, 0, 1], port).into()).ok()?;
    admin.answers_within(ANSWERS_WITHIN).ok()?;
    Some(admin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drills_report_is_read() {
        let report = serde_json::json!({"faults": [{"fault": "kill", "rounds": [{"recovery_ms": 14.1}, {"recovery_ms": 13.0}]}]});
        assert_eq!(recoveries(&report), Some(vec![14.1, 13.0]));
        let never = serde_json::json!({"faults": [{"rounds": [{"recovery_ms": 14.1}, {"recovery_ms": null}]}]});
        assert_eq!(recoveries(&never), None);
    }
}
