//! `quorate-bench`: what `cargo xtask bench` runs, built for release.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use quorate_bench::args::Args;
use quorate_bench::bench::{Bench, run_folder};
use quorate_bench::error::{BenchError, Tried};
use quorate_bench::figure::{Figure, Report};
use quorate_bench::parts::PARTS;
use quorate_bench::server::Kind;
use quorate_bench::{process, table};

/// How much smaller a quick run is.
const QUICK: u64 = 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), BenchError> {
    let args = Args::parse(words)?;
    let begun = Instant::now();
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
    let mut figures = Vec::new();
    for part in PARTS {
        if args.only.is_empty() || args.only.iter().any(|name| name == part.name) {
            bench.say(&format!("{}: {}", part.name, part.about));
            let measured = (part.run)(&bench)?;
            println!("\n{}", table::table(&measured.iter().collect::<Vec<&Figure>>(), &kinds(&bench)));
            figures.extend(measured);
        }
    }
    let report = Report {
        machine: process::machine(),
        versions,
        command: args.command(),
        rounds: args.rounds,
        seconds: begun.elapsed().as_secs_f64().round(),
        figures,
    };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report).expect("a report is plain data");
        std::fs::write(path, text).tried(|| path.display().to_string())?;
    }
    Ok(())
}

fn kinds(bench: &Bench) -> Vec<Kind> {
    bench.programs.kinds().collect()
}
