//! That the program starts. What it does is tested from outside, in `tests/`, which also needs the
//! binary that cargo builds for this test.

use std::process::Command;

#[test]
fn the_program_explains_itself() {
    let help = Command::new(env!("CARGO_BIN_EXE_tally")).arg("--help").output().expect("it runs");
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).expect("UTF-8");
    for word in ["serve", "demo", "verify", "Exit codes"] {
        assert!(text.contains(word), "{word} is missing from:\n{text}");
    }
}
