//! Replays one seed, or runs a range of them in order.

use std::process::ExitCode;
use std::time::Instant;

use quorate_sim::{Report, run};

/// A world is built of small things that come and go: a fifth of its time went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str =
    "cargo xtask sim SEED [--trace]        replays one seed, twice, and says whether the runs were the same
cargo xtask sim --from A --seeds N    runs a range in order and stops at the first breach; --go-on lists them all";

/// What a range does at a breach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtBreach {
    Stop,
    GoOn,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    let done = match words.as_slice() {
        [seed] => number(seed).map(|seed| one(seed, false)),
        [seed, "--trace"] => number(seed).map(|seed| one(seed, true)),
        #[cfg(feature = "faults")]
        ["--hunt", most] => number(most).map(|most| hunt(most, "")),
        #[cfg(feature = "faults")]
        ["--hunt", most, only] => number(most).map(|most| hunt(most, only)),
        #[cfg(feature = "faults")]
        ["--broken", only, seed] => number(seed).map(|seed| replay(only, seed, true)),
        #[cfg(feature = "faults")]
        ["--whole", only, seed] => number(seed).map(|seed| replay(only, seed, false)),
        ["--seeds", count] => number(count).map(|count| range(0, count, AtBreach::Stop)),
        ["--from", from, "--seeds", count, rest @ ..] => {
            let at_breach = if rest == ["--go-on"] { AtBreach::GoOn } else { AtBreach::Stop };
            number(from).zip(number(count)).map(|(from, count)| range(from, count, at_breach))
        }
        _ => None,
    };
    done.unwrap_or_else(|| {
        eprintln!("{USAGE}");
        ExitCode::from(2)
    })
}

fn commit() -> String {
    let told = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    told.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default()
}

fn one(seed: u64, trace: bool) -> ExitCode {
    let report = run(seed, trace);
    let again = run(seed, false);
    tell(seed, &report);
    if report.digest != again.digest {
        println!("seed {seed} is not reproducible: {:016x} and {:016x}", report.digest, again.digest);
        return ExitCode::FAILURE;
    }
    println!("twice the same, to the byte");
    if report.breach.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn tell(seed: u64, report: &Report) {
    let Report { digest, events, operations, mishaps, epochs, compared, took, .. } = report;
    println!(
        "seed {seed}: digest {digest:016x}, {events} events in {:.3} s, {mishaps} mishaps, {epochs} epochs, {} operations answered and {} unknown, {compared} comparisons",
        took.0 as f64 / 1e6,
        operations.0,
        operations.1
    );
    if let Some(breach) = &report.breach {
        println!("seed {seed} breaks: {breach}\ncommit {}\ncargo xtask sim {seed} --trace", commit());
    }
}

/// Breaks one thing after the other and says which seed noticed.
#[cfg(feature = "faults")]
fn hunt(most: u64, only: &str) -> ExitCode {
    use quorate_sim::hunt::{ALL, hunt};
    for quarry in ALL.iter().filter(|quarry| format!("{:?}", quarry.broken).contains(only)) {
        let (began, broken) = (Instant::now(), quarry.broken);
        let caught = hunt(quarry, 0, most);
        let took = began.elapsed();
        match caught {
            Some((seed, breach)) => println!("{broken:?}: seed {seed} in {took:.1?}: {breach}"),
            None => println!("{broken:?}: nothing in {most} seeds, {took:.1?}"),
        }
    }
    ExitCode::SUCCESS
}

/// One seed of a hunt, printed: broken, or whole.
#[cfg(feature = "faults")]
fn replay(only: &str, seed: u64, broken: bool) -> ExitCode {
    use quorate_sim::hunt::{ALL, replay};
    for quarry in ALL.iter().filter(|quarry| format!("{:?}", quarry.broken).contains(only)) {
        println!("{:?}: {:?}", quarry.broken, replay(quarry, seed, broken));
    }
    ExitCode::SUCCESS
}

fn range(from: u64, count: u64, at_breach: AtBreach) -> ExitCode {
    let began = Instant::now();
    let (mut events, mut operations, mut mishaps, mut breaches, mut stranded) = (0, 0, 0, 0, 0);
    for seed in from..from + count {
        let report = run(seed, false);
        events += report.events;
        operations += report.operations.0 + report.operations.1;
        mishaps += report.mishaps;
        stranded += u64::from(report.is_stranded);
        match &report.breach {
            Some(_) if at_breach == AtBreach::Stop => {
                tell(seed, &report);
                return ExitCode::FAILURE;
            }
            Some(breach) => {
                breaches += 1;
                println!("seed {seed} breaks: {breach}");
            }
            None => {}
        }
        let done = seed + 1 - from;
        if done.is_multiple_of(1000) {
            eprintln!("{done} seeds, {:.1} a second", done as f64 / began.elapsed().as_secs_f64());
        }
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    println!("{count} seeds from {from}, {breaches} breaches, {rate:.1} a second; commit {}", commit());
    println!("{events} events, {operations} operations, {mishaps} mishaps, {stranded} groups left to an operator");
    if breaches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
