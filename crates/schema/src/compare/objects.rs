//! Objects: which names there must, may and can't be, and what their values must fit.
//!
//! Names that the schemas mention are looked at one by one. All others are alike but for the
//! patterns they match, so they are looked at by which patterns those are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::compare::goal::{Fact, Goal, State};
use crate::compare::search::{Alternatives, Outcome, Reason, Search};
use crate::judge::Limit;
use crate::limits::MAX_WITNESS_SIZE;
use crate::node::{NodeId, Range};
use crate::pattern::Pattern;

/// Most patterns of names that are told apart.
const MAX_PATTERNS: usize = 6;

/// Most members with wishes of their own. Wishes beyond are left out: that asks less, so nothing is
/// lost but certainty.
const MAX_WISHES: usize = 6;

/// What is asked of an object.
struct Wanted<'a> {
    size: Range,
    absent: BTreeSet<&'a str>,
    /// Subschemas with `properties`, `patternProperties` and `additionalProperties`.
    by_name: Vec<NodeId>,
    /// Subschemas that all names fit.
    names: Vec<NodeId>,
    wishes: Vec<Wish<'a>>,
    /// Names that are mentioned anywhere.
    mentioned: BTreeSet<&'a str>,
    /// Patterns of names.
    patterns: BTreeSet<&'a Pattern>,
}

/// Some member is to be so.
#[derive(Clone, Copy)]
enum Wish<'a> {
    /// The name matches, the value does not fit.
    Matching(&'a Pattern, NodeId),
    /// `properties` and `patternProperties` of the first subschema say nothing of the name, and the
    /// value does not fit the second.
    Other(NodeId, NodeId),
    /// Nothing mentions the name, no pattern matches it, and the value does not fit.
    Unseen(NodeId),
    /// The name does not fit.
    Name(NodeId),
}

/// Members that there will be, each with what is asked of its value beyond the schemas by name.
type Members<'a> = BTreeMap<String, Vec<Goal<'a>>>;

impl<'a> Search<'a> {
    /// An object by what is certain in the state.
    pub(crate) fn object(&mut self, state: &State<'a>) -> Result<Outcome, Limit> {
        let (mut wanted, members) = self.wanted_of_object(state);
        let mut alternatives = Alternatives::default();
        // Those with wishes first: they fail first.
        let mut order: Vec<&String> = members.keys().collect();
        order.sort_by_key(|name| members[*name].is_empty());
        for name in order {
            match self.member(&wanted, name, &members[name])? {
                Outcome::Nothing => return Ok(Outcome::Nothing),
                Outcome::Found(_) => {}
                Outcome::Doubt(doubt) => alternatives.doubt(doubt),
            }
        }
        if wanted.size.is_empty() || members.len() as u64 > wanted.size.most {
            return Ok(Outcome::Nothing);
        }
        self.mention_all(&mut wanted, state);
        self.judge.spend(wanted.mentioned.len() as u64 / 8)?;
        // One that can't be granted alone can't be granted with others.
        for wish in wanted.wishes.iter().filter(|_| wanted.wishes.len() > 1) {
            let outcome = self.grant_names(&wanted, members.clone(), &[*wish])?;
            if matches!(outcome, Outcome::Nothing) {
                return Ok(Outcome::Nothing);
            }
        }
        // Whose turn it is first decides which names are left to the others.
        let mut wishes = wanted.wishes.clone();
        let turns = wishes.len().max(1);
        for _ in 0..turns {
            match self.grant_names(&wanted, members.clone(), &wishes)? {
                Outcome::Nothing => return Ok(alternatives.rest()),
                Outcome::Found(object) => return Ok(Outcome::Found(object)),
                Outcome::Doubt(doubt) => alternatives.doubt(doubt),
            }
            wishes.rotate_left(usize::from(turns > 1));
        }
        Ok(alternatives.rest())
    }

