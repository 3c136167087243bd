//! One run of a node's sequencer and committer on a simulated disk, with real envelopes.
//!
//! Groups are planned ahead of the one that is committed, as in the node; authors send again what
//! was not acknowledged, send twice, and leave gaps. The judge is a list of what was acknowledged
//! at which position: it stays there, whatever happens, and nothing comes in twice.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use tally_coordination::Rule;
use tally_node::history::fold_state;
use tally_node::{CommitError, Committer, Head, Planned, Sequencer, Verdict, commit_path};
use tally_protocol::message::Observe;
use tally_protocol::{
    AgentKey, AuthorSequence, Envelope, Message, Position, Time, TraceId, VerifiedEnvelope,
    signature,
};
use tally_store::fs::FileSystem;
use tally_store::{LogReader, LogWriter, OpenError, Options, SegmentLog, SegmentReader, TreeFiles};
use tally_tlog::NoteSigner;

use crate::disk::{Counts, Fault, Rates, SimFs};
use crate::model::{Violation, origin, require, violated};
use crate::plant::Plant;
use crate::random::Random;
use crate::run::{CRASHES_PER_RUN, DIRECTORY, Report, rates, start_bytes};

const AUTHORS: usize = 3;

/// Envelopes that each author has signed.
const ENVELOPES: usize = 400;

/// Most groups between two crashes.
const MOST_GROUPS: u64 = 16;

/// Groups that may be planned and not committed.
const AHEAD: usize = 2;

static SIGNED: LazyLock<Vec<Vec<VerifiedEnvelope>>> =
    LazyLock::new(|| (1..=AUTHORS).map(|seed| sign(seed as u8)).collect());

fn sign(seed: u8) -> Vec<VerifiedEnvelope> {
    let key = AgentKey::from_seed(&[seed; 32]);
    let mut previous = None;
    let envelopes = (0..ENVELOPES).map(|n| {
        let envelope = Envelope {
            origin: origin(),
            author: key.agent(),
            author_sequence: AuthorSequence(n as u64),
            previous,
            issued_at_us: Time(1),
            trace_id: None,
            causes: Vec::new(),
            message: Message::Observe(Observe::Trace(TraceId([seed; 16]))),
        };
        let signed = envelope.sign(&key).expect("it can be said");
        previous = Some(signed.id());
        signature::verify(signed.parse().expect("it reads back")).expect("it is signed")
    });
    envelopes.collect()
}

/// Runs one seed; with `trace` every call to the disk is printed.
pub fn run(seed: u64, plant: Option<Plant>, trace: bool) -> Report {
    let mut world = World::new(seed, plant, trace);
    let violation = world.live().err();
    Report {
        groups: world.groups,
        undecided: u64::from(world.undecided),
        faults: world.fs.counts(),
        call_hash: world.fs.call_hash(),
        violation,
        ..Report::new(seed)
    }
}

/// An author's nth envelope.
type Sent = (usize, usize);

struct Opened {
    sequencer: Sequencer,
    committer: Committer,
    /// Planned groups, with the envelopes of each.
    planned: VecDeque<(Planned, Vec<Sent>)>,
    /// How many envelopes of each author were sent, acknowledged or not.
    sent: [usize; AUTHORS],
}

enum Step {
    GoesOn,
    Down,
}

struct World {
    random: Random,
    fs: SimFs,
    options: Options,
    rates: Rates,
    acknowledged: BTreeMap<Sent, Position>,
    now: Time,
    groups: u64,
    undecided: bool,
}

impl World {
    fn new(seed: u64, plant: Option<Plant>, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let fs = SimFs::new(random.fork(), plant, trace);
        let segment_bytes = random.within(1_000, 12_000);
        let options = Options { segment_bytes, start_bytes: start_bytes(seed) };
        let rates = rates(&mut random);
        if random.chance(1, 3) {
            fs.set_room(random.below(30_000));
        }
        Self {
            random,
            fs,
            options,
            rates,
            acknowledged: BTreeMap::new(),
            now: Time(1),
            groups: 0,
            undecided: false,
        }
    }

