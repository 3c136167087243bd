//! Blame and trust: who signed what led to something, and whose signatures must be believed for it.
//!
//! Blame is wide: everything that led there, policies too; failed attempts where they made some of it
//! or are attempts at the task that is asked about. The keys to trust are narrow: those behind one
//! minimal derivation. Neither says that anybody did wrong, or that a
//! signature holds; a signature that is believed can still be a lie.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tally_protocol::message::PolicyAction;
use tally_protocol::{AgentId, EnvelopeId, Position, Time};

use crate::lineage::{Direction, Start};
use crate::node::NodeRef;
use crate::record::{AttestationFacts, NodeIx, Says, TaskFacts};
use crate::relation::{Class, Relation};
use crate::store::Link;
use crate::unanswered::Unanswered;
use crate::view::View;

/// As what somebody signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Says what a task read and made, and how it ended.
    Executor,
    /// Started a task.
    Initiator,
    /// Wanted it: the author of the intent.
    Principal,
    /// Offered it, by a capability.
    Provider,
    /// Let another act for them.
    Delegator,
    /// Named data that no task made.
    Supplier,
    /// Claimed something of who or what was chosen, and the claim stood when it was.
    Attester,
    /// Put a policy in force that held for it.
    PolicyOwner,
    /// Named the key that signs for them from then on.
    Predecessor,
}

/// Something that was signed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signature {
    /// The event.
    pub position: Position,
    /// As what.
    pub role: Role,
    /// What was signed; for a report, the task that it is about, and for a supplier the data.
    pub object: NodeRef,
}

/// A key, and what it signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The key.
    pub agent: AgentId,
    /// What it signed, in the order of the log; never empty.
    pub signed: Vec<Signature>,
}

/// A policy that was in force for a task, or that a message named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEntry {
    /// The update that put it in force.
    pub id: EnvelopeId,
    /// Its name within its scope.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// Who put it in force.
    pub owner: AgentId,
    /// What it holds for.
    pub scope: NodeRef,
    /// Where the update stands.
    pub position: Position,
    /// The tasks for which it was in force or named, in the order of the log.
    pub tasks: Vec<EnvelopeId>,
}

/// Who signed what led to something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// What was asked about.
    pub subject: Vec<NodeRef>,
    /// Everybody, by their first signature.
    pub signers: Vec<Signer>,
    /// The policies, in the order of the log.
    pub policies: Vec<PolicyEntry>,
    /// The answer takes in all events before this position.
    pub as_of: Position,
}

/// Whose signatures must be believed for a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// What was asked about.
    pub subject: Vec<NodeRef>,
    /// The keys, by their first signature.
    pub keys: Vec<Signer>,
    /// The result follows in other ways too, for which other keys may do; this is the first of
    /// [`View::why`].
    pub has_alternatives: bool,
    /// The answer takes in all events before this position.
    pub as_of: Position,
}

impl View<'_> {
    /// Who signed what led to a task (with its other attempts, failed ones too) or to data:
    /// everything upstream.
    ///
    /// # Errors
    /// [`Unanswered`] when there is no such start.
    pub fn blame(&self, start: &Start<'_>) -> Result<Blame, Unanswered> {
        let start = self.starting_nodes(start)?;
        let walk = self.walk(&start, Direction::Up, None, &BTreeSet::new())?;
        let mut involved = Involved::new(*self);
        for &node in start.iter().chain(&walk.found) {
            match self.is_task(node) {
                true => involved.task(node),
                false => involved.data(node),
            }
        }
        for link in &walk.edges {
            involved.report(link);
        }
        let subject = start.iter().map(|&node| self.node_ref(node)).collect();
        let policies = involved.policy_entries();
        Ok(Blame { subject, signers: involved.signers(), policies, as_of: self.next_position() })
    }

    /// The keys whose signatures must be believed for data, or for a task to have run: those behind
    /// its first minimal derivation. Who owns a policy need not be believed: what policies decide
    /// can be decided again.
    ///
    /// # Errors
    /// As [`View::why`].
    pub fn keys(&self, start: &Start<'_>) -> Result<Keys, Unanswered> {
        let why = self.why(start)?;
        let mut involved = Involved::new(*self);
        let first = why.derivations.first();
        for task in first.into_iter().flat_map(|derivation| &derivation.tasks) {
            if let Some(task) = self.find_node(&NodeRef::Task(task.id)) {
                involved.task(task);
                let made = self.steps(task, Direction::Down).into_iter();
                let used = self.steps(task, Direction::Up).into_iter();
                made.chain(used).for_each(|link| involved.report(&link));
            }
        }
        for source in first.into_iter().flat_map(|derivation| &derivation.sources) {
            let (uri, digest) = (source.uri.clone(), source.digest);
            if let Some(data) = self.find_node(&NodeRef::Data { uri, digest }) {
                involved.supplier(data);
            }
        }
        involved.signed.retain(|(_, signature)| signature.role != Role::PolicyOwner);
        Ok(Keys {
            subject: why.subject,
            keys: involved.signers(),
            has_alternatives: why.more || why.derivations.len() > 1,
            as_of: why.as_of,
        })
    }

    /// The policies of a scope that were in force before a position: of each name the last version,
    /// unless that one ended it.
    pub(crate) fn in_force(&self, scope: NodeIx, until: Position) -> Vec<NodeIx> {
        let mut last = BTreeMap::new();
        for policy in self.policies_of(scope) {
            let Some(facts) = self.policy(policy).filter(|facts| facts.signed.position < until)
            else {
                break;
            };
            match facts.action {
                PolicyAction::Revoke => last.remove(&facts.name),
                PolicyAction::Activate | PolicyAction::Amend | PolicyAction::Override => {
                    last.insert(facts.name, policy)
                }
            };
        }
        last.into_values().collect()
    }
}

