//! What must come before what: the event ordering constraints of PROV-CONSTRAINTS, section 6.2, and
//! the times that a document states, held against each other.
//!
//! Every start, end, generation, usage and invalidation is an instant; the constraints put instants
//! in order, strictly or not. A document is contradictory when an instant would have to come strictly
//! before itself, or when the time stated for one is later than the time stated for another that may
//! not come before it. PROV leaves times to applications; that they agree with the order is asked for
//! here. Equal times never contradict, strict order or not: a clock has a resolution.
//!
//! What a document leaves unsaid is there all the same (inferences 7 and 8): every entity has one
//! generation and one invalidation, every activity one start and one end, and whatever states one of
//! them states that one (constraints 31, 32, 39, 40).
//!
//! Not judged: typing but for constraint 55, impossibility, keys, and merging of records (22 to 27).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;

use super::json::time_us;
use super::recorder::TALLY;
use super::{Document, Kind, Record, Value};

/// Most violations that are reported of one document.
pub const MAX_VIOLATIONS: usize = 1_000;

macro_rules! constraints {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal;)*) => {
        /// A constraint of PROV-CONSTRAINTS.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Constraint {
            $($(#[$doc])* $name,)*
        }

        impl Constraint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in PROV-CONSTRAINTS.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// Its number in PROV-CONSTRAINTS.
            pub fn number(self) -> u8 {
                match self {
                    $(Self::$name => $number,)*
                }
            }
        }
    };
}

constraints! {
    /// The start of an activity precedes its end.
    StartPrecedesEnd = 30, "start-precedes-end";
    /// All starts of an activity are one instant.
    StartStart = 31, "start-start-ordering";
    /// All ends of an activity are one instant.
    EndEnd = 32, "end-end-ordering";
    /// A usage lies between start and end of its activity.
    UsageWithinActivity = 33, "usage-within-activity";
    /// A generation lies between start and end of its activity.
    GenerationWithinActivity = 34, "generation-within-activity";
    /// The informant's start precedes the informed one's end.
    Communication = 35, "wasInformedBy-ordering";
    /// Generation precedes invalidation.
    GenerationPrecedesInvalidation = 36, "generation-precedes-invalidation";
    /// Generation precedes usage.
    GenerationPrecedesUsage = 37, "generation-precedes-usage";
    /// Usage precedes invalidation.
    UsagePrecedesInvalidation = 38, "usage-precedes-invalidation";
    /// All generations of an entity are one instant.
    GenerationGeneration = 39, "generation-generation-ordering";
    /// All invalidations of an entity are one instant.
    InvalidationInvalidation = 40, "invalidation-invalidation-ordering";
    /// What a derivation used, it used before it generated.
    DerivationUsageGeneration = 41, "derivation-usage-generation-ordering";
    /// What something is derived from was generated strictly before.
    DerivationGenerationGeneration = 42, "derivation-generation-generation-ordering";
    /// A trigger is there when it starts an activity.
    Start = 43, "wasStartedBy-ordering";
    /// A trigger is there when it ends an activity.
    End = 44, "wasEndedBy-ordering";
    /// The general entity is generated no later than the special one.
    SpecializationGeneration = 45, "specialization-generation-ordering";
    /// The special entity is invalidated no later than the general one.
    SpecializationInvalidation = 46, "specialization-invalidation-ordering";
    /// An agent is there during some of an activity that it has a part in.
    Association = 47, "wasAssociatedWith-ordering";
    /// An agent is there no later than what is attributed to it.
    Attribution = 48, "wasAttributedTo-ordering";
    /// Who is acted for is there before who acts is gone.
    Delegation = 49, "actedOnBehalfOf-ordering";
    /// Nothing is an entity and an activity.
    Disjoint = 55, "entity-activity-disjoint";
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (constraint {})", self.name(), self.number())
    }
}

