//! The agents that load a ledger: one key and one chain each. An agent keeps every log receipt
//! that it gets, and appends what it has no receipt for again, with the same bytes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tally_client::{Client, ConnectError, Error, Receipt, Rejection, Trust};
use tally_protocol::message::Intent;
use tally_protocol::{EnvelopeId, Message, Origin, Position, SignedEnvelope};
use tally_simulator::random::Random;
use tally_tests::signer::{Signer, cancel, capability, intent};
use tally_tlog::VerifierKey;
use tonic::Code;

use crate::Violation;
use crate::check::Kept;

/// Longest wait for an answer.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Most envelopes that an agent signs ahead for one stream.
const MAX_AHEAD: u64 = 64;

/// Pause after the ledger has no space for an envelope.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// Most bytes of what an agent says, but for the few that say much.
const SHORT_TEXT: u64 = 200;

/// Most bytes of what an agent says at all.
const LONG_TEXT: u64 = 8_000;

/// Where a ledger is, and whose checkpoints are believed.
#[derive(Debug, Clone)]
pub struct Address {
    /// Where it listens.
    pub url: String,
    /// The key that signs its checkpoints.
    pub key: VerifierKey,
}

impl Address {
    /// Connects; `None` when nobody is there any more.
    pub(crate) async fn connect(&self) -> Result<Option<Client>, Violation> {
        match Client::connect(&self.url, Trust::Key(self.key.clone())).await {
            Ok(client) => Ok(Some(client)),
            Err(ConnectError::Transport { .. } | ConnectError::Ledger(Error::Unreachable(_))) => {
                Ok(None)
            }
            Err(error) => Err(Violation::Connect(error)),
        }
    }
}

/// How agents append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One envelope at a time, each signed after the receipt of the last.
    Live,
    /// Many signed ahead, over one stream.
    Ahead,
}

/// How long an agent goes on.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// New envelopes; what is open from before comes first.
    pub new: u64,
    /// How often it appends again what the ledger had no space for.
    pub tries: u64,
    /// Whether everything that it says is as long as can be.
    pub long: bool,
}

impl Effort {
    /// Until the connection breaks.
    pub const ENDLESS: Self = Self { tries: u64::MAX, ..Self::of(u64::MAX) };

    /// So many new envelopes from each agent.
    pub const fn of(new: u64) -> Self {
        Self { new, tries: 50, long: false }
    }
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Session {
    /// Every receipt that was got.
    pub receipts: Vec<Kept>,
    /// How many of them are for envelopes that were in the log before.
    pub duplicates: u64,
    /// How often the ledger had no space.
    pub full: u64,
    /// Calls of which the transport did not notice that the server had gone.
    pub hung: u64,
    /// Whether the ledger left a call without an outcome.
    pub cut_off: bool,
}

impl Session {
    /// Adds what came of another agent's load.
    pub fn add(&mut self, other: Self) {
        self.receipts.extend(other.receipts);
        self.duplicates += other.duplicates;
        self.full += other.full;
        self.hung += other.hung;
        self.cut_off |= other.cut_off;
    }
}

/// An envelope without a receipt.
#[derive(Debug, Clone)]
struct Open {
    signed: SignedEnvelope,
    /// Where it was in the log when that was last looked at.
    before: Option<Position>,
    /// How it was refused since then.
    refused: Option<Code>,
}

impl Open {
    fn new(signed: SignedEnvelope) -> Self {
        Self { signed, before: None, refused: None }
    }
}

/// What came of one call.
enum Answer {
    Settled,
    NoSpace,
    CutOff,
}

/// One author.
#[derive(Clone)]
pub struct Agent {
    signer: Signer,
    style: Style,
    random: Random,
    open: VecDeque<Open>,
    /// What it has a receipt for, last.
    last: Option<(SignedEnvelope, Position)>,
    /// An intent that can be withdrawn.
    intent: Option<EnvelopeId>,
    /// Capabilities that it advertised: each has a name of its own.
    capabilities: u64,
}

impl Agent {
    /// The agent of this number, who has said nothing yet.
    pub fn new(number: u64, seed: u64, origin: &Origin) -> Self {
        Self {
            signer: Signer::new(number, origin),
            style: if number.is_multiple_of(2) { Style::Live } else { Style::Ahead },
            random: Random::new(seed ^ number),
            open: VecDeque::new(),
            last: None,
            intent: None,
            capabilities: 0,
        }
    }

    /// How many envelopes it has no receipt for.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Looks up what it has no receipt for, so that the answer to the next append is known.
    ///
    /// # Errors
    /// [`Violation::RefusedYetThere`].
    pub fn look_up(&mut self, log: &HashMap<EnvelopeId, Position>) -> Result<(), Violation> {
        for open in &mut self.open {
            let id = open.signed.id();
            open.before = log.get(&id).copied();
            if let (Some(code), Some(position)) = (open.refused.take(), open.before) {
                return Err(Violation::RefusedYetThere { id, position, code });
            }
        }
        Ok(())
    }

    /// Settles what is open, then says more, until it is enough or the connection breaks.
    ///
    /// # Errors
    /// [`Violation`] by an answer.
    pub async fn run(&mut self, ledger: &Address, effort: Effort) -> Result<Session, Violation> {
        let mut session = Session::default();
        let connect = tokio::time::timeout(ANSWER_LIMIT, ledger.connect());
        let Some(client) = connect.await.map_err(|_| Violation::Silent)?? else {
            return Ok(Session { cut_off: true, ..session });
        };
        self.repeat_last();
        let mut left = effort.new;
        loop {
            if self.open.is_empty() {
                if left == 0 {
                    return Ok(session);
                }
                left -= self.sign(left, effort.long);
            }
            let call = self.append(&client, &mut session);
            let Ok(answer) = tokio::time::timeout(ANSWER_LIMIT, call).await else {
                // The transport may miss that the server has gone; asked anew, it knows.
                if ledger.connect().await?.is_some() {
                    return Err(Violation::Silent);
                }
                session.hung += 1;
                session.cut_off = true;
                return Ok(session);
            };
            match answer? {
                Answer::Settled => {}
                Answer::CutOff => {
                    session.cut_off = true;
                    return Ok(session);
                }
                Answer::NoSpace => {
                    session.full += 1;
                    if session.full > effort.tries {
                        return Ok(session);
                    }
                    tokio::time::sleep(FULL_PAUSE).await;
                }
            }
        }
    }

