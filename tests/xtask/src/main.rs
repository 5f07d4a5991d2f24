//! `cargo xtask`: the project's chores.

use std::process::ExitCode;

fn main() -> ExitCode {
    let faults = match std::env::args().nth(1).as_deref() {
        Some("deps") => quorate_xtask::deps::check(&quorate_xtask::metadata()),
        Some("floors") => quorate_xtask::floors::check(&quorate_xtask::metadata()),
        _ => {
            eprintln!(
                "cargo xtask deps    holds every dependency against deny.toml\ncargo xtask floors  holds every room against the house's floors"
            );
            return ExitCode::from(2);
        }
    };
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
