//! Impact: what is affected when an input, an agent, a key or a policy turns out bad.
//!
//! First what was done under it (the tasks and offers that rest on it), then everything that came of
//! those. It says what *may* be wrong: a task that read bad data may have done well all the same. The
//! claims that a bad key made are not followed: what rests on them is for the rules to say.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tally_protocol::message::Outcome;
use tally_protocol::{AgentId, EnvelopeId, Position};

use crate::lineage::{Direction, Start};
use crate::node::{DataEntry, NodeRef, TaskEntry};
use crate::record::NodeIx;
use crate::relation::{Edge, Relation};
use crate::store::Link;
use crate::unanswered::Unanswered;
use crate::view::View;
use crate::whereabouts::Field;
use crate::workflow::OfferState;

/// What turned out bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause<'a> {
    /// Data, or all that a task made.
    Flow(Start<'a>),
    /// An agent, by any of its keys: all that it signed from a position on.
    Agent(AgentId, Position),
    /// One key: all that it signed from a position on.
    Key(AgentId, Position),
    /// A version of a policy, by its update.
    Policy(EnvelopeId),
}

/// What is affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// What turned out bad.
    pub cause: Vec<NodeRef>,
    /// The tasks, in the order of the log.
    pub tasks: Vec<ImpactTask>,
    /// The results, by URI and digest.
    pub data: Vec<DataEntry>,
    /// The receipts of these tasks, in the order of the log.
    pub receipts: Vec<ImpactReceipt>,
    /// Offers that can still be accepted, in the order of the log: under the cause, or for work on
    /// affected data.
    pub offers: Vec<ImpactOffer>,
    /// What holds it together, each with the event that says so; by position.
    pub edges: Vec<Edge>,
    /// The answer takes in all events before this position.
    pub as_of: Position,
}

/// A task that is affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImpactTask {
    /// The task.
    #[serde(flatten)]
    pub task: TaskEntry,
    /// It has not ended: it can still be stopped.
    pub live: bool,
}

/// A receipt of a task that is affected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImpactReceipt {
    /// Where it stands.
    pub position: Position,
    /// Its id.
    pub id: EnvelopeId,
    /// The task.
    pub task: EnvelopeId,
}

/// An offer that is affected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImpactOffer {
    /// Where it stands.
    pub position: Position,
    /// Its id.
    pub id: EnvelopeId,
    /// Who made it.
    pub provider: AgentId,
    /// The intent that it answers.
    pub intent: EnvelopeId,
}

