//! Lists whose items fit by their place, are contained so many times, and are or are not unique.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compare::goal::{Fact, Goal, State};
use crate::compare::search::{Alternatives, Doubt, Outcome, Reason, Search};
use crate::judge::Limit;
use crate::limits::MAX_WITNESS_SIZE;
use crate::node::{NodeId, Range};

/// Most items with wishes of their own.
const MAX_WISHES: usize = 6;

/// What is asked of a list.
struct Wanted<'a> {
    count: Range,
    /// Subschemas with `prefixItems` and `items`.
    by_place: Vec<NodeId>,
    /// What every item must be.
    everywhere: Vec<Goal<'a>>,
    wishes: Vec<Wish<'a>>,
    unique: bool,
    repeats: bool,
    /// From here on all places ask the same.
    uniform: usize,
}

/// Some item is to be so.
#[derive(Clone)]
struct Wish<'a> {
    first: usize,
    last: usize,
    goal: Goal<'a>,
    /// Items that fit the same `contains` are different ones.
    group: Option<NodeId>,
}

/// Wishes by the place that was chosen for them.
type Granted<'a> = BTreeMap<usize, Vec<Wish<'a>>>;

impl<'a> Search<'a> {
    /// A list by what is certain in the state.
    pub(crate) fn array(&mut self, state: &State<'a>) -> Result<Outcome, Limit> {
        let Some(mut wanted) = self.wanted_of_list(state) else {
            return Ok(Reason::List.about(None));
        };
        let mut alternatives = Alternatives::default();
        // Where nothing can stand, the list has ended before.
        let mut place = 0;
        while place <= wanted.uniform && (place as u64) < wanted.count.most {
            match self.item(&wanted, place, &[])? {
                Outcome::Nothing => wanted.count.most = place as u64,
                Outcome::Found(_) => {}
                Outcome::Doubt(doubt) => alternatives.doubt(doubt),
            }
            place += 1;
        }
        if wanted.count.is_empty() {
            return Ok(Outcome::Nothing);
        }
        let outcome = self.grant(&wanted, &mut Granted::new(), &wanted.wishes)?;
        Ok(alternatives.take(outcome).unwrap_or_else(|| alternatives.rest()))
    }

    /// `None` when it is more than is looked at.
    fn wanted_of_list(&self, state: &State<'a>) -> Option<Wanted<'a>> {
        let mut wanted = Wanted {
            count: Range::ANY,
            by_place: Vec::new(),
            everywhere: Vec::new(),
            wishes: Vec::new(),
            unique: state.facts.contains(&Fact::Unique),
            repeats: state.facts.contains(&Fact::Repeats),
            uniform: 0,
        };
        for fact in &state.facts {
            match fact {
                Fact::Count(range) => wanted.count = wanted.count.and(*range),
                Fact::Items(id) => {
                    let prefix = self.graph.at(*id).node.prefix.len();
                    wanted.uniform = wanted.uniform.max(prefix);
                    wanted.by_place.push(*id);
                }
                Fact::Contains(schema, range) => {
                    if range.most == 0 {
                        wanted.everywhere.push(Goal::IsNot(*schema));
                    }
                    let copies = range.least.min(MAX_WISHES as u64 + 1) as usize;
                    let wish = Wish::some(0, Goal::Is(*schema), Some(*schema));
                    wanted.wishes.extend(std::iter::repeat_n(wish, copies));
                    wanted.count.least = wanted.count.least.max(range.least);
                }
                Fact::Item(place, schema) => {
                    let wish = Wish::some(*place, Goal::IsNot(*schema), None);
                    wanted.wishes.push(Wish { last: *place, ..wish });
                    wanted.uniform = wanted.uniform.max(place + 1);
                    wanted.count.least = wanted.count.least.max(*place as u64 + 1);
                }
                Fact::SomeItem(first, schema) => {
                    wanted.wishes.push(Wish::some(*first, Goal::IsNot(*schema), None));
                    wanted.uniform = wanted.uniform.max(*first);
                    wanted.count.least = wanted.count.least.max(*first as u64 + 1);
                }
                _ => {}
            }
        }
        (wanted.wishes.len() <= MAX_WISHES).then_some(wanted)
    }

    /// What may stand at a place, with wishes.
    fn item(
        &mut self,
        wanted: &Wanted<'a>,
        place: usize,
        wishes: &[Wish<'a>],
    ) -> Result<Outcome, Limit> {
        let goals = self.item_goals(wanted, place, wishes);
        self.solve(goals)
    }

    fn item_goals(&self, wanted: &Wanted<'a>, place: usize, wishes: &[Wish<'a>]) -> Vec<Goal<'a>> {
        let by_place = wanted.by_place.iter();
        let by_place = by_place.filter_map(|id| self.graph.at(*id).for_item(place)).map(Goal::Is);
        let wishes = wishes.iter().map(|wish| wish.goal.clone());
        by_place.chain(wanted.everywhere.iter().cloned()).chain(wishes).collect()
    }

