//! R10, R21: which policies judge an offer or a task, and what they say.
//!
//! Everything that a policy is asked comes from the log, so that anyone can ask again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tally_policy::request::{Action, Amount, Capability as AskedCapability, Claims, Execution};
use tally_policy::request::{Intent as AskedIntent, Money, Terms};
use tally_policy::{Decision, PolicySet, PolicySetError, Record, Request};
use tally_protocol::message::{
    Attest, Deadlines, Discover, PolicyAction, PolicyScope, TaskDone, TaskStart,
};
use tally_protocol::parts::{Comparison, Constraint, Measure, PolicyRef, Price, Resource};
use tally_protocol::{AgentId, Digest, EnvelopeId, Time};

use crate::state::{Capability, Intent, Offer, OfferStanding, Policy, State, Task};

/// Policies that judge one offer or task, by the updates that put them in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applicable {
    updates: BTreeSet<EnvelopeId>,
}

impl Applicable {
    /// The updates, in the order of their ids.
    pub fn updates(&self) -> impl Iterator<Item = &EnvelopeId> {
        self.updates.iter()
    }

    /// The policies as one set.
    ///
    /// # Errors
    /// [`PolicySetError`] when they are too many or too long together.
    pub fn set(&self, state: &State) -> Result<PolicySet, PolicySetError> {
        set(state, &self.updates)
    }
}

/// Policies by the updates that put them in force, as one set.
///
/// # Errors
/// [`PolicySetError`] when they are too many or too long together.
pub fn set<'u>(
    state: &State,
    updates: impl IntoIterator<Item = &'u EnvelopeId>,
) -> Result<PolicySet, PolicySetError> {
    let versions = updates.into_iter().filter_map(|update| state.policy_version(update));
    PolicySet::new(versions.filter_map(|policy| policy.judged.clone()))
}

/// The policies in force that judge work on `intent` by the owner of `capability`: those of both
/// agents, of the capability and of the intent, and those that `named` refers to. An override takes
/// the place of the policy of its name for the agent that owns the narrower scope.
pub fn applicable<'p>(
    state: &State,
    intent: Option<&Intent>,
    capability: &Capability,
    named: impl IntoIterator<Item = &'p PolicyRef>,
) -> Applicable {
    let mut updates = BTreeSet::new();
    let narrow_scopes = [
        Some((PolicyScope::Capability(capability.root), capability.owner)),
        intent.map(|intent| (PolicyScope::Intent(intent.root), intent.author)),
    ];
    for (scope, owner) in narrow_scopes.into_iter().flatten() {
        let narrow: Vec<&Policy> = state.policies_for(scope).collect();
        let overrides: BTreeSet<_> = narrow
            .iter()
            .filter(|policy| policy.terms.action == PolicyAction::Override)
            .map(|policy| &policy.terms.name)
            .collect();
        let wide = state.policies_for(PolicyScope::Agent(state.party(&owner)));
        let wide = wide.filter(|policy| !overrides.contains(&policy.terms.name));
        updates.extend(judged(wide.chain(narrow.iter().copied())));
    }
    let named = named.into_iter().filter_map(|named| state.policy_in_force(&named.update));
    updates.extend(judged(named));
    Applicable { updates }
}

fn judged<'p>(policies: impl Iterator<Item = &'p Policy>) -> impl Iterator<Item = EnvelopeId> {
    policies.filter(|policy| policy.judged.is_some()).map(|policy| policy.update)
}

/// The digest of the policies that a task is pinned to if it starts on `offer` now and refers to
/// `named` itself: what its `policy_set` must say. `None` when no policy judges it.
pub fn policy_set(
    state: &State,
    intent: &Intent,
    offer: &Offer,
    named: &[PolicyRef],
) -> Option<Digest> {
    let capability = state.capability(&offer.terms.capability)?;
    let named = named
        .iter()
        .chain(&intent.terms.policies)
        .chain(&offer.terms.policies)
        .chain(&capability.terms.policies);
    let policies = applicable(state, Some(intent), &capability, named).set(state).ok()?;
    (!policies.is_empty()).then(|| Digest(policies.digest().0))
}

/// What is asked of the policies about an offer.
pub(crate) fn offer_request(
    (state, policies): (&State, &PolicySet),
    intent: &Intent,
    capability: &Capability,
    offer: &tally_protocol::message::Offer,
    price: Option<&Price>,
    at: Time,
) -> Request {
    Request {
        agent: state.party(&capability.owner).to_string(),
        action: Action::Offer(asked_intent(state, intent)),
        capability: asked_capability(capability),
        terms: Terms {
            resources: amounts(capability.terms.resources.iter().chain(&offer.resources)),
            cost: price.or(capability.terms.cost.as_ref()).map(money),
            duration: duration(offer.estimated_duration_us),
            deadline: intent.terms.deadline_us.map(|deadline| deadline.0),
            ..conditions(capability.terms.constraints.iter().chain(&offer.conditions))
        },
        claims: claims((state, policies), [&capability.owner, &intent.author], at),
        at: at.0,
    }
}

