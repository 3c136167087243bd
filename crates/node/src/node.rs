//! The node: opens a ledger, takes envelopes in, and answers what the log has come to.
//!
//! A [`Node`] is a handle that can be cloned. It does not know gRPC, and it decides nothing itself:
//! the rules are in `tally-coordination`, the sequencing in [`crate::plan`].

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tally_coordination::{
    EQUIVOCATION, Finding, FindingKind, GENERATION_EVENTS, Object, Refusal, State,
};
use tally_projection::ProjectionError;
use tally_protocol::message::{Observe, StateNotice};
use tally_protocol::parts::{Name, Text};
use tally_protocol::{
    AgentId, AgentKey, AsOf, Envelope, EnvelopeId, Equivocation, Event, Message, Origin, Position,
    SignedEnvelope, Time, TreeSize,
};
use tally_provenance::Graph;
use tally_store::fs::{FileSystem, RealFs};
use tally_store::{
    AppendError as WriteError, LogReader, LogWriter, OpenError as StoreError, Options, Progress,
    ReadError, ReadLimit, Rows, RowsError, Run, SegmentLog, SegmentWriter, Tip, TreeError,
    TreeFiles, TreeReader,
};
use tally_tlog::{
    Checkpoint, ConsistencyProof, Cosigner, Hash, InclusionProof, NoteSigner, ProveError, Prover,
    SignedCheckpoint, VerifierKey, consistency_proof, root_at,
};
use tally_verify::evidence::Evidence;
use tally_verify::{Judge, Trust};
use tokio::sync::{Semaphore, watch};

use crate::archive::{ArchiveError, Following, StateRows};
use crate::attesting;
use crate::clock::{Clock, SystemClock};
use crate::evidence::EvidenceFile;
use crate::history::{HistoryError, size_as_of};
use crate::index::{self, Index};
use crate::metrics::CommitWatch;
use crate::past::Past;
use crate::pipeline::{Parts, Pipeline, Placed};
use crate::plan::Head;
use crate::projections::{AskError, Projections, Recipe, Serving};
use crate::replica::{Announce, Replica, Stamp};
use crate::sequencer::commit_path;
use crate::witnessing::{Cosigned, WITNESS_WAIT, Witnesses, Witnessing};

/// Envelopes that may be on their way at once; beyond it the node is busy.
pub const MAX_IN_FLIGHT: usize = 16_384;

/// Bytes of them: a disk that hangs costs no more memory than this.
pub const MAX_IN_FLIGHT_BYTES: usize = MAX_IN_FLIGHT * PLACE_BYTES;

/// A place in the intake. Larger envelopes take several.
const PLACE_BYTES: usize = 4_096;

/// What a caller waits before it tries a busy node again.
pub const RETRY_DELAY: Duration = Duration::from_millis(50);

/// What a caller waits before it tries again to append to a full disk.
pub const FULL_RETRY_DELAY: Duration = Duration::from_secs(1);

mod appending;

pub use appending::{AppendError, Appending};

/// What a ledger needs to run.
pub struct Config {
    /// The data directory; made when absent.
    pub data: PathBuf,
    /// The ledger's name.
    pub origin: Origin,
    /// The key that signs checkpoints.
    pub signer: NoteSigner,
    /// Where the ledger's time comes from.
    pub clock: Arc<dyn Clock>,
    /// Checkpoints of this ledger that others hold. A log that does not contain them would fork,
    /// so it is not opened.
    pub seen: Vec<Checkpoint>,
    /// Who cosigns checkpoints, if anybody.
    pub witnesses: Option<Witnesses>,
    /// The key by which the ledger itself says what it met: an `Observe` notice with evidence.
    pub agent: Option<AgentKey>,
    /// Projections beside the node's own.
    pub projections: Vec<Recipe>,
    /// Events of a generation of the state in memory.
    pub generation: NonZeroU64,
    /// After how many events the ledger's agent says again what the log has come to; never when
    /// nothing is said.
    pub state_digest_every: Option<NonZeroU64>,
}

impl Config {
    /// With the system's clock, nothing that others have seen, and no witnesses.
    pub fn new(data: PathBuf, origin: Origin, signer: NoteSigner) -> Self {
        let clock = Arc::new(SystemClock);
        Self {
            data,
            origin,
            signer,
            clock,
            seen: Vec::new(),
            witnesses: None,
            agent: None,
            projections: Vec::new(),
            generation: GENERATION_EVENTS,
            state_digest_every: None,
        }
    }
}

