//! What every part of the bench needs to know, and the servers of a stage: all of one kind of dataset, running side by side, measured in turn.

use std::path::PathBuf;

use crate::batch::{Batch, Space};
use crate::error::{BenchError, Tried};
use crate::figure::{Figure, Sample};
use crate::load::{Clients, Ran};
use crate::process;
use crate::server::{Kind, Place, Programs, Server};

/// Commands in flight while a dataset is made, on each of `FILLERS` connections.
const FILLING: usize = 100;
const FILLERS: usize = 8;
/// Bytes of values in flight while a dataset is made, on each of them.
const FILLING_BYTES: usize = 8 * 1024 * 1024;
/// More connections than this are closed behind each window: those to one server are as many as the limit of open files may allow.
const KEPT: usize = 1000;

/// The run's settings.
#[derive(Debug)]
pub struct Bench {
    /// The servers' programs.
    pub programs: Programs,
    /// How often each window is measured.
    pub rounds: usize,
    /// Everything is this many times smaller: 1 for a figure that counts.
    pub shrink: u64,
    /// The servers' core.
    pub server_core: usize,
    /// Where servers live; removed at the end.
    pub folder: PathBuf,
}

impl Bench {
    /// A size, shrunk for a quick run.
    #[must_use]
    pub fn size(&self, full: u64) -> u64 {
        (full / self.shrink).max(1)
    }

    /// Tells how far it is.
    pub fn say(&self, line: &str) {
        eprintln!("{line}");
    }

    /// The servers, in another order each round, so that none always runs behind the same one.
    #[must_use]
    pub fn order(&self, round: usize) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.programs.kinds().collect();
        let count = kinds.len().max(1);
        kinds.rotate_left(round % count);
        kinds
    }
}

/// Servers of every kind with one dataset, and the generator's connections to them.
#[derive(Debug)]
pub struct Stage<'a> {
    bench: &'a Bench,
    /// The servers, in the order of the tables.
    pub servers: Vec<Stand>,
    folder: PathBuf,
}

/// One server of a stage.
#[derive(Debug)]
pub struct Stand {
    /// The server.
    pub server: Server,
    clients: Option<(usize, Clients)>,
}

impl Stand {
    /// A server without connections yet.
    #[must_use]
    pub fn of(server: Server) -> Stand {
        Stand { server, clients: None }
    }

    /// The generator's connections: opened anew when another number is asked for.
    pub fn clients(&mut self, count: usize) -> Result<&mut Clients, BenchError> {
        if self.clients.as_ref().is_none_or(|(open, _)| *open != count) {
            self.clients = None;
            self.clients = Some((count, Clients::connect(self.server.kind.name(), self.server.address, count)?));
        }
        Ok(&mut self.clients.as_mut().expect("it was just opened").1)
    }

    /// Runs each command of a pattern `commands` times, with numbers that count up.
    pub fn fill(&mut self, pattern: &str, space: Space, commands: u64) -> Result<Ran, BenchError> {
        let together = FILLING.min(FILLING_BYTES / space.value.max(1)).clamp(1, commands as usize);
        let mut batch = Batch::new(&[pattern], together, space, 0);
        let batches = commands.div_ceil(batch.commands() as u64);
        self.clients(FILLERS)?.run(pattern, &mut batch, batches)
    }
}

