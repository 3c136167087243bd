//! The program `tally` as users run it: a child process, its answers, and a ledger that it serves.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tally_client::{Client, Trust};
use tally_protocol::Origin;
use tally_tlog::VerifierKey;

/// Longest time that one command may take before it is killed and its test fails.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// Longest wait for something that must happen.
pub const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Pause between two looks at something that can only be looked at.
pub const POLL_PAUSE: Duration = Duration::from_millis(1);

/// Where the program is; built when it is not there or older than what it is made of.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("tally", &["--package", "tally-cli"]))
}

/// Where an example of the client is; all are built like [`binary`].
pub fn example(name: &str) -> PathBuf {
    static EXAMPLES: OnceLock<PathBuf> = OnceLock::new();
    let first = EXAMPLES
        .get_or_init(|| built("examples/initiator", &["--package", "tally-client", "--examples"]));
    first.with_file_name(name)
}

/// A program in the profile's directory; cargo makes it of these targets.
fn built(program: &str, targets: &[&str]) -> PathBuf {
    let own = std::env::current_exe().expect("the running program's own path");
    // A test is target/<profile>/deps/<test>, a tool is target/<profile>/<tool>.
    let directory = own.parent().expect("a program is in a directory");
    let profile = match directory.file_name() {
        Some(name) if name == "deps" => directory.parent().expect("target/<profile>/deps"),
        _ => directory,
    };
    let binary = profile.join(program);
    let built = binary.metadata().and_then(|metadata| metadata.modified()).ok();
    if built.is_none_or(|built| built < newest_source()) {
        build(profile, targets);
    }
    assert!(binary.is_file(), "cargo built {}", binary.display());
    binary
}

fn build(profile: &Path, targets: &[&str]) {
    let name = profile.file_name().and_then(OsStr::to_str).expect("a profile's directory");
    let target = profile.parent().expect("the target directory");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.arg("build").args(targets).arg("--target-dir").arg(target);
    match name {
        "debug" => {}
        other => drop(command.args(["--profile", other])),
    }
    let status = command.current_dir(workspace()).status().expect("cargo runs");
    assert!(status.success(), "{targets:?} do not build");
}

/// The workspace's root.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a workspace")
}

fn newest_source() -> SystemTime {
    let crates = std::fs::read_dir(workspace().join("crates")).expect("the crates");
    let sources = crates.flat_map(|entry| {
        let root = entry.expect("an entry").path();
        [root.join("src"), root.join("scenarios"), root.join("examples")]
    });
    sources.map(|source| newest(&source)).max().expect("there are crates")
}

fn newest(path: &Path) -> SystemTime {
    let Ok(metadata) = path.metadata() else { return SystemTime::UNIX_EPOCH };
    if !metadata.is_dir() {
        return metadata.modified().expect("the time of a file");
    }
    let entries = std::fs::read_dir(path).expect("a directory of sources");
    let times = entries.map(|entry| newest(&entry.expect("an entry").path()));
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary());
    command.args(args);
    without_settings(command)
}

/// The command that serves a data directory on a free port. `wrapper` is what the program runs
/// under, with its arguments; nothing when it is empty.
pub fn serve(data: &Path, wrapper: &[OsString]) -> Command {
    let mut line = wrapper.iter().map(OsString::as_os_str).chain([binary().as_os_str()]);
    let mut command = Command::new(line.next().expect("the program at least"));
    command.args(line).args(["serve", "--listen", "127.0.0.1:0", "--json", "--data"]).arg(data);
    without_settings(command)
}

/// What the user's shell sets is not for tests.
fn without_settings(mut command: Command) -> Command {
    for variable in ["TALLY_URL", "TALLY_KEY", "TALLY_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// What a command said.
#[derive(Debug)]
pub struct Answer {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Answer {
    /// The exit code.
    ///
    /// # Panics
    /// When a signal ended the command.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("killed: {self:?}"))
    }

    /// The whole answer as one JSON value.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer as one JSON value a line.
    ///
    /// # Panics
    /// When a line is none.
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The same answer, of a command that must have ended with this code.
    ///
    /// # Panics
    /// When it ended with another one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        self
    }
}

/// Runs the program to its end.
pub fn tally<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Answer {
    run(command(args), None)
}

/// Runs the program to its end with something on its standard input.
pub fn tally_with_input<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, input: &str) -> Answer {
    run(command(args), Some(input))
}

fn run(mut command: Command, input: Option<&str>) -> Answer {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let _watchdog = Watchdog::over(child.id(), COMMAND_LIMIT);
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes()).expect("the program reads its input");
    }
    let output = child.wait_with_output().expect("the program's output");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Answer { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Kills a process that takes too long. It must be dropped once the process has been waited for.
struct Watchdog(Option<mpsc::Sender<()>>);

impl Watchdog {
    fn over(pid: u32, limit: Duration) -> Self {
        let (ended_to, ended) = mpsc::channel();
        std::thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                send_signal(pid, "KILL");
            }
        });
        Self(Some(ended_to))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.take();
    }
}

fn send_signal(pid: u32, signal: &str) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.expect("kill runs").success(), "process {pid} takes the signal {signal}");
}

