//! A short life of a task between two agents: what a dishonest operator has to work with.

use tally_protocol::{EnvelopeId, Origin, SignedEnvelope};

use crate::signer::{Signer, capability, done, intent, offer, progress, start};

/// The ledger that it is told to.
///
/// # Panics
/// Never.
pub fn origin() -> Origin {
    "example.org/ledger".parse().expect("an origin")
}

/// A short honest life: what is said, in the order in which it was said.
pub struct Life {
    /// Whose intent it is.
    pub initiator: Signer,
    /// Who does the work.
    pub provider: Signer,
    /// The envelopes.
    pub said: Vec<SignedEnvelope>,
    /// The intent.
    pub intent: EnvelopeId,
    /// What is offered for it.
    pub capability: EnvelopeId,
    /// The task.
    pub task: EnvelopeId,
}

impl Default for Life {
    fn default() -> Self {
        Self::new()
    }
}

impl Life {
    /// 0 capability, 1 intent, 2 offer, 3 task start, 4 accepted, 5 running, 6 done.
    pub fn new() -> Self {
        let mut initiator = Signer::new(1, &origin());
        let mut provider = Signer::new(2, &origin());
        let mut said = vec![provider.say(capability("sounding"))];
        let capability = said[0].id();
        said.push(initiator.say(intent("the depth of the basin")));
        let intent = said[1].id();
        said.push(provider.say(offer(intent, capability)));
        said.push(initiator.say(start(intent, said[2].id())));
        let task = said[3].id();
        said.push(provider.say(progress(task, "accepted", 0)));
        said.push(provider.say(progress(task, "running", 50)));
        said.push(provider.say(done(task, "succeeded")));
        Self { initiator, provider, said, intent, capability, task }
    }
}