/// Why one instant comes before another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The earlier instant, as in `start of run:3fa2…`.
    pub before: String,
    /// The later one.
    pub after: String,
    /// Whether they can't be the same.
    pub strict: bool,
    /// Which constraint says so.
    pub constraint: Constraint,
    /// The positions of the ledger's events behind the records that it is about (`tally:position`).
    pub positions: BTreeSet<u64>,
}

/// What can't be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contradiction {
    /// The last instant is the first one, and would have to come strictly before itself.
    Cycle,
    /// The first instant is stated to be later than the last one.
    Times {
        /// The time stated for the first.
        before: String,
        /// The time stated for the last.
        after: String,
    },
    /// One name is that of an entity and of an activity.
    Disjoint {
        /// The name.
        name: String,
    },
}

/// A violation: the steps from the first instant to the last, and what can't be about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The chain of constraints; empty for [`Contradiction::Disjoint`].
    pub steps: Vec<Step>,
    /// What can't be.
    pub contradiction: Contradiction,
    /// The positions of all events concerned.
    pub positions: BTreeSet<u64>,
}

impl Violation {
    /// The constraints of the chain, each once.
    pub fn constraints(&self) -> BTreeSet<Constraint> {
        let steps = self.steps.iter().map(|step| step.constraint);
        let disjoint = matches!(self.contradiction, Contradiction::Disjoint { .. });
        steps.chain(disjoint.then_some(Constraint::Disjoint)).collect()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.contradiction, self.steps.first().zip(self.steps.last())) {
            (Contradiction::Disjoint { name }, _) => {
                write!(f, "{name} is an entity and an activity: {}", Constraint::Disjoint)?;
            }
            (Contradiction::Times { before, after }, Some((first, last))) => {
                let (one, other) = (&first.before, &last.after);
                write!(f, "{one} at {before} may not come after {other} at {after}: ")?;
            }
            (Contradiction::Cycle | Contradiction::Times { .. }, _) => {
                write!(f, "an instant would come strictly before itself: ")?;
            }
        }
        for (number, Step { before, after, strict, constraint, .. }) in
            self.steps.iter().enumerate()
        {
            let comma = if number > 0 { ", " } else { "" };
            let word = if *strict { "strictly precedes" } else { "precedes" };
            write!(f, "{comma}{before} {word} {after} by {constraint}")?;
        }
        let positions: Vec<String> = self.positions.iter().map(ToString::to_string).collect();
        match positions.is_empty() {
            true => Ok(()),
            false => write!(f, "; events {}", positions.join(", ")),
        }
    }
}

/// Holds a document to the constraints, and its bundles each on its own. Times contradict when they
/// differ by more than `skew_us` microseconds: clocks of different agents do. Of very many
/// violations, [`MAX_VIOLATIONS`] are found in each.
pub fn check(document: &Document, skew_us: u64) -> Vec<Violation> {
    let order = Order::of(document);
    let mut found = order.disjoint();
    found.extend(order.cycles());
    found.extend(order.contradicted_times(skew_us));
    found.truncate(MAX_VIOLATIONS);
    found.extend(document.bundles.values().flat_map(|bundle| check(bundle, skew_us)));
    found
}

// ------------------------------------------------------------------ instants and their order

type Ix = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Start,
    End,
    Generation,
    Usage,
    Invalidation,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
            Self::Generation => "generation",
            Self::Usage => "usage",
            Self::Invalidation => "invalidation",
        }
    }
}

struct Instant {
    title: String,
    /// As it is written, and in microseconds since 1970.
    stated: Option<(String, i64)>,
    position: Option<u64>,
}

#[derive(Clone, Copy)]
struct Before {
    to: Ix,
    strict: bool,
    constraint: Constraint,
    position: Option<u64>,
}

