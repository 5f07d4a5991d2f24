//! BGSAVE, load at start and full resync: how long they take, what a client notices meanwhile, what memory they need.
//!
//! The servers may use every core here, as they would anywhere: whoever forks, or has a thread for it, is not held back. One server runs at a time.
//! `repl-diskless-sync-delay` is 0 for all: the wait for further replicas is no work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::batch::{Batch, Space};
use crate::bench::{Bench, Stand, line};
use crate::error::BenchError;
use crate::figure::{Figure, Sample};
use crate::histogram::Histogram;
use crate::open::OpenLoad;
use crate::process;
use crate::server::{Admin, Kind, Place, Server};

const KEYS: u64 = 3_000_000;
const VALUE: usize = 100;
/// How long the undisturbed server is watched.
const IDLE: Duration = Duration::from_secs(3);
/// How often an end is looked for.
const LOOK: Duration = Duration::from_millis(10);
/// How often memory is looked at: the kernel walks the page table each time.
const MEMORY_LOOK: Duration = Duration::from_millis(50);
/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(300);
/// The writers while memory is watched.
const WRITERS: usize = 50;
const PIPELINE: usize = 16;

/// The figures of this part, in order.
struct Sheet {
    bgsave: Figure,
    bgsave_p999: Figure,
    throughput: Figure,
    memory: Figure,
    load: Figure,
    resync: Figure,
    resync_p999: Figure,
}

impl Sheet {
    fn new(space: Space) -> Sheet {
        let settings = [("keys", space.keys), ("value", space.value as u64)];
        let figure = |name, unit| {
            let base = (unit == "s").then_some(Kind::Valkey);
            Figure::new("persistence", name, unit, &settings).against(base)
        };
        Sheet {
            bgsave: figure("BGSAVE, a GET load of 5000/s beside it", "s"),
            bgsave_p999: figure("p99.9 of a GET during BGSAVE / idle", "times"),
            throughput: figure("SET throughput during BGSAVE / idle", "times"),
            memory: figure("extra memory during BGSAVE under full SET load / before", "times"),
            load: figure("load at start", "s"),
            resync: figure("full resync, a GET load of 5000/s beside it", "s"),
            resync_p999: figure("p99.9 of a GET during full resync / idle", "times"),
        }
    }

    fn into_figures(self) -> Vec<Figure> {
        vec![self.bgsave, self.bgsave_p999, self.throughput, self.memory, self.load, self.resync, self.resync_p999]
    }
}

/// All of it.
pub fn persistence(bench: &Bench) -> Result<Vec<Figure>, BenchError> {
    let space = Space::keys(bench.size(KEYS), VALUE);
    let mut sheet = Sheet::new(space);
    for round in 0..bench.rounds {
        for kind in bench.order(round) {
            let folder = bench.folder.join(format!("persistence-{round}-{}", kind.name()));
            let mut stand = Stand::of(start(bench, kind, &folder)?);
            stand.fill("SET key:%s %v", space, space.keys)?;
            saves(&mut stand, space, round, &mut sheet)?;
            loads(bench, &mut stand, space, round, &mut sheet)?;
            resyncs(bench, &mut stand, space, round, &mut sheet)?;
            drop(stand);
            // The run's folder goes at its end anyway.
            let _: std::io::Result<()> = std::fs::remove_dir_all(&folder);
        }
        for figure in [
            &sheet.bgsave,
            &sheet.bgsave_p999,
            &sheet.throughput,
            &sheet.memory,
            &sheet.load,
            &sheet.resync,
            &sheet.resync_p999,
        ] {
            bench.say(&line(round, figure));
        }
    }
    Ok(sheet.into_figures())
}

fn start(bench: &Bench, kind: Kind, folder: &std::path::Path) -> Result<Server, BenchError> {
    let options = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"];
    Server::start(&bench.programs, kind, Place::Anywhere, folder, &options)
}

fn saves(stand: &mut Stand, space: Space, round: usize, sheet: &mut Sheet) -> Result<(), BenchError> {
    let kind = stand.server.kind;
    let mut admin = stand.server.admin()?;
    let idle = watched(stand, space, |_| {
        std::thread::sleep(IDLE);
        Ok(())
    })?;
    let (during, seconds) = {
        let mut seconds = 0.0;
        let during = watched(stand, space, |_| {
            seconds = bgsave(&mut admin)?.as_secs_f64();
            Ok(())
        })?;
        (during, seconds)
    };
    sheet.bgsave.note(round, kind, Sample::of(seconds));
    sheet.bgsave_p999.note(round, kind, against(&during, &idle));

    let quiet = write_until(stand, space, |_| {
        std::thread::sleep(IDLE);
        Ok(())
    })?;
    let busy = write_until(stand, space, |_| bgsave(&mut admin).map(|_| ()))?;
    let throughput = Sample::of(busy.rate / quiet.rate).with("idle_per_s", quiet.rate).with("during_per_s", busy.rate);
    sheet.throughput.note(round, kind, throughput);
    let extra = busy.peak as f64 / busy.before as f64 - 1.0;
    let memory = Sample::of(extra).with("before_bytes", busy.before as f64).with("peak_bytes", busy.peak as f64);
    sheet.memory.note(round, kind, memory);
    Ok(())
}

/// The p99.9 of one histogram as a multiple of another's.
fn against(during: &Histogram, idle: &Histogram) -> Sample {
    let (during_us, idle_us) = (during.quantile_us(0.999), idle.quantile_us(0.999));
    Sample::of(during_us / idle_us)
        .with("idle_p999_us", idle_us)
        .with("during_p999_us", during_us)
        .with("during_max_us", during.max_us())
}

