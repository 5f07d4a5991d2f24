//! The parts of the bench, each of which runs alone.

mod strings;

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
];
