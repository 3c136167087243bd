//! `tally why`: how an award came about.

use serde::Serialize;
use tally_client::When;
use tally_coordination::view::{self, AuctionView, IntentView, OfferView, Selector, TaskView};
use tally_protocol::EnvelopeId;
use tally_protocol::message::{Candidate, Evaluation};
use tally_protocol::parts::Price;

use crate::args::WhyArgs;
use crate::error::CliError;
use crate::output::{Output, short, table};
use crate::source::{Source, state_of};

/// The awards on an intent, and what they rest on.
#[derive(Serialize)]
struct Answer {
    intent: EnvelopeId,
    outcome: String,
    as_of: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auction: Option<AuctionView>,
    offers: Vec<OfferView>,
    awards: Vec<TaskView>,
    /// All tasks and their offers: what was tried before.
    #[serde(skip)]
    tried: Vec<(EnvelopeId, EnvelopeId)>,
}

pub(crate) async fn run(args: WhyArgs, output: Output) -> Result<(), CliError> {
    let by_id = |id| Selector { id: Some(id), ..Selector::default() };
    let (as_of, intent, only) = match Source::open(&args.source, output).await? {
        Source::Server(client) => {
            let (as_of, intents) = client.intents(by_id(args.id), When::HEAD).await?;
            match intents.into_iter().next() {
                Some(intent) => (as_of, Some(intent), None),
                None => match client.tasks(by_id(args.id), When::HEAD).await?.1.first() {
                    Some(task) => {
                        let (as_of, intents) =
                            client.intents(by_id(task.intent), When::HEAD).await?;
                        (as_of, intents.into_iter().next(), Some(task.id))
                    }
                    None => (as_of, None, None),
                },
            }
        }
        Source::Directory(reader) => {
            let state = state_of(&reader)?;
            let (intent, only) = match state.task(&args.id) {
                Some(task) => (task.terms.intent, Some(task.id)),
                None => (args.id, None),
            };
            let intent = view::intents(&state, &by_id(intent)).into_iter().next();
            (state.next_position().0, intent, only)
        }
    };
    let Some(intent) = intent else {
        return Err(CliError::Absent(format!("no intent or task {} is in this ledger", args.id)));
    };
    output.answer(&answer(intent, as_of, only), text);
    Ok(())
}

fn answer(intent: IntentView, as_of: u64, only: Option<EnvelopeId>) -> Answer {
    let mut awards = intent.tasks;
    let tried = awards.iter().map(|task| (task.id, task.offer)).collect();
    awards.retain(|task| only.is_none_or(|only| only == task.id));
    let outcome = intent.terms.outcome.to_string();
    Answer {
        intent: intent.id,
        outcome,
        as_of,
        auction: intent.auction,
        offers: intent.offers,
        awards,
        tried,
    }
}

fn text(answer: &Answer) -> String {
    let mut text = format!("intent   {}\noutcome  {}\n", answer.intent, answer.outcome);
    if let Some(auction) = &answer.auction {
        let result = match (&auction.winner, &auction.price) {
            (Some(winner), Some(price)) => {
                format!("{} wins and is paid {}", short(winner), price_text(price))
            }
            _ => "nobody has won".into(),
        };
        text.push_str(&format!("auction  {}, {}: {result}\n", auction.mechanism, auction.phase));
    }
    if answer.awards.is_empty() {
        let offers = answer.offers.len();
        text.push_str(&format!("no offer of {offers} was chosen yet\n"));
    }
    for award in &answer.awards {
        text.push_str(&award_text(answer, award));
    }
    format!("{text}as of {} events", answer.as_of)
}

fn award_text(answer: &Answer, award: &TaskView) -> String {
    let price = award.price.as_ref().map_or(String::new(), |p| format!(", {}", price_text(p)));
    let mut text = format!(
        "\ntask     {} (attempt {}, {})\nchosen   offer {} of {}{price}\n",
        award.id,
        award.attempt,
        award.state,
        short(award.offer),
        award.executor.short()
    );
    match &award.evaluation {
        Some(evaluation) => {
            text.push_str(&format!(
                "method   {}, over what there was before position {}\n{}\n",
                evaluation.method,
                evaluation.as_of,
                candidates(answer, evaluation, award)
            ));
        }
        None => text.push_str("method   none is on record: the initiator chose\n"),
    }
    if let Some(set) = &award.policy_set {
        let policies: Vec<_> = award.policies.iter().map(short).collect();
        text.push_str(&format!(
            "policies allowed by set {}: {}\n",
            short(set),
            policies.join(", ")
        ));
    }
    text
}

fn candidates(answer: &Answer, evaluation: &Evaluation, award: &TaskView) -> String {
    let factors: Vec<&str> = match evaluation.candidates.first() {
        Some(first) => first.scores.iter().map(|score| score.name.as_str()).collect(),
        None => Vec::new(),
    };
    let weight = |factor: &&str| {
        let found = evaluation.weights.iter().find(|weight| weight.name.as_str() == *factor);
        format!("{factor} ×{}", found.map_or(0, |weight| weight.value))
    };
    let columns = ["", "offer", "provider"].map(str::to_owned).into_iter();
    let columns: Vec<String> = columns
        .chain(factors.iter().map(weight))
        .chain(["total", "out"].map(str::to_owned))
        .collect();
    let mut rows = table(&columns.iter().map(String::as_str).collect::<Vec<_>>());
    for candidate in &evaluation.candidates {
        rows.add_row(row(answer, candidate, award));
    }
    rows.to_string()
}

fn row(answer: &Answer, candidate: &Candidate, award: &TaskView) -> Vec<String> {
    let offer = answer.offers.iter().find(|offer| offer.id == candidate.offer);
    let mark = if candidate.offer == award.offer { "→" } else { "" };
    let first = [
        mark.to_owned(),
        short(candidate.offer),
        offer.map_or(String::new(), |offer| offer.provider.short()),
    ];
    let scores = candidate.scores.iter().map(|score| score.value.to_string());
    let before = answer.tried.iter().find(|(task, _)| Some(*task) == award.replaces);
    let out = match (&candidate.disqualified, before) {
        (Some(why), _) => why.to_string(),
        (None, Some((_, offer))) if *offer == candidate.offer && *offer != award.offer => {
            "tried before".to_owned()
        }
        (None, _) => String::new(),
    };
    first.into_iter().chain(scores).chain([candidate.total.to_string(), out]).collect()
}

fn price_text(price: &Price) -> String {
    format!("{} {}", price.amount, price.currency)
}
