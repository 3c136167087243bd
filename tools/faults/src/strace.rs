//! One system call of the server fails, is slow, or is the last: `strace` injects that into the
//! real program, at the Nth call of its kind in a thread, on one file or on all of them.
//!
//! Every case takes a ledger of its own through the fault, a kill, a start without faults, and the
//! judge. A case whose fault never came is counted apart: it shows nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use tally_simulator::random::Random;
use tally_store::SEGMENT_BYTES;
use tally_tests::program::{Running, Server};

use crate::full::{self, outlast};
use crate::load::Effort;
use crate::world::{World, ended};
use crate::{Failure, Report, Violation};

/// Agents that load most ledgers.
const CLIENTS: u64 = 3;

/// New envelopes of each agent before the fault is waited for no longer.
const LOAD: Effort = Effort::of(40);

/// How long a ledger is loaded before it is killed, to be the one that is started.
const KILL_AFTER: Duration = Duration::from_millis(60);

/// How slow a slow disk is, in microseconds a call.
const SLOW_MICROSECONDS: u64 = 20_000;

/// The end of a segment, which is filled with care.
const LAST_BYTES: u64 = 2 * 1024 * 1024;

/// The signal that ends a process which writes beyond its limit.
const SIGXFSZ: i32 = 25;

/// SIGKILL.
const SIGKILL: i32 = 9;

/// What the server finds when it starts under the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Base {
    /// Nothing.
    Empty,
    /// A ledger that was killed under load.
    Killed,
    /// A ledger that was killed in the middle of a write.
    Torn,
    /// A ledger whose segment is full, so that the next group begins another.
    Rolling,
}

/// A file of the data directory, or all that the server opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// All.
    Any,
    /// The first segment.
    Segment,
    /// The first segment's index.
    Index,
    /// The segment that a rolling ledger begins.
    NextSegment,
    /// Its index.
    NextIndex,
    /// The directory of the segments.
    Log,
    /// The mark.
    Mark,
    /// The lock.
    Lock,
    /// The leaves of the tree.
    Leaves,
    /// How much of the tree is durable.
    Synced,
    /// The journal of the rows.
    Journal,
    /// The private key.
    Key,
    /// The public key.
    PublicKey,
}

impl Place {
    /// Its path in a data directory of a ledger of `size` events.
    fn path(self, size: u64) -> Option<String> {
        Some(match self {
            Self::Any => return None,
            Self::Segment => format!("log/{:020}.seg", 0),
            Self::Index => format!("log/{:020}.idx", 0),
            Self::NextSegment => format!("log/{size:020}.seg"),
            Self::NextIndex => format!("log/{size:020}.idx"),
            Self::Log => "log".to_owned(),
            Self::Mark => "mark".to_owned(),
            Self::Lock => "lock".to_owned(),
            Self::Leaves => "tree/00".to_owned(),
            Self::Synced => "tree/synced".to_owned(),
            Self::Journal => "rows/0.jnl".to_owned(),
            Self::Key => "log.key".to_owned(),
            Self::PublicKey => "log.pub".to_owned(),
        })
    }
}

/// What is done to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error.
    Error(&'static str),
    /// It and all after it are slow.
    Slow,
    /// The process is killed as it begins.
    Kill,
}

/// What happens to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// A fault at the Nth such call of a thread.
    Call {
        /// The system call.
        call: &'static str,
        /// On which file.
        place: Place,
        /// What is done.
        fault: Fault,
        /// Which call, from 1.
        nth: u32,
    },
    /// Writes to the segment find no space, from one call to another, and then they do.
    Full {
        /// The first call, from 1.
        first: u32,
        /// The last.
        last: u32,
    },
    /// A write to the segment stores only its beginning: the file may not grow further.
    Short {
        /// How many bytes more the file may have.
        bytes: u64,
    },
}

/// One fault, and what the server starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// What it starts from.
    pub base: Base,
    /// What happens to it.
    pub blow: Blow,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.base)?;
        match self.blow {
            Blow::Call { call, place, fault, nth } => {
                write!(f, "{place:?} {call} ")?;
                match fault {
                    Fault::Error(error) => write!(f, "{error} {nth}"),
                    Fault::Slow => write!(f, "slow {nth}+"),
                    Fault::Kill => write!(f, "SIGKILL {nth}"),
                }
            }
            Blow::Full { first, last } => write!(f, "enospc {first}..{last}"),
            Blow::Short { bytes } => write!(f, "short {bytes}"),
        }
    }
}

