//! Answers for people: a table, and a line that says what it is as of.

use tally_coordination::award::{AwardView, AwardsView, ConsideredView, CriterionView};
use tally_protocol::Position;
use tally_protocol::message::Outcome;
use tally_provenance::{
    Blame, Bottlenecks, Change, DataEntry, Derivation, Difference, Impact, Keys, Load, NodeRef,
    RunEntry, Signer, TaskEntry, Times, Whereabouts, Why,
};

use super::Answer;
use crate::output::{duration_text, short, table};

/// Most positions in one cell.
const MAX_POSITIONS: usize = 6;

pub(crate) fn text(answer: &Answer) -> String {
    match answer {
        Answer::Why(why) => why_text(why),
        Answer::Where(found) => where_text(found),
        Answer::Blame(blame) => blame_text(blame),
        Answer::Keys(keys) => keys_text(keys),
        Answer::Impact(impact) => impact_text(impact),
        Answer::Award(awards) => awards_text(awards),
        Answer::Difference(difference) => difference_text(difference),
        Answer::Bottlenecks(found) => bottlenecks_text(found),
        Answer::Lineage(lineage) => lineage.text(),
    }
}

fn as_of(position: Position) -> String {
    format!("as of {position} events")
}

fn node(node: &NodeRef) -> String {
    match node {
        NodeRef::Agent(agent) => agent.short(),
        NodeRef::Data { uri, .. } => uri.clone(),
        NodeRef::Imported(name) => name.clone(),
        NodeRef::Capability(id) => format!("capability {}", short(id)),
        NodeRef::Intent(id) => format!("intent {}", short(id)),
        NodeRef::Offer(id) => format!("offer {}", short(id)),
        NodeRef::Task(id) => format!("task {}", short(id)),
        NodeRef::Receipt(id) => format!("receipt {}", short(id)),
        NodeRef::Policy(id) => format!("policy {}", short(id)),
        NodeRef::Attestation(id) => format!("attestation {}", short(id)),
        NodeRef::Message(id) => format!("message {}", short(id)),
    }
}

fn outcome(outcome: Option<Outcome>) -> String {
    outcome.map_or_else(|| "live".to_owned(), Outcome::name)
}

fn executor(task: &TaskEntry) -> String {
    task.executor.map(|executor| executor.short()).unwrap_or_default()
}

fn title(task: &TaskEntry) -> String {
    task.label.clone().unwrap_or_else(|| task.name.clone())
}

fn at(position: Option<Position>) -> String {
    position.map(|position| position.to_string()).unwrap_or_default()
}

