//! The program `tally`; see the library.

use std::process::ExitCode;

/// An append takes memory on one thread and gives it back on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tally_cli::main()
}