/// What the policies in force say of a capability that `searcher` looks at, as if it were offered
/// on an intent of theirs; `None` when nothing is against it.
pub(crate) fn search_denied(
    state: &State,
    criteria: &Discover,
    searcher: &AgentId,
    capability: &Capability,
    at: Time,
) -> Option<Vec<String>> {
    let mut applicable = applicable(state, None, capability, &capability.terms.policies);
    let own = state.policies_for(PolicyScope::Agent(state.party(searcher)));
    applicable.updates.extend(judged(own));
    let policies = applicable.set(state).ok()?;
    let terms = &capability.terms;
    let request = Request {
        agent: state.party(&capability.owner).to_string(),
        action: Action::Offer(AskedIntent {
            id: SEARCH.to_owned(),
            author: state.party(searcher).to_string(),
            category: criteria.category.as_ref().map(ToString::to_string),
            priority: 0,
            privacy: None,
            labels: BTreeMap::new(),
        }),
        capability: asked_capability(capability),
        terms: Terms {
            resources: amounts(&terms.resources),
            cost: terms.cost.as_ref().map(money),
            ..conditions(&terms.constraints)
        },
        claims: claims((state, &policies), [&capability.owner, searcher], at),
        at: at.0,
    };
    let decision = tally_policy::evaluate(&policies, &request);
    (!decision.allowed).then(|| reasons(&decision, &policies))
}

/// Stands for the intent that a search is for.
const SEARCH: &str = "search";

/// What is asked of the policies when a capability is published or revised.
pub(crate) fn advertise_request(
    (state, policies): (&State, &PolicySet),
    capability: &Capability,
    at: Time,
) -> Request {
    let terms = &capability.terms;
    Request {
        agent: state.party(&capability.owner).to_string(),
        action: Action::Advertise,
        capability: asked_capability(capability),
        terms: Terms {
            resources: amounts(&terms.resources),
            cost: terms.cost.as_ref().map(money),
            ..conditions(&terms.constraints)
        },
        claims: claims((state, policies), [&capability.owner], at),
        at: at.0,
    }
}

/// What of a task the policies are asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment<'a> {
    /// It is to start.
    Start,
    /// It goes on.
    Continue,
    /// It is to end with success.
    Complete(&'a TaskDone),
}

/// What is asked of the policies about a task.
pub(crate) fn task_request(
    (state, policies): (&State, &PolicySet),
    of: (&Intent, &Capability, &Offer),
    start: (&TaskStart, &AgentId),
    moment: Moment<'_>,
    at: Time,
) -> Request {
    let ((intent, capability, offer), (terms, initiator)) = (of, start);
    let price = offer.price();
    let mut request = offer_request((state, policies), intent, capability, &offer.terms, price, at);
    let parties = [&capability.owner, &intent.author, initiator];
    request.claims = claims((state, policies), parties, at);
    request.terms = Terms {
        resources: request.terms.resources,
        cost: terms.price.as_ref().map(money).or(request.terms.cost),
        duration: request.terms.duration,
        deadline: done_by(terms.deadlines.as_ref()).or(request.terms.deadline),
        ..conditions(
            capability
                .terms
                .constraints
                .iter()
                .chain(&offer.terms.conditions)
                .chain(&terms.constraints),
        )
    };
    let usage = match moment {
        Moment::Complete(done) => usage(&done.usage),
        Moment::Start | Moment::Continue => BTreeMap::new(),
    };
    let execution = Execution {
        intent: asked_intent(state, intent),
        initiator: state.party(initiator).to_string(),
        attempt: terms.attempt,
        usage,
    };
    request.action = match moment {
        Moment::Start => Action::Start(execution),
        Moment::Continue => Action::Continue(execution),
        Moment::Complete(_) => Action::Complete(execution),
    };
    request
}

