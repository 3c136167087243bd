//! Cedar policies over the ledger's requests (R10, R13, R21).
//!
//! ```text
//! Policy::parse(id, version, text) -> Policy | PolicyError     once for each PolicyUpdate
//! PolicySet::new(policies)         -> PolicySet                pinned by its digest
//! evaluate(&PolicySet, &Request)   -> Decision                 pure, never fails
//! Record::replay(&PolicySet)       -> () | Mismatch            the same again
//! ```
//!
//! A decision is a function of policies and request alone: no clock, no I/O, no state, and bounded
//! work (see [`limits`]). Which policies are in force, and what the log says of a request, is the
//! business of the rules that call this.
//!
//! # How policies decide
//!
//! - **No policy in force: allowed.**
//! - **Every policy must allow, each by itself.** Policies come from parties that do not trust each
//!   other. If all rules were thrown together, as Cedar does within a set, a provider's `permit`
//!   would open what the initiator's policy means to close. Taken one by one, another policy can
//!   only narrow what is allowed, whoever wrote it, and the verdict on each is one that a receipt
//!   can name.
//! - **Within a policy, Cedar's semantics:** `forbid` wins over `permit`, and what no `permit`
//!   matches is denied.
//! - **A policy without any `permit` is a list of limits:** it allows what it does not forbid. Most
//!   policies are of this kind, `forbid … unless …`, and under Cedar's rule alone they would deny
//!   everything. As soon as a text has one `permit` it is a list of what is allowed. Which of the
//!   two a policy is can be told from its text, whatever the request.
//! - **An error denies.** Cedar skips a rule that fails, even a `forbid`.
//!
//! # What a policy can say
//!
//! [`SCHEMA`] is what a text may ask about, and every text is validated strictly against it.
//! Templates and extension functions (decimals, IP addresses, dates) are refused: requests have no
//! values of these types, and what is not there can't change with the next version of Cedar.
//!
//! ```
//! use tally_policy::{Policy, PolicySet, Record, Request};
//!
//! let residency = Policy::parse("residency", 1, r#"
//!     @id("region") @reason("work stays in the EU")
//!     forbid (principal, action, resource) unless {
//!         context.any_of.hasTag("region") &&
//!         ["eu-central", "eu-west"].containsAll(context.any_of.getTag("region"))
//!     };"#)?;
//! let policies = PolicySet::new([residency])?;
//! let request: Request = serde_json::from_str(r#"{
//!     "agent": "did:key:z6MkP",
//!     "action": {"offer": {"id": "i1", "author": "did:key:z6MkA"}},
//!     "capability": {"id": "c1", "name": "ocr", "category": "vision"},
//!     "terms": {"any_of": {"region": ["us-east"]}},
//!     "at": 1764000000000000
//! }"#)?;
//! let record = Record::make(&policies, request);
//! assert!(!record.decision.allowed);
//! assert_eq!(
//!     record.decision.explain(&policies)[0].to_string(),
//!     r#"policy "residency" version 1, line 2: rule "region" forbids: work stays in the EU"#,
//! );
//! record.replay(&policies)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What pins an answer
//!
//! The policy set's digest pins the texts, the request's digest what was asked. What a text *means*
//! is pinned by the version of Cedar, which the workspace names exactly, and held by golden vectors:
//! a change of either is a change of the ledger's rules.

mod decision;
mod digest;
mod error;
mod evaluate;
pub mod limits;
mod policy;
mod record;
pub mod request;
mod scan;
mod set;
mod stack;
mod translate;

pub use decision::{Decision, Explanation, Failure, Finding, Ground};
pub use digest::{BadDigest, Digest};
pub use error::{Place, PolicyError};
pub use evaluate::evaluate;
pub use policy::{Effect, Policy, Rule, SCHEMA};
pub use record::{Mismatch, Record};
pub use request::Request;
pub use set::{PolicySet, PolicySetError};