/// The instants of a document, and which come before which.
#[derive(Default)]
struct Order {
    instants: Vec<Instant>,
    after: Vec<Vec<Before>>,
    /// The one start, end, generation and invalidation of what has a URI.
    hubs: HashMap<(What, String), Ix>,
    /// Instants that have a name of their own.
    named: HashMap<(What, String), Ix>,
    /// How a URI is written in the document.
    names: HashMap<String, String>,
    entities: BTreeMap<String, Option<u64>>,
    activities: BTreeMap<String, Option<u64>>,
}

impl Order {
    fn of(document: &Document) -> Self {
        let mut order = Self::default();
        for record in &document.records {
            order.type_parts(document, record);
        }
        for record in &document.records {
            order.take(document, record);
        }
        // Last, because it asks for what is named.
        for record in document.records.iter().filter(|record| record.kind == Kind::Derivation) {
            order.derivation(document, record);
        }
        order
    }

    /// Which names are those of entities and of activities, by the parts that they fill (50).
    fn type_parts(&mut self, document: &Document, record: &Record) {
        let at = position(document, record);
        let own = record.id.as_ref().map(|id| document.uri(id.as_str()));
        if let Some((own, id)) = own.as_ref().zip(record.id.as_ref()) {
            self.names.entry(own.clone()).or_insert_with(|| id.to_string());
        }
        let to = match record.kind {
            Kind::Entity => Some(&mut self.entities),
            Kind::Activity => Some(&mut self.activities),
            _ => None,
        };
        if let Some((to, own)) = to.zip(own) {
            to.entry(own).or_insert(at);
        }
        for ((part, _), value) in record.kind.parts().iter().zip(&record.parts) {
            let Some(value) = value else { continue };
            self.names.entry(document.uri(value)).or_insert_with(|| value.clone());
            let to = match *part {
                "activity" | "informed" | "informant" | "starter" | "ender" => &mut self.activities,
                "entity" | "trigger" | "generatedEntity" | "usedEntity" | "plan" | "collection"
                | "specificEntity" | "generalEntity" | "alternate1" | "alternate2" => {
                    &mut self.entities
                }
                _ => continue,
            };
            to.entry(document.uri(value)).or_insert(at);
        }
    }

    fn take(&mut self, document: &Document, record: &Record) {
        use Constraint as C;
        let uri = |part: &str| record.part(part).map(|name| document.uri(name));
        let at = position(document, record);
        match record.kind {
            Kind::Activity => self.activity(document, record),
            Kind::Generation => {
                let (instant, Some(entity)) =
                    (self.event(document, record, What::Generation), uri("entity"))
                else {
                    return;
                };
                let hub = self.hub(What::Generation, &entity);
                self.same(instant, hub, C::GenerationGeneration, at);
                self.within(instant, uri("activity"), C::GenerationWithinActivity, at);
            }
            Kind::Usage => {
                let instant = self.event(document, record, What::Usage);
                self.within(instant, uri("activity"), C::UsageWithinActivity, at);
                let Some(entity) = uri("entity") else { return };
                let generation = self.hub(What::Generation, &entity);
                self.before(generation, instant, false, C::GenerationPrecedesUsage, at);
                let invalidation = self.hub(What::Invalidation, &entity);
                self.before(instant, invalidation, false, C::UsagePrecedesInvalidation, at);
            }
            Kind::Invalidation => {
                let instant = self.event(document, record, What::Invalidation);
                let Some(entity) = uri("entity") else { return };
                let hub = self.hub(What::Invalidation, &entity);
                self.same(instant, hub, C::InvalidationInvalidation, at);
            }
            Kind::Start => self.bound(document, record, What::Start),
            Kind::End => self.bound(document, record, What::End),
            Kind::Communication => {
                if let (Some(informed), Some(informant)) = (uri("informed"), uri("informant")) {
                    let start = self.hub(What::Start, &informant);
                    let end = self.hub(What::End, &informed);
                    self.before(start, end, false, C::Communication, at);
                }
            }
            Kind::Specialization | Kind::Mention => {
                if let (Some(special), Some(general)) =
                    (uri("specificEntity"), uri("generalEntity"))
                {
                    let (one, other) = (
                        self.hub(What::Generation, &general),
                        self.hub(What::Generation, &special),
                    );
                    self.before(one, other, false, C::SpecializationGeneration, at);
                    let (one, other) = (
                        self.hub(What::Invalidation, &special),
                        self.hub(What::Invalidation, &general),
                    );
                    self.before(one, other, false, C::SpecializationInvalidation, at);
                }
            }
            Kind::Association => self.associate(uri("activity"), uri("agent"), at),
            // Inference 14: who acts for another in an activity has a part in it, and so has the other.
            Kind::Delegation => {
                let (delegate, responsible) = (uri("delegate"), uri("responsible"));
                self.associate(uri("activity"), delegate.clone(), at);
                self.associate(uri("activity"), responsible.clone(), at);
                self.delegate(delegate, responsible, at);
            }
            Kind::Attribution => self.attribute(uri("entity"), uri("agent"), at),
            Kind::Entity
            | Kind::Agent
            | Kind::Derivation
            | Kind::Influence
            | Kind::Alternate
            | Kind::Membership => {}
        }
    }

