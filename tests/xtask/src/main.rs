//! `cargo xtask`: the project's chores.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let faults = match arguments.first().map(String::as_str) {
        Some("bench") => return exit(quorate_xtask::bench::run(&arguments[1..])),
        Some("drill-proof") => return exit(quorate_xtask::proof::run(&arguments[1..])),
        Some("sim") => return exit(quorate_xtask::sim::run(&arguments[1..])),
        Some("suite") => return exit(quorate_xtask::suite::run(&arguments[1..])),
        Some("deps") => quorate_xtask::deps::check(&quorate_xtask::metadata()),
        Some("floors") => quorate_xtask::floors::check(&quorate_xtask::metadata()),
        _ => {
            eprintln!(
                "cargo xtask bench        measures the data node beside Valkey and Redis\n\
                 cargo xtask deps         holds every dependency against deny.toml\n\
                 cargo xtask drill-proof  breaks a cluster of real processes and judges what clients saw\n\
                 cargo xtask floors       holds every room against the house's floors\n\
                 cargo xtask sim          runs the simulator: one seed, or a range of them\n\
                 cargo xtask suite        runs Redis's own tests against the data node"
            );
            return ExitCode::from(2);
        }
    };
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A chore's outcome as the shell wants it: it did what it should, it found fault, or it could not be done.
fn exit(outcome: std::io::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