/// Cases that differ in call, fault and number only.
struct Plan {
    base: Base,
    place: Place,
    calls: &'static [&'static str],
    nths: &'static [u32],
}

/// Calls of a commit, of which each thread makes many.
const MANY: &[u32] = &[1, 2, 3, 5, 8, 13];

/// Calls of a start.
const FEW: &[u32] = &[1, 2, 3, 4];

/// Calls of a start, whatever they are for.
const ALL: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 24, 28, 33, 39, 46, 54];

const PLANS: &[Plan] = &[
    // Commits.
    Plan {
        base: Base::Killed,
        place: Place::Segment,
        calls: &["pwrite64", "fdatasync"],
        nths: MANY,
    },
    Plan { base: Base::Killed, place: Place::Index, calls: &["pwrite64"], nths: MANY },
    Plan { base: Base::Killed, place: Place::Mark, calls: &["pwrite64", "fdatasync"], nths: MANY },
    Plan {
        base: Base::Killed,
        place: Place::Leaves,
        calls: &["pwrite64", "fdatasync"],
        nths: MANY,
    },
    Plan { base: Base::Killed, place: Place::Journal, calls: &["write", "fsync"], nths: MANY },
    // A new segment.
    Plan {
        base: Base::Rolling,
        place: Place::NextSegment,
        calls: &["openat", "pwrite64", "fsync", "fdatasync"],
        nths: &[1, 2],
    },
    Plan {
        base: Base::Rolling,
        place: Place::NextIndex,
        calls: &["openat", "ftruncate"],
        nths: &[1],
    },
    // Starts.
    Plan {
        base: Base::Torn,
        place: Place::Segment,
        calls: &["openat", "ftruncate", "pwrite64", "fsync"],
        nths: FEW,
    },
    Plan { base: Base::Killed, place: Place::Segment, calls: &["openat", "fsync"], nths: FEW },
    Plan { base: Base::Killed, place: Place::Log, calls: &["openat", "fsync"], nths: FEW },
    Plan {
        base: Base::Killed,
        place: Place::Lock,
        calls: &["openat", "ftruncate", "pwrite64"],
        nths: &[1],
    },
    Plan {
        base: Base::Killed,
        place: Place::Synced,
        calls: &["openat", "pwrite64", "fsync"],
        nths: FEW,
    },
    Plan { base: Base::Killed, place: Place::PublicKey, calls: &["openat", "write"], nths: &[1] },
    Plan { base: Base::Empty, place: Place::Key, calls: &["openat", "write", "fsync"], nths: &[1] },
    Plan {
        base: Base::Empty,
        place: Place::Any,
        calls: &["openat", "mkdir", "fsync", "fdatasync", "pwrite64", "ftruncate"],
        nths: ALL,
    },
    Plan {
        base: Base::Torn,
        place: Place::Any,
        calls: &["openat", "fsync", "fdatasync", "pwrite64", "ftruncate"],
        nths: ALL,
    },
];

/// All cases there are.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for Plan { base, place, calls, nths } in PLANS {
        for (call, nth) in calls.iter().flat_map(|call| nths.iter().map(move |nth| (*call, *nth))) {
            for fault in faults(call) {
                let blow = Blow::Call { call, place: *place, fault, nth };
                cases.push(Case { base: *base, blow });
            }
        }
    }
    let blows = [(1, 1), (1, 4), (2, 9), (5, 20)].map(|(first, last)| Blow::Full { first, last });
    let shorts = [0, 1, 11, 12, 100, 1_000].map(|bytes| Blow::Short { bytes });
    cases.extend(blows.into_iter().chain(shorts).map(|blow| Case { base: Base::Killed, blow }));
    cases
}

fn faults(call: &str) -> Vec<Fault> {
    let mut faults = vec![Fault::Kill, Fault::Error("EIO"), Fault::Error("ENOSPC")];
    if call.ends_with("sync") {
        faults.push(Fault::Slow);
    }
    faults
}

/// Why `strace` can't be used here; nothing when it can.
pub fn missing() -> Option<String> {
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-qq", "-e", "inject=fsync:error=EIO", "true"]);
    match strace.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("strace: {error}")),
    }
}

/// Cases to run.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Which.
    pub cases: Vec<Case>,
    /// What messages follow from.
    pub seed: u64,
    /// Whether a full disk may not stop the ledger.
    pub strict: bool,
    /// Where the ledgers are made.
    pub directory: PathBuf,
}

/// What happened so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Cases that were run.
    pub cases: usize,
    /// How they went, and how many so.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// Cases whose call never came.
    pub not_reached: Vec<String>,
    /// Receipts that agents hold, all compared with the log after the fault.
    pub receipts: u64,
    /// Seconds that all of it took.
    pub seconds: f64,
}

