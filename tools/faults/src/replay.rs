//! A projection built again from a long history while the ledger goes on serving, killed on the way.
//!
//! The index is built beside the one that is served (`tally projection rebuild index`), one client
//! appends all the time, and the server is killed with SIGKILL at moments that the seed chooses. After
//! each start the build must go on where it was, but for the tail that only memory had. In the end it must have been switched in, be equal to
//! the rows that were served before, and equal to an index that is folded here from the log alone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use tally_benches::{Market, node_config, origin, signer};
use tally_client::{Client, Projection};
use tally_node::Node;
use tally_node::index::Index;
use tally_projection::{Stored, catch_up};
use tally_protocol::{Digest, Position};
use tally_simulator::random::Random;
use tally_store::{LogReader, MEMTABLE_EVENTS, SegmentReader};
use tally_tests::program::Server;
use tally_tests::signer::{Signer, intent};
use tokio::runtime::Runtime;

use crate::{Failure, Report, Violation};

/// What is built.
const INDEX: &str = "index";

/// Signers of the history.
const SIGNERS: usize = 16;

/// Envelopes that are appended at once when the history is made.
const CHUNK: u64 = 4_096;

/// How long appends are timed before the build begins.
const BASELINE: Duration = Duration::from_secs(3);

/// Time between two looks at the build.
const LOOK: Duration = Duration::from_millis(20);

/// Longest time that the build may take, with all starts.
const LIMIT: Duration = Duration::from_secs(1_200);

/// A build with kills.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Events of the history.
    pub events: u64,
    /// Kills while the projection is built.
    pub kills: u64,
    /// What the moments follow from.
    pub seed: u64,
    /// Where the ledger is made.
    pub directory: PathBuf,
}

/// What happened.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Events in the log in the end.
    pub events: u64,
    /// Kills.
    pub kills: u64,
    /// Where the build stood at each kill, and where it went on.
    pub resumed: Vec<(u64, u64)>,
    /// Appends without a build.
    pub before: Latencies,
    /// Appends during the build.
    pub during: Latencies,
    /// Events a second that the build folded, by its own count, at most.
    pub events_per_second: f64,
    /// Seconds from the first moment of the build to the switch, with all starts.
    pub seconds: f64,
}

/// How long appends took, one after the other, in microseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Latencies {
    /// How many there were.
    pub appends: usize,
    /// Half of them took no longer.
    pub median_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// None took longer.
    pub longest_us: u64,
}

impl Latencies {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let us = |at: usize| all.get(at).map_or(0, |time| time.as_micros() as u64);
        let (appends, last) = (all.len(), all.len().saturating_sub(1));
        Self { appends, median_us: us(last / 2), p99_us: us(last * 99 / 100), longest_us: us(last) }
    }
}

impl Campaign {
    /// Runs it up to the first violation, and tells how far the build is.
    ///
    /// # Panics
    /// When the machine has no processes or no space to give.
    pub fn run(&self, mut progress: impl FnMut(u64, &str)) -> Report<Summary> {
        let data = self.directory.join("ledger");
        let runtime = Runtime::new().expect("a runtime");
        let mut summary = Summary::default();
        progress(0, "making the history");
        runtime.block_on(fill(&data, self.events, self.seed));
        let mut run = Run {
            random: Random::new(self.seed),
            author: Signer::new(self.seed + 1, &origin()),
            data: data.clone(),
            summary: &mut summary,
            progress: &mut progress,
        };
        let ended = runtime.block_on(run.build(self.events, self.kills));
        let ended = ended.and_then(|()| compare(&data, &self.directory.join("fresh")));
        let failures = match ended {
            Ok(()) => Vec::new(),
            Err(violation) => vec![Failure::new(format!("seed {}", self.seed), violation, data)],
        };
        Report { summary, failures }
    }
}

/// Makes a ledger of so many events, with the key that a server finds there.
async fn fill(data: &Path, events: u64, seed: u64) {
    std::fs::create_dir_all(data).expect("a directory for the ledger");
    std::fs::write(data.join("log.key"), format!("{}\n", signer().to_secret_text()))
        .expect("the key is written");
    let node = Node::open(node_config(data), |_| {}).expect("a new ledger");
    let mut market = Market::new(origin(), SIGNERS, seed);
    let mut made = 0;
    while made < events {
        let chunk = CHUNK.min(events - made);
        let mut waiting = Vec::new();
        for signed in market.batch(usize::try_from(chunk).expect("small")) {
            let parsed = signed.parse().expect("well-formed");
            waiting.push(node.enqueue(parsed).await.expect("taken in"));
        }
        for appending in waiting {
            appending.receipt().await.expect("appended");
        }
        made += chunk;
    }
    node.shut_down().await;
}