    /// Finds places for the wishes that are left. Behind the places that differ there is one fresh
    /// place for each wish: more would be of no use.
    fn grant(
        &mut self,
        wanted: &Wanted<'a>,
        granted: &mut Granted<'a>,
        left: &[Wish<'a>],
    ) -> Result<Outcome, Limit> {
        let Some((wish, left)) = left.split_first() else { return self.list(wanted, granted) };
        let mut alternatives = Alternatives::default();
        let places = wanted.uniform + wanted.wishes.len();
        for place in wish.first..=wish.last.min(places) {
            self.judge.spend(1)?;
            let here = granted.entry(place).or_default();
            let is_taken = wish.group.is_some() && here.iter().any(|w| w.group == wish.group);
            if place as u64 >= wanted.count.most || is_taken {
                continue;
            }
            here.push(wish.clone());
            let wishes = here.clone();
            let outcome = match self.item(wanted, place, &wishes)? {
                Outcome::Nothing => Outcome::Nothing,
                Outcome::Found(_) | Outcome::Doubt(_) => self.grant(wanted, granted, left)?,
            };
            granted.entry(place).or_default().pop();
            if let Some(found) = alternatives.take(outcome) {
                return Ok(found);
            }
        }
        Ok(alternatives.rest())
    }

    /// The list, once every wish has its place.
    fn list(&mut self, wanted: &Wanted<'a>, granted: &Granted<'a>) -> Result<Outcome, Limit> {
        let granted: Granted<'a> =
            granted.iter().filter(|(_, w)| !w.is_empty()).map(|(p, w)| (*p, w.clone())).collect();
        let needed = granted.keys().last().map_or(0, |last| *last as u64 + 1);
        let count = wanted.count.least.max(needed);
        if !wanted.repeats {
            return self.list_of(wanted, &granted, count, None);
        }
        if wanted.unique {
            return Ok(Outcome::Nothing);
        }
        let mut alternatives = Alternatives::default();
        let places = wanted.uniform + wanted.wishes.len() + 1;
        for second in 1..=places {
            for first in 0..second {
                let count = count.max(second as u64 + 1);
                if count > wanted.count.most {
                    continue;
                }
                let outcome = self.list_of(wanted, &granted, count, Some((first, second)))?;
                if let Some(found) = alternatives.take(outcome) {
                    return Ok(found);
                }
            }
        }
        Ok(alternatives.rest())
    }

    /// A list of `count` items, two of which may have to be equal.
    fn list_of(
        &mut self,
        wanted: &Wanted<'a>,
        granted: &Granted<'a>,
        count: u64,
        equal: Option<(usize, usize)>,
    ) -> Result<Outcome, Limit> {
        if count > MAX_WITNESS_SIZE {
            return Ok(Reason::List.about(None));
        }
        let mut items: Vec<Value> = Vec::new();
        for place in 0..count as usize {
            self.judge.spend(1)?;
            if let Some((first, _)) = equal.filter(|(_, second)| *second == place) {
                items.push(items[first].clone());
                continue;
            }
            let wishes = granted.get(&place).map_or(&[][..], Vec::as_slice);
            let mut goals = self.item_goals(wanted, place, wishes);
            if let Some((_, second)) = equal.filter(|(first, _)| *first == place) {
                let wishes = granted.get(&second).map_or(&[][..], Vec::as_slice);
                goals.extend(self.item_goals(wanted, second, wishes));
            }
            if wanted.unique {
                goals.extend(items.iter().map(Goal::differs));
            }
            match self.solve(goals)? {
                Outcome::Found(item) => items.push(item),
                Outcome::Doubt(doubt) => return Ok(Outcome::Doubt(doubt)),
                Outcome::Nothing => return Ok(wanted.dead_end(granted, place, equal)),
            }
        }
        Ok(Outcome::Found(items.into()))
    }
}

impl<'a> Wish<'a> {
    fn some(first: usize, goal: Goal<'a>, group: Option<NodeId>) -> Self {
        Self { first, last: usize::MAX, goal, group }
    }
}

impl Wanted<'_> {
    /// Nothing is left for a place. Without `unique` nothing ever stands there; with it, earlier
    /// items may have taken what this one needs, unless all places ask the same.
    fn dead_end(
        &self,
        granted: &Granted<'_>,
        place: usize,
        equal: Option<(usize, usize)>,
    ) -> Outcome {
        let all_the_same = self.uniform == 0 && granted.is_empty();
        if !self.unique || place == 0 || (all_the_same && equal.is_none()) {
            Outcome::Nothing
        } else {
            let doubt = Doubt { about: None, reason: Reason::List };
            Outcome::Doubt(doubt)
        }
    }
}
