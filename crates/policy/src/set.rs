//! The policies in force, pinned by one digest.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::limits::{MAX_POLICIES, MAX_SET_BYTES};
use crate::policy::Policy;

/// Separates digests of policy sets from all others. Another rule for how policies decide together
/// takes another context.
const SET_CONTEXT: &str = "tally 2026-11-22 policy set v1";

/// The policies that a decision asks, one version of each.
///
/// A request is allowed when every policy by itself allows it. So a policy means the same whatever
/// stands beside it: one party's `permit` can't open what another party's policy closes, and a set
/// of no policies allows everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySet {
    /// Sorted by id.
    policies: Vec<Policy>,
    digest: Digest,
}

/// Policies that are no set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicySetError {
    /// There are more than [`MAX_POLICIES`].
    #[error(
        "{found} policies, at most {MAX_POLICIES} can be in force for one decision: merge or \
         revoke some"
    )]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Their texts are longer than [`MAX_SET_BYTES`] together.
    #[error(
        "the policies have {found} bytes of text, at most {MAX_SET_BYTES} can be in force for one \
         decision: shorten or revoke some"
    )]
    TooLong {
        /// How many bytes.
        found: usize,
    },
    /// Two versions or texts of one policy.
    #[error(
        "policy {id:?} is there twice, with versions {versions:?}: only one version can be in force"
    )]
    Twice {
        /// The policy.
        id: String,
        /// The versions.
        versions: [u64; 2],
    },
}

impl PolicySet {
    /// Puts policies together. Their order does not matter; the same version of the same policy
    /// may come more than once, as when two scopes refer to it.
    ///
    /// # Errors
    /// [`PolicySetError`].
    pub fn new(policies: impl IntoIterator<Item = Policy>) -> Result<Self, PolicySetError> {
        let mut by_id = BTreeMap::<String, Policy>::new();
        for policy in policies {
            match by_id.get(policy.id()) {
                Some(other) if *other != policy => {
                    let versions = [other.version(), policy.version()];
                    return Err(PolicySetError::Twice { id: policy.id().to_owned(), versions });
                }
                Some(_) => {}
                None => {
                    by_id.insert(policy.id().to_owned(), policy);
                }
            }
        }
        if by_id.len() > MAX_POLICIES {
            return Err(PolicySetError::TooMany { found: by_id.len() });
        }
        let found = by_id.values().map(|policy| policy.text().len()).sum();
        if found > MAX_SET_BYTES {
            return Err(PolicySetError::TooLong { found });
        }
        let policies: Vec<Policy> = by_id.into_values().collect();
        let digest = digest(&policies);
        Ok(Self { policies, digest })
    }

    /// What pins the set: the ids, versions and texts of its policies.
    ///
    /// ```text
    /// policy_i = id length u64 ‖ id ‖ version u64 ‖ BLAKE3-256(text) [32]
    /// digest   = BLAKE3 derive_key("tally 2026-11-22 policy set v1", count u64 ‖ policy_0 ‖ …)
    /// ```
    ///
    /// Numbers are big-endian; policies are sorted by the bytes of their ids.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The policies, sorted by id.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Whether no policy is in force.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The policy with this id.
    pub fn policy(&self, id: &str) -> Option<&Policy> {
        let index = self.policies.binary_search_by(|policy| policy.id().cmp(id)).ok()?;
        Some(&self.policies[index])
    }

    /// The ids of all agents that the policies name; see [`Policy::agents`].
    pub fn agents(&self) -> BTreeSet<&str> {
        self.policies.iter().flat_map(Policy::agents).map(String::as_str).collect()
    }
}

fn digest(policies: &[Policy]) -> Digest {
    let mut bytes = Vec::with_capacity(policies.len() * 128);
    bytes.extend((policies.len() as u64).to_be_bytes());
    for policy in policies {
        bytes.extend((policy.id().len() as u64).to_be_bytes());
        bytes.extend(policy.id().as_bytes());
        bytes.extend(policy.version().to_be_bytes());
        bytes.extend(policy.text_digest());
    }
    Digest(blake3::derive_key(SET_CONTEXT, &bytes))
}
