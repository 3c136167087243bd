//! A ledger under attack: its directory, the server that has it open or not, the agents, and every
//! receipt that they hold.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tally_protocol::{Position, TreeSize};
use tally_tests::program::{POLL_PAUSE, Running, Server, copy, serve};
use tally_tlog::VerifierKey;
use tokio::runtime::Runtime;

use crate::Violation;
use crate::check::{Kept, Log};
use crate::load::{Address, Agent, Effort, Session};

/// How long a server may take to end by itself: it gives calls under way ten seconds.
const ENDING_LIMIT: Duration = Duration::from_secs(20);

/// What a panic of the server says.
const PANIC: &str = "panicked at";

/// Most of what the server said that is shown, in characters.
const SHOWN: usize = 2_000;

/// One ledger, from its first start to its last check.
pub struct World {
    directory: PathBuf,
    runtime: Arc<Runtime>,
    clients: u64,
    seed: u64,
    /// Known from the first start on.
    key: Option<VerifierKey>,
    agents: Vec<Agent>,
    receipts: Vec<Kept>,
    /// The log's size when it was last looked at; unknown once a server has had it open since.
    size: Option<TreeSize>,
}

impl World {
    /// A ledger that is not there yet, in a directory of its own.
    ///
    /// # Panics
    /// When the directory can't be made.
    pub fn new(directory: &Path, clients: u64, seed: u64) -> Self {
        fs::create_dir_all(directory).expect("a directory for the ledger");
        let directory = directory.canonicalize().expect("the directory was just made");
        let runtime = Arc::new(Runtime::new().expect("a runtime"));
        let (agents, receipts) = (Vec::new(), Vec::new());
        Self { directory, runtime, clients, seed, key: None, agents, receipts, size: None }
    }

    /// The same ledger again in another directory: what happens to one does not happen to the
    /// other.
    ///
    /// # Panics
    /// When it can't be copied.
    pub fn copy(&self, directory: &Path) -> Self {
        let mut copied = Self::new(directory, self.clients, self.seed);
        if self.data().exists() {
            copy(&self.data(), &copied.data());
        }
        copied.runtime = self.runtime.clone();
        copied.key = self.key.clone();
        copied.agents = self.agents.clone();
        copied.receipts = self.receipts.clone();
        copied.size = self.size;
        copied
    }

    /// Where the ledger and what the server said are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The server's data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// All receipts that the agents hold.
    pub fn receipts(&self) -> &[Kept] {
        &self.receipts
    }

    /// The log's size when it was last looked at.
    pub fn size(&self) -> TreeSize {
        self.size.unwrap_or(TreeSize::ZERO)
    }

    // -------------------------------------------------------------- the server

    /// Starts the server, and does not wait for it.
    ///
    /// # Panics
    /// When the operating system starts no process.
    pub fn spawn(&self, wrapper: &[OsString]) -> Running {
        let mut command = serve(&self.data(), wrapper);
        let stderr = File::options().create(true).append(true).open(self.stderr());
        command.stderr(stderr.expect("a file for what the server says"));
        Running::spawn(command)
    }

    /// Starts the server under something, and waits until it serves or has ended.
    ///
    /// # Errors
    /// [`Violation`] by what it says.
    pub fn try_start(
        &mut self,
        wrapper: &[OsString],
    ) -> Result<Result<Server, ExitStatus>, Violation> {
        match Server::greet(self.spawn(wrapper)) {
            Ok(server) => {
                self.recognize(&server)?;
                Ok(Ok(server))
            }
            Err(mut running) => {
                let status = ended(&mut running).ok_or(Violation::Lingers)?;
                Ok(Err(status))
            }
        }
    }

    /// Starts the server, which must serve.
    ///
    /// # Errors
    /// [`Violation::NoStart`], or another by what it says.
    pub fn start(&mut self) -> Result<Server, Violation> {
        let started = self.try_start(&[])?;
        started.map_err(|status| Violation::NoStart { status, stderr: self.said() })
    }

    fn recognize(&mut self, server: &Server) -> Result<(), Violation> {
        let after = TreeSize::new(server.size);
        if let Some(before) = self.size.take().filter(|before| *before != after) {
            return Err(Violation::Size { before, after });
        }
        if self.key.as_ref().is_some_and(|key| *key != server.log_key) {
            return Err(Violation::OtherKey);
        }
        if self.key.is_none() {
            let agent = |number| Agent::new(number, self.seed, &server.origin);
            self.agents = (0..self.clients).map(agent).collect();
            self.key = Some(server.log_key.clone());
        }
        Ok(())
    }

    fn stderr(&self) -> PathBuf {
        self.directory.join("stderr")
    }