struct Run<'a> {
    random: Random,
    author: Signer,
    data: PathBuf,
    summary: &'a mut Summary,
    progress: &'a mut dyn FnMut(u64, &str),
}

/// What a stretch of appends ended with.
enum Seen {
    Build(u64, f64),
    Switched { same: bool },
}

impl Run<'_> {
    async fn build(&mut self, events: u64, kills: u64) -> Result<(), Violation> {
        let mut server = Server::start(&self.data);
        let mut client = server.client().await;
        let mut before = Vec::new();
        let began = Instant::now();
        while began.elapsed() < BASELINE {
            before.push(self.append(&client).await?);
        }
        self.summary.before = Latencies::of(before);
        client.rebuild_projection(INDEX).await.map_err(Violation::Unreadable)?;
        let (began, mut during) = (Instant::now(), Vec::new());
        let mut at = 0;
        for kill in 0..kills {
            // Somewhere in its share of the history.
            let share = events / (kills + 1);
            let moment = share * kill + self.random.below(share.max(1));
            match self.until(&client, moment, &mut during).await? {
                Seen::Build(cursor, _) => at = cursor,
                Seen::Switched { .. } => break,
            }
            server.kill();
            self.summary.kills += 1;
            server = Server::start(&self.data);
            client = server.client().await;
            match look(&client).await? {
                Seen::Build(cursor, _) if cursor + MEMTABLE_EVENTS >= at => {
                    self.summary.resumed.push((at, cursor));
                }
                Seen::Build(cursor, _) => return Err(Violation::Restarted { at, cursor }),
                Seen::Switched { .. } => break,
            }
        }
        let Seen::Switched { same } = self.until(&client, u64::MAX, &mut during).await? else {
            return Err(Violation::NeverBuilt { at });
        };
        if !same {
            return Err(Violation::OtherRows);
        }
        self.summary.seconds = began.elapsed().as_secs_f64();
        self.summary.during = Latencies::of(during);
        self.summary.events = client.head().await.map_err(Violation::Unreadable)?.size.as_u64();
        Ok(())
    }

    /// Appends until the build has come so far, or is switched in.
    async fn until(
        &mut self,
        client: &Client,
        cursor: u64,
        took: &mut Vec<Duration>,
    ) -> Result<Seen, Violation> {
        let (began, mut looked) = (Instant::now(), Instant::now());
        loop {
            took.push(self.append(client).await?);
            if looked.elapsed() < LOOK {
                continue;
            }
            looked = Instant::now();
            match look(client).await? {
                Seen::Build(at, rate) => {
                    self.summary.events_per_second = self.summary.events_per_second.max(rate);
                    (self.progress)(at, &format!("{rate:.0} events a second"));
                    if at >= cursor {
                        return Ok(Seen::Build(at, rate));
                    }
                    if began.elapsed() > LIMIT {
                        return Err(Violation::NeverBuilt { at });
                    }
                }
                switched => return Ok(switched),
            }
        }
    }

    async fn append(&mut self, client: &Client) -> Result<Duration, Violation> {
        let signed = self.author.say(intent("while it is built"));
        let began = Instant::now();
        client.append(&signed).await.map_err(Violation::BadAnswer)?;
        Ok(began.elapsed())
    }
}

async fn look(client: &Client) -> Result<Seen, Violation> {
    let listed = client.projections().await.map_err(Violation::Unreadable)?;
    let index = listed.projections.into_iter().find(|projection| projection.name == INDEX);
    let Projection { build_status, serving, last_build, .. } = index.unwrap_or_default();
    match build_status {
        Some(status) => Ok(Seen::Build(status.cursor, status.rate)),
        None if serving.is_some_and(|serving| serving.number > 0) => {
            let end: serde_json::Value = serde_json::from_str(&last_build).unwrap_or_default();
            // Where the two could not be stood at one position, nothing was compared.
            Ok(Seen::Switched { same: end["compared"]["same"] != false })
        }
        None => Err(Violation::NeverBuilt { at: 0 }),
    }
}

/// Holds the rows that are served to rows that are folded here.
fn compare(data: &Path, fresh: &Path) -> Result<(), Violation> {
    let (log, _) = SegmentReader::open_read_only(data, &mut |_| {})
        .map_err(|error| Violation::Invalid(error.to_string()))?;
    let served = digest(&data.join("projections/index/v2-1"), &log);
    if served == digest(fresh, &log) { Ok(()) } else { Err(Violation::OtherRows) }
}

fn digest(dir: &Path, log: &SegmentReader) -> (Digest, u64) {
    let (mut stored, _) =
        Stored::open(dir, Index, Position(0), log.tip().size).expect("the rows open");
    catch_up(&mut stored, log, |_| {}).expect("the log folds");
    stored.rows().digest().expect("the rows are read")
}