/// What the policies in force say of a task that `initiator` is to start at this time: the digest
/// that it must pin as its `policy_set`, `None` where no policy judges it.
///
/// # Errors
/// Why they do not allow it, in words: one for each rule that denies. The same where the policies
/// are too many, or where the intent, the offer or its capability is not in this ledger.
pub fn judge_start(
    state: &State,
    start: &TaskStart,
    initiator: &AgentId,
    at: Time,
) -> Result<Option<Digest>, Vec<String>> {
    let offer = state.offer(&start.offer);
    let capability = offer.as_ref().and_then(|offer| state.capability(&offer.terms.capability));
    let (Some(intent), Some(offer), Some(capability)) =
        (state.intent(&start.intent), offer, capability)
    else {
        return Err(vec!["its intent or offer is not in this ledger".into()]);
    };
    let of = (&*intent, &*capability, &*offer);
    let policies = applicable_to_task(state, of, start).set(state);
    let policies = policies.map_err(|error| vec![error.to_string()])?;
    if policies.is_empty() {
        return Ok(None);
    }
    let asked = (state, &policies);
    let request = task_request(asked, of, (start, initiator), Moment::Start, at);
    match denied(&policies, request) {
        None => Ok(Some(Digest(policies.digest().0))),
        Some((_, why)) => Err(why),
    }
}

/// Whether the policies that a task is pinned to let it go on at this time: what a report that it
/// is running is held to.
///
/// # Errors
/// Why not, in words: one for each rule that denies.
pub fn judge_running(state: &State, task: &Task, at: Time) -> Result<(), Vec<String>> {
    let (Ok(policies), Some(parts)) = (set(state, &task.policies), parts_of(state, task)) else {
        return Ok(());
    };
    if policies.is_empty() {
        return Ok(());
    }
    let start = (&*task.terms, &task.initiator);
    let request = task_request((state, &policies), parts.of(), start, Moment::Continue, at);
    denied(&policies, request).map_or(Ok(()), |(_, why)| Err(why))
}

/// An open offer or a running task that the policies in force do not allow (R21).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotCompliant {
    /// The offer or task.
    pub object: crate::Object,
    /// What was asked and decided.
    pub record: Record,
    /// Why, in words: one for each rule that denies.
    pub why: Vec<String>,
}

/// The open negotiations and running tasks that the policies in force at this state do not allow,
/// in the order of the log.
pub fn not_compliant(state: &State) -> Vec<NotCompliant> {
    let at = state.recorded_at();
    let mut found = Vec::new();
    for intent in state.intents().filter(|intent| intent.is_open()) {
        let offers = intent.offers.iter().filter_map(|id| state.offer(id));
        let live =
            |offer: &Arc<Offer>| offer.standing == OfferStanding::Live && !offer.is_expired(at);
        for offer in offers.filter(live) {
            let object = crate::Object::Offer(offer.id);
            let judged = judge_offer(state, &intent, &offer, at);
            found.extend(judged.map(|n| (offer.position, object, n)));
        }
    }
    for task in state.tasks().filter(|task| task.is_live()) {
        let object = crate::Object::Task(task.id);
        found.extend(judge_task(state, &task, at).map(|n| (task.position, object, n)));
    }
    found.sort_by_key(|(position, ..)| *position);
    found
        .into_iter()
        .map(|(_, object, (record, why))| NotCompliant { object, record, why })
        .collect()
}

type Denied = (Record, Vec<String>);

fn judge_offer(state: &State, intent: &Intent, offer: &Offer, at: Time) -> Option<Denied> {
    let capability = state.capability(&offer.terms.capability)?;
    let named = intent.terms.policies.iter().chain(&offer.terms.policies);
    let named = named.chain(&capability.terms.policies);
    let policies = applicable(state, Some(intent), &capability, named);
    let policies = policies.set(state).ok()?;
    let asked = (state, &policies);
    let request = offer_request(asked, intent, &capability, &offer.terms, offer.price(), at);
    denied(&policies, request)
}

fn judge_task(state: &State, task: &Task, at: Time) -> Option<Denied> {
    let parts = parts_of(state, task)?;
    let policies = applicable_to_task(state, parts.of(), &task.terms);
    let policies = policies.set(state).ok()?;
    let start = (&*task.terms, &task.initiator);
    let request = task_request((state, &policies), parts.of(), start, Moment::Continue, at);
    denied(&policies, request)
}

/// The policies in force that judge a task.
pub(crate) fn applicable_to_task(
    state: &State,
    (intent, capability, offer): (&Intent, &Capability, &Offer),
    terms: &TaskStart,
) -> Applicable {
    let named = intent.terms.policies.iter().chain(&offer.terms.policies);
    let named = named.chain(&capability.terms.policies).chain(&terms.policies);
    applicable(state, Some(intent), capability, named)
}

/// Intent, capability and offer of a task.
pub(crate) struct Parts {
    intent: Arc<Intent>,
    capability: Arc<Capability>,
    offer: Arc<Offer>,
}

impl Parts {
    pub(crate) fn of(&self) -> (&Intent, &Capability, &Offer) {
        (&self.intent, &self.capability, &self.offer)
    }
}

