//! Runs one workload of the short form on an engine of its own, without sockets: what `cargo xtask bench --instructions` counts.
//!
//! The allocator is the node's. All that is random comes from fixed seeds, and the clock stands still.

use std::process::ExitCode;
use std::time::Duration;

use mimalloc::MiMalloc;
use quorate_bench::batch::Batch;
use quorate_bench::instructions::{COMMANDS, SESSIONS, SPACE, WORKLOADS};
use quorate_collections::counting::{Counting, used_memory};
use quorate_config::ServerConfig;
use quorate_engine::{Engine, Host, Input, Now, Outputs, SessionId, SocketName};
use quorate_keyspace::UnixMs;

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting(MiMalloc);

/// Commands in flight while an engine is filled.
const FILLING: usize = 100;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, pipeline] = words.as_slice() else { return usage() };
    let found = WORKLOADS.iter().find(|(known, _, _)| known == name);
    let (Some((_, fill, pattern)), Ok(pipeline)) = (found, pipeline.parse()) else { return usage() };
    let mut driver = Driver::new();
    driver.fill(fill, SPACE.keys * SPACE.each);
    let mut batch = Batch::new(&[pattern], pipeline, SPACE, 3);
    let mut batches = || (0..COMMANDS / pipeline).map(|_| batch.draw().to_vec()).collect::<Vec<_>>();
    // As many to warm up: buffers have their size, the allocator its pages.
    let (warm, counted) = (batches(), batches());
    driver.run(&warm);
    let written = counted_window(&mut driver, &counted);
    assert!(written >= COMMANDS as u64 * 4, "{pattern}: {written} bytes are too few for {COMMANDS} replies");
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("Usage: quorate-instructions WORKLOAD PIPELINE   (see quorate_bench::instructions)");
    ExitCode::from(2)
}

/// What callgrind counts: it must stay a function of its own.
#[inline(never)]
fn counted_window(driver: &mut Driver, batches: &[Vec<u8>]) -> u64 {
    driver.run(batches)
}

/// An engine and what the shell around it does in a turn, without its system calls.
struct Driver {
    engine: Engine,
    outputs: Outputs,
    now: Now,
}

impl Driver {
    fn new() -> Driver {
        let host = Host { used_memory, ..Host::still() };
        // 2023-11-14, so that expiry times look like expiry times.
        let now = Now { wall: UnixMs(1_700_000_000_000), mono: Duration::from_secs(1) };
        let config = ServerConfig::load(None, &["--save".to_owned(), String::new()], &mut |path| Err(path.to_owned()))
            .expect("the options are right");
        let engine = Engine::new(config, host, fastrand::Rng::with_seed(7));
        let mut driver = Driver { engine, outputs: Outputs::default(), now };
        for session in 0..SESSIONS {
            let (id, peer, local) = (SessionId(session as u64 + 1), SocketName::None, SocketName::None);
            driver.turn(std::iter::once(Input::Opened { id, peer, local }));
        }
        driver
    }

    fn fill(&mut self, pattern: &str, commands: u64) {
        let mut batch = Batch::new(&[pattern], FILLING, SPACE, 1);
        let batches: Vec<Vec<u8>> = (0..commands / FILLING as u64).map(|_| batch.draw().to_vec()).collect();
        self.run(&batches);
    }

    /// Feeds each batch to the next session, `SESSIONS` of them a turn; answers with how many bytes were replied.
    fn run(&mut self, batches: &[Vec<u8>]) -> u64 {
        let turns = batches.chunks(SESSIONS).map(|turn| {
            let inputs = turn.iter().zip(1..).map(|(bytes, id)| Input::Received { id: SessionId(id), bytes });
            self.turn(inputs)
        });
        turns.sum()
    }

    fn turn<'a>(&mut self, inputs: impl Iterator<Item = Input<'a>>) -> u64 {
        self.engine.turn(self.now, inputs, &mut self.outputs);
        let mut written = 0;
        for id in self.outputs.ready.drain(..) {
            let count = self.engine.output(id).iter().map(|piece| piece.len()).sum();
            self.engine.sent(id, count);
            written += count as u64;
        }
        written
    }
}
