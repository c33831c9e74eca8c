//! The binary: one call.

fn main() -> std::process::ExitCode {
    sluice::cli::run::main()
}