/// What a task was started on.
pub(crate) fn parts_of(state: &State, task: &Task) -> Option<Parts> {
    let offer = state.offer(&task.terms.offer)?;
    let capability = state.capability(&offer.terms.capability)?;
    Some(Parts { intent: state.intent(&task.terms.intent)?, capability, offer })
}

fn denied(policies: &PolicySet, request: Request) -> Option<Denied> {
    let record = Record::make(policies, request);
    let why = reasons(&record.decision, policies);
    (!record.decision.allowed).then_some((record, why))
}

/// A denial in words, one for each rule that denies.
pub(crate) fn reasons(decision: &Decision, policies: &PolicySet) -> Vec<String> {
    decision.explain(policies).iter().map(ToString::to_string).collect()
}

fn asked_capability(capability: &Capability) -> AskedCapability {
    let terms = &capability.terms;
    AskedCapability {
        id: capability.root.to_string(),
        name: terms.name.to_string(),
        category: terms.category.to_string(),
        tags: terms.tags.iter().map(ToString::to_string).collect(),
        side_effects: terms.side_effects.iter().map(ToString::to_string).collect(),
    }
}

fn asked_intent(state: &State, intent: &Intent) -> AskedIntent {
    let terms = &intent.terms;
    AskedIntent {
        id: intent.root.to_string(),
        author: state.party(&intent.author).to_string(),
        category: terms.category.as_ref().map(ToString::to_string),
        priority: terms.priority,
        privacy: terms.privacy.map(tally_protocol::message::Privacy::name),
        labels: terms
            .labels
            .iter()
            .map(|label| (label.key.to_string(), label.value.to_string()))
            .collect(),
    }
}

/// Conditions by attribute: a value that is named twice counts once.
fn conditions<'c>(constraints: impl IntoIterator<Item = &'c Constraint>) -> Terms {
    let mut terms = Terms::default();
    for constraint in constraints {
        let of = match constraint.comparison {
            Comparison::AnyOf => &mut terms.any_of,
            Comparison::AllOf => &mut terms.all_of,
            Comparison::NoneOf => &mut terms.none_of,
        };
        let values = of.entry(constraint.attribute.to_string()).or_default();
        values.extend(constraint.values.iter().map(ToString::to_string));
    }
    terms
}

/// Amounts by name; of several the greatest, and an amount beyond `i64` is the greatest there is.
fn amounts<'r>(resources: impl IntoIterator<Item = &'r Resource>) -> BTreeMap<String, Amount> {
    let mut amounts = BTreeMap::<String, Amount>::new();
    for Resource { name, amount, unit } in resources {
        let amount = i64::try_from(*amount).unwrap_or(i64::MAX);
        let unit = unit.as_ref().map_or("1".to_owned(), ToString::to_string);
        let known = amounts
            .entry(name.to_string())
            .or_insert_with(|| Amount { amount, unit: unit.clone() });
        if known.amount < amount {
            *known = Amount { amount, unit };
        }
    }
    amounts
}

fn usage(measures: &[Measure]) -> BTreeMap<String, Amount> {
    let amount = |measure: &Measure| {
        let unit = measure.unit.as_ref().map_or("1".to_owned(), ToString::to_string);
        (measure.name.to_string(), Amount { amount: measure.value, unit })
    };
    measures.iter().map(amount).collect()
}

fn money(price: &Price) -> Money {
    let amount = i64::try_from(price.amount).unwrap_or(i64::MAX);
    Money { amount, currency: price.currency.to_string() }
}

fn duration(us: u64) -> Option<i64> {
    (us > 0).then(|| i64::try_from(us).unwrap_or(i64::MAX))
}

fn done_by(deadlines: Option<&Deadlines>) -> Option<i64> {
    Some(deadlines?.done_by_us?.0)
}

/// The claims about these agents that hold, by kind and issuer. Anyone can claim anything about
/// anyone, so those that no policy asks for are left out.
fn claims<'a>(
    (state, policies): (&State, &PolicySet),
    agents: impl IntoIterator<Item = &'a AgentId>,
    at: Time,
) -> BTreeMap<String, Claims> {
    let trusted = policies.agents();
    let mut all = BTreeMap::new();
    for agent in agents {
        let mut held = Claims::new();
        for attestation in state.claims(agent).filter(|attestation| attestation.holds(at)) {
            let issuer = state.party(&attestation.author).to_string();
            if let Attest::Claim(claim) = &*attestation.statement
                && trusted.contains(issuer.as_str())
            {
                held.entry(claim.kind.to_string()).or_default().insert(issuer);
            }
        }
        if !held.is_empty() {
            all.insert(state.party(agent).to_string(), held);
        }
    }
    all
}
