//! The search for a value that meets all goals, or for the proof that there is none.
//!
//! A value has one of seven kinds, and for each the goals are worked out into facts about such a
//! value and choices between further goals (an analytic tableau). A branch is closed only for a
//! reason that holds; where something is left out, less is asked, so a closed branch stays closed
//! and a value that is found is judged before it counts.
//!
//! Subschemas may lead back to themselves. Goals that come up again further inside are taken to
//! have no value there: if any value met them, the smallest would have no smaller one inside.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::compare::classes;
use crate::compare::expand;
use crate::compare::goal::{Alternative, Choice, Clause, Fact, Goal, State};
use crate::compare::numbers;
use crate::graph::Graph;
use crate::json::canonical;
use crate::judge::{Judge, Limit};
use crate::limits::{MAX_COMPARISON_DEPTH, MAX_COMPARISON_STEPS};
use crate::node::{Kind, NodeId, Range};

/// What a search ends with.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// No value meets the goals.
    Nothing,
    /// This one does.
    Found(Value),
    /// Neither was shown.
    Doubt(Doubt),
}

/// Why nothing was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The subschema that it is about, where there is one.
    pub(crate) about: Option<NodeId>,
    pub(crate) reason: Reason,
}

/// What was not looked at, or not to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    /// A limit was reached.
    #[error("the comparison was cut off: {0}")]
    Limit(Limit),
    #[error(
        "the comparison was cut off: more than {MAX_COMPARISON_DEPTH} values one inside another"
    )]
    Depth,
    #[error(
        "unevaluatedItems, unevaluatedProperties and very long oneOf are compared only when they are the same"
    )]
    NotCompared,
    #[error("a counterexample was found that does not hold")]
    Unconfirmed,
    #[error("no number was found, nor shown to be absent")]
    Number,
    #[error("no text was found, nor shown to be absent")]
    Text,
    #[error("no list was found, nor shown to be absent")]
    List,
    #[error("no object was found, nor shown to be absent")]
    Object,
}

impl Reason {
    pub(crate) fn about(self, about: impl Into<Option<NodeId>>) -> Outcome {
        Outcome::Doubt(Doubt { about: about.into(), reason: self })
    }
}

/// Outcomes of alternatives, put together.
#[derive(Default)]
pub(crate) struct Alternatives {
    doubt: Option<Doubt>,
}

impl Alternatives {
    /// Takes an outcome in, and gives it back if it settles the matter.
    pub(crate) fn take(&mut self, outcome: Outcome) -> Option<Outcome> {
        match outcome {
            Outcome::Nothing => None,
            Outcome::Found(_) => Some(outcome),
            Outcome::Doubt(doubt) => {
                self.doubt.get_or_insert(doubt);
                None
            }
        }
    }

    pub(crate) fn doubt(&mut self, doubt: Doubt) {
        self.doubt.get_or_insert(doubt);
    }

    /// When none settled it.
    pub(crate) fn rest(self) -> Outcome {
        self.doubt.map_or(Outcome::Nothing, Outcome::Doubt)
    }
}

/// A search over two documents.
pub(crate) struct Search<'a> {
    pub(crate) graph: Graph<'a>,
    pub(crate) judge: Judge<'a>,
    representatives: Vec<NodeId>,
    /// Goals that are being searched, from the outermost value to the innermost.
    path: Vec<Vec<Goal<'a>>>,
    /// The outermost place in `path` that an outcome since then rests on.
    rests_on: usize,
    known: HashMap<Vec<Goal<'a>>, Outcome>,
}

/// Rests on no goal further outside.
const NOTHING_OUTSIDE: usize = usize::MAX;

impl<'a> Search<'a> {
    pub(crate) fn new(graph: Graph<'a>) -> Result<Self, Limit> {
        let mut judge = Judge::new(graph, MAX_COMPARISON_STEPS);
        let (representatives, steps) = classes::representatives(graph);
        judge.spend(steps)?;
        Ok(Self {
            graph,
            judge,
            representatives,
            path: Vec::new(),
            rests_on: NOTHING_OUTSIDE,
            known: HashMap::new(),
        })
    }