    fn live(&mut self) -> Result<(), Violation> {
        self.fs.create_dir(Path::new("/srv")).expect("an empty disk");
        self.fs.sync_dir(Path::new("/")).expect("an empty disk");
        for _ in 0..CRASHES_PER_RUN {
            self.fs.stop_in(self.random.below(500));
            self.fs.set_rates(self.rates);
            self.life()?;
            if self.undecided {
                return Ok(());
            }
            match self.random.chance(1, 2) {
                true => self.fs.kill(),
                false => self.fs.lose_power(),
            }
            self.make_room();
        }
        // The last life has a disk without faults.
        self.fs.set_rates(Rates::default());
        self.fs.set_room_without_end();
        match self.life()? {
            Step::Down if !self.undecided => violated("the node stopped though no fault was left"),
            _ => Ok(()),
        }
    }

    /// From one start of the process to its end.
    fn life(&mut self) -> Result<Step, Violation> {
        let Some(mut opened) = self.open()? else { return Ok(Step::Down) };
        for _ in 0..self.random.below(MOST_GROUPS) {
            self.plan(&mut opened);
            while opened.planned.len() > self.random.below(AHEAD as u64 + 1) as usize {
                if let Step::Down = self.commit(&mut opened)? {
                    return Ok(Step::Down);
                }
            }
        }
        while !opened.planned.is_empty() {
            if let Step::Down = self.commit(&mut opened)? {
                return Ok(Step::Down);
            }
        }
        let faults = self.faults();
        let finished = opened.committer.finish();
        self.excused(faults, || format!("not finished: {finished:?}"), finished.is_ok())?;
        Ok(Step::GoesOn)
    }