impl<'a> Stage<'a> {
    /// Starts all servers, each on the servers' core.
    pub fn start(bench: &'a Bench, name: &str) -> Result<Stage<'a>, BenchError> {
        Self::of(bench, name, &bench.programs.kinds().collect::<Vec<_>>())
    }

    /// The same of these kinds only.
    pub fn of(bench: &'a Bench, name: &str, kinds: &[Kind]) -> Result<Stage<'a>, BenchError> {
        let folder = bench.folder.join(name);
        let stands = kinds.iter().map(|kind| {
            let kind = *kind;
            let place = Place::Core(bench.server_core);
            let options = ["--maxclients", "12000"];
            let server = Server::start(&bench.programs, kind, place, &folder.join(kind.name()), &options)?;
            Ok(Stand::of(server))
        });
        let servers = stands.collect::<Result<Vec<_>, BenchError>>()?;
        Ok(Stage { bench, servers, folder })
    }

    /// Fills every server alike.
    pub fn fill(&mut self, pattern: &str, space: Space, commands: u64) -> Result<(), BenchError> {
        for stand in &mut self.servers {
            stand.fill(pattern, space, commands)?;
        }
        Ok(())
    }

    /// The server of a kind.
    pub fn stand(&mut self, kind: Kind) -> Result<&mut Stand, BenchError> {
        let found = self.servers.iter_mut().find(|stand| stand.server.kind == kind);
        found.ok_or_else(|| BenchError::Usage(format!("{} is not there", kind.name())))
    }

    /// Measures each cell of each server, round by round, servers in turn within a cell.
    pub fn measure(&mut self, cells: &[Cell]) -> Result<Vec<Figure>, BenchError> {
        let mut figures: Vec<Figure> = cells.iter().map(Cell::figure).collect();
        for round in 0..self.bench.rounds {
            for (cell, figure) in cells.iter().zip(&mut figures) {
                for kind in self.bench.order(round) {
                    let seed = 1 + round as u64;
                    let sample = cell.window(self.stand(kind)?, seed)?;
                    figure.note(round, kind, sample);
                }
                self.bench.say(&line(round, figure));
            }
        }
        Ok(figures)
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.servers.clear();
        // The run's folder goes at its end anyway.
        let _: std::io::Result<()> = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a round said, for whoever looks on.
pub(crate) fn line(round: usize, figure: &Figure) -> String {
    let settings: Vec<String> = figure.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let samples = figure.rounds[round].iter().map(|(kind, sample)| format!("{} {:.3}", kind.name(), sample.value));
    let samples: Vec<String> = samples.collect();
    format!("{}  {} ({}): {} {}", round + 1, figure.name, settings.join(", "), samples.join(", "), figure.unit)
}

/// One window: so many commands of these patterns, at a pipeline, over so many connections.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The part it belongs to.
    pub part: &'static str,
    /// What the tables call it.
    pub name: String,
    /// The commands, in turn.
    pub patterns: Vec<String>,
    /// What is run as often before each window, unmeasured: it gives back what the window takes.
    pub before: Option<String>,
    /// Commands in flight on each connection.
    pub pipeline: usize,
    /// Connections.
    pub connections: usize,
    /// What is drawn from.
    pub space: Space,
    /// Commands of the window.
    pub commands: u64,
}

impl Cell {
    fn figure(&self) -> Figure {
        let settings = [
            ("pipeline", self.pipeline as u64),
            ("connections", self.connections as u64),
            ("value", self.space.value as u64),
            ("keys", self.space.keys),
        ];
        Figure::new(self.part, &self.name, "CPU µs", &settings)
    }

    /// Warms up with a tenth of the window, then measures the server's CPU time over the window.
    fn window(&self, stand: &mut Stand, seed: u64) -> Result<Sample, BenchError> {
        let patterns: Vec<&str> = self.patterns.iter().map(String::as_str).collect();
        if let Some(before) = &self.before {
            let mut batch = Batch::new(&[before], FILLING, self.space, seed << 32);
            let batches = (self.commands + self.commands / 10).div_ceil(FILLING as u64);
            stand.clients(self.connections)?.run(before, &mut batch, batches)?;
        }
        let batches = |commands: u64| commands.div_ceil(self.pipeline as u64).max(self.connections as u64);
        let mut batch = Batch::new(&patterns, self.pipeline, self.space, seed);
        let pid = stand.server.pid();
        let clients = stand.clients(self.connections)?;
        clients.run(&self.name, &mut batch, batches(self.commands / 10))?;
        let before = process::cpu_time(pid)?;
        let ran = clients.run(&self.name, &mut batch, batches(self.commands))?;
        let cpu = process::cpu_time(pid)?.saturating_sub(before);
        let commands = ran.commands as f64;
        if self.connections > KEPT {
            stand.clients = None;
        }
        let null_share = ran.nulls as f64 / commands;
        Ok(Sample::of(cpu.as_secs_f64() * 1e6 / commands)
            .with("ops_per_s", commands / ran.took.as_secs_f64())
            .with("p50_us", ran.latency.quantile_us(0.5))
            .with("p99_us", ran.latency.quantile_us(0.99))
            .with("p999_us", ran.latency.quantile_us(0.999))
            .with("generator_busy", ran.busy)
            .with("null_share", null_share))
    }
}

/// Makes an empty folder of the run's own.
pub fn run_folder() -> Result<tempfile::TempDir, BenchError> {
    tempfile::Builder::new().prefix("quorate-bench-").tempdir().tried(|| "a temporary folder".into())
}
