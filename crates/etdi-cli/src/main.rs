//! The `etdi` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(etdi_cli::run(std::env::args_os()))
}
