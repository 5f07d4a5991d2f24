//! `cargo xtask`: the project's chores.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let faults = match arguments.first().map(String::as_str) {
        Some("suite") => return quorate_xtask::suite::run(&arguments[1..]),
        Some("deps") => quorate_xtask::deps::check(&quorate_xtask::metadata()),
        Some("floors") => quorate_xtask::floors::check(&quorate_xtask::metadata()),
        _ => {
            eprintln!(
                "cargo xtask deps    holds every dependency against deny.toml\ncargo xtask floors  holds every room against the house's floors\ncargo xtask suite   runs Redis's own tests against the data node"
            );
            return ExitCode::from(2);
        }
    };
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
