//! An author who signs intents, and the ledger they are for.

use tally_protocol::message::{Intent, IntentTerms};
use tally_protocol::parts::Text;
use tally_protocol::{
    AgentKey, AuthorSequence, Envelope, EnvelopeId, Message, Origin, ParsedEnvelope, Time,
    VerifiedEnvelope, signature,
};
use tally_tlog::NoteSigner;

pub(crate) fn origin() -> Origin {
    "node.example/ledger".parse().expect("an origin")
}

pub(crate) fn signer() -> NoteSigner {
    NoteSigner::from_seed(origin().key_name(), &[9; 32])
}

pub(crate) struct Author {
    key: AgentKey,
    next: AuthorSequence,
    previous: Option<EnvelopeId>,
}

impl Author {
    pub(crate) fn new(seed: u8) -> Self {
        Self { key: AgentKey::from_seed(&[seed; 32]), next: AuthorSequence(0), previous: None }
    }

    /// The author's next envelope.
    pub(crate) fn intent(&mut self, outcome: &str) -> ParsedEnvelope {
        let parsed = self.signed(outcome);
        self.next = self.next.next();
        self.previous = Some(parsed.id());
        parsed
    }

    /// What the author's next envelope could be; the chain stays where it is.
    pub(crate) fn signed(&self, outcome: &str) -> ParsedEnvelope {
        let terms = IntentTerms::new(Text::new(outcome).expect("a short text"));
        let envelope = Envelope {
            origin: origin(),
            author: self.key.agent(),
            author_sequence: self.next,
            previous: self.previous,
            issued_at_us: Time(1),
            trace_id: None,
            causes: vec![],
            message: Message::Intent(Intent::Open(terms)),
        };
        envelope.sign(&self.key).expect("it can be said").parse().expect("it reads back")
    }
}

pub(crate) fn verified(parsed: ParsedEnvelope) -> VerifiedEnvelope {
    signature::verify(parsed).expect("it is signed")
}