    fn wanted_of_object(&self, state: &State<'a>) -> (Wanted<'a>, Members<'a>) {
        let mut members = Members::new();
        let mut wanted = Wanted {
            size: Range::ANY,
            absent: BTreeSet::new(),
            by_name: Vec::new(),
            names: Vec::new(),
            wishes: Vec::new(),
            mentioned: BTreeSet::new(),
            patterns: BTreeSet::new(),
        };
        for fact in &state.facts {
            match fact {
                Fact::Size(range) => wanted.size = wanted.size.and(*range),
                Fact::Present(name) => drop(members.entry((*name).to_owned()).or_default()),
                Fact::Absent(name) => drop(wanted.absent.insert(name)),
                Fact::Members(id) => wanted.by_name.push(*id),
                Fact::Names(id) => wanted.names.push(*id),
                Fact::Member(name, schema) => {
                    members.entry((*name).to_owned()).or_default().push(Goal::IsNot(*schema));
                }
                Fact::SomeMatching(pattern, schema) => {
                    wanted.wishes.push(Wish::Matching(pattern, *schema));
                }
                Fact::SomeOther(id, schema) => wanted.wishes.push(Wish::Other(*id, *schema)),
                Fact::SomeUnseen(_, schema) => wanted.wishes.push(Wish::Unseen(*schema)),
                Fact::SomeName(schema) => wanted.wishes.push(Wish::Name(*schema)),
                _ => {}
            }
        }
        wanted.wishes.truncate(MAX_WISHES);
        (wanted, members)
    }

    /// Collects the names and patterns that are mentioned anywhere.
    fn mention_all(&self, wanted: &mut Wanted<'a>, state: &State<'a>) {
        for fact in &state.facts {
            match fact {
                Fact::Members(id) | Fact::SomeOther(id, _) => self.mention(wanted, *id),
                Fact::SomeUnseen(id, _) => {
                    self.mention_in_place(wanted, *id, &mut BTreeSet::new());
                }
                Fact::SomeMatching(pattern, _) => drop(wanted.patterns.insert(pattern)),
                _ => {}
            }
        }
    }

    fn mention(&self, wanted: &mut Wanted<'a>, id: NodeId) {
        let node = self.graph.at(id).node;
        wanted.mentioned.extend(node.properties.keys().map(String::as_str));
        wanted.patterns.extend(node.patterns.iter().map(|(pattern, _)| &**pattern));
    }

    /// With all subschemas that speak of the same value.
    fn mention_in_place(&self, wanted: &mut Wanted<'a>, id: NodeId, seen: &mut BTreeSet<NodeId>) {
        if seen.insert(id) {
            let at = self.graph.at(id);
            self.mention(wanted, id);
            for inner in at.node.in_place() {
                self.mention_in_place(wanted, at.child(inner), seen);
            }
        }
    }

