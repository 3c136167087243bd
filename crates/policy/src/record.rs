//! A decision that is kept, and made again from the log.

use serde::{Deserialize, Serialize};

use crate::decision::Decision;
use crate::digest::Digest;
use crate::evaluate::evaluate;
use crate::request::{self, Request};
use crate::set::PolicySet;

/// A request and what was decided. With the policies, which the log holds, it says all that the
/// decision rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What was asked.
    pub request: Request,
    /// What was answered.
    pub decision: Decision,
}

/// Where a record and its replay part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The policies are not those that were asked.
    #[error(
        "the decision was made by policy set {recorded}, these policies are {found}: take the \
         policies that were in force at the decision's position"
    )]
    PolicySet {
        /// The digest in the record.
        recorded: Digest,
        /// The digest of the policies at hand.
        found: Digest,
    },
    /// The request was changed.
    #[error(
        "the decision was made on request {recorded}, the record holds {found}: it was changed"
    )]
    Request {
        /// The digest in the record.
        recorded: Digest,
        /// The digest of the request in the record.
        found: Digest,
    },
    /// The policies decide otherwise.
    #[error("the record says {}, the policies say {}", said(.recorded), said(.replayed))]
    Decision {
        /// What the record says.
        recorded: Box<Decision>,
        /// What comes out.
        replayed: Box<Decision>,
    },
}

impl Record {
    /// Asks the policies and keeps the answer with the request.
    pub fn make(policies: &PolicySet, request: Request) -> Self {
        Self { decision: evaluate(policies, &request), request }
    }

    /// Decides again and compares everything: the outcome, what it rests on, and both digests.
    ///
    /// # Errors
    /// [`Mismatch`]: the first difference.
    pub fn replay(&self, policies: &PolicySet) -> Result<(), Mismatch> {
        let recorded = &self.decision;
        let found = policies.digest();
        if recorded.policy_set != found {
            return Err(Mismatch::PolicySet { recorded: recorded.policy_set, found });
        }
        let found = request::digest(&self.request.canonical());
        if recorded.request != found {
            return Err(Mismatch::Request { recorded: recorded.request, found });
        }
        let replayed = evaluate(policies, &self.request);
        if replayed == *recorded {
            return Ok(());
        }
        let (recorded, replayed) = (Box::new(recorded.clone()), Box::new(replayed));
        Err(Mismatch::Decision { recorded, replayed })
    }
}

fn said(decision: &Decision) -> String {
    let outcome = if decision.allowed { "allowed" } else { "denied" };
    let grounds: Vec<String> = decision
        .grounds
        .iter()
        .map(|ground| format!("policy {:?}: {}", ground.policy, ground.finding))
        .collect();
    if grounds.is_empty() { outcome.into() } else { format!("{outcome} ({})", grounds.join("; ")) }
}