/// What a mirror needs to run.
pub struct MirrorConfig {
    /// The data directory; made when absent.
    pub data: PathBuf,
    /// The key that signs the writer's checkpoints; its name is the ledger's.
    pub log_key: VerifierKey,
    /// Where those are sent who want to append.
    pub writer: String,
    /// The key by which the mirror says that it holds what it serves.
    pub cosigner: Option<Cosigner>,
    /// The time of cosignatures.
    pub clock: Arc<dyn Clock>,
}

/// Why a ledger does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store is damaged, locked, or out of reach.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the log holds can't be folded.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The tree's nodes can't be used or rebuilt.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The rows of the state can't be opened or made anew.
    #[error(transparent)]
    State(RowsError),
    /// A projection can't be opened or made anew.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// The fence against another writer can't be set.
    #[error(transparent)]
    Epoch(#[from] WriteError),
    /// The last checkpoint in the log is not signed by the key that is to sign the next one.
    #[error(
        "the ledger's last checkpoint was not signed by {key}; start it with the key that signed \
         it, or readers will see a fork"
    )]
    SignedByAnother {
        /// The key that was given.
        key: String,
    },
    /// Others have seen more of the ledger than this log holds: it lost its end.
    #[error(
        "others have seen a checkpoint of {seen} events, and the log ends at {size}: going on would \
         fork it. Nothing was signed: restore the missing events from a mirror or a newer backup"
    )]
    BehindSeen {
        /// The size that was seen.
        seen: TreeSize,
        /// The log's.
        size: TreeSize,
    },
    /// Others have seen another history.
    #[error(
        "others have seen a checkpoint of {seen} events with another root: this log and that one \
         are two histories of one ledger. Nothing was signed: keep both, and compare them"
    )]
    OtherHistory {
        /// The size that was seen.
        seen: TreeSize,
    },
    /// A checkpoint that was seen is of another ledger.
    #[error("a checkpoint that was seen is of {found}, not of {expected}; name the right one")]
    SeenElsewhere {
        /// What it says.
        found: Origin,
        /// This ledger.
        expected: Origin,
    },
    /// The file for evidence can't be opened.
    #[error("{path}: {source}; check that the directory can be written")]
    Evidence {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

impl From<ArchiveError> for OpenError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Rows(error) => Self::State(error),
            ArchiveError::History(error) => Self::History(error),
        }
    }
}

/// Why a proof can't be given.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The tree has not grown that far.
    #[error("tree size {asked} lies beyond the head, which is {head}")]
    BeyondHead {
        /// The size that was asked for.
        asked: TreeSize,
        /// The head.
        head: TreeSize,
    },
    /// The older tree is the larger.
    #[error("tree size {old} is greater than {new}: ask for the older tree first")]
    Order {
        /// The size given as the older.
        old: TreeSize,
        /// The size given as the newer.
        new: TreeSize,
    },
    /// There is nothing before the first event to prove from.
    #[error("every tree continues the empty one: there is no proof from tree size 0")]
    EmptyOldTree,
    /// The event is durable, and not enough witnesses have cosigned a tree with it.
    #[error(
        "the event is durable, but not enough witnesses have cosigned it yet; append the same \
         envelope again to get its receipt"
    )]
    NotWitnessed,
    /// The tree is too large for a proof.
    #[error("the tree has more leaves than a proof can cover")]
    TooLarge,
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tree can't be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// What everyone may see: the durable head and the fold that goes with it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The core fold.
    pub state: State,
    /// The durable head.
    pub tip: Tip,
    /// The signed note of the head; empty while the ledger is.
    pub checkpoint: Bytes,
}

/// Pause before a graph that went back is asked again.
const GOES_BACK: Duration = Duration::from_millis(1);

/// A log receipt in plain types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReceipt {
    /// The event.
    pub event: Event,
    /// Its proof under the checkpoint's tree.
    pub proof: InclusionProof,
    /// The signed note of that tree.
    pub checkpoint: Bytes,
    /// The envelope had been appended before.
    pub duplicate: bool,
}

/// A consistency proof in plain types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// Root of the older tree.
    pub old_root: Hash,
    /// Root of the newer tree.
    pub new_root: Hash,
    /// Size of the newer tree.
    pub new_size: TreeSize,
    /// The proof.
    pub proof: ConsistencyProof,
    /// The signed note of the head.
    pub checkpoint: Bytes,
}