    /// Now and then what has a receipt is appended again, too.
    fn repeat_last(&mut self) {
        if let Some((signed, position)) = &self.last
            && self.random.chance(1, 2)
        {
            let before = Some(*position);
            self.open.push_front(Open { signed: signed.clone(), before, refused: None });
        }
    }

    /// Signs what comes next, at most so much; says how many envelopes that is.
    fn sign(&mut self, most: u64, long: bool) -> u64 {
        let count = match self.style {
            _ if long => most.min(MAX_AHEAD),
            Style::Live => 1,
            Style::Ahead => self.random.within(1, most.min(MAX_AHEAD)),
        };
        for _ in 0..count {
            let message = if long { intent(&text(LONG_TEXT)) } else { self.message() };
            let opens = matches!(message, Message::Intent(Intent::Open(_)));
            let signed = self.signer.say(message);
            if opens {
                self.intent = Some(signed.id());
            }
            self.open.push_back(Open::new(signed));
        }
        count
    }

    fn message(&mut self) -> Message {
        let longest = if self.random.chance(1, 20) { LONG_TEXT } else { SHORT_TEXT };
        let length = 1 + self.random.below(longest);
        match (self.random.below(4), self.intent.take()) {
            (0, Some(intent)) => cancel(intent),
            (1, _) => {
                self.capabilities += 1;
                capability(&format!("skill {}", self.capabilities))
            }
            _ => intent(&text(length)),
        }
    }

    async fn append(&mut self, to: &Client, session: &mut Session) -> Result<Answer, Violation> {
        if self.open.len() > 1 {
            return self.append_stream(to, session).await;
        }
        let signed = &self.open.front().expect("something is open").signed;
        match to.append(signed).await {
            Ok(receipt) => self.settle(&receipt, session).map(|()| Answer::Settled),
            Err(error) => self.not_appended(0, error),
        }
    }

    async fn append_stream(
        &mut self,
        to: &Client,
        session: &mut Session,
    ) -> Result<Answer, Violation> {
        let envelopes = self.open.iter().map(|open| open.signed.clone()).collect();
        let mut answers = match to.append_stream(envelopes).await {
            Ok(answers) => answers,
            Err(error) => return self.not_appended(0, error),
        };
        loop {
            match answers.next().await {
                Ok(None) => return Ok(Answer::Settled),
                Ok(Some(Ok(receipt))) => self.settle(&receipt, session)?,
                Ok(Some(Err(error))) => match self.not_appended(0, error)? {
                    Answer::NoSpace => break,
                    other => return Ok(other),
                },
                Err(error) => return self.not_appended(0, error),
            }
        }
        // What comes behind in the stream can't be admitted, for whatever reason it is refused.
        for place in 1.. {
            match answers.next().await {
                Ok(None) => break,
                Ok(Some(Ok(receipt))) => {
                    return Err(Violation::OutOfTurn { id: receipt.event().signed().id() });
                }
                Ok(Some(Err(Error::Rejected(Rejection { code, .. })))) => {
                    self.open[place].refused = Some(code);
                }
                Ok(Some(Err(error))) | Err(error) => return self.not_appended(place, error),
            }
        }
        Ok(Answer::NoSpace)
    }

    /// Takes the receipt of what was open longest.
    fn settle(&mut self, receipt: &Receipt, session: &mut Session) -> Result<(), Violation> {
        let Open { signed, before, .. } = self.open.pop_front().expect("it was appended");
        let (after, duplicate) = (receipt.position(), receipt.is_duplicate());
        if duplicate != before.is_some() || before.is_some_and(|before| before != after) {
            return Err(Violation::Again { id: signed.id(), before, after, duplicate });
        }
        session.duplicates += u64::from(duplicate);
        session.receipts.push(receipt.into());
        self.last = Some((signed, after));
        Ok(())
    }

    /// Tells what may happen to a ledger under attack from what may not.
    fn not_appended(&mut self, place: usize, error: Error) -> Result<Answer, Violation> {
        match error {
            Error::Unreachable(_) | Error::StreamEnded | Error::Observed(_) => Ok(Answer::CutOff),
            Error::Rejected(rejection) if rejection.code == Code::ResourceExhausted => {
                self.open[place].refused = Some(rejection.code);
                Ok(Answer::NoSpace)
            }
            // It says itself that it failed. That nothing has changed is then looked up.
            Error::Rejected(Rejection {
                code: code @ (Code::Internal | Code::DataLoss), ..
            }) => {
                self.open[place].refused = Some(code);
                Ok(Answer::CutOff)
            }
            Error::Rejected(rejection) => Err(Violation::Refused { rejection }),
            Error::Malformed(_)
            | Error::BadReceipt(_)
            | Error::Fork { .. }
            | Error::BadEvent { .. }
            | Error::BrokenChain { .. }
            | Error::BrokenRule { .. }
            | Error::BadAnswer(_) => Err(Violation::BadAnswer(error)),
        }
    }
}

/// A text of so many bytes.
fn text(bytes: u64) -> String {
    "w".repeat(usize::try_from(bytes).expect("a short text"))
}