    fn activity(&mut self, document: &Document, record: &Record) {
        let Some(id) = &record.id else { return };
        let at = position(document, record);
        for (what, part, constraint) in [
            (What::Start, "startTime", Constraint::StartStart),
            (What::End, "endTime", Constraint::EndEnd),
        ] {
            let hub = self.hub(what, &document.uri(id.as_str()));
            if let Some(stated) = record.part(part) {
                let title = format!("{} of {id}", what.word());
                let instant = self.instant(title, Some(stated), at);
                self.same(instant, hub, constraint, at);
            }
        }
    }

    /// A start or an end, and its trigger.
    fn bound(&mut self, document: &Document, record: &Record, what: What) {
        let at = position(document, record);
        let instant = self.event(document, record, what);
        let (same, trigger) = match what {
            What::Start => (Constraint::StartStart, Constraint::Start),
            _ => (Constraint::EndEnd, Constraint::End),
        };
        if let Some(activity) = record.part("activity") {
            let hub = self.hub(what, &document.uri(activity));
            self.same(instant, hub, same, at);
        }
        if let Some(entity) = record.part("trigger").map(|name| document.uri(name)) {
            let generation = self.hub(What::Generation, &entity);
            self.before(generation, instant, false, trigger, at);
            let invalidation = self.hub(What::Invalidation, &entity);
            self.before(instant, invalidation, false, trigger, at);
        }
    }

    fn derivation(&mut self, document: &Document, record: &Record) {
        let at = position(document, record);
        let uri = |part: &str| record.part(part).map(|name| document.uri(name));
        if let (Some(used), Some(generated)) = (uri("usedEntity"), uri("generatedEntity")) {
            let one = self.hub(What::Generation, &used);
            let other = self.hub(What::Generation, &generated);
            self.before(one, other, true, Constraint::DerivationGenerationGeneration, at);
        }
        let named = |what, part| self.named.get(&(what, uri(part)?)).copied();
        let usage = named(What::Usage, "usage");
        if let Some((usage, generation)) = usage.zip(named(What::Generation, "generation")) {
            self.before(usage, generation, false, Constraint::DerivationUsageGeneration, at);
        }
    }

    fn within(
        &mut self,
        instant: Ix,
        activity: Option<String>,
        constraint: Constraint,
        at: Option<u64>,
    ) {
        let Some(activity) = activity else { return };
        let (start, end) = (self.hub(What::Start, &activity), self.hub(What::End, &activity));
        self.before(start, instant, false, constraint, at);
        self.before(instant, end, false, constraint, at);
    }