/// A running ledger.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    log_key: VerifierKey,
    /// In a mirror, where the writer is.
    writer: Option<String>,
    places: Arc<Semaphore>,
    /// Absent in a mirror.
    pipeline: Option<Pipeline>,
    reader: Arc<dyn LogReader>,
    tree: TreeReader,
    projections: Projections,
    index: Serving<Rows>,
    graph: Serving<RwLock<Graph>>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stopped: watch::Receiver<Option<String>>,
    watch: Arc<CommitWatch>,
    evidence: EvidenceFile,
    witnesses_required: bool,
    cosigned: watch::Receiver<Option<Cosigned>>,
    witnesses: Mutex<Option<JoinHandle<()>>>,
    attesting: Mutex<Option<JoinHandle<()>>>,
    /// Writes generations of the state.
    archive: Mutex<Option<Following>>,
    state_rows: StateRows,
    past: Mutex<Past>,
    /// Held while the ledger's own agent speaks, so that its chain has no gap.
    agent: tokio::sync::Mutex<Option<AgentKey>>,
}

impl Node {
    /// Opens a ledger: recovers the log, folds it, and starts the pipeline.
    ///
    /// # Errors
    /// [`OpenError`] names the place of any damage; the ledger is unchanged then.
    pub fn open(config: Config, progress: impl FnMut(Progress)) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(RealFs), config, progress)
    }

    /// Opens a ledger whose log and tree are on another file system than the operating system's.
    ///
    /// # Errors
    /// As [`Node::open`].
    pub fn open_on(
        fs: Arc<dyn FileSystem>,
        config: Config,
        mut progress: impl FnMut(Progress),
    ) -> Result<Self, OpenError> {
        let Config { data, origin, signer, clock, seen, .. } = config;
        let Config { witnesses, agent, projections, generation, state_digest_every, .. } = config;
        let log_key = signer.verifier_key();
        let opened = Opened::open(fs, &data, &log_key, (&origin, generation), &mut progress)?;
        check_seen(&seen, &origin, &opened.reader.tip(), &opened.tree.reader())?;
        let Opened { mut writer, reader, tree, head, state_rows } = opened;
        let evidence = open_evidence(&data)?;
        let epoch = writer.open_epoch("tally")?;

        let checkpoint = reader.checkpoint();
        let (heads, snapshots, turned) = Heads::new(&head.state, reader.tip(), checkpoint);
        let (stopped_to, stopped) = watch::channel(None);
        let tree_reader = tree.reader();
        let state_signer = signer.clone();
        let (sequencer, committer) = commit_path(head, signer, Box::new(writer), tree, epoch);
        let watch = Arc::new(CommitWatch::default());
        let parts = Parts {
            sequencer,
            committer,
            watch: Arc::clone(&watch),
            clock: Arc::clone(&clock),
            heads,
            stopped: stopped_to,
        };
        let pipeline = Some(Pipeline::start(parts));
        let witnessing = witnesses.map_or_else(Witnessing::none, |witnesses| {
            let (tree, snapshots) = (tree_reader.clone(), snapshots.clone());
            Witnessing::start(witnesses, &data, (&log_key, &origin), tree, snapshots)
        });
        let archived = (state_rows, turned);
        let door = Door { writer: None, pipeline, watch, stopped, witnessing, agent, archived };
        let log = (log_key, reader, tree_reader);
        let own = (&*data, &clock, projections);
        let node = Self::assemble(log, own, snapshots.clone(), evidence, door)?;
        if let Some(every) = state_digest_every {
            let attesting =
                attesting::start(node.downgrade(), snapshots, state_signer, every.get());
            *node.0.attesting.lock().expect("nobody panics while holding it") = Some(attesting);
        }
        Ok(node)
    }

    /// Opens a copy of another node's log. The [`Replica`] is its only writer.
    ///
    /// # Errors
    /// [`OpenError`] names the place of any damage; the copy is unchanged then.
    pub fn open_mirror(
        config: MirrorConfig,
        progress: impl FnMut(Progress),
    ) -> Result<(Self, Replica), OpenError> {
        Self::open_mirror_on(Arc::new(RealFs), config, progress)
    }

    /// Opens a copy whose log and tree are on another file system than the operating system's.
    ///
    /// # Errors
    /// As [`Node::open_mirror`].
    pub fn open_mirror_on(
        fs: Arc<dyn FileSystem>,
        config: MirrorConfig,
        mut progress: impl FnMut(Progress),
    ) -> Result<(Self, Replica), OpenError> {
        let MirrorConfig { data, log_key, writer: address, cosigner, clock } = config;
        let origin = Origin::new(log_key.name().as_str()).expect("a key name is an origin");
        let every = (&origin, GENERATION_EVENTS);
        let opened = Opened::open(fs, &data, &log_key, every, &mut progress)?;
        let Opened { mut writer, reader, tree, head, state_rows } = opened;
        let evidence = open_evidence(&data)?;
        let epoch = writer.open_epoch("mirror")?;

        let stamp = Stamp { cosigner, clock: Arc::clone(&clock) };
        let checkpoint = stamp.cosigned(&reader.checkpoint());
        let (heads, snapshots, turned) = Heads::new(&head.state, reader.tip(), checkpoint);
        let (stopped_to, stopped) = watch::channel(None);
        let announce = Announce { heads, stopped: stopped_to };
        let trust = Trust { origin, keys: vec![log_key.clone()], earlier: Vec::new() };
        let judge = Judge::resume(trust, head.state, head.chain, head.frontier);
        let tree_reader = tree.reader();
        let replica = Replica::new(judge, (Box::new(writer), epoch), tree, announce, stamp);
        let watch = Arc::new(CommitWatch::default());
        let door = Door {
            writer: Some(address),
            pipeline: None,
            watch,
            stopped,
            witnessing: Witnessing::none(),
            agent: None,
            archived: (state_rows, turned),
        };
        let log = (log_key, reader, tree_reader);
        let projections = (&*data, &clock, Vec::new());
        Ok((Self::assemble(log, projections, snapshots, evidence, door)?, replica))
    }

    fn assemble(
        (log_key, reader, tree): (VerifierKey, Arc<dyn LogReader>, TreeReader),
        (data, clock, others): (&Path, &Arc<dyn Clock>, Vec<Recipe>),
        snapshots: watch::Receiver<Arc<Snapshot>>,
        evidence: EvidenceFile,
        door: Door,
    ) -> Result<Self, OpenError> {
        let (graph_recipe, graph) = Recipe::graph();
        let (index_recipe, index) = Recipe::stored(Index);
        let recipes = [graph_recipe, index_recipe].into_iter().chain(others).collect();
        let (log, seen) = (Arc::clone(&reader), snapshots.clone());
        let projections = Projections::open(data, log, seen, clock, recipes)?;
        let places = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        let (state_rows, turned) = door.archived;
        let archive = state_rows.clone().follow(snapshots.clone(), turned, Arc::clone(&places));
        Ok(Self(Arc::new(Inner {
            log_key,
            writer: door.writer,
            places,
            archive: Mutex::new(Some(archive)),
            state_rows,
            pipeline: door.pipeline,
            reader,
            tree,
            projections,
            index,
            graph,
            snapshots,
            stopped: door.stopped,
            watch: door.watch,
            evidence,
            witnesses_required: door.witnessing.required,
            cosigned: door.witnessing.cosigned,
            witnesses: Mutex::new(door.witnessing.thread),
            attesting: Mutex::default(),
            past: Mutex::default(),
            agent: tokio::sync::Mutex::new(door.agent),
        })))
    }

    /// The key that signs checkpoints.
    pub fn log_key(&self) -> &VerifierKey {
        &self.0.log_key
    }

    /// The log itself.
    pub fn log(&self) -> &Arc<dyn LogReader> {
        &self.0.reader
    }

    /// The tree's nodes: those of every snapshot, and perhaps more.
    pub fn tree(&self) -> &TreeReader {
        &self.0.tree
    }

    /// What everyone may see now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshots.borrow().clone()
    }

    /// The last checkpoint that enough witnesses cosigned.
    pub fn cosigned(&self) -> Option<Cosigned> {
        self.0.cosigned.borrow().clone()
    }

    /// The signed note to give away: the last that enough witnesses cosigned, or that of the head
    /// where nobody does. Empty while there is none.
    pub fn published(&self) -> Bytes {
        match self.cosigned() {
            Some(cosigned) => cosigned.note,
            None if self.0.witnesses_required => Bytes::new(),
            None => self.snapshot().checkpoint.clone(),
        }
    }

    /// Tells of every new snapshot.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.0.snapshots.clone()
    }

    /// Becomes `Some` when the ledger had to stop, with the cause.
    pub fn stopped(&self) -> watch::Receiver<Option<String>> {
        self.0.stopped.clone()
    }

    /// What is archived of the state.
    pub fn state_rows(&self) -> &StateRows {
        &self.0.state_rows
    }

    /// The projections that follow the log.
    pub fn projections(&self) -> &Projections {
        &self.0.projections
    }

    /// Share of the intake that is taken, 0 to 1.
    pub fn intake_used(&self) -> f64 {
        1.0 - self.0.places.available_permits() as f64 / MAX_IN_FLIGHT as f64
    }

    /// How long the present commit has been going on; zero when none is.
    pub fn commit_running(&self) -> Duration {
        self.0.watch.running()
    }

    /// The snapshot that holds at least so many events.
    pub async fn snapshot_at_least(&self, size: TreeSize) -> Option<Arc<Snapshot>> {
        let mut snapshots = self.snapshots();
        let reached = snapshots.wait_for(|snapshot| snapshot.tip.size >= size).await.ok()?;
        Some(reached.clone())
    }

    /// How many events there were at a moment.
    ///
    /// # Errors
    /// [`ProofError::BeyondHead`], or when stored bytes fail their check.
    pub fn size_as_of(&self, as_of: AsOf) -> Result<TreeSize, ProofError> {
        let head = self.snapshot().tip.size;
        let asked = size_as_of(&*self.0.reader, as_of)?;
        if asked > head { Err(ProofError::BeyondHead { asked, head }) } else { Ok(asked) }
    }

    /// The state after the first so many events. Blocks: it may fold much of the log again, one
    /// question at a time.
    ///
    /// # Errors
    /// [`HistoryError`] names the first position that can't be folded.
    pub fn state_as_of(&self, size: TreeSize) -> Result<State, HistoryError> {
        let snapshot = self.snapshot();
        if snapshot.tip.size == size {
            return Ok(snapshot.state.clone());
        }
        let mut past = self.0.past.lock().expect("no holder of the lock panics");
        past.state(&*self.0.reader, size)
    }

    /// Asks the provenance graph, once it holds at least so many events.
    ///
    /// # Errors
    /// [`AskError`]: there is no answer.
    pub async fn ask_graph<T>(
        &self,
        size: TreeSize,
        ask: impl FnOnce(&Graph) -> T,
    ) -> Result<T, AskError> {
        let mut ask = Some(ask);
        loop {
            let graph = self.0.graph.at_least(size).await.ok_or(AskError::Stopped)?;
            let answered = {
                let graph = graph.read().expect("a fold that panics is caught");
                match graph.failure() {
                    Some(failure) => return Err(Arc::clone(failure).into()),
                    None if graph.next_position().0 < size.as_u64() => None,
                    None => {
                        let answer = ask.take().expect("asked once")(&graph);
                        Some((answer, graph.failure().cloned()))
                    }
                }
            };
            match answered {
                Some((_, Some(failure))) => return Err(failure.into()),
                Some((answer, None)) => return Ok(answer),
                // It went back to what is kept, because of an event that it can't fold.
                None => tokio::time::sleep(GOES_BACK).await,
            }
        }
    }

    /// One event.
    ///
    /// # Errors
    /// [`ReadError`] beyond the head, or when stored bytes fail their check.
    pub fn event(&self, position: Position) -> Result<Event, ReadError> {
        self.0.reader.event(position)
    }

    /// Where an envelope stands.
    pub fn position_of(&self, id: &EnvelopeId) -> Option<Position> {
        self.snapshot().state.position_of(id)
    }

    /// Events from a position on, as many as the limit allows.
    ///
    /// # Errors
    /// [`ReadError`] beyond the head, or when stored bytes fail their check.
    pub fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Event>, ReadError> {
        self.0.reader.read(from, limit)
    }

    /// The same events, with the checkpoints that end groups among them.
    ///
    /// # Errors
    /// [`ReadError`] beyond the head, or when stored bytes fail their check.
    pub fn run(&self, from: Position, limit: ReadLimit) -> Result<Run, ReadError> {
        self.0.reader.run(from, limit)
    }

    /// The log receipt of an event under the present head.
    ///
    /// # Errors
    /// [`ProofError`] beyond the head, or when stored bytes fail their check.
    pub fn receipt(&self, position: Position) -> Result<LogReceipt, ProofError> {
        self.prove(self.event(position)?, false, &self.snapshot(), &mut None)
    }

    /// Proves an event under the last checkpoint that enough witnesses cosigned, if that covers it;
    /// otherwise under the snapshot's, unless witnesses are required. The prover is that of the event
    /// before, if there was one.
    fn prove<'n>(
        &'n self,
        event: Event,
        duplicate: bool,
        snapshot: &Snapshot,
        prover: &mut Option<Prover<&'n TreeReader>>,
    ) -> Result<LogReceipt, ProofError> {
        let leaf = event.position().leaf();
        let cosigned = self.cosigned().filter(|cosigned| cosigned.size.contains(leaf));
        let (size, checkpoint) = match cosigned {
            Some(Cosigned { size, note }) => (size, note),
            None if self.0.witnesses_required => return Err(ProofError::NotWitnessed),
            None => (snapshot.tip.size, snapshot.checkpoint.clone()),
        };
        let of_size = prover.take_if(|prover| prover.size() == size);
        let prover = prover.insert(of_size.unwrap_or_else(|| Prover::new(&self.0.tree, size)));
        let proof = prover.inclusion(leaf)?;
        Ok(LogReceipt { event, proof, checkpoint, duplicate })
    }

    /// Waits until enough witnesses cosigned a tree with this event, where they are required.
    async fn witnessed(&self, event: &Event) {
        if !self.0.witnesses_required {
            return;
        }
        let leaf = event.position().leaf();
        let mut cosigned = self.0.cosigned.clone();
        let covered =
            cosigned.wait_for(|last| last.as_ref().is_some_and(|last| last.size.contains(leaf)));
        // What is not cosigned by then is not proved.
        let _waited = tokio::time::timeout(WITNESS_WAIT, covered).await;
    }

    /// That the tree of `old` leaves is a prefix of the tree of `new`, or of the head.
    ///
    /// # Errors
    /// [`ProofError`] when the sizes are out of range.
    pub fn consistency(
        &self,
        old: TreeSize,
        new: Option<TreeSize>,
    ) -> Result<Consistency, ProofError> {
        let snapshot = self.snapshot();
        let head = snapshot.tip.size;
        let new = new.unwrap_or(head);
        if new > head {
            return Err(ProofError::BeyondHead { asked: new, head });
        }
        if old > new {
            return Err(ProofError::Order { old, new });
        }
        if old == TreeSize::ZERO {
            return Err(ProofError::EmptyOldTree);
        }
        Ok(Consistency {
            old_root: root_at(&self.0.tree, old)?,
            new_root: root_at(&self.0.tree, new)?,
            new_size: new,
            proof: consistency_proof(&self.0.tree, old, new)?,
            checkpoint: snapshot.checkpoint.clone(),
        })
    }

    /// Takes nothing in any more, finishes what is on its way, and closes the store.
    pub async fn shut_down(&self) {
        self.0.places.close();
        self.0.pipeline.iter().for_each(Pipeline::close);
        let witnesses = self.0.witnesses.lock().expect("no holder of the lock panics").take();
        let attesting = self.0.attesting.lock().expect("no holder of the lock panics").take();
        let archive = self.0.archive.lock().expect("no holder of the lock panics").take();
        let node = self.clone();
        let finish = move || {
            node.0.pipeline.iter().for_each(Pipeline::join);
            node.0.projections.shut_down();
            for thread in witnesses.into_iter().chain(attesting) {
                thread.join().expect("asking witnesses and computing digests does not panic");
            }
            archive.into_iter().for_each(Following::join);
        };
        tokio::task::spawn_blocking(finish).await.expect("the threads end without a panic");
        tracing::info!(size = %self.snapshot().tip.size, "ledger closed");
    }

    /// Keeps both statements of an author who signed two with one sequence.
    async fn keep_evidence(&self, signed: SignedEnvelope, refusal: &mut Refusal) {
        let Ok(envelope) = signed.parse() else { return };
        let author = envelope.envelope().author;
        let sequence = envelope.envelope().author_sequence;
        // The index follows at its own pace, and knows where the first one is.
        let index = self.0.index.at_least(self.snapshot().tip.size).await;
        let found = index.and_then(|rows| index::author(&rows, &author, sequence).ok());
        refusal.position = found.flatten();
        let Some(first) = refusal.position.and_then(|position| self.event(position).ok()) else {
            tracing::warn!(%author, %sequence, "an author signed two envelopes with one sequence");
            return;
        };
        let (origin, first) = (&envelope.envelope().origin, first.signed());
        let evidence = Evidence::equivocation(origin, &first, envelope.signed());
        let node = self.clone();
        let raised = tokio::task::spawn_blocking(move || node.evidence().raise(&evidence));
        raised.await.expect("keeping evidence does not panic");
        let claim = Equivocation::new(&first, envelope.signed());
        if let Err(why) = self.observe(first.id(), &claim).await {
            tracing::warn!(why, "the evidence could not be put on record; it is in the file");
        }
    }

    /// Puts evidence on record, in the name of the ledger's own agent.
    async fn observe(&self, subject: EnvelopeId, claim: &Equivocation) -> Result<(), String> {
        let json = serde_json::to_string(claim).expect("texts are JSON");
        let state = EQUIVOCATION.parse::<Name>().expect("a word is a name");
        let text = Text::new(json).map_err(|error| error.to_string())?;
        let object = Object::Envelope(subject);
        let on_record = |finding: &Finding| {
            finding.kind == FindingKind::Equivocation && finding.object == object
        };
        let agent = self.0.agent.lock().await;
        if self.snapshot().state.shown().any(|finding| on_record(&finding)) {
            return Ok(());
        }
        let notice = StateNotice { text, ..StateNotice::new(subject, state) };
        let message = |_| Message::Observe(Observe::Notice(notice));
        self.append_own(agent.as_ref(), message).await.map(drop)
    }

    /// Appends a message of the ledger's own agent, if it has one, and says where it stands. Does not
    /// wait for a receipt.
    pub(crate) async fn say(
        &self,
        message: impl FnOnce(AgentId) -> Message,
    ) -> Result<Option<Position>, String> {
        let agent = self.0.agent.lock().await;
        self.append_own(agent.as_ref(), message).await
    }

    /// The agent's key is held meanwhile, so that its chain has no gap.
    async fn append_own(
        &self,
        key: Option<&AgentKey>,
        message: impl FnOnce(AgentId) -> Message,
    ) -> Result<Option<Position>, String> {
        let Some(key) = key else { return Ok(None) };
        let snapshot = self.snapshot();
        let chain = snapshot.state.agent(&key.agent());
        let envelope = Envelope {
            origin: snapshot.state.origin().clone(),
            author: key.agent(),
            author_sequence: chain.map(|chain| chain.next_sequence).unwrap_or_default(),
            previous: chain.map(|chain| chain.last),
            issued_at_us: snapshot.recorded_at(),
            trace_id: None,
            causes: Vec::new(),
            message: message(key.agent()),
        };
        let signed = envelope.sign(key).and_then(SignedEnvelope::parse);
        let parsed = signed.map_err(|error| error.to_string())?;
        let appending = self.enqueue(parsed).await.map_err(|error| error.to_string())?;
        // Not its receipt: that may wait for witnesses.
        match appending.answers().await.answers.pop().expect("one answer an envelope") {
            Ok(Placed::Committed(event)) => Ok(Some(event.position())),
            Ok(Placed::Duplicate(position)) => Ok(Some(position)),
            Ok(Placed::Refused(refusal, _)) => Err(refusal.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn downgrade(&self) -> WeakNode {
        WeakNode(Arc::downgrade(&self.0))
    }

    /// Where evidence is kept.
    pub(crate) fn evidence(&self) -> &EvidenceFile {
        &self.0.evidence
    }
}

/// A node that may be gone.
pub(crate) struct WeakNode(Weak<Inner>);

impl WeakNode {
    pub(crate) fn upgrade(&self) -> Option<Node> {
        self.0.upgrade().map(Node)
    }
}

impl From<ProveError<TreeError>> for ProofError {
    fn from(error: ProveError<TreeError>) -> Self {
        match error {
            ProveError::Read(error) => Self::Tree(error),
            ProveError::EmptyOldTree => Self::EmptyOldTree,
            ProveError::TreeTooLarge { .. } => Self::TooLarge,
            ProveError::NoSuchLeaf { .. } | ProveError::Shrunk { .. } => {
                unreachable!("sizes are compared with the head before")
            }
        }
    }
}

/// Holds the log to what others have seen of it.
fn check_seen(
    seen: &[Checkpoint],
    origin: &Origin,
    tip: &Tip,
    tree: &TreeReader,
) -> Result<(), OpenError> {
    for checkpoint in seen {
        let Checkpoint { origin: found, size, root } = checkpoint.clone();
        if found != *origin {
            return Err(OpenError::SeenElsewhere { found, expected: origin.clone() });
        }
        if size > tip.size {
            return Err(OpenError::BehindSeen { seen: size, size: tip.size });
        }
        if root_at(tree, size)? != root {
            return Err(OpenError::OtherHistory { seen: size });
        }
    }
    Ok(())
}

fn check_signer(
    reader: &dyn LogReader,
    key: &VerifierKey,
    origin: &Origin,
) -> Result<(), OpenError> {
    let note = reader.checkpoint();
    if note.is_empty() {
        return Ok(());
    }
    let signed = SignedCheckpoint::parse(&note).ok();
    let opened = signed.and_then(|signed| signed.open(std::slice::from_ref(key), origin).ok());
    opened.map(|_| ()).ok_or_else(|| OpenError::SignedByAnother { key: key.to_string() })
}

/// Removes what an earlier version kept of rows, which the index has taken the place of.
fn remove_old_rows(data: &Path) {
    let old = data.join("rows");
    // What can't be removed is in nobody's way.
    let _removed = std::fs::remove_dir_all(&old);
    for suffix in ["seal", "lock"] {
        let _removed = std::fs::remove_file(old.with_extension(suffix));
    }
}

fn open_evidence(data: &Path) -> Result<EvidenceFile, OpenError> {
    EvidenceFile::open(data).map_err(|(path, source)| OpenError::Evidence { path, source })
}

/// A log with all that is folded from it, before anybody writes.
struct Opened {
    writer: SegmentWriter,
    reader: Arc<dyn LogReader>,
    tree: TreeFiles,
    head: Head,
    state_rows: StateRows,
}

impl Opened {
    fn open(
        fs: Arc<dyn FileSystem>,
        data: &Path,
        log_key: &VerifierKey,
        (origin, generation): (&Origin, NonZeroU64),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, OpenError> {
        let options = Options::default();
        let (writer, reader, recovery) =
            SegmentLog::open_on(Arc::clone(&fs), data, origin, options, progress)?;
        tracing::info!(?recovery, data = %data.display(), "log opened");
        let reader: Arc<dyn LogReader> = Arc::new(reader);
        check_signer(&*reader, log_key, origin)?;
        remove_old_rows(data);
        let tip = reader.tip();
        let (tree, frontier, nodes) =
            TreeFiles::open_on(fs, &data.join("tree"), &tip, &*reader, progress)?;
        tracing::info!(?nodes, "rebuildable parts opened");
        let (state_rows, state) = StateRows::open(data, &*reader, generation)?;
        let head = Head { state, frontier, chain: tip.chain };
        Ok(Self { writer, reader, tree, head, state_rows })
    }
}

/// How envelopes come in, or where they are to go.
struct Door {
    writer: Option<String>,
    pipeline: Option<Pipeline>,
    watch: Arc<CommitWatch>,
    stopped: watch::Receiver<Option<String>>,
    witnessing: Witnessing,
    agent: Option<AgentKey>,
    /// With where the last generation ends that the state closed.
    archived: (StateRows, watch::Receiver<Position>),
}

/// Who hears of what became durable. Those who follow the log hear of every group; who archives the
/// state hears of generations only, and is not woken in between.
pub(crate) struct Heads {
    snapshots: watch::Sender<Arc<Snapshot>>,
    turned: watch::Sender<Position>,
}

type Told = (Heads, watch::Receiver<Arc<Snapshot>>, watch::Receiver<Position>);

impl Heads {
    fn new(state: &State, tip: Tip, checkpoint: Bytes) -> Told {
        let snapshot = Arc::new(Snapshot { state: state.clone(), tip, checkpoint });
        let ((snapshots, heard), (turned, ends)) =
            (watch::channel(snapshot), watch::channel(state.turned()));
        (Self { snapshots, turned }, heard, ends)
    }

    /// Lets everyone see a head that is durable.
    pub(crate) fn announce(&self, head: Arc<Snapshot>) {
        let turned = head.state.turned();
        self.snapshots.send_replace(head);
        self.turned.send_if_modified(|known| {
            let is_later = turned > *known;
            *known = turned.max(*known);
            is_later
        });
    }
}

impl Snapshot {
    /// The ledger's time: when the last event was recorded.
    pub fn recorded_at(&self) -> Time {
        self.tip.recorded_at
    }
}
