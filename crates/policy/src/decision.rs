//! What a policy set says of a request, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::limits::MAX_REQUEST_BYTES;
use crate::policy::{Policy, Rule};
use crate::set::PolicySet;

/// The answer of a policy set to a request: facts only, the same for everyone who asks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Whether every policy allows the request.
    pub allowed: bool,
    /// What decided: of a denial, everything that denies; of an allowance, the rules that permit.
    /// Sorted by policy, then in the order of its text. Empty where nothing had to be permitted.
    pub grounds: Vec<Ground>,
    /// Digest of the policy set.
    pub policy_set: Digest,
    /// Digest of the request.
    pub request: Digest,
}

/// One thing that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// The policy.
    pub policy: String,
    /// Its version.
    pub version: u64,
    /// What it found.
    pub finding: Finding,
}

/// What a policy found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The rule of this name permits.
    Permits(String),
    /// The rule of this name forbids.
    Forbids(String),
    /// None of the policy's rules permits.
    PermitsNot,
    /// A rule could not be evaluated, which denies.
    Fails {
        /// The name of the rule.
        rule: String,
        /// Why.
        failure: Failure,
    },
    /// The request is larger than [`MAX_REQUEST_BYTES`], which denies.
    TooLarge,
}

/// Why a rule could not be evaluated. Validation leaves only an overflow to happen; what else
/// Cedar's evaluator can say is told apart so that a defect in it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// A number beyond 64 bits.
    Overflow,
    /// An attribute or a tag that is not there.
    Attribute,
    /// An entity that is not there.
    Entity,
    /// A value of another type than an operator takes.
    Type,
    /// More nesting than the stack takes.
    Nesting,
    /// A construct that no policy of the ledger has: an extension, a slot, an unknown.
    Construct,
}

impl Decision {
    /// The grounds in words.
    ///
    /// `policies` is the set that was asked; of a policy that it does not have, only what the
    /// decision itself says is told.
    pub fn explain<'a>(&'a self, policies: &'a PolicySet) -> Vec<Explanation<'a>> {
        let explain = |ground: &'a Ground| {
            let policy = policies.policy(&ground.policy);
            Explanation { ground, policy: policy.filter(|p| p.version() == ground.version) }
        };
        self.grounds.iter().map(explain).collect()
    }
}

impl Finding {
    /// The name of the rule, where it is one rule that decided.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Permits(rule) | Self::Forbids(rule) | Self::Fails { rule, .. } => Some(rule),
            Self::PermitsNot | Self::TooLarge => None,
        }
    }
}

/// One ground in words: `policy "residency" version 3, line 2: rule "region" forbids: work stays
/// in the EU`.
#[derive(Debug, Clone, Copy)]
pub struct Explanation<'a> {
    ground: &'a Ground,
    policy: Option<&'a Policy>,
}

impl<'a> Explanation<'a> {
    /// What is explained.
    pub fn ground(&self) -> &'a Ground {
        self.ground
    }

    /// The rule with its line and annotations, where one rule decided.
    pub fn rule(&self) -> Option<&'a Rule> {
        let name = self.ground.finding.rule()?;
        self.policy?.rules().iter().find(|rule| rule.name == name)
    }

    /// What the author of the rule says to it: its `@reason("…")`.
    pub fn reason(&self) -> Option<&'a str> {
        self.rule()?.annotations.get("reason").map(String::as_str)
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ground { policy, version, finding } = self.ground;
        write!(f, "policy {policy:?} version {version}")?;
        if let Some(rule) = self.rule() {
            write!(f, ", line {}", rule.line)?;
        }
        write!(f, ": {finding}")?;
        match self.reason() {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permits(rule) => write!(f, "rule {rule:?} permits"),
            Self::Forbids(rule) => write!(f, "rule {rule:?} forbids"),
            Self::PermitsNot => write!(f, "none of its rules permits"),
            Self::Fails { rule, failure } => {
                write!(f, "rule {rule:?} could not be evaluated, which denies: {failure}")
            }
            Self::TooLarge => {
                write!(f, "the request has more than {MAX_REQUEST_BYTES} bytes, which denies")
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "a number beyond 64 bits",
            Self::Attribute => "an attribute or tag that is not there",
            Self::Entity => "an entity that is not there",
            Self::Type => "a value of the wrong type",
            Self::Nesting => "nesting deeper than the stack",
            Self::Construct => "a construct that is not supported",
        })
    }
}