    /// 47, for agents that are entities or activities too.
    fn associate(&mut self, activity: Option<String>, agent: Option<String>, at: Option<u64>) {
        let (Some(activity), Some(agent)) = (activity, agent) else { return };
        let (start, end) = (self.hub(What::Start, &activity), self.hub(What::End, &activity));
        for (there, gone) in self.lives(&agent) {
            self.before(start, gone, false, Constraint::Association, at);
            self.before(there, end, false, Constraint::Association, at);
        }
    }

    /// 48.
    fn attribute(&mut self, entity: Option<String>, agent: Option<String>, at: Option<u64>) {
        let (Some(entity), Some(agent)) = (entity, agent) else { return };
        let generation = self.hub(What::Generation, &entity);
        for (there, _) in self.lives(&agent) {
            self.before(there, generation, false, Constraint::Attribution, at);
        }
    }

    /// 49.
    fn delegate(&mut self, delegate: Option<String>, other: Option<String>, at: Option<u64>) {
        let (Some(delegate), Some(other)) = (delegate, other) else { return };
        for ((there, _), (_, gone)) in self.lives(&other).into_iter().zip(self.lives(&delegate)) {
            self.before(there, gone, false, Constraint::Delegation, at);
        }
    }

    /// From when to when an agent is there: as an entity, as an activity.
    fn lives(&mut self, agent: &str) -> Vec<(Ix, Ix)> {
        let mut lives = Vec::new();
        if self.entities.contains_key(agent)
            || self.hubs.contains_key(&(What::Invalidation, agent.to_owned()))
        {
            lives.push((self.hub(What::Generation, agent), self.hub(What::Invalidation, agent)));
        }
        if self.activities.contains_key(agent) {
            lives.push((self.hub(What::Start, agent), self.hub(What::End, agent)));
        }
        lives
    }

    // -------------------------------------------------------------- building

    /// The instant that a record states.
    fn event(&mut self, document: &Document, record: &Record, what: What) -> Ix {
        let of = match what {
            What::Generation | What::Invalidation => record.part("entity"),
            What::Start | What::End => record.part("activity"),
            What::Usage => record.part("entity"),
        };
        let mut title = format!("{} of {}", what.word(), of.unwrap_or("something"));
        if let (What::Usage, Some(by)) = (what, record.part("activity")) {
            title = format!("{title} by {by}");
        }
        let instant = self.instant(title, record.part("time"), position(document, record));
        if let Some(id) = &record.id {
            self.named.insert((what, document.uri(id.as_str())), instant);
        }
        instant
    }

    fn instant(&mut self, title: String, stated: Option<&str>, position: Option<u64>) -> Ix {
        let stated = stated.and_then(|text| Some((text.to_owned(), time_us(text)?)));
        self.instants.push(Instant { title, stated, position });
        self.after.push(Vec::new());
        self.instants.len() - 1
    }

    /// The one instant of a kind that everything has. An activity's start precedes its end, and an
    /// entity's generation its invalidation.
    fn hub(&mut self, what: What, of: &str) -> Ix {
        if let Some(&known) = self.hubs.get(&(what, of.to_owned())) {
            return known;
        }
        let (first, last, constraint) = match what {
            What::Start | What::End => (What::Start, What::End, Constraint::StartPrecedesEnd),
            _ => (What::Generation, What::Invalidation, Constraint::GenerationPrecedesInvalidation),
        };
        let [one, other] = [first, last].map(|what| {
            let name = self.names.get(of).map_or(of, String::as_str);
            let instant = self.instant(format!("{} of {name}", what.word()), None, None);
            self.hubs.insert((what, of.to_owned()), instant);
            instant
        });
        self.before(one, other, false, constraint, None);
        if what == first { one } else { other }
    }

    fn same(&mut self, one: Ix, other: Ix, constraint: Constraint, at: Option<u64>) {
        self.before(one, other, false, constraint, at);
        self.before(other, one, false, constraint, at);
    }