    /// Whether two subschemas are known to accept the same values.
    pub(crate) fn are_same(&self, a: NodeId, b: NodeId) -> bool {
        self.representatives[a as usize] == self.representatives[b as usize]
    }

    fn representative(&self, goal: Goal<'a>) -> Goal<'a> {
        match goal {
            Goal::Is(id) => Goal::Is(self.representatives[id as usize]),
            Goal::IsNot(id) => Goal::IsNot(self.representatives[id as usize]),
            Goal::IsText | Goal::Matches(..) | Goal::Differs(_) => goal,
        }
    }

    fn representative_clause(&self, clause: Clause<'a>) -> Clause<'a> {
        match clause {
            Clause::Goal(goal) => Clause::Goal(self.representative(goal)),
            Clause::Fact(_) => clause,
        }
    }

    /// Looks for a value that meets all goals.
    ///
    /// # Errors
    /// [`Limit`] when the steps of the comparison are used up.
    pub(crate) fn solve(&mut self, goals: Vec<Goal<'a>>) -> Result<Outcome, Limit> {
        let mut goals: Vec<_> = goals.into_iter().map(|goal| self.representative(goal)).collect();
        goals.sort_unstable();
        goals.dedup();
        self.judge.spend(1 + goals.len() as u64 / 8)?;
        if let Some(outcome) = self.known.get(&goals) {
            return Ok(outcome.clone());
        }
        if let Some(place) = self.path.iter().position(|outer| *outer == goals) {
            self.rests_on = self.rests_on.min(place);
            return Ok(Outcome::Nothing);
        }
        if self.path.len() == MAX_COMPARISON_DEPTH {
            return Ok(Reason::Depth.about(None));
        }
        let place = self.path.len();
        let outside = std::mem::replace(&mut self.rests_on, NOTHING_OUTSIDE);
        self.path.push(goals.clone());
        let outcome = self.solve_kinds(&goals);
        self.path.pop();
        let rests_outside = self.rests_on < place;
        self.rests_on = if rests_outside { outside.min(self.rests_on) } else { outside };
        let outcome = outcome?;
        if !rests_outside || matches!(outcome, Outcome::Found(_)) {
            self.known.insert(goals, outcome.clone());
        }
        Ok(outcome)
    }

    fn solve_kinds(&mut self, goals: &[Goal<'a>]) -> Result<Outcome, Limit> {
        let mut alternatives = Alternatives::default();
        for kind in Kind::ALL {
            let outcome = self.solve_kind(goals, kind)?;
            if let Some(found) = alternatives.take(outcome) {
                return Ok(found);
            }
        }
        Ok(alternatives.rest())
    }

    /// Whether the value meets all goals.
    fn meets(&mut self, goals: &[Goal<'a>], value: &Value) -> Result<bool, Limit> {
        for goal in goals {
            let met = match goal {
                Goal::Is(id) => self.judge.fits(*id, value)?,
                Goal::IsNot(id) => !self.judge.fits(*id, value)?,
                Goal::IsText => value.is_string(),
                Goal::Matches(pattern, holds) => {
                    let Value::String(text) = value else { return Ok(false) };
                    self.judge.matches(pattern, text)? == *holds
                }
                Goal::Differs(text) => canonical(value) != **text,
            };
            if !met {
                return Ok(false);
            }
        }
        Ok(true)
    }

    // -------------------------------------------------------------- one kind

    fn solve_kind(&mut self, goals: &[Goal<'a>], kind: Kind) -> Result<Outcome, Limit> {
        let open = goals.iter().cloned().map(Clause::Goal).collect();
        let first = State { open, ..State::default() };
        let mut alternatives = Alternatives::default();
        let mut states = Vec::new();
        match self.look(goals, kind, first)? {
            Look::Closed => return Ok(Outcome::Nothing),
            Look::Found(value) => return Ok(Outcome::Found(value)),
            Look::Open(state, doubt) => states.push((state, doubt)),
        }
        while let Some((mut state, doubt)) = states.pop() {
            match self.narrowest(goals, kind, &mut state)? {
                Step::Found(value) => return Ok(Outcome::Found(value)),
                Step::Branches(branches) => states.extend(branches.into_iter().rev()),
                Step::Leaf => alternatives.doubt(doubt),
            }
        }
        Ok(alternatives.rest())
    }

    /// Takes the choice that leaves the fewest alternatives out of the state and follows it.
    fn narrowest(
        &mut self,
        goals: &[Goal<'a>],
        kind: Kind,
        state: &mut State<'a>,
    ) -> Result<Step<'a>, Limit> {
        let choices = std::mem::take(&mut state.choices);
        let implied = |choice: &Vec<_>| choice.iter().any(|way| state.implies(way));
        let mut choices: Vec<_> = choices.into_iter().filter(|choice| !implied(choice)).collect();
        let mut best: Option<(usize, Vec<_>)> = None;
        for (place, choice) in choices.iter().enumerate() {
            let mut branches = Vec::new();
            for way in choice {
                self.judge.spend(1 + state.weight() / 8)?;
                let mut branch = state.clone();
                branch.open.clone_from(way);
                match self.look(goals, kind, branch)? {
                    Look::Closed => {}
                    Look::Found(value) => return Ok(Step::Found(value)),
                    Look::Open(branch, doubt) => branches.push((branch, doubt)),
                }
            }
            let enough = branches.len() <= 1;
            if best.as_ref().is_none_or(|(_, least)| branches.len() < least.len()) {
                best = Some((place, branches));
            }
            if enough {
                break;
            }
        }
        let Some((place, mut branches)) = best else { return Ok(Step::Leaf) };
        choices.remove(place);
        for (branch, _) in &mut branches {
            branch.choices.extend(choices.iter().cloned());
        }
        Ok(Step::Branches(branches))
    }

    /// Works the state out, and looks at what is certain so far for a value or a contradiction.
    fn look(
        &mut self,
        goals: &[Goal<'a>],
        kind: Kind,
        mut state: State<'a>,
    ) -> Result<Look<'a>, Limit> {
        if !self.settle(kind, &mut state)? {
            return Ok(Look::Closed);
        }
        if let Some(values) = state.values {
            for value in values.iter().filter(|value| Kind::of(value) == kind) {
                if self.meets(goals, value)? {
                    return Ok(Look::Found(value.clone()));
                }
            }
            return Ok(Look::Closed);
        }
        let doubt = match self.value_of(kind, &state)? {
            Outcome::Nothing => return Ok(Look::Closed),
            Outcome::Found(value) if self.meets(goals, &value)? => return Ok(Look::Found(value)),
            Outcome::Found(_) => doubt_of(kind, &state),
            Outcome::Doubt(doubt) => doubt,
        };
        Ok(Look::Open(state, doubt))
    }

    /// Works out all that is open. `false` when it contradicts itself.
    fn settle(&mut self, kind: Kind, state: &mut State<'a>) -> Result<bool, Limit> {
        while let Some(clause) = state.open.pop() {
            self.judge.spend(1)?;
            let open = match clause {
                Clause::Fact(fact) => {
                    state.facts.insert(fact);
                    true
                }
                Clause::Goal(goal) => match self.representative(goal) {
                    Goal::Is(id) => self.settle_is(kind, id, state),
                    Goal::IsNot(id) => self.settle_is_not(kind, id, state),
                    Goal::IsText => kind == Kind::String,
                    Goal::Matches(pattern, holds) => {
                        state.matches.insert((pattern, holds));
                        kind == Kind::String && !state.matches.contains(&(pattern, !holds))
                    }
                    Goal::Differs(text) => {
                        match &*text {
                            "[]" => drop(state.facts.insert(Fact::Count(Range::SOME))),
                            "{}" => drop(state.facts.insert(Fact::Size(Range::SOME))),
                            _ => drop(state.differs.insert(text)),
                        }
                        true
                    }
                },
            };
            if !open {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn settle_is(&self, kind: Kind, id: NodeId, state: &mut State<'a>) -> bool {
        let at = self.graph.at(id);
        if state.is_not.contains(&id) || !at.node.kinds.contains(kind) {
            return false;
        }
        if state.is.insert(id) {
            expand::fit(at, kind, state);
        }
        true
    }

    fn settle_is_not(&self, kind: Kind, id: NodeId, state: &mut State<'a>) -> bool {
        let at = self.graph.at(id);
        if state.is.contains(&id) {
            return false;
        }
        if !state.is_not.insert(id) || !at.node.kinds.contains(kind) {
            return true;
        }
        let mut seen = HashSet::new();
        let ways = expand::misfit(at, kind)
            .into_iter()
            .map(|way| way.into_iter().map(|clause| self.representative_clause(clause)).collect());
        let mut ways: Choice<'a> =
            ways.filter(|way: &Alternative<'a>| seen.insert(way.clone())).collect();
        match ways.len() {
            0 => false,
            1 => {
                state.open.append(&mut ways[0]);
                true
            }
            _ => {
                state.choices.push(ways);
                true
            }
        }
    }

    /// A list or an object that is none of the excluded ones: larger than those that were found.
    fn that_differs(
        &mut self,
        state: &State<'a>,
        size: fn(Range) -> Fact<'a>,
        value: fn(&mut Self, &State<'a>) -> Result<Outcome, Limit>,
    ) -> Result<Outcome, Limit> {
        let first = value(self, state)?;
        let Outcome::Found(mut found) = first else { return Ok(first) };
        for _ in 0..state.differs.len() {
            if !state.differs.contains(canonical(&found).as_str()) {
                break;
            }
            let larger = found
                .as_array()
                .map_or_else(|| found.as_object().map_or(0, serde_json::Map::len), Vec::len);
            let mut state = state.clone();
            state.facts.insert(size(Range { least: larger as u64 + 1, most: u64::MAX }));
            let Outcome::Found(next) = value(self, &state)? else { break };
            found = next;
        }
        Ok(Outcome::Found(found))
    }

    /// A value of this kind by what is certain in the state.
    fn value_of(&mut self, kind: Kind, state: &State<'a>) -> Result<Outcome, Limit> {
        match kind {
            Kind::Null => Ok(first_that_differs(&[Value::Null], state)),
            Kind::Boolean => Ok(first_that_differs(&[true.into(), false.into()], state)),
            Kind::Integer | Kind::Fraction => {
                self.judge.spend(1 + state.differs.len() as u64)?;
                numbers::number(kind, state, &mut self.judge)
            }
            Kind::String => self.string(state),
            Kind::Array => self.that_differs(state, Fact::Count, Self::array),
            Kind::Object => self.that_differs(state, Fact::Size, Self::object),
        }
    }
}

enum Look<'a> {
    Closed,
    Found(Value),
    Open(State<'a>, Doubt),
}

enum Step<'a> {
    Found(Value),
    Branches(Vec<(State<'a>, Doubt)>),
    /// Nothing is left to choose.
    Leaf,
}

fn first_that_differs(values: &[Value], state: &State<'_>) -> Outcome {
    let differs = |value: &&Value| !state.differs.contains(canonical(value).as_str());
    values.iter().find(differs).cloned().map_or(Outcome::Nothing, Outcome::Found)
}

/// Why a value that meets all that was worked out does not meet the goals.
fn doubt_of(kind: Kind, state: &State<'_>) -> Doubt {
    let left_out = state.facts.iter().find_map(|fact| match fact {
        Fact::Doubt(id) => Some(*id),
        _ => None,
    });
    let reason = match kind {
        _ if left_out.is_some() => Reason::NotCompared,
        Kind::Null | Kind::Boolean | Kind::Integer | Kind::Fraction => Reason::Number,
        Kind::String => Reason::Text,
        Kind::Array => Reason::List,
        Kind::Object => Reason::Object,
    };
    Doubt { about: left_out.or(state.is_not.iter().next().copied()), reason }
}