impl View<'_> {
    /// What is affected by something bad.
    ///
    /// # Errors
    /// [`Unanswered`] when there is no such thing.
    pub fn impact(&self, cause: &Cause<'_>) -> Result<Impact, Unanswered> {
        let mut touched = Touched::default();
        let (causes, start) = match cause {
            Cause::Flow(start) => {
                let start = self.starting_nodes(start)?;
                (start.clone(), start)
            }
            Cause::Agent(agent, from) => {
                let keys = self.versions(self.agent_node(agent)?);
                keys.iter().for_each(|&key| self.signed_by(key, *from, &mut touched));
                (keys, touched.tasks.clone())
            }
            Cause::Key(key, from) => {
                let key = self.agent_node(key)?;
                self.signed_by(key, *from, &mut touched);
                (BTreeSet::from([key]), touched.tasks.clone())
            }
            Cause::Policy(update) => {
                let policy = NodeRef::Policy(*update);
                let found = self.find_node(&policy).ok_or(Unanswered::Node(policy))?;
                self.under(found, &mut touched);
                (BTreeSet::from([found]), touched.tasks.clone())
            }
        };
        let walk = self.walk(&start, Direction::Down, None, &BTreeSet::new())?;
        // What is bad itself is not shown again, but what its keys and policies touched is.
        let is_flow = matches!(cause, Cause::Flow(_));
        let affected: BTreeSet<NodeIx> = match is_flow {
            true => walk.found,
            false => walk.found.union(&start).copied().collect(),
        };
        for &data in affected.iter().chain(&causes).filter(|&&node| self.is_data(node)) {
            touched.offers.extend(self.offers_to_work_on(data));
        }
        touched.edges.extend(walk.edges);
        Ok(Impact {
            cause: causes.iter().map(|&node| self.node_ref(node)).collect(),
            receipts: self.impact_receipts(&affected),
            offers: self.impact_offers(&touched.offers),
            tasks: self.task_entries(affected.iter().copied()).into_iter().map(into_task).collect(),
            data: self.data_entries(affected),
            edges: self.edges(touched.edges),
            as_of: self.next_position(),
        })
    }

    fn agent_node(&self, agent: &AgentId) -> Result<NodeIx, Unanswered> {
        self.find_node(&NodeRef::Agent(*agent)).ok_or(Unanswered::Agent(*agent))
    }

    /// What rests on the messages that a key signed from a position on, and on what it did not end
    /// before.
    fn signed_by(&self, key: NodeIx, from: Position, touched: &mut Touched) {
        let store = self.store();
        for link in store.incoming_from(key, from, self.until) {
            if link.relation == Relation::WasAttributedTo {
                touched.edges.push(link);
                self.rests_on(link.from, touched);
            }
        }
        for link in self.incoming(key) {
            let ended = || self.ending(link.from).is_some_and(|end| end.signed.position < from);
            if link.relation == Relation::WasAssociatedWith && !ended() {
                touched.edges.push(link);
                touched.tasks.insert(link.from);
            }
        }
    }

    /// The tasks and offers that rest on a message.
    fn rests_on(&self, node: NodeIx, touched: &mut Touched) {
        if self.task(node).is_some() {
            touched.tasks.insert(node);
        } else if self.receipt(node).is_some() {
            self.follow(node, Relation::Concludes, touched);
        } else if self.offer(node).is_some() {
            touched.offers.insert(node);
            self.follow_back(node, Relation::Awards, touched);
        } else if self.intent(node).is_some() {
            self.follow_back(node, Relation::Serves, touched);
            touched.offers.extend(self.nodes_to(node, Relation::Answers));
        } else if self.capability(node).is_some() {
            for offer in self.nodes_to(node, Relation::HadPlan) {
                touched.offers.insert(offer);
                self.follow_back(offer, Relation::Awards, touched);
            }
        } else if self.policy(node).is_some() {
            self.under(node, touched);
        }
    }

    fn follow(&self, node: NodeIx, relation: Relation, touched: &mut Touched) {
        for link in self.outgoing(node).filter(|link| link.relation == relation) {
            touched.edges.push(link);
            touched.tasks.insert(link.to);
        }
    }

    fn follow_back(&self, node: NodeIx, relation: Relation, touched: &mut Touched) {
        for link in self.incoming(node).filter(|link| link.relation == relation) {
            touched.edges.push(link);
            touched.tasks.insert(link.from);
        }
    }

    /// What names a policy, and what was begun in its scope while it was in force.
    fn under(&self, policy: NodeIx, touched: &mut Touched) {
        let Some(facts) = self.policy(policy) else { return };
        for link in self.incoming(policy) {
            if link.relation != Relation::GovernedBy {
                continue;
            }
            touched.edges.push(link);
            let names_it = self.signed(link.from).map(|signed| signed.position);
            if names_it == Some(link.position) {
                self.rests_on(link.from, touched);
            }
        }
        let later = self.policies_of(facts.scope).filter_map(|later| self.policy(later));
        let mut later = later.filter(|later| {
            later.name == facts.name && later.signed.position > facts.signed.position
        });
        let end = later.next().map_or(self.until, |later| later.signed.position);
        let mut in_scope = Touched::default();
        for version in self.versions(facts.scope) {
            self.work_of(version, &mut in_scope);
        }
        let began = |task: &NodeIx| {
            let start = self.task(*task).map(|facts| facts.signed.position);
            start.is_some_and(|start| facts.signed.position < start && start < end)
        };
        touched.tasks.extend(in_scope.tasks.into_iter().filter(began));
        if end == self.until {
            touched.offers.extend(in_scope.offers);
        }
    }

    /// Tasks and offers on the intents and by the offers of an agent, by a capability, or on an
    /// intent.
    fn work_of(&self, scope: NodeIx, touched: &mut Touched) {
        let own = |node: &NodeIx| self.intent(*node).is_some() || self.offer(*node).is_some();
        match self.agent_id(scope) {
            Some(_) => {
                let signed = self.nodes_to(scope, Relation::WasAttributedTo).filter(own);
                signed.for_each(|node| self.rests_on(node, touched));
            }
            // A policy is no scope, and could lead back to itself.
            None if self.policy(scope).is_some() => {}
            None => self.rests_on(scope, touched),
        }
    }

    fn offers_to_work_on(&self, data: NodeIx) -> impl Iterator<Item = NodeIx> + '_ {
        let asked = self.mentions(data);
        let intents = asked.filter(|mention| mention.field == Field::IntentInputs);
        intents.flat_map(|mention| self.nodes_to(mention.event, Relation::Answers))
    }

    fn impact_receipts(&self, affected: &BTreeSet<NodeIx>) -> Vec<ImpactReceipt> {
        let tasks = affected.iter().filter(|&&node| self.is_task(node));
        let receipts =
            tasks.flat_map(|&task| self.receipts_of(task).map(move |receipt| (task, receipt)));
        let entry = |(task, receipt): (NodeIx, NodeIx)| {
            let position = self.receipt(receipt)?.signed.position;
            let id = |node| self.store().envelope_id(node);
            Some(ImpactReceipt { position, id: id(receipt)?, task: id(task)? })
        };
        let mut receipts: Vec<ImpactReceipt> = receipts.filter_map(entry).collect();
        receipts.sort_unstable();
        receipts
    }

    fn impact_offers(&self, offers: &BTreeSet<NodeIx>) -> Vec<ImpactOffer> {
        let live = offers.iter().filter(|&&offer| self.is_live(offer));
        let entry = |&offer: &NodeIx| {
            let facts = self.offer(offer)?;
            let id = |node| self.store().envelope_id(node);
            Some(ImpactOffer {
                position: facts.signed.position,
                id: id(offer)?,
                provider: self.agent_id(facts.signed.author)?,
                intent: id(facts.intent)?,
            })
        };
        let mut offers: Vec<ImpactOffer> = live.filter_map(entry).collect();
        offers.sort_unstable();
        offers
    }

    /// Nobody has answered the offer, it has not lapsed at the ledger's time, and its intent stands.
    fn is_live(&self, offer: NodeIx) -> bool {
        let Some(facts) = self.offer(offer) else { return false };
        let now = self.recorded_at();
        let lapsed = facts.valid_until.is_some_and(|until| now.is_some_and(|now| until < now));
        let stands = self.intent(facts.intent).is_none_or(|intent| {
            let revised = self.nodes_to(facts.intent, Relation::WasRevisionOf).next().is_some();
            !self.is_cancelled(&intent) && !revised && !self.is_fulfilled(facts.intent)
        });
        self.offer_state(offer) == OfferState::Open && !lapsed && stands
    }

    fn is_fulfilled(&self, intent: NodeIx) -> bool {
        self.nodes_to(intent, Relation::Serves).any(|task| {
            self.ending(task).is_some_and(|receipt| receipt.outcome == Outcome::Succeeded)
        })
    }
}

fn into_task(task: TaskEntry) -> ImpactTask {
    ImpactTask { live: task.outcome.is_none(), task }
}

/// What rests on a cause at first hand.
#[derive(Default)]
struct Touched {
    tasks: BTreeSet<NodeIx>,
    offers: BTreeSet<NodeIx>,
    edges: Vec<Link>,
}