/// Who and what took part.
struct Involved<'g> {
    view: View<'g>,
    signed: BTreeSet<(NodeIx, Signature)>,
    policies: BTreeMap<NodeIx, BTreeSet<NodeIx>>,
}

impl<'g> Involved<'g> {
    fn new(view: View<'g>) -> Self {
        Self { view, signed: BTreeSet::new(), policies: BTreeMap::new() }
    }

    fn sign(&mut self, role: Role, object: NodeIx, agent: NodeIx, position: Position) {
        let object = self.view.node_ref(object);
        self.signed.insert((agent, Signature { position, role, object }));
    }

    /// As its author signed it, if it is known.
    fn author(&mut self, role: Role, object: NodeIx) -> Option<NodeIx> {
        let signed = self.view.signed(object)?;
        self.sign(role, object, signed.author, signed.position);
        Some(signed.author)
    }

    fn task(&mut self, task: NodeIx) {
        let view = self.view;
        let executor = view.executor(task);
        for receipt in view.receipts_of(task) {
            let author = view.receipt(receipt).map(|facts| facts.signed.author);
            let role = if author == executor { Role::Executor } else { Role::Initiator };
            self.author(role, receipt);
        }
        let Some(facts) = view.task(task) else { return };
        self.author(Role::Initiator, task);
        let principal = self.author(Role::Principal, facts.intent);
        self.author(Role::Provider, facts.offer);
        let offer = view.offer(facts.offer);
        let capability = offer.map(|offer| offer.capability);
        let provider = capability.and_then(|capability| self.author(Role::Provider, capability));
        if let Some(principal) = principal {
            self.delegations(&facts, principal);
        }
        let chosen: BTreeSet<NodeIx> =
            executor.into_iter().chain(provider).chain(capability).chain([facts.offer]).collect();
        for &subject in &chosen {
            self.claims_about(subject, &facts);
        }
        let scopes = [principal, executor, provider, capability, Some(facts.intent)];
        self.governing(task, &facts, scopes.into_iter().flatten().collect());
    }

    /// Data that no task made comes from whoever named it first.
    fn data(&mut self, data: NodeIx) {
        if self.view.links_from(data, Relation::WasGeneratedBy).next().is_none() {
            self.supplier(data);
        }
    }

    fn supplier(&mut self, data: NodeIx) {
        if let Some(mention) = self.view.mentions(data).next() {
            self.sign(Role::Supplier, data, mention.author, mention.position);
        }
    }

    /// What an executor says on the way of a task; what it says in the receipt is the receipt's.
    fn report(&mut self, link: &Link) {
        let task = match link.relation {
            Relation::Used => link.from,
            Relation::WasGeneratedBy => link.to,
            _ => return,
        };
        let of_receipt = |receipt: &NodeIx| {
            self.view.signed(*receipt).is_some_and(|signed| signed.position == link.position)
        };
        if link.class == Class::Asserted
            && !self.view.receipts_of(task).any(|receipt| of_receipt(&receipt))
            && let Some(executor) = self.view.executor(task)
        {
            self.sign(Role::Executor, task, executor, link.position);
        }
    }

