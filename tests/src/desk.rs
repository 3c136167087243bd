//! A desk to work at: a server on a directory of its own, and room for files.

use crate::program::{Answer, Server, tally};

/// A running ledger with its data in `data`, and files beside it; gone when it is dropped.
pub struct Desk {
    directory: tempfile::TempDir,
    /// The server.
    pub server: Server,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk {
    /// A new ledger.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let server = Server::start(&directory.path().join("data"));
        Self { directory, server }
    }

    /// The path of a file here.
    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes a file; its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("written");
        self.path(name)
    }

    /// A new agent: its key's file, and its name.
    pub fn agent(&self, name: &str) -> (String, String) {
        let key = self.path(name);
        let made = tally(["keygen", "--json", &key]).expect(0).json();
        (key, made["agent"].as_str().expect("a name").to_owned())
    }

    /// A new agent's key.
    pub fn key(&self, name: &str) -> String {
        self.agent(name).0
    }

    /// Submits a file.
    pub fn submit(&self, key: &str, file: &str) -> Answer {
        tally(["submit", "--json", "--url", &self.server.url, "--key", key, file])
    }

    /// Asks the server, for JSON.
    pub fn ask(&self, args: &[&str]) -> Answer {
        tally(args.iter().chain(&["--json", "--url", &self.server.url]))
    }
}
