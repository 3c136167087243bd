//! The program `tally`; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tally_cli::main()
}