    fn before(
        &mut self,
        from: Ix,
        to: Ix,
        strict: bool,
        constraint: Constraint,
        position: Option<u64>,
    ) {
        self.after[from].push(Before { to, strict, constraint, position });
    }

    // -------------------------------------------------------------- judging

    /// 55.
    fn disjoint(&self) -> Vec<Violation> {
        let both = self.entities.iter().filter_map(|(name, one)| {
            let other = self.activities.get(name)?;
            let positions = one.iter().chain(other).copied().collect();
            let contradiction = Contradiction::Disjoint { name: name.clone() };
            Some(Violation { steps: Vec::new(), contradiction, positions })
        });
        both.take(MAX_VIOLATIONS).collect()
    }

    /// Every strict step whose end leads back to its beginning.
    fn cycles(&self) -> Vec<Violation> {
        let group = components(&self.after);
        let mut found = Vec::new();
        for (from, steps) in self.after.iter().enumerate() {
            for step in steps.iter().filter(|step| step.strict && group[step.to] == group[from]) {
                if found.len() == MAX_VIOLATIONS {
                    return found;
                }
                let stays = |at: Ix| group[at] == group[from];
                let back = self.path(step.to, |at| at == from, stays).unwrap_or_default();
                let path = std::iter::once((from, *step)).chain(back).collect();
                found.push(self.violation(path, Contradiction::Cycle));
            }
        }
        found
    }

    /// Every pair of stated times in the wrong order, with no stated time on the way from the one to
    /// the other: what lies beyond such a time is reported for that one, or follows.
    fn contradicted_times(&self, skew_us: u64) -> Vec<Violation> {
        let earliest = self.earliest_after();
        let mut found = Vec::new();
        for (from, instant) in self.instants.iter().enumerate() {
            let Some((before, time)) = &instant.stated else { continue };
            let too_early = |at: Ix| {
                let stated = self.instants[at].stated.as_ref();
                at != from && stated.is_some_and(|(_, after)| exceeds(*time, *after, skew_us))
            };
            if !earliest[from].is_some_and(|other| exceeds(*time, other, skew_us)) {
                continue;
            }
            let is_silent = |at: Ix| self.instants[at].stated.is_none();
            let Some(path) = self.path(from, too_early, is_silent) else { continue };
            let last = path.last().map_or(from, |(_, step)| step.to);
            let Some((after, _)) = &self.instants[last].stated else { continue };
            let (before, after) = (before.clone(), after.clone());
            found.push(self.violation(path, Contradiction::Times { before, after }));
            if found.len() == MAX_VIOLATIONS {
                break;
            }
        }
        found
    }

    /// For each instant, the earliest time stated for itself or anything after it.
    fn earliest_after(&self) -> Vec<Option<i64>> {
        let group = components(&self.after);
        // Components are numbered in the order in which they are finished: what comes after, first.
        let mut by_group: Vec<Vec<Ix>> =
            vec![Vec::new(); group.iter().max().map_or(0, |last| last + 1)];
        for (at, &group) in group.iter().enumerate() {
            by_group[group].push(at);
        }
        let mut earliest: Vec<Option<i64>> = vec![None; by_group.len()];
        for (number, members) in by_group.iter().enumerate() {
            let own = members.iter().filter_map(|&at| Some(self.instants[at].stated.as_ref()?.1));
            let after = members.iter().flat_map(|&at| &self.after[at]);
            let later = after.filter_map(|step| earliest[group[step.to]]);
            let least = own.chain(later).min();
            earliest[number] = least;
        }
        group.into_iter().map(|group| earliest[group]).collect()
    }