/// The latencies of a steady GET load while something happens.
fn watched(
    stand: &Stand,
    space: Space,
    happens: impl FnOnce(&Stand) -> Result<(), BenchError>,
) -> Result<Histogram, BenchError> {
    let load = OpenLoad::start(stand.server.address, space)?;
    happens(stand)?;
    load.stop()
}

/// BGSAVE, until the server says that it has ended well.
fn bgsave(admin: &mut Admin) -> Result<Duration, BenchError> {
    let begun = Instant::now();
    admin.must(&["BGSAVE"])?;
    until("BGSAVE", || Ok(admin.info("persistence", "rdb_bgsave_in_progress")? == "0"))?;
    let took = begun.elapsed();
    match admin.info("persistence", "rdb_last_bgsave_status")?.as_str() {
        "ok" => Ok(took),
        status => Err(BenchError::Other(format!("BGSAVE ended with {status}"))),
    }
}

fn until(what: &str, mut seen: impl FnMut() -> Result<bool, BenchError>) -> Result<(), BenchError> {
    let deadline = Instant::now() + LIMIT;
    while !seen()? {
        if Instant::now() > deadline {
            return Err(BenchError::Other(format!("{what} does not end")));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// What full writing was like.
struct Written {
    /// SETs a second.
    rate: f64,
    /// Memory of the process and its children just before, and the most of it.
    before: u64,
    peak: u64,
}

/// Writes at full speed while something happens.
fn write_until(
    stand: &mut Stand,
    space: Space,
    happens: impl FnOnce(u32) -> Result<(), BenchError>,
) -> Result<Written, BenchError> {
    let pid = stand.server.pid();
    let clients = stand.clients(WRITERS)?;
    let mut batch = Batch::new(&["SET key:%k %v"], PIPELINE, space, 11);
    // Warm: buffers have grown, the allocator has what it needs for overwriting.
    clients.run("SET", &mut batch, 20_000)?;
    let before = process::proportional(pid);
    let stop = Arc::new(AtomicBool::new(false));
    let peak = Arc::new(AtomicU64::new(before));
    let (stopped, greatest) = (Arc::clone(&stop), Arc::clone(&peak));
    let watcher = std::thread::spawn(move || {
        while !stopped.load(Ordering::Acquire) {
            greatest.fetch_max(process::proportional(pid), Ordering::AcqRel);
            std::thread::sleep(MEMORY_LOOK);
        }
    });
    let (commands, took) = std::thread::scope(|scope| {
        let stopped = Arc::clone(&stop);
        let writer = scope.spawn(move || {
            let begun = Instant::now();
            let mut commands = 0;
            while !stopped.load(Ordering::Acquire) {
                commands += clients.run("SET", &mut batch, 1000)?.commands;
            }
            Ok::<_, BenchError>((commands, begun.elapsed()))
        });
        let happened = happens(pid);
        stop.store(true, Ordering::Release);
        let written = writer.join().expect("the writer does not panic");
        happened.and(written)
    })?;
    watcher.join().expect("the watcher does not panic");
    Ok(Written { rate: commands as f64 / took.as_secs_f64(), before, peak: peak.load(Ordering::Acquire) })
}

/// Kills the server and starts it on what BGSAVE left.
fn loads(bench: &Bench, stand: &mut Stand, space: Space, round: usize, sheet: &mut Sheet) -> Result<(), BenchError> {
    let (kind, folder) = (stand.server.kind, stand.server.folder.clone());
    stand.server.kill();
    let begun = Instant::now();
    let server = start(bench, kind, &folder)?;
    let took = begun.elapsed();
    let loaded = server.admin()?.must(&["DBSIZE"])?.int().unwrap_or(0);
    if loaded != space.keys as i64 {
        return Err(BenchError::Other(format!("{} loaded {loaded} keys of {}", kind.name(), space.keys)));
    }
    sheet.load.note(round, kind, Sample::of(took.as_secs_f64()));
    *stand = Stand::of(server);
    Ok(())
}

/// An empty replica of the same kind follows the server until it has everything.
fn resyncs(bench: &Bench, stand: &mut Stand, space: Space, round: usize, sheet: &mut Sheet) -> Result<(), BenchError> {
    let kind = stand.server.kind;
    let replica = start(bench, kind, &stand.server.folder.join("replica"))?;
    let mut admin = replica.admin()?;
    let port = stand.server.address.port().to_string();
    let idle = watched(stand, space, |_| {
        std::thread::sleep(IDLE);
        Ok(())
    })?;
    let mut seconds = 0.0;
    let during = watched(stand, space, |_| {
        let begun = Instant::now();
        admin.must(&["REPLICAOF", "127.0.0.1", &port])?;
        until("the full resync", || Ok(admin.info("replication", "master_link_status")? == "up"))?;
        seconds = begun.elapsed().as_secs_f64();
        Ok(())
    })?;
    let held = admin.must(&["DBSIZE"])?.int().unwrap_or(0);
    if held != space.keys as i64 {
        return Err(BenchError::Other(format!("{}'s replica holds {held} keys of {}", kind.name(), space.keys)));
    }
    sheet.resync.note(round, kind, Sample::of(seconds));
    sheet.resync_p999.note(round, kind, against(&during, &idle));
    Ok(())
}
