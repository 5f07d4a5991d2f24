//! The program that the drills run: `quorate` itself, under a name of its own so that cargo builds it with the tests.

fn main() -> std::process::ExitCode {
    quorate_cli::main()
}