    /// The value of a member of this name.
    fn member(
        &mut self,
        wanted: &Wanted<'a>,
        name: &str,
        goals: &[Goal<'a>],
    ) -> Result<Outcome, Limit> {
        if wanted.absent.contains(name) || !self.is_name(wanted, name)? {
            return Ok(Outcome::Nothing);
        }
        let mut all = goals.to_vec();
        for id in &wanted.by_name {
            let schemas = self.judge.schemas_for(self.graph.at(*id), name)?;
            all.extend(schemas.into_iter().map(Goal::Is));
        }
        self.solve(all)
    }

    fn is_name(&mut self, wanted: &Wanted<'a>, name: &str) -> Result<bool, Limit> {
        for schema in &wanted.names {
            if !self.judge.fits(*schema, &Value::from(name))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    // -------------------------------------------------------------- wishes

    /// Finds members for the wishes that are left.
    fn grant_names(
        &mut self,
        wanted: &Wanted<'a>,
        members: Members<'a>,
        left: &[Wish<'a>],
    ) -> Result<Outcome, Limit> {
        let Some((wish, left)) = left.split_first() else {
            return self.whole_object(wanted, members);
        };
        let mut alternatives = Alternatives::default();
        let mentioned = wanted.mentioned.iter().map(|name| (*name).to_owned());
        let names: BTreeSet<String> = members.keys().cloned().chain(mentioned).collect();
        for name in names {
            self.judge.spend(1)?;
            let Some(goal) = self.wish_for(*wish, &name)? else { continue };
            let mut goals = members.get(&name).cloned().unwrap_or_default();
            goals.extend(goal);
            let outcome = match self.member(wanted, &name, &goals)? {
                Outcome::Nothing => Outcome::Nothing,
                Outcome::Found(_) | Outcome::Doubt(_) => {
                    let mut members = members.clone();
                    members.insert(name, goals);
                    self.grant_names(wanted, members, left)?
                }
            };
            if let Some(found) = alternatives.take(outcome) {
                return Ok(found);
            }
        }
        let outcome = match self.other(wanted, &members, Some(*wish))? {
            Other::Named(name, goals) => {
                let mut members = members;
                members.insert(name, goals);
                // With another name, the wishes that are left might have found theirs.
                match self.grant_names(wanted, members, left)? {
                    Outcome::Nothing if !left.is_empty() => Reason::Object.about(None),
                    outcome => outcome,
                }
            }
            Other::Without(outcome) => outcome,
        };
        Ok(alternatives.take(outcome).unwrap_or_else(|| alternatives.rest()))
    }

    /// What the value must be for the member to grant the wish; `None` if the name can't.
    fn wish_for(&mut self, wish: Wish<'a>, name: &str) -> Result<Option<Option<Goal<'a>>>, Limit> {
        Ok(match wish {
            Wish::Matching(pattern, schema) => {
                let matches = self.judge.matches(pattern, name)?;
                matches.then_some(Some(Goal::IsNot(schema)))
            }
            Wish::Other(id, schema) => {
                let node = self.graph.at(id).node;
                let patterns = node.patterns.iter().map(|(pattern, _)| &**pattern);
                let is_other =
                    !node.properties.contains_key(name) && !self.matches_any(patterns, name)?;
                is_other.then_some(Some(Goal::IsNot(schema)))
            }
            Wish::Unseen(_) => None,
            Wish::Name(schema) => {
                let fits = self.judge.fits(schema, &Value::from(name))?;
                (!fits).then_some(None)
            }
        })
    }

    fn matches_any(
        &mut self,
        patterns: impl Iterator<Item = &'a Pattern>,
        name: &str,
    ) -> Result<bool, Limit> {
        for pattern in patterns {
            if self.judge.matches(pattern, name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    // -------------------------------------------------------------- names that are not mentioned

    /// A member whose name is none of those mentioned and none of those there are.
    fn other(
        &mut self,
        wanted: &Wanted<'a>,
        members: &Members<'a>,
        wish: Option<Wish<'a>>,
    ) -> Result<Other<'a>, Limit> {
        if wanted.patterns.len() > MAX_PATTERNS {
            return Ok(Other::Without(Reason::Object.about(None)));
        }
        let mentioned = wanted.mentioned.iter().chain(&wanted.absent).copied();
        let taken: BTreeSet<&str> = mentioned.chain(members.keys().map(String::as_str)).collect();
        let differs: Vec<_> =
            taken.into_iter().map(|name| Goal::differs(&Value::from(name))).collect();
        let mut alternatives = Alternatives::default();
        for matching in 0..1_usize << wanted.patterns.len() {
            let patterns = wanted.patterns.iter().enumerate();
            let matching: Vec<(&'a Pattern, bool)> =
                patterns.map(|(i, pattern)| (*pattern, matching >> i & 1 == 1)).collect();
            let Some((name, value, wished)) = self.other_goals(wanted, wish, &matching) else {
                continue;
            };
            let outcome = match self.solve(value)? {
                Outcome::Nothing => Outcome::Nothing,
                Outcome::Doubt(doubt) => Outcome::Doubt(doubt),
                Outcome::Found(_) => {
                    self.solve(name.into_iter().chain(differs.clone()).collect())?
                }
            };
            match alternatives.take(outcome) {
                Some(Outcome::Found(Value::String(name))) => return Ok(Other::Named(name, wished)),
                Some(other) => return Ok(Other::Without(other)),
                None => {}
            }
        }
        Ok(Other::Without(alternatives.rest()))
    }

    /// The goals of the name and of the value of a member whose name is not mentioned, and those
    /// of the value that are the wish's. `None` if such a name can't grant the wish.
    fn other_goals(
        &self,
        wanted: &Wanted<'a>,
        wish: Option<Wish<'a>>,
        matching: &[(&'a Pattern, bool)],
    ) -> Option<(Vec<Goal<'a>>, Vec<Goal<'a>>, Vec<Goal<'a>>)> {
        let matches = |wanted: &Pattern| {
            matching.iter().any(|(pattern, matches)| *pattern == wanted && *matches)
        };
        let mut name = vec![Goal::IsText];
        name.extend(wanted.names.iter().map(|id| Goal::Is(*id)));
        name.extend(matching.iter().map(|(pattern, matches)| Goal::Matches(pattern, *matches)));
        let wished = match wish {
            None => None,
            Some(Wish::Matching(pattern, schema)) => {
                matches(pattern).then_some(())?;
                Some(Goal::IsNot(schema))
            }
            Some(Wish::Other(id, schema)) => {
                let patterns = &self.graph.at(id).node.patterns;
                let is_other = !patterns.iter().any(|(pattern, _)| matches(pattern));
                is_other.then_some(Some(Goal::IsNot(schema)))?
            }
            Some(Wish::Unseen(schema)) => {
                let is_unseen = !matching.iter().any(|(_, matches)| *matches);
                is_unseen.then_some(Some(Goal::IsNot(schema)))?
            }
            Some(Wish::Name(schema)) => {
                name.push(Goal::IsNot(schema));
                None
            }
        };
        let mut value: Vec<_> = wished.clone().into_iter().collect();
        for id in &wanted.by_name {
            let schemas = self.graph.at(*id).for_property(None, |pattern| Ok(matches(pattern)));
            let schemas: Result<Vec<NodeId>, Limit> = schemas;
            value.extend(schemas.ok()?.into_iter().map(Goal::Is));
        }
        Some((name, value, wished.into_iter().collect()))
    }

    // -------------------------------------------------------------- the object

    /// The object, once every wish has its member.
    fn whole_object(
        &mut self,
        wanted: &Wanted<'a>,
        mut members: Members<'a>,
    ) -> Result<Outcome, Limit> {
        if members.len() as u64 > wanted.size.most {
            return Ok(Outcome::Nothing);
        }
        if wanted.size.least > MAX_WITNESS_SIZE {
            return Ok(Reason::Object.about(None));
        }
        let mut alternatives = Alternatives::default();
        for name in &wanted.mentioned {
            if members.len() as u64 >= wanted.size.least {
                break;
            }
            if members.contains_key(*name) {
                continue;
            }
            match self.member(wanted, name, &[])? {
                Outcome::Nothing => {}
                Outcome::Found(_) => drop(members.insert((*name).to_owned(), Vec::new())),
                Outcome::Doubt(doubt) => alternatives.doubt(doubt),
            }
        }
        while (members.len() as u64) < wanted.size.least {
            match self.other(wanted, &members, None)? {
                Other::Named(name, goals) => drop(members.insert(name, goals)),
                Other::Without(outcome) => {
                    return Ok(alternatives.take(outcome).unwrap_or_else(|| alternatives.rest()));
                }
            }
        }
        let mut object = Map::new();
        for (name, goals) in members {
            match self.member(wanted, &name, &goals)? {
                Outcome::Found(value) => drop(object.insert(name, value)),
                other => return Ok(other),
            }
        }
        Ok(Outcome::Found(object.into()))
    }
}

/// A member of another name, with what is asked of its value, or what came instead.
enum Other<'a> {
    Named(String, Vec<Goal<'a>>),
    Without(Outcome),
}
