//! `quorate-bench`: what `cargo xtask bench` runs, built for release.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use quorate_bench::args::{Args, Figures};
use quorate_bench::bench::{Bench, run_folder};
use quorate_bench::error::{BenchError, Tried};
use quorate_bench::figure::{Figure, Report, Run};
use quorate_bench::parts::PARTS;
use quorate_bench::server::Kind;
use quorate_bench::{instructions, process, publish, reach, table};

/// How much smaller a quick run is.
const QUICK: u64 = 20;
/// Where figures are published.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bench");
/// The checked-in instructions per operation.
const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether all went well.
fn run(words: &[String]) -> Result<bool, BenchError> {
    let args = Args::parse(words)?;
    match args.instructions {
        Some(figures) => count(figures),
        None => measure(&args).map(|()| true),
    }
}

/// Instructions per operation, against tests/bench/instructions.txt.
fn count(figures: Figures) -> Result<bool, BenchError> {
    let own = std::env::current_exe().tried(|| "the program's own file".into())?;
    let counts = instructions::count(&own.with_file_name("quorate-instructions"))?;
    let path = Path::new(CHECKED_IN);
    let text = instructions::text(&counts);
    print!("{text}");
    if figures == Figures::Bless {
        std::fs::write(path, text).tried(|| CHECKED_IN.into())?;
        return Ok(true);
    }
    let known = instructions::parse(&std::fs::read_to_string(path).tried(|| CHECKED_IN.into())?)?;
    let verdict = instructions::judge(&known, &counts);
    verdict.gains.iter().for_each(|line| println!("better, worth `--bless`: {line}"));
    verdict.faults.iter().for_each(|line| eprintln!("worse: {line}"));
    Ok(verdict.faults.is_empty())
}

fn measure(args: &Args) -> Result<(), BenchError> {
    process::raise_file_limit()?;
    let cores = process::cores()?;
    let [generator, .., server] = cores.as_slice() else {
        return Err(BenchError::Other("the bench needs two cores: one for the servers, one for the generator".into()));
    };
    process::bind(&[*generator])?;
    let folder = run_folder()?;
    let bench = Bench {
        programs: args.programs.clone(),
        rounds: args.rounds,
        shrink: if args.quick { QUICK } else { 1 },
        server_core: *server,
        folder: folder.path().to_owned(),
    };
    let versions: BTreeMap<Kind, String> = bench.programs.versions()?.into_iter().collect();
    let kinds: Vec<Kind> = bench.programs.kinds().collect();
    let mut report = Report { machine: process::machine(), versions, runs: BTreeMap::new(), figures: Vec::new() };
    for part in PARTS {
        if args.only.is_empty() || args.only.iter().any(|name| name == part.name) {
            bench.say(&format!("{}: {}", part.name, part.about));
            let begun = Instant::now();
            let figures = (part.run)(&bench)?;
            let seconds = begun.elapsed().as_secs_f64().round();
            println!("\n{}", table::table(&figures.iter().collect::<Vec<&Figure>>(), &kinds));
            report.runs.insert(part.name.to_owned(), Run { command: args.command(), rounds: args.rounds, seconds });
            report.figures.extend(figures);
        }
    }
    println!("{}", reach::table(&report.figures));
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report).expect("a report is plain data");
        std::fs::write(path, text).tried(|| path.display().to_string())?;
    }
    if args.write {
        publish::publish(Path::new(DOCS), report)?;
    }
    Ok(())
}