/// How a server took a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It went on.
    WentOn,
    /// It refused appends, and took them again without a restart.
    Refused,
    /// It stopped under load, and said so.
    Stopped,
    /// It did not start, and said so.
    DidNotStart,
    /// It was killed by the fault.
    Killed,
    /// The call never came.
    NotReached,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WentOn => "went on",
            Self::Refused => "refused for want of space, and went on",
            Self::Stopped => "stopped under load with an error",
            Self::DidNotStart => "did not start, with an error",
            Self::Killed => "killed at the call",
            Self::NotReached => "never made the call: nothing shown",
        })
    }
}

/// So many of all cases, in an order that follows from the seed.
pub fn choose(most: usize, seed: u64) -> Vec<Case> {
    let mut cases = cases();
    let mut random = Random::new(seed);
    cases.sort_by_cached_key(|_| random.next());
    cases.truncate(most);
    cases
}

impl Campaign {
    /// Runs all of it, whatever is broken, and tells how far it is.
    ///
    /// # Panics
    /// When the machine has no processes or no space to give.
    pub fn run(&self, mut progress: impl FnMut(&Summary)) -> Report<Summary> {
        let began = Instant::now();
        let (mut summary, mut failures) = (Summary::default(), Vec::new());
        let mut bases = Bases { directory: self.directory.join("bases"), worlds: BTreeMap::new() };
        for (number, case) in self.cases.iter().enumerate() {
            let directory = self.directory.join(format!("case-{number}"));
            let outcome = bases.of(case.base, self.seed).and_then(|base| {
                let mut world = base.copy(&directory);
                self.run_case(&mut world, case).map(|outcome| (outcome, world.receipts().len()))
            });
            match outcome {
                Ok((outcome, receipts)) => {
                    *summary.outcomes.entry(outcome).or_default() += 1;
                    if outcome == Outcome::NotReached {
                        summary.not_reached.push(case.to_string());
                    }
                    summary.receipts += receipts as u64;
                    fs::remove_dir_all(&directory).expect("the ledger is no longer needed");
                }
                Err(violation) => {
                    let what = format!("seed {}, case {case}", self.seed);
                    failures.push(Failure::new(what, violation, directory));
                }
            }
            summary.cases += 1;
            summary.seconds = began.elapsed().as_secs_f64();
            progress(&summary);
        }
        fs::remove_dir_all(&bases.directory).expect("the bases are no longer needed");
        Report { summary, failures }
    }

    fn run_case(&self, world: &mut World, case: &Case) -> Result<Outcome, Violation> {
        let log = world.directory().join("strace");
        let outcome = match world.try_start(&case.wrapper(world, &log))? {
            Ok(server) => self.strike(world, server, case)?,
            Err(status) => case.judge_end(status, Outcome::DidNotStart)?,
        };
        world.check()?;
        world.finish()?;
        let struck = || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            log.contains("(INJECTED)") || log.contains("(DELAYED)")
        };
        // What was killed was struck, and so was what refused or stopped.
        Ok(if outcome == Outcome::WentOn && !struck() { Outcome::NotReached } else { outcome })
    }

    /// Loads a server that started until the fault has come, or long enough.
    fn strike(
        &self,
        world: &mut World,
        mut server: Server,
        case: &Case,
    ) -> Result<Outcome, Violation> {
        if let Blow::Full { .. } = case.blow {
            return Ok(match outlast(world, server, self.strict, || {}, || {})? {
                full::Outcome::Refused => Outcome::Refused,
                full::Outcome::Stopped => Outcome::Stopped,
            });
        }
        if let Blow::Short { bytes } = case.blow {
            limit_segment(world, &server, bytes);
        }
        let session = world.load(&server, LOAD)?;
        if session.cut_off {
            let status = ended(&mut server.running).ok_or(Violation::Lingers)?;
            drain(&mut server.running);
            return case.judge_end(status, Outcome::Stopped);
        }
        world.read(&server)?;
        // Perhaps the fault struck a thread that nobody waits for.
        if server.running.has_ended() {
            let status = server.running.end();
            return case.judge_end(status, Outcome::Stopped);
        }
        server.running.end();
        drain(&mut server.running);
        Ok(Outcome::WentOn)
    }
}

/// Reads to the end of what a process says, which `strace` keeps open until it has written all.
fn drain(running: &mut Running) {
    while running.line().is_some() {}
}

