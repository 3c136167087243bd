//! Numbers between bounds, that are and are not multiples of others.

use serde_json::Value;

use crate::compare::goal::{Fact, State};
use crate::compare::search::{Outcome, Reason};
use crate::decimal::Decimal;
use crate::judge::{Judge, Limit};
use crate::node::{Bound, Kind};

/// Most numbers that are tried.
const MAX_TRIES: usize = 2_000;

/// Most multiples that are asked for at once.
const MAX_MULTIPLES: usize = 16;

/// Most digits behind the point that are tried.
const MAX_PLACES: u32 = 18;

/// What is asked of a number.
struct Wanted<'s, 'a> {
    state: &'s State<'a>,
    least: Option<Bound>,
    most: Option<Bound>,
    /// What the number is a multiple of.
    unit: Option<Decimal>,
    /// What it is no multiple of.
    not_units: Vec<Decimal>,
}

/// A number of the kind.
pub(crate) fn number(
    kind: Kind,
    state: &State<'_>,
    judge: &mut Judge<'_>,
) -> Result<Outcome, Limit> {
    let multiples = state.facts.iter().filter(|fact| matches!(fact, Fact::Multiple(_))).count();
    if multiples > MAX_MULTIPLES {
        return Ok(Reason::Number.about(None));
    }
    let wanted = Wanted::of(kind, state);
    if wanted.is_empty() {
        return Ok(Outcome::Nothing);
    }
    match &wanted.unit {
        Some(unit) => wanted.multiple(unit, judge),
        None => wanted.fraction(judge),
    }
}

impl<'s, 'a> Wanted<'s, 'a> {
    fn of(kind: Kind, state: &'s State<'a>) -> Self {
        let mut wanted = Self { state, least: None, most: None, unit: None, not_units: Vec::new() };
        match kind {
            Kind::Integer => wanted.unit = Some(1.into()),
            _ => wanted.not_units.push(1.into()),
        }
        for fact in &state.facts {
            match fact {
                Fact::Least(value, exclusive) => {
                    let bound = Bound { value: (*value).clone(), exclusive: *exclusive };
                    wanted.least = Bound::tighter(wanted.least.take(), bound, true);
                }
                Fact::Most(value, exclusive) => {
                    let bound = Bound { value: (*value).clone(), exclusive: *exclusive };
                    wanted.most = Bound::tighter(wanted.most.take(), bound, false);
                }
                Fact::Multiple(unit) => {
                    let common = wanted.unit.as_ref().map(|other| other.common_multiple(unit));
                    wanted.unit = Some(common.unwrap_or_else(|| (*unit).clone()));
                }
                Fact::NotMultiple(unit) => wanted.not_units.push((*unit).clone()),
                _ => {}
            }
        }
        wanted
    }

    /// Whether the bounds leave nothing, or every multiple is a multiple that is not wanted.
    fn is_empty(&self) -> bool {
        let (least, most) = (self.least.as_ref(), self.most.as_ref());
        let nothing_between = least.zip(most).is_some_and(|(least, most)| {
            !(least.is_below(&most.value) && most.is_above(&least.value))
        });
        let is_multiple =
            |not: &Decimal| self.unit.as_ref().is_some_and(|unit| unit.is_multiple_of(not));
        nothing_between || self.not_units.iter().any(is_multiple)
    }

    fn is_inside(&self, number: &Decimal) -> bool {
        self.least.as_ref().is_none_or(|least| least.is_below(number))
            && self.most.as_ref().is_none_or(|most| most.is_above(number))
    }

    /// Whether a number inside of the bounds is wanted.
    fn takes(&self, number: &Decimal) -> bool {
        !self.not_units.iter().any(|unit| number.is_multiple_of(unit))
            && !self.state.differs.contains(number.to_ratio().as_str())
    }

    /// A multiple of the unit, tried one by one. `Nothing` only after all of them.
    fn multiple(&self, unit: &Decimal, judge: &mut Judge<'_>) -> Result<Outcome, Limit> {
        let (start, step) = match (&self.least, &self.most) {
            (Some(least), _) => (least.value.ceil_to(unit), unit.clone()),
            (None, Some(most)) => (most.value.floor_to(unit), Decimal::from(0).minus(unit)),
            (None, None) => (Decimal::from(0), unit.clone()),
        };
        let mut number = start;
        if !self.is_inside(&number) {
            number = number.plus(&step);
        }
        for _ in 0..MAX_TRIES {
            judge.spend(1 + self.not_units.len() as u64)?;
            if !self.is_inside(&number) {
                return Ok(Outcome::Nothing);
            }
            if self.takes(&number) {
                let found = number.to_number().map(Value::Number);
                return Ok(found.map_or(Reason::Number.about(None), Outcome::Found));
            }
            number = number.plus(&step);
        }
        Ok(Reason::Number.about(None))
    }

    /// A number that is no integer, where nothing is asked but bounds.
    fn fraction(&self, judge: &mut Judge<'_>) -> Result<Outcome, Limit> {
        if let (Some(least), Some(most)) = (&self.least, &self.most)
            && least.value == most.value
        {
            let only = &least.value;
            let found = only.to_number().map(Value::Number);
            return Ok(match found {
                _ if !self.takes(only) => Outcome::Nothing,
                Some(found) => Outcome::Found(found),
                None => Reason::Number.about(None),
            });
        }
        let tries = self.state.differs.len() + 2 * self.not_units.len() + 2;
        for places in 1..=MAX_PLACES {
            let grid = Decimal::from(1).shifted_right(places);
            let (mut number, step) = match (&self.least, &self.most) {
                (Some(least), _) => (least.value.ceil_to(&grid), grid),
                (None, Some(most)) => (most.value.floor_to(&grid), Decimal::from(0).minus(&grid)),
                (None, None) => (grid.clone(), grid),
            };
            for _ in 0..tries {
                judge.spend(1 + self.not_units.len() as u64)?;
                let number_found = number.to_number().filter(|_| self.is_inside(&number));
                if let Some(found) = number_found.filter(|_| self.takes(&number)) {
                    return Ok(Outcome::Found(Value::Number(found)));
                }
                number = number.plus(&step);
            }
        }
        Ok(Reason::Number.about(None))
    }
}