fn positions(mut all: Vec<Position>) -> String {
    all.sort_unstable();
    all.dedup();
    let shown: Vec<String> = all.iter().take(MAX_POSITIONS).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(MAX_POSITIONS);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

// ------------------------------------------------------------------ why and where

fn why_text(why: &Why) -> String {
    let ways = why.derivations.len();
    let mut text = match (ways, why.more) {
        (1, false) => "one minimal derivation".to_owned(),
        (ways, false) => format!("{ways} minimal derivations"),
        (ways, true) => format!("{ways} minimal derivations, and more"),
    };
    for (number, derivation) in (1..).zip(&why.derivations) {
        text.push_str(&format!("\n\n{number}. {}", derivation_text(derivation)));
    }
    format!("{text}\n{}", as_of(why.as_of))
}

fn derivation_text(derivation: &Derivation) -> String {
    let mut rows = table(&["", "task or input", "executor", "state", "event"]);
    for source in &derivation.sources {
        let note = match source.made_by_failed.len() {
            0 => "",
            _ => "made by a failed attempt",
        };
        rows.add_row(["input", &source.uri, "", note, &at(source.named_at)]);
    }
    for task in &derivation.tasks {
        let (name, state) = (title(task), outcome(task.outcome));
        rows.add_row(["task", &name, &executor(task), &state, &at(task.position)]);
    }
    let (inputs, tasks) = (derivation.sources.len(), derivation.tasks.len());
    format!("{inputs} inputs, {tasks} tasks\n{rows}")
}

fn where_text(found: &Whereabouts) -> String {
    let mut text = String::new();
    for place in &found.data {
        text.push_str(&format!("{}\ndigest  {}\n", place.uri, place.digest));
        for other in &place.also_at {
            text.push_str(&format!("also at {other}\n"));
        }
        for maker in &place.made_by {
            let (task, by) = (title(&maker.task), executor(&maker.task));
            text.push_str(&format!("made by {task} ({by}), event {}\n", maker.said_at));
        }
        if place.made_by.is_empty() {
            text.push_str("made by no task of this ledger\n");
        }
        let mut rows = table(&["event", "field", "item", "author", "inline"]);
        for mention in &place.mentions {
            rows.add_row([
                mention.position.to_string(),
                mention.field.name().to_owned(),
                mention.index.to_string(),
                mention.author.short(),
                if mention.inline { "yes" } else { "" }.to_owned(),
            ]);
        }
        text.push_str(&format!("{rows}\n\n"));
    }
    format!("{text}{}", as_of(found.as_of))
}

// ------------------------------------------------------------------ blame and keys

fn signers_table(signers: &[Signer]) -> String {
    let mut rows = table(&["key", "as", "signed", "events"]);
    for signer in signers {
        let mut roles: Vec<_> = signer.signed.iter().map(|signature| signature.role).collect();
        roles.sort_unstable();
        roles.dedup();
        for role in roles {
            let own: Vec<_> = signer.signed.iter().filter(|s| s.role == role).collect();
            let objects = match own.as_slice() {
                [only] => node(&only.object),
                several => format!("{} messages", several.len()),
            };
            let events = positions(own.iter().map(|signature| signature.position).collect());
            let role = serde_json::to_value(role).expect("a role is a text");
            let role = role.as_str().unwrap_or_default().replace('_', " ");
            rows.add_row([signer.agent.short(), role, objects, events]);
        }
    }
    rows.to_string()
}

fn blame_text(blame: &Blame) -> String {
    let mut text = format!("{}\n", signers_table(&blame.signers));
    if !blame.policies.is_empty() {
        let mut rows = table(&["policy", "version", "owner", "of", "event", "tasks"]);
        for policy in &blame.policies {
            rows.add_row([
                policy.name.clone(),
                policy.version.to_string(),
                policy.owner.short(),
                node(&policy.scope),
                policy.position.to_string(),
                policy.tasks.len().to_string(),
            ]);
        }
        text.push_str(&format!("\n{rows}\n"));
    }
    format!("{text}{} keys, {}", blame.signers.len(), as_of(blame.as_of))
}

fn keys_text(keys: &Keys) -> String {
    let other = match keys.has_alternatives {
        true => "; it follows in other ways too, for which other keys may do",
        false => "",
    };
    let count = keys.keys.len();
    format!("{}\n{count} keys to believe{other}\n{}", signers_table(&keys.keys), as_of(keys.as_of))
}

// ------------------------------------------------------------------ impact

fn impact_text(impact: &Impact) -> String {
    let live = impact.tasks.iter().filter(|task| task.live).count();
    let mut text = format!(
        "{} tasks ({live} still running), {} results, {} receipts, {} live offers\n",
        impact.tasks.len(),
        impact.data.len(),
        impact.receipts.len(),
        impact.offers.len()
    );
    let mut rows = table(&["", "name", "executor", "state", "event"]);
    for affected in &impact.tasks {
        let task = &affected.task;
        let state = if affected.live { "RUNNING".to_owned() } else { outcome(task.outcome) };
        rows.add_row(["task", &title(task), &executor(task), &state, &at(task.position)]);
    }
    for DataEntry { uri, .. } in &impact.data {
        rows.add_row(["result", uri, "", "", ""]);
    }
    for offer in &impact.offers {
        let (id, event) = (short(offer.id), offer.position.to_string());
        rows.add_row(["offer", &id, &offer.provider.short(), "live", &event]);
    }
    text.push_str(&format!("{rows}\n"));
    format!("{text}{}", as_of(impact.as_of))
}

// ------------------------------------------------------------------ awards

fn awards_text(awards: &AwardsView) -> String {
    let mut text = format!("intent   {}\noutcome  {}\n", awards.intent, awards.outcome);
    if let Some(auction) = &awards.auction {
        text.push_str(&format!("auction  {}, {}\n", auction.mechanism, auction.phase));
    }
    if awards.awards.is_empty() {
        text.push_str("no offer was chosen yet\n");
    }
    for award in &awards.awards {
        text.push_str(&award_text(award));
    }
    format!("{text}{}", as_of(awards.as_of))
}

fn award_text(award: &AwardView) -> String {
    let method = match (&award.method, award.compared_at) {
        (Some(method), Some(at)) => format!("{method}, over {at} events"),
        _ => "none is on record: the initiator chose".to_owned(),
    };
    let (task, attempt, position) = (award.task, award.attempt, award.position);
    let mut text =
        format!("\ntask     {task} (attempt {attempt}, event {position})\nmethod   {method}\n");
    let mut rows = table(&["", "offer", "provider", "price", "estimate", "total", "scores", "why"]);
    rows.add_row(considered("→", &award.chosen));
    for other in &award.others {
        rows.add_row(considered("", other));
    }
    text.push_str(&format!("{rows}\n"));
    text
}

fn considered(mark: &str, offer: &ConsideredView) -> Vec<String> {
    let price = offer.price.as_ref().map(|price| format!("{} {}", price.amount, price.currency));
    let score = |criterion: &CriterionView| match criterion.ahead {
        0 => format!("{} {}", criterion.name, criterion.score),
        ahead => format!("{} {} ({ahead:+})", criterion.name, criterion.score),
    };
    let scores: Vec<String> = offer.criteria.iter().map(score).collect();
    let reasons: Vec<String> = offer.reasons.iter().map(ToString::to_string).collect();
    vec![
        mark.to_owned(),
        short(offer.offer),
        offer.provider.short(),
        price.unwrap_or_default(),
        duration_text(offer.estimated_duration_us),
        offer.total.map(|total| total.to_string()).unwrap_or_default(),
        scores.join(", "),
        reasons.join(", "),
    ]
}

// ------------------------------------------------------------------ differences and bottlenecks

fn difference_text(difference: &Difference) -> String {
    let mut rows = table(&["task", "first", "second", "differs in"]);
    for change in &difference.changed {
        let (first, second) = (entry(&change.first), entry(&change.second));
        rows.add_row([title(&change.first.task), first, second, changes(change)]);
    }
    for only in &difference.only_first {
        rows.add_row([title(&only.task), entry(only), "–".into(), "only in the first".into()]);
    }
    for only in &difference.only_second {
        rows.add_row([title(&only.task), "–".into(), entry(only), "only in the second".into()]);
    }
    for (first, second) in &difference.same {
        rows.add_row([title(&first.task), entry(first), entry(second), String::new()]);
    }
    let differing =
        difference.changed.len() + difference.only_first.len() + difference.only_second.len();
    let same = difference.same.len();
    format!("{rows}\n{differing} tasks differ, {same} do not; {}", as_of(difference.as_of))
}

fn entry(run: &RunEntry) -> String {
    let took = run.duration_us.map(duration_text).unwrap_or_default();
    format!("{} {} {took}", executor(&run.task), outcome(run.task.outcome))
}

fn changes(change: &Change) -> String {
    let data = |what: &str, first: &[DataEntry], second: &[DataEntry]| {
        let differs = !first.is_empty() || !second.is_empty();
        differs.then(|| format!("{what} (−{} +{})", first.len(), second.len()))
    };
    let named = [
        change.executor.then(|| "executor".to_owned()),
        change.outcome.then(|| "outcome".to_owned()),
        change.attempts.then(|| "attempts".to_owned()),
        data("inputs", &change.inputs_first, &change.inputs_second),
        data("outputs", &change.outputs_first, &change.outputs_second),
    ];
    named.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn bottlenecks_text(found: &Bottlenecks) -> String {
    let columns = ["task", "executor", "attempt", "award", "wait", "run", "stated", "critical"];
    let mut rows = table(&columns);
    for task in &found.tasks {
        let [award, wait, run, stated] = times(&task.times);
        rows.add_row([
            task.name.clone(),
            task.executor.map(|executor| executor.short()).unwrap_or_default(),
            task.attempt.to_string(),
            award,
            wait,
            run,
            stated,
            if task.is_critical { "*" } else { "" }.to_owned(),
        ]);
    }
    let steps: Vec<_> = found.critical_path.steps.iter().map(|step| step.name.as_str()).collect();
    format!(
        "{rows}\n\n{}\n\n{}\n\ncritical path  {} in {}\n{}",
        loads("agent", &found.agents),
        loads("capability", &found.capabilities),
        steps.join(" → "),
        duration_text(found.critical_path.total_us),
        as_of(found.as_of)
    )
}

fn times(times: &Times) -> [String; 4] {
    [times.award_us, times.wait_us, times.run_us, times.stated_us].map(duration_text)
}

fn loads(what: &str, loads: &[Load]) -> String {
    let mut rows = table(&[what, "attempts", "failed", "award", "wait", "run", "stated"]);
    for load in loads {
        let [award, wait, run, stated] = times(&load.times);
        let who = match &load.name {
            Some(name) => format!("{name} ({})", node(&load.who)),
            None => node(&load.who),
        };
        let (attempts, failed) = (load.attempts.to_string(), load.failed.to_string());
        rows.add_row([who, attempts, failed, award, wait, run, stated]);
    }
    rows.to_string()
}
