//! `drill-proof`: see [`quorate_drills::proof`].

fn main() -> std::process::ExitCode {
    quorate_drills::proof::main()
}
