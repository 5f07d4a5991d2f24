//! A client that writes at a steady rate and knows nothing but the sentinels' addresses.
//!
//! Each write has a key of its own, so that an acknowledged one can be looked for afterwards. A write whose answer did not come in time is not
//! acknowledged; the client then asks the sentinels again.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelServerType};
use redis::{AsyncConnectionConfig, RedisError, RedisResult, cmd};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::DrillError;
use crate::local::Layout;
use crate::operate;

/// A client that waits longer for an answer gives the connection up.
const ANSWER_WITHIN: Duration = Duration::from_millis(100);
/// Asking a sentinel and connecting to the master together.
const CONNECT_WITHIN: Duration = Duration::from_millis(250);
/// Between two attempts to find a master.
const RETRY_AFTER: Duration = Duration::from_millis(5);
/// Keys read back at a time.
const READ_BACK: usize = 500;

/// Who writes.
#[derive(Clone, Debug)]
pub enum WriterKind {
    /// redis-rs's Sentinel client, in this process.
    RedisRs,
    /// A program, called with the sentinels' addresses (separated by commas), the group, the key prefix and the rate. It writes
    /// `SET <prefix>:<n> <n>` and prints `ack <n> <host:port>` for each acknowledged write; any other line is taken for a complaint.
    Program(Vec<String>),
}

/// One acknowledged write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    /// The write's number: its key ends with it, its value is it.
    pub number: u64,
    /// When the answer was there.
    pub at: Instant,
    /// The node that acknowledged it, as host:port.
    pub node: String,
}

/// What a writer's thread shares with the drill.
#[derive(Default)]
struct Notes {
    acks: Vec<Ack>,
    error: Option<String>,
}

type Shared = Arc<Mutex<Notes>>;

fn notes(shared: &Shared) -> MutexGuard<'_, Notes> {
    shared.lock().expect("nobody panics while holding the notes")
}

/// A running writer.
pub(super) struct Writer {
    shared: Shared,
    stop: Arc<AtomicBool>,
    process: Option<std::process::Child>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts writing.
    pub(super) fn start(kind: &WriterKind, layout: &Layout, prefix: &str, rate: u32) -> Result<Self, DrillError> {
        let (shared, stop) = (Shared::default(), Arc::new(AtomicBool::new(false)));
        let mut writer = Self { shared: Arc::clone(&shared), stop: Arc::clone(&stop), process: None, thread: None };
        match kind {
            WriterKind::RedisRs => {
                let sentinels = layout.sentinel_addresses().iter().map(|at| format!("redis://{at}")).collect();
                let client = SentinelClient::build(sentinels, layout.name.clone(), None, SentinelServerType::Master);
                let client = client.map_err(|error| DrillError::Other(format!("redis-rs: {error}")))?;
                let prefix = prefix.to_owned();
                writer.thread =
                    Some(std::thread::spawn(move || operate::block_on(write(client, &prefix, rate, &shared, &stop))));
            }
            WriterKind::Program(words) => {
                let [program, args @ ..] = words.as_slice() else {
                    return Err(DrillError::Other("no program to write with".into()));
                };
                let mut process = Command::new(program)
                    .args(args)
                    .args([
                        layout.sentinel_addresses().join(","),
                        layout.name.clone(),
                        prefix.to_owned(),
                        rate.to_string(),
                    ])
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .spawn()
                    .map_err(|error| DrillError::Other(format!("cannot start {program}: {error}")))?;
                let output = process.stdout.take().expect("its output was piped");
                writer.process = Some(process);
                writer.thread = Some(std::thread::spawn(move || listen(output, &shared)));
            }
        }
        Ok(writer)
    }

    /// The first write since then that another node than this one acknowledged.
    pub(super) fn first_ack_elsewhere(&self, node: &str, since: Instant) -> Option<Instant> {
        let notes = notes(&self.shared);
        let recent = notes.acks.iter().rev().take_while(|ack| ack.at >= since);
        recent.filter(|ack| ack.node != node).last().map(|ack| ack.at)
    }

    /// Were writes acknowledged for so long?
    pub(super) fn steady_for(&self, duration: Duration) -> bool {
        let notes = notes(&self.shared);
        notes.acks.first().is_some_and(|first| first.at.elapsed() >= duration)
    }

    /// What the writer complained about last.
    pub(super) fn last_error(&self) -> Option<String> {
        notes(&self.shared).error.clone()
    }

    /// Stops writing.
    pub(super) fn stop(mut self) -> Vec<Ack> {
        self.end();
        std::mem::take(&mut notes(&self.shared).acks)
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(mut process) = self.process.take() {
            // It may be gone already; either way it is waited for.
            let _: std::io::Result<()> = process.kill();
            let _: std::io::Result<std::process::ExitStatus> = process.wait();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a writer's thread does not panic");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads a program's report.
fn listen(output: std::process::ChildStdout, shared: &Shared) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let at = Instant::now();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["ack", number, node] if number.parse::<u64>().is_ok() => {
                let number = number.parse().expect("it was just parsed");
                notes(shared).acks.push(Ack { number, at, node: (*node).to_owned() });
            }
            _ => notes(shared).error = Some(line),
        }
    }
}

/// Writes until told to stop: one write at a time, and the next one when its time has come.
async fn write(mut client: SentinelClient, prefix: &str, rate: u32, shared: &Shared, stop: &AtomicBool) {
    let mut ticks = interval(Duration::from_secs(1) / rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut master: Option<(String, MultiplexedConnection)> = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let (node, mut connection) = match master.take() {
            Some(master) => master,
            None => match timeout(CONNECT_WITHIN, connect(&mut client)).await {
                Ok(Ok(found)) => found,
                failed => {
                    let error = failed.map_or_else(
                        |late| late.to_string(),
                        |found| match found {
                            Ok(_) => unreachable!("a found master was taken above"),
                            Err(error) => error.to_string(),
                        },
                    );
                    notes(shared).error = Some(error);
                    tokio::time::sleep(RETRY_AFTER).await;
                    continue;
                }
            },
        };
        number += 1;
        let mut set = cmd("SET");
        set.arg(format!("{prefix}:{number}")).arg(number);
        match timeout(ANSWER_WITHIN, set.exec_async(&mut connection)).await {
            Ok(Ok(())) => {
                notes(shared).acks.push(Ack { number, at: Instant::now(), node: node.clone() });
                master = Some((node, connection));
            }
            Ok(Err(error)) => notes(shared).error = Some(error.to_string()),
            Err(late) => notes(shared).error = Some(late.to_string()),
        }
    }
}

/// Asks the sentinels for the master and connects to it.
async fn connect(client: &mut SentinelClient) -> RedisResult<(String, MultiplexedConnection)> {
    let node = client.async_get_client().await?;
    let address = node.get_connection_info().addr().to_string();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    Ok((address, node.get_multiplexed_async_connection_with_config(&config).await?))
}

/// How many of the acknowledged writes the node at this address does not have.
pub(super) async fn missing(address: &str, prefix: &str, acks: &[Ack]) -> Result<u64, RedisError> {
    let client = redis::Client::open(format!("redis://{address}"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut missing = 0;
    for chunk in acks.chunks(READ_BACK) {
        let mut get = cmd("MGET");
        for ack in chunk {
            get.arg(format!("{prefix}:{}", ack.number));
        }
        let values: Vec<Option<u64>> = get.query_async(&mut connection).await?;
        missing += chunk.iter().zip(values).filter(|(ack, value)| *value != Some(ack.number)).count() as u64;
    }
    Ok(missing)
}
