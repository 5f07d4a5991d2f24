//! The parts of the bench, each of which runs alone.

mod collections;
mod connections;
mod failover;
mod growth;
mod memory;
mod persistence;
mod strings;
mod values;

use crate::bench::Bench;
use crate::error::BenchError;
use crate::figure::Figure;

/// A part.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// As `--only` names it.
    pub name: &'static str,
    /// What it measures, in a line.
    pub about: &'static str,
    /// Measures.
    pub run: fn(&Bench) -> Result<Vec<Figure>, BenchError>,
}

/// All of them, in the order in which they run.
pub const PARTS: &[Part] = &[
    Part { name: "strings", about: "GET, SET, INCR, MSET at pipelines 1, 16, 50 over 1 M keys", run: strings::strings },
    Part { name: "many", about: "the same over 10 M keys", run: strings::many },
    Part { name: "values", about: "GET and SET of large values", run: values::values },
    Part { name: "collections", about: "staples over many small collections", run: collections::collections },
    Part { name: "large", about: "staples over a few large collections", run: collections::large },
    Part { name: "connections", about: "GET and SET over 1 and 10,000 connections", run: connections::connections },
    Part { name: "memory", about: "bytes per key and per element", run: memory::memory },
    Part { name: "growth", about: "the worst insert from 8 M to 16 M keys", run: growth::growth },
    Part { name: "persistence", about: "BGSAVE, load, full resync", run: persistence::persistence },
    Part { name: "failover", about: "SIGKILL to the first acknowledged write", run: failover::failover },
];
