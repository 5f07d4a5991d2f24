//! The worst insert while the keyspace doubles from 8 to 16 million keys: a table that grows in one step, or zeroes a large new one, makes somebody wait.
//!
//! Inserts are timed ten at a time over a few connections, from sending the ten to the last reply: no single one of them took longer, and eight
//! million fit into seconds. The worst ten GETs of the same server shortly before stand beside it: so much of it is the machine's.
//!
//! The server's own view is its slow log, which times commands alone.

use crate::batch::{Batch, Space};
use crate::bench::{Bench, Stage, Stand};
use crate::error::BenchError;
use crate::figure::{Figure, Sample};

const FROM: u64 = 8_000_000;
const TO: u64 = 16_000_000;
/// Few enough that a command seldom waits for another's.
const CONNECTIONS: usize = 4;
/// Inserts that are timed together.
const PIPELINE: usize = 10;
/// GETs before it.
const REFERENCE: u64 = 2_000_000;
/// What the slow log notes.
const SLOW_US: &str = "200";

/// Once: a table's growth does not depend on chance.
pub fn growth(bench: &Bench) -> Result<Vec<Figure>, BenchError> {
    let (from, to) = (bench.size(FROM), bench.size(TO));
    let settings = [("keys", to), ("connections", CONNECTIONS as u64), ("pipeline", PIPELINE as u64)];
    let mut figure = Figure::new("growth", "worst insert", "ms", &settings);
    for kind in bench.programs.kinds() {
        // One at a time: three such keyspaces side by side are for no good.
        let mut stage = Stage::of(bench, "growth", &[kind])?;
        let sample = grow(stage.stand(kind)?, from, to, bench.size(REFERENCE))?;
        figure.note(0, kind, sample);
    }
    bench.say(&crate::bench::line(0, &figure));
    Ok(vec![figure])
}

fn grow(stand: &mut Stand, from: u64, to: u64, reference: u64) -> Result<Sample, BenchError> {
    let space = Space::keys(to, 3);
    stand.fill("SET key:%s %v", space, from)?;
    let mut gets = Batch::new(&["GET key:%k"], PIPELINE, Space::keys(from, 3), 1);
    let calm = stand.clients(CONNECTIONS)?.run("GET", &mut gets, reference / PIPELINE as u64)?;
    let mut admin = stand.server.admin()?;
    admin.must(&["CONFIG", "SET", "slowlog-log-slower-than", SLOW_US, "slowlog-max-len", "100000"])?;
    admin.must(&["SLOWLOG", "RESET"])?;
    let mut inserts = Batch::new(&["SET key:%s %v"], PIPELINE, space, 1);
    inserts.count_from(from);
    let ran = stand.clients(CONNECTIONS)?.run("SET", &mut inserts, (to - from) / PIPELINE as u64)?;
    let log = admin.must(&["SLOWLOG", "GET", "-1"])?;
    // An entry's third field is its duration in microseconds (Redis documentation, SLOWLOG GET).
    let durations = log.elements().unwrap_or_default().iter().filter_map(|entry| entry.elements()?.get(2)?.int());
    let own_us = durations.max().unwrap_or(0) as f64;
    Ok(Sample::of(ran.latency.max_us() / 1000.0)
        .with("worst_get_before_ms", calm.latency.max_us() / 1000.0)
        .with("own_view_ms", own_us / 1000.0)
        .with("p99_us", ran.latency.quantile_us(0.99))
        .with("p9999_us", ran.latency.quantile_us(0.9999))
        .with("get_p9999_us", calm.latency.quantile_us(0.9999)))
}