    fn open(&mut self) -> Result<Option<Opened>, Violation> {
        let (faults, dir) = (self.faults(), Path::new(DIRECTORY));
        let fs = || Arc::new(self.fs.clone());
        let opened = SegmentLog::open_on(fs(), dir, &origin(), self.options, &mut |_| {});
        let (mut writer, reader, _) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.not_opened(&error, faults).map(|()| None),
        };
        let tip = reader.tip();
        let tree = TreeFiles::open_on(fs(), &dir.join("tree"), &tip, &reader, &mut |_| {});
        let (tree, frontier) = match tree {
            Ok((tree, frontier, _)) => (tree, frontier),
            Err(error) => {
                self.excused(faults, || format!("the tree is not opened: {error}"), false)?;
                return Ok(None);
            }
        };
        let state = match self.fs.quietly(|| fold_state(&reader)) {
            Ok(state) => state,
            Err(error) => return violated(format!("the log does not fold: {error}")),
        };
        self.judge(&reader, &state)?;
        let epoch = match writer.open_epoch("simulator") {
            Ok(epoch) => epoch,
            Err(error) => {
                self.excused(faults, || format!("no epoch: {error}"), false)?;
                return Ok(None);
            }
        };
        let head = Head { state, frontier, chain: tip.chain };
        let signer = NoteSigner::from_seed(origin().key_name(), &[7; 32]);
        let (sequencer, committer) = commit_path(head, signer, Box::new(writer), tree, epoch);
        let sent = self.settled();
        Ok(Some(Opened { sequencer, committer, planned: VecDeque::new(), sent }))
    }

    /// What was acknowledged is where it was; what else is there was sent, and is there once.
    fn judge(
        &self,
        reader: &SegmentReader,
        state: &tally_coordination::State,
    ) -> Result<(), Violation> {
        for (&(author, n), &position) in &self.acknowledged {
            let id = SIGNED[author][n].id();
            require(state.position_of(&id) == Some(position), || {
                format!("envelope {n} of author {author} was acknowledged at {position}")
            })?;
        }
        let chained: u64 = (0..AUTHORS)
            .map(|author| SIGNED[author][0].envelope().author)
            .map(|author| state.agent(&author).map_or(0, |agent| agent.next_sequence.0))
            .sum();
        require(chained == reader.tip().size.as_u64(), || {
            format!("{} events, the authors' chains have {chained}", reader.tip().size)
        })
    }

    /// How many envelopes of each author are acknowledged.
    fn settled(&self) -> [usize; AUTHORS] {
        let mut settled = [0; AUTHORS];
        for (author, _) in self.acknowledged.keys() {
            settled[*author] += 1;
        }
        settled
    }

    fn plan(&mut self, opened: &mut Opened) {
        let mut sent = Vec::new();
        for _ in 0..self.random.within(1, 6) {
            let author = self.random.below(AUTHORS as u64) as usize;
            let next = opened.sent[author];
            let n = match self.random.below(12) {
                0 if next > 0 => self.random.below(next as u64) as usize,
                // A gap: refused, whatever becomes of what is missing.
                1 => next + 1,
                _ => {
                    opened.sent[author] += 1;
                    next
                }
            };
            if n < ENVELOPES {
                sent.push((author, n));
            }
        }
        self.now = self.now.plus_us(self.random.below(1_000));
        let batch: Vec<VerifiedEnvelope> =
            sent.iter().map(|&(author, n)| SIGNED[author][n].clone()).collect();
        let planned = opened.sequencer.plan(&batch, self.now);
        opened.planned.push_back((planned, sent));
    }

    fn commit(&mut self, opened: &mut Opened) -> Result<Step, Violation> {
        let Some((planned, sent)) = opened.planned.pop_front() else { return Ok(Step::GoesOn) };
        let faults = self.faults();
        match opened.committer.commit(&planned) {
            Ok(tip) => {
                self.groups += u64::from(tip.is_some());
                self.acknowledge(planned, &sent)?;
            }
            Err(CommitError::GivenUp) => self.send_again(opened),
            Err(error @ CommitError::Full(_)) => {
                self.excused(faults, || error.to_string(), false)?;
                if self.fs.is_stopped() {
                    return Ok(Step::Down);
                }
                self.send_again(opened);
                self.make_room();
            }
            Err(error @ (CommitError::Nodes(_) | CommitError::Unknown(_))) => {
                self.excused(faults, || error.to_string(), false)?;
                return Ok(Step::Down);
            }
        }
        let faults = self.faults();
        let settled = opened.committer.settle();
        self.excused(faults, || format!("not settled: {settled:?}"), settled.is_ok())?;
        Ok(if settled.is_ok() { Step::GoesOn } else { Step::Down })
    }

    fn acknowledge(&mut self, planned: Planned, sent: &[Sent]) -> Result<(), Violation> {
        for (verdict, &(author, n)) in planned.plan.verdicts.into_iter().zip(sent) {
            let known = self.acknowledged.get(&(author, n)).copied();
            let position = match verdict {
                Verdict::Admitted(event) => {
                    require(known.is_none(), || format!("{n} of {author} was admitted twice"))?;
                    event.position()
                }
                Verdict::Duplicate(position) => position,
                Verdict::Refused(refusal) => {
                    let missing = refusal.rule == Rule::AuthorSequence;
                    require(missing && known.is_none(), || refusal.to_string())?;
                    continue;
                }
            };
            require(known.is_none_or(|known| known == position), || {
                format!("{n} of {author} moved to {position}")
            })?;
            self.acknowledged.insert((author, n), position);
        }
        Ok(())
    }

    /// Authors go back to what was not acknowledged.
    fn send_again(&self, opened: &mut Opened) {
        opened.sent = self.settled();
    }

    /// Somebody removes something, or nobody does.
    fn make_room(&mut self) {
        if self.fs.counts().of(Fault::NoSpace) > 0 && self.random.chance(1, 2) {
            self.fs.set_room(self.random.within(500, 30_000));
        }
    }

    fn not_opened(&mut self, error: &OpenError, faults: u64) -> Result<(), Violation> {
        let torn = |path: &Path| self.fs.was_torn(path);
        let dir = Path::new(DIRECTORY);
        let undecided = match error {
            OpenError::Damaged { damage, .. } => {
                torn(&dir.join("log").join(damage.segment.to_string())) || torn(&dir.join("mark"))
            }
            OpenError::LogMissing { path } => torn(path),
            _ => false,
        };
        self.undecided |= undecided && !self.fs.is_stopped();
        self.excused(faults, || format!("not opened: {error}"), undecided)
    }

    /// Nothing fails without a fault.
    fn excused(
        &self,
        faults: u64,
        what: impl FnOnce() -> String,
        otherwise: bool,
    ) -> Result<(), Violation> {
        require(otherwise || self.fs.is_stopped() || self.faults() > faults, what)
    }

    fn faults(&self) -> u64 {
        faults_of(&self.fs.counts())
    }
}

/// How many faults there were that are not crashes.
fn faults_of(counts: &Counts) -> u64 {
    let crashes = [Fault::Kill, Fault::PowerLoss];
    let kinds = Fault::ALL.into_iter().filter(|kind| !crashes.contains(kind));
    kinds.map(|kind| counts.of(kind)).sum()
}