/// The program while it runs; killed with SIGKILL when dropped.
pub struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts the program.
    pub fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let mut command = command(args);
        command.stderr(Stdio::null());
        Self::spawn(command)
    }

    /// Runs a command whose standard error goes where the command says.
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout }
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its answer; `None` when there is no further one.
    pub fn line(&mut self) -> Option<String> {
        let _watchdog = Watchdog::over(self.child.id(), WAIT_LIMIT);
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("kept from the start");
        let length = stdout.read_line(&mut line).expect("the program's output");
        (length > 0).then(|| line.trim_end().to_owned())
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_some()
    }

    /// Ends it as a power cut would: SIGKILL.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to end: SIGTERM.
    pub fn terminate(&self) {
        send_signal(self.child.id(), "TERM");
    }

    /// Waits until it has ended by itself.
    pub fn wait(mut self) -> ExitStatus {
        let _watchdog = Watchdog::over(self.child.id(), WAIT_LIMIT);
        self.child.wait().expect("the state of a child")
    }

    /// Ends it as a power cut would, and says how it ended: perhaps by itself, before.
    pub fn end(&mut self) -> ExitStatus {
        // It may have ended by itself.
        let _gone = self.child.kill();
        self.child.wait().expect("the state of a child")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// A ledger that `tally serve` runs.
pub struct Server {
    /// The process.
    pub running: Running,
    /// Where it listens.
    pub url: String,
    /// The ledger's name.
    pub origin: Origin,
    /// The key that signs its checkpoints.
    pub log_key: VerifierKey,
    /// How many events it had when it started.
    pub size: u64,
    /// Where it serves tiles, as `address:port`, if it was told to.
    pub http: Option<String>,
}

impl Server {
    /// Serves a data directory on a free port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with further arguments.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(data: &Path, more: &[&str]) -> Self {
        let mut command = serve(data, &[]);
        command.args(more).stderr(Stdio::null());
        Self::greet(Running::spawn(command))
            .unwrap_or_else(|_| panic!("serving {}", data.display()))
    }

    /// Waits until a process says where it serves; gives it back when it ends before or says why
    /// it can't.
    ///
    /// # Errors
    /// The process.
    pub fn greet(mut running: Running) -> Result<Self, Running> {
        let Some(line) = running.line() else { return Err(running) };
        let said: Value = serde_json::from_str(&line).expect("JSON in the first line");
        if said["error"].is_object() {
            return Err(running);
        }
        let text = |field: &str| said[field].as_str().expect(field).to_owned();
        Ok(Self {
            running,
            url: text("url"),
            origin: text("origin").parse().expect("an origin"),
            log_key: text("log_key").parse().expect("a key"),
            size: said["size"].as_u64().expect("a size"),
            http: said["http"].as_str().map(|url| url.replacen("http://", "", 1)),
        })
    }

    /// Connects a client that trusts the key which the server printed.
    pub async fn client(&self) -> Client {
        let trust = Trust::Key(self.log_key.clone());
        Client::connect(&self.url, trust).await.expect("the ledger answers")
    }

    /// Ends it as a power cut would: SIGKILL.
    pub fn kill(self) {
        self.running.kill();
    }
}

/// Looks again and again until something is there.
///
/// # Panics
/// When it is not there within [`WAIT_LIMIT`].
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < WAIT_LIMIT, "waited {WAIT_LIMIT:?} for {what}");
        std::thread::sleep(POLL_PAUSE);
    }
}

/// A data directory of the scenario that the program ships, played once for all tests. Tests that
/// change it take a [`copy`].
pub fn shipped() -> &'static Played {
    static SHIPPED: OnceLock<Played> = OnceLock::new();
    SHIPPED.get_or_init(|| Played::new(None))
}

/// A workflow that was played by `tally demo`.
pub struct Played {
    directory: tempfile::TempDir,
    /// What the command answered.
    pub answer: Value,
}

impl Played {
    /// Plays a trace, or what the program ships.
    ///
    /// # Panics
    /// When the command does not succeed.
    pub fn new(trace: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let answer = tally(demo_args(&directory.path().join("data"), trace)).expect(0).json();
        Self { directory, answer }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

/// Arguments of a demo that ends by itself.
pub fn demo_args(data: &Path, trace: Option<&Path>) -> Vec<String> {
    let path = |path: &Path| path.to_str().expect("a UTF-8 path").to_owned();
    let fixed = ["demo", "--no-wait", "--json", "--listen", "127.0.0.1:0", "--data"];
    let mut args: Vec<String> = fixed.map(str::to_owned).into();
    args.push(path(data));
    args.extend(trace.into_iter().flat_map(|trace| ["--trace".to_owned(), path(trace)]));
    args
}

/// Copies a data directory.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// A list that several tasks or threads add to.
#[derive(Debug)]
pub struct Shared<T>(Arc<Mutex<Vec<T>>>);

impl<T> Shared<T> {
    /// An empty list.
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Adds one.
    pub fn push(&self, item: T) {
        self.0.lock().expect("no holder of the lock panics").push(item);
    }

    /// Takes all that were added.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().expect("no holder of the lock panics"))
    }

    /// How many were added.
    pub fn len(&self) -> usize {
        self.0.lock().expect("no holder of the lock panics").len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
