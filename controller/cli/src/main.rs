//! The `quorate` binary; everything is in the library.

fn main() -> std::process::ExitCode {
    quorate_cli::main()
}