impl Case {
    /// What the server runs under.
    fn wrapper(&self, world: &World, log: &Path) -> Vec<OsString> {
        let (call, place, injection) = match self.blow {
            Blow::Call { call, place, fault, nth } => {
                let fault = match fault {
                    Fault::Error(error) => format!("error={error}:when={nth}"),
                    Fault::Slow => format!("delay_enter={SLOW_MICROSECONDS}:when={nth}+"),
                    Fault::Kill => format!("signal=KILL:when={nth}"),
                };
                (call, place, fault)
            }
            Blow::Full { first, last } => {
                ("pwrite64", Place::Segment, format!("error=ENOSPC:when={first}..{last}"))
            }
            // The limit's signal would kill: with it ignored, the call fails.
            Blow::Short { .. } => {
                return ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""].map(Into::into).into();
            }
        };
        let mut wrapper: Vec<OsString> = ["strace", "-D", "-f", "-qq", "-o"]
            .map(Into::into)
            .into_iter()
            .chain([log.into()])
            .collect();
        if let Some(path) = place.path(world.size().as_u64()) {
            wrapper.extend(["-P".into(), world.data().join(path).into()]);
        }
        wrapper.extend(["-e".into(), format!("trace={call}").into()]);
        wrapper.extend(["-e".into(), format!("inject={call}:{injection}").into()]);
        wrapper
    }

    /// A server that ends must say that something is wrong.
    fn judge_end(&self, status: ExitStatus, outcome: Outcome) -> Result<Outcome, Violation> {
        let kills = matches!(self.blow, Blow::Call { fault: Fault::Kill, .. });
        match status.code() {
            Some(code) if code != 0 => Ok(outcome),
            None if kills && status.signal() == Some(SIGKILL) => Ok(Outcome::Killed),
            _ => Err(Violation::Ended(status)),
        }
    }
}

/// Lets the segment of a server grow by so many bytes and no further. No file is longer.
fn limit_segment(world: &World, server: &Server, bytes: u64) {
    let segment = world.data().join(Place::Segment.path(0).expect("a segment is a file"));
    let length = segment.metadata().expect("a segment").len();
    let limit = format!("--fsize={0}:{0}", length + bytes);
    let pid = format!("--pid={}", server.running.id());
    let status = Command::new("prlimit").args([pid, limit]).status().expect("prlimit runs");
    assert!(status.success(), "prlimit: {status}");
}

// ------------------------------------------------------------------ what servers start from

/// A ledger of each kind, made when it is first needed and copied for each case.
struct Bases {
    directory: PathBuf,
    worlds: BTreeMap<Base, World>,
}

impl Bases {
    fn of(&mut self, base: Base, seed: u64) -> Result<&World, Violation> {
        Ok(match self.worlds.entry(base) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => {
                let directory = self.directory.join(format!("{base:?}"));
                let mut world = World::new(&directory, base.clients(), seed);
                base.prepare(&mut world)?;
                world.check()?;
                place.insert(world)
            }
        })
    }
}

impl Base {
    /// One agent alone knows which of its groups begins a segment.
    fn clients(self) -> u64 {
        if self == Self::Rolling { 1 } else { CLIENTS }
    }

    fn prepare(self, world: &mut World) -> Result<(), Violation> {
        match self {
            Self::Empty => Ok(()),
            Self::Killed => {
                let server = world.start()?;
                world.load_and_kill(server, KILL_AFTER).map(drop)
            }
            Self::Torn => tear(world),
            Self::Rolling => fill_segment(world),
        }
    }
}

/// The kernel takes the beginning of a write, and kills the process when it goes on.
fn tear(world: &mut World) -> Result<(), Violation> {
    let mut server = world.start()?;
    world.load(&server, LOAD)?;
    limit_segment(world, &server, 100);
    world.load(&server, LOAD)?;
    let status = ended(&mut server.running).ok_or(Violation::Lingers)?;
    match status.signal() {
        Some(SIGXFSZ) => Ok(()),
        _ => Err(Violation::Ended(status)),
    }
}

/// Appends until the next group begins another segment: many at once, and at last one by one.
fn fill_segment(world: &mut World) -> Result<(), Violation> {
    let server = world.start()?;
    let segment = world.data().join(Place::Segment.path(0).expect("a segment is a file"));
    loop {
        let length = segment.metadata().expect("a segment").len();
        let new = match SEGMENT_BYTES.saturating_sub(length) {
            0 => break,
            left if left > LAST_BYTES => 100,
            _ => 1,
        };
        world.load(&server, Effort { long: true, ..Effort::of(new) })?;
    }
    server.kill();
    Ok(())
}