    /// The last that the server said to standard error.
    fn said(&self) -> String {
        let text = fs::read_to_string(self.stderr()).unwrap_or_default();
        let skipped = text.chars().count().saturating_sub(SHOWN);
        text.chars().skip(skipped).collect()
    }

    // -------------------------------------------------------------- load

    /// Has all agents append, each so much.
    ///
    /// # Errors
    /// [`Violation`] by an answer.
    pub fn load(&mut self, server: &Server, effort: Effort) -> Result<Session, Violation> {
        let agents = self.set_out(server, effort);
        self.come_back(agents)
    }

    /// Has all agents append without an end, and kills the server at that moment.
    ///
    /// # Errors
    /// [`Violation`] by an answer.
    pub fn load_and_kill(
        &mut self,
        server: Server,
        moment: Duration,
    ) -> Result<Session, Violation> {
        let agents = self.set_out(&server, Effort::ENDLESS);
        std::thread::sleep(moment);
        server.kill();
        self.come_back(agents)
    }

    fn set_out(&mut self, server: &Server, effort: Effort) -> Vec<Away> {
        let ledger = Address { url: server.url.clone(), key: server.log_key.clone() };
        let set_out = |mut agent: Agent| {
            let ledger = ledger.clone();
            self.runtime.spawn(async move {
                let session = agent.run(&ledger, effort).await;
                (agent, session)
            })
        };
        self.agents.drain(..).map(set_out).collect()
    }

    fn come_back(&mut self, agents: Vec<Away>) -> Result<Session, Violation> {
        let mut all = Session::default();
        let mut violation = None;
        for agent in agents {
            let (agent, session) = self.runtime.block_on(agent).expect("an agent never panics");
            self.agents.push(agent);
            match session {
                Ok(session) => all.add(session),
                Err(found) => violation = violation.or(Some(found)),
            }
        }
        self.receipts.extend(all.receipts.iter().cloned());
        violation.map_or(Ok(all), Err)
    }

    /// Reads from a server that serves: the head, and the first and the last receipt's event.
    ///
    /// # Errors
    /// [`Violation::Unreadable`].
    pub fn read(&self, server: &Server) -> Result<(), Violation> {
        let kept = [self.receipts.first(), self.receipts.last()];
        let read = async {
            let client = server.client().await;
            client.head().await?;
            for kept in kept.into_iter().flatten() {
                let position = kept.event.position();
                client.receipt_at(position).await?;
                let mut events = client.read(position, Some(Position(position.0 + 1))).await?;
                events.next().await?;
            }
            Ok(())
        };
        self.runtime.block_on(read).map_err(Violation::Unreadable)
    }

    // -------------------------------------------------------------- judgement

    /// Judges the directory, which no server has open: the whole log, all receipts, and what is
    /// still open.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn check(&mut self) -> Result<(), Violation> {
        let said = fs::read_to_string(self.stderr()).unwrap_or_default();
        if let Some(at) = said.find(PANIC) {
            return Err(Violation::Panicked(said[at..].chars().take(SHOWN).collect()));
        }
        // Until it has served once, nothing was promised.
        let Some(key) = &self.key else { return Ok(()) };
        let log = Log::open(&self.data(), key)?;
        log.compare(&self.receipts)?;
        let positions = log.positions();
        self.agents.iter_mut().try_for_each(|agent| agent.look_up(&positions))?;
        let after = log.size();
        match self.size.replace(after) {
            Some(before) if before != after => Err(Violation::Size { before, after }),
            _ => Ok(()),
        }
    }

    /// Starts the server, settles everything that is open, says a little more, stops the server as
    /// a user would, and judges the directory.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn finish(&mut self) -> Result<Session, Violation> {
        let mut server = self.start()?;
        let session = self.load(&server, Effort::of(1))?;
        self.read(&server)?;
        server.running.terminate();
        match ended(&mut server.running) {
            Some(status) if status.success() => {}
            Some(status) => return Err(Violation::Ended(status)),
            None => return Err(Violation::Lingers),
        }
        self.check()?;
        self.settled()?;
        Ok(session)
    }

    /// Every envelope has its receipt.
    ///
    /// # Errors
    /// [`Violation::Unsettled`].
    pub fn settled(&self) -> Result<(), Violation> {
        match self.agents.iter().map(Agent::open).sum() {
            0 => Ok(()),
            open => Err(Violation::Unsettled(open)),
        }
    }
}

/// An agent at work.
type Away = tokio::task::JoinHandle<(Agent, Result<Session, Violation>)>;

/// How a process ends by itself; `None` when it does not in time.
pub fn ended(running: &mut Running) -> Option<ExitStatus> {
    let began = Instant::now();
    while !running.has_ended() {
        if began.elapsed() > ENDING_LIMIT {
            return None;
        }
        std::thread::sleep(POLL_PAUSE);
    }
    Some(running.end())
}
