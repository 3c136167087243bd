//! Programs that are measured: where they are, and an end to them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// Longest wait until a server answers.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A program of this name on the path, or in one of these directories.
pub(crate) fn find(name: &str, directories: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = directories.iter().cloned().chain(std::env::split_paths(&path));
    places.map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// What a program says to `--version`.
pub(crate) fn version(program: &Path) -> Result<String, Failure> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(Failure::system(program.display().to_string()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A port that nobody listens at now.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(address.map_err(Failure::system("a port"))?.port())
}

/// Tries again until it succeeds or takes too long.
pub(crate) fn patiently<T>(mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let began = Instant::now();
    loop {
        match attempt() {
            Err(_) if began.elapsed() < START_LIMIT => {
                std::thread::sleep(Duration::from_millis(20));
            }
            ended => return ended,
        }
    }
}

/// A process that ends with the value.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.spawn().map(Self).map_err(Failure::system(program))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}