    /// By which delegation the initiator acts for the principal: all that could be it, with those
    /// that they pass on.
    fn delegations(&mut self, task: &TaskFacts, principal: NodeIx) {
        if task.signed.author == principal {
            return;
        }
        let intents = self.view.versions(task.intent);
        let given = self.view.nodes_to(task.signed.author, Relation::AttestsTo);
        let mut open: Vec<NodeIx> = given.collect();
        let mut seen = BTreeSet::new();
        while let Some(attestation) = open.pop() {
            let Some(facts) = self.view.attestation(attestation) else { continue };
            let Says::Delegation { of, intent } = facts.says else { continue };
            let about = intent.is_none_or(|intent| intents.contains(&intent));
            if about && self.stood(attestation, &facts, task) && seen.insert(attestation) {
                self.author(Role::Delegator, attestation);
                open.extend(of);
            }
        }
    }

    fn claims_about(&mut self, subject: NodeIx, task: &TaskFacts) {
        for attestation in self.view.nodes_to(subject, Relation::AttestsTo) {
            let Some(facts) = self.view.attestation(attestation) else { continue };
            let is_claim = matches!(facts.says, Says::Claim);
            if is_claim && self.stood(attestation, &facts, task) {
                self.author(Role::Attester, attestation);
            }
        }
    }

    /// Whether an attestation was made before a task started, and neither over nor taken back.
    fn stood(&self, attestation: NodeIx, facts: &AttestationFacts, task: &TaskFacts) -> bool {
        let at = task.signed;
        let over = |expires: Time| expires < at.recorded_at;
        let mut revoked = self.view.links_to(attestation, Relation::Revokes);
        facts.signed.position < at.position
            && !facts.expires_at.is_some_and(over)
            && !revoked.any(|link| link.position < at.position)
    }

    /// The policies that a task or what it rests on names, and those of the scopes that were in
    /// force when it started. A scope is named by any version of an intent, capability or key.
    fn governing(&mut self, task: NodeIx, facts: &TaskFacts, scopes: BTreeSet<NodeIx>) {
        let capability = self.view.offer(facts.offer).map(|offer| offer.capability);
        let naming = [task, facts.intent, facts.offer].into_iter().chain(capability);
        let mut policies: BTreeSet<NodeIx> = BTreeSet::new();
        for node in naming {
            // A policy that was put in force for an intent is no policy that the intent names.
            let named = self.view.links_from(node, Relation::GovernedBy);
            let own = self.view.signed(node).map(|signed| signed.position);
            policies.extend(named.filter(|link| Some(link.position) == own).map(|link| link.to));
        }
        for scope in scopes {
            for version in self.view.versions(scope) {
                policies.extend(self.view.in_force(version, facts.signed.position));
            }
        }
        for policy in policies {
            self.author(Role::PolicyOwner, policy);
            self.policies.entry(policy).or_default().insert(task);
        }
    }

    fn policy_entries(&self) -> Vec<PolicyEntry> {
        let entry = |(&policy, tasks): (&NodeIx, &BTreeSet<NodeIx>)| {
            let (view, facts) = (self.view, self.view.policy(policy)?);
            Some(PolicyEntry {
                id: view.store().envelope_id(policy)?,
                name: (*facts.name).to_owned(),
                version: facts.version,
                owner: view.agent_id(facts.signed.author)?,
                scope: view.node_ref(facts.scope),
                position: facts.signed.position,
                tasks: view
                    .task_entries(tasks.iter().copied())
                    .iter()
                    .map(|task| task.id)
                    .collect(),
            })
        };
        let mut entries: Vec<PolicyEntry> = self.policies.iter().filter_map(entry).collect();
        entries.sort_by_key(|entry| entry.position);
        entries
    }

    /// The keys, with those that came before them.
    fn signers(mut self) -> Vec<Signer> {
        let mut open: Vec<NodeIx> = self.signed.iter().map(|(agent, _)| *agent).collect();
        let mut seen: BTreeSet<NodeIx> = open.iter().copied().collect();
        while let Some(key) = open.pop() {
            for attestation in self.view.nodes_to(key, Relation::AttestsTo) {
                let facts = self.view.attestation(attestation);
                let says = facts.map(|facts| facts.says);
                if let Some(Says::Rotation { successor }) = says
                    && successor == key
                    && let Some(before) = self.author(Role::Predecessor, attestation)
                    && seen.insert(before)
                {
                    open.push(before);
                }
            }
        }
        let mut by_agent: BTreeMap<NodeIx, Vec<Signature>> = BTreeMap::new();
        for (agent, signature) in self.signed {
            by_agent.entry(agent).or_default().push(signature);
        }
        let signer = |(agent, signed): (NodeIx, Vec<Signature>)| {
            Some(Signer { agent: self.view.agent_id(agent)?, signed })
        };
        let mut signers: Vec<Signer> = by_agent.into_iter().filter_map(signer).collect();
        signers.sort_by_key(|signer| (signer.signed[0].position, signer.agent));
        signers
    }
}