    /// A shortest path from an instant to one that is wanted, by way of such that `through` allows.
    fn path(
        &self,
        from: Ix,
        is_wanted: impl Fn(Ix) -> bool,
        through: impl Fn(Ix) -> bool,
    ) -> Option<Vec<(Ix, Before)>> {
        let mut came: HashMap<Ix, (Ix, Before)> = HashMap::new();
        let mut open = VecDeque::from([from]);
        if is_wanted(from) {
            return Some(Vec::new());
        }
        while let Some(at) = open.pop_front() {
            for step in &self.after[at] {
                if step.to == from || came.contains_key(&step.to) {
                    continue;
                }
                came.insert(step.to, (at, *step));
                if is_wanted(step.to) {
                    return Some(steps_back(&came, from, step.to));
                }
                if through(step.to) {
                    open.push_back(step.to);
                }
            }
        }
        None
    }

    fn violation(&self, path: Vec<(Ix, Before)>, contradiction: Contradiction) -> Violation {
        let mut steps: Vec<Step> = path.iter().map(|(from, step)| self.step(*from, step)).collect();
        let positions = steps.iter().flat_map(|step| step.positions.iter().copied()).collect();
        // That what is stated twice is one instant, only has to be said where nothing else is.
        if steps.iter().any(|step| step.before != step.after) {
            steps.retain(|step| step.before != step.after);
        }
        steps.dedup_by(|one, other| one.before == one.after && other.before == other.after);
        Violation { steps, contradiction, positions }
    }

    fn step(&self, from: Ix, step: &Before) -> Step {
        let (before, after) = (&self.instants[from], &self.instants[step.to]);
        let positions = [before.position, after.position, step.position];
        Step {
            before: before.title.clone(),
            after: after.title.clone(),
            strict: step.strict,
            constraint: step.constraint,
            positions: positions.into_iter().flatten().collect(),
        }
    }
}

fn exceeds(time: i64, other: i64, skew_us: u64) -> bool {
    time > other && time.abs_diff(other) > skew_us
}

fn steps_back(came: &HashMap<Ix, (Ix, Before)>, from: Ix, to: Ix) -> Vec<(Ix, Before)> {
    let mut path = Vec::new();
    let mut at = to;
    while at != from {
        let (before, step) = came[&at];
        path.push((before, step));
        at = before;
    }
    path.reverse();
    path
}

fn position(document: &Document, record: &Record) -> Option<u64> {
    let is_it = |name: &str| document.uri(name).strip_prefix(TALLY) == Some("position");
    let found = record.attributes.iter().find(|(name, _)| is_it(name.as_str()));
    match &found?.1 {
        Value::Literal { text, .. } => text.parse().ok(),
        Value::Name(_) => None,
    }
}

/// Tarjan's strongly connected components, on a stack of its own: chains can be longer than the
/// thread's. What a component leads to has a smaller number.
fn components(after: &[Vec<Before>]) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let mut order = vec![UNSEEN; after.len()];
    let mut low = vec![0; after.len()];
    let mut group = vec![UNSEEN; after.len()];
    let (mut seen, mut groups) = (0, 0);
    let mut open: Vec<Ix> = Vec::new();
    for root in 0..after.len() {
        let mut calls: Vec<(Ix, usize)> = Vec::new();
        if order[root] == UNSEEN {
            calls.push((root, 0));
        }
        while let Some((at, next)) = calls.pop() {
            if next == 0 {
                (order[at], low[at]) = (seen, seen);
                seen += 1;
                open.push(at);
            } else {
                let child = after[at][next - 1].to;
                low[at] = low[at].min(low[child]);
            }
            let mut deeper = None;
            for (number, step) in after[at].iter().enumerate().skip(next) {
                if order[step.to] == UNSEEN {
                    deeper = Some((number, step.to));
                    break;
                }
                if group[step.to] == UNSEEN {
                    low[at] = low[at].min(order[step.to]);
                }
            }
            if let Some((number, child)) = deeper {
                calls.push((at, number + 1));
                calls.push((child, 0));
                continue;
            }
            if low[at] == order[at] {
                while let Some(member) = open.pop() {
                    group[member] = groups;
                    if member == at {
                        break;
                    }
                }
                groups += 1;
            }
        }
    }
    group
}
