//! `cargo xtask suite [--program PATH] [unit ...]`: Redis's own tests as a judge of the data node.
//!
//! The tests come from Debian's source package `redis` (see `suite/source.rs`) and stay in a folder under the target directory. Each unit
//! runs in external mode against a fresh `quorate server` on a free port, one unit at a time. What fails must stand in
//! `tests/compat/known.txt` with its reason: anything else fails the run. Needs tclsh, apt-get and dpkg-source.

mod known;
mod outcome;
mod server;
mod source;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use known::Known;
use outcome::Outcome;
use server::Server;

/// What runs when no unit is named: every unit that external mode has something in, and that is about what the node does today. Left out are
/// unit/pause (a test of scripts leaves the server paused, and the rest waits for ever) and unit/tracking.
const UNITS: &[&str] = &[
    "unit/type/string",
    "unit/type/incr",
    "unit/type/hash",
    "unit/type/list",
    "unit/type/list-3",
    "unit/type/set",
    "unit/type/zset",
    "unit/dump",
    "unit/expire",
    "unit/info-command",
    "unit/introspection",
    "unit/introspection-2",
    "unit/keyspace",
    "unit/latency-monitor",
    "unit/lazyfree",
    "unit/multi",
    "unit/other",
    "unit/protocol",
    "unit/pubsub",
    "unit/quit",
    "unit/scan",
    "unit/slowlog",
    "unit/sort",
];

/// How long a unit may take; then it counts as not finished. The longest takes half a minute on two busy cores.
const LIMIT: Duration = Duration::from_secs(180);
/// Between two looks at a unit that runs.
const POLL: Duration = Duration::from_millis(100);

/// Runs the units and judges them; answers whether nothing failed but what is known to.
pub fn run(arguments: &[String]) -> io::Result<bool> {
    let metadata = crate::metadata();
    let (program, named) = match arguments {
        [flag, program, units @ ..] if flag == "--program" => (std::fs::canonicalize(program)?, units),
        units => (build(metadata.target_directory.as_std_path())?, units),
    };
    let cache = metadata.target_directory.as_std_path().join("suite");
    let suite = source::ready(&cache)?;
    let known = Known::read(&metadata.workspace_root.as_std_path().join("tests/compat/known.txt"))?;
    let units: Vec<&str> = match named {
        [] => UNITS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    println!("{:<24} {:>6} {:>6} {:>6} {:>7} {:>5}", "unit", "passed", "failed", "known", "skipped", "s");
    let mut total = Outcome::default();
    let (mut fresh, mut mended) = (Vec::new(), Vec::new());
    for unit in units {
        let begun = Instant::now();
        let outcome = run_unit(&program, &suite, &cache, unit)?;
        print_row(unit, &outcome, &known, begun.elapsed());
        let news = known.news(unit, &outcome);
        fresh.extend(news.fresh);
        mended.extend(news.mended);
        total.add(outcome);
    }
    println!("{:<24} {:>6} {:>6} {:>6} {:>7}", "all", total.passed.len(), total.failed.len(), "", total.skipped);
    for line in &mended {
        println!("passes now: {line}");
    }
    for line in &fresh {
        println!("fails, and is not known: {line}");
    }
    println!("logs: {}", cache.join("logs").display());
    Ok(fresh.is_empty())
}

fn print_row(unit: &str, outcome: &Outcome, known: &Known, took: Duration) {
    let expected = outcome.failed.iter().filter(|failure| known.holds(unit, &failure.name)).count();
    println!(
        "{unit:<24} {:>6} {:>6} {expected:>6} {:>7} {:>5}",
        outcome.passed.len(),
        outcome.failed.len(),
        outcome.skipped,
        took.as_secs()
    );
}

/// Builds the program as `cargo run` would.
fn build(target: &Path) -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--quiet", "--bin", "quorate"]).status()?;
    if status.success() { Ok(target.join("debug/quorate")) } else { Err(io::Error::other("quorate cannot be built")) }
}

fn run_unit(program: &Path, suite: &Path, cache: &Path, unit: &str) -> io::Result<Outcome> {
    let logs = cache.join("logs");
    std::fs::create_dir_all(&logs)?;
    let log = logs.join(unit.replace('/', "_")).with_extension("log");
    let server = Server::start(program, &cache.join("data"), &log.with_extension("server"))?;
    let mut tests = Command::new("tclsh")
        .args(["tests/test_helper.tcl", "--host", "127.0.0.1", "--port", &server.port.to_string()])
        // The suite's own port is 32 below this one: two runs at a time do not meet.
        .args(["--baseport", &(server::free_port()?.max(1024 + 32)).to_string()])
        .args(["--durable", "--clients", "1", "--tags", "-slow", "--single", unit])
        .current_dir(suite)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&log)?)
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + LIMIT;
    let finished = loop {
        if tests.try_wait()?.is_some() {
            break true;
        }
        if Instant::now() > deadline {
            tests.kill()?;
            tests.wait()?;
            break false;
        }
        std::thread::sleep(POLL);
    };
    let alive = server.stop();
    let mut outcome = Outcome::read(&String::from_utf8_lossy(&std::fs::read(&log)?));
    if outcome.passed.is_empty() && outcome.failed.is_empty() && outcome.skipped == 0 {
        outcome.fail("(the unit)", "no test ran: see its log");
    }
    if !finished {
        outcome.fail("(the unit)", "not finished in time");
    }
    if !alive {
        outcome.fail("(the server)", "it ended before the tests did");
    }
    Ok(outcome)
}
