//! Chores of this workspace: `cargo xtask tidy`, `cargo xtask ratios`.
//!
//! What `tidy` checks is in the library, so that `cargo test` runs it too.

mod ratios;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <chore>

  tidy    holds the tree to its rules: the map, sizes of files, what code may not contain
  ratios [--without-peers] [--json] [--seconds S] [--runs N]
          measures how fast the ledger is against the raw limits of this machine and against peers";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(),
        ["ratios", ref options @ ..] => ratios::run(xtask::root(), options),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn tidy() -> ExitCode {
    match xtask::tidy(xtask::root()) {
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
        Ok(problems) if problems.is_empty() => {
            println!("the tree is tidy");
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            for problem in &problems {
                println!("{problem}");
            }
            println!("{} problems", problems.len());
            ExitCode::FAILURE
        }
    }
}
