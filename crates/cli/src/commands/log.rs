//! `tally log`: events in log order, from a server or a directory; with `--follow`, as they come.

use serde::Serialize;
use tally_client::Subscription;
use tally_node::history::READ_LIMIT;
use tally_protocol::message::{AdvertiseCapability, Attest, Intent, Message, Negotiate, Observe};
use tally_protocol::parts::Price;
use tally_protocol::{ChainHash, Envelope, EnvelopeId, Event, Position, Time};
use tally_store::LogReader;

use crate::args::LogArgs;
use crate::error::CliError;
use crate::output::{Output, short, time_text};
use crate::source::Source;

#[derive(Serialize)]
struct Line {
    position: Position,
    recorded_at_us: Time,
    id: EnvelopeId,
    previous_chain: ChainHash,
    leaf: String,
    envelope: Envelope,
}

pub(crate) async fn run(args: LogArgs, output: Output) -> Result<(), CliError> {
    let from = Position(args.from);
    // On the wire an end of 0 means the head.
    if args.to.is_some_and(|to| to <= args.from) {
        return Ok(());
    }
    match Source::open(&args.source, output).await? {
        Source::Directory(reader) => {
            let head = Position::at_tip(reader.tip().size);
            let end = args.to.map_or(head, |to| head.min(Position(to)));
            if from > head {
                return Err(CliError::Absent(format!(
                    "position {from} lies beyond the head, which is {head}"
                )));
            }
            let mut next = from;
            while next < end {
                for event in reader.read(next, READ_LIMIT)? {
                    if event.position() >= end {
                        return Ok(());
                    }
                    next = event.position().next();
                    print(&event, output)?;
                }
            }
            Ok(())
        }
        Source::Server(client) if args.follow => {
            print_all(client.subscribe(from).await?, output).await
        }
        Source::Server(client) => {
            print_all(client.read(from, args.to.map(Position)).await?, output).await
        }
    }
}

async fn print_all(mut events: Subscription, output: Output) -> Result<(), CliError> {
    while let Some(event) = events.next().await? {
        print(&event, output)?;
    }
    Ok(())
}

fn print(event: &Event, output: Output) -> Result<(), CliError> {
    let position = event.position();
    let parsed = event.signed().parse().map_err(|error| {
        CliError::failed(format!("the event at position {position} does not parse"), error)
    })?;
    let line = Line {
        position,
        recorded_at_us: event.recorded_at(),
        id: parsed.id(),
        previous_chain: event.previous_chain(),
        leaf: event.leaf().to_base64(),
        envelope: parsed.envelope().clone(),
    };
    output.answer(&line, |line| {
        let message = &line.envelope.message;
        format!(
            "{:>8}  {}  {}  {}  {:<19} {}",
            line.position,
            time_text(line.recorded_at_us),
            short(line.id),
            line.envelope.author.short(),
            message.kind().name(),
            summary(message)
        )
    });
    Ok(())
}

/// What a message says, in a few words.
fn summary(message: &Message) -> String {
    match message {
        Message::AdvertiseCapability(AdvertiseCapability::Publish(terms)) => {
            format!("publishes {} ({})", terms.name, terms.category)
        }
        Message::AdvertiseCapability(AdvertiseCapability::Revise(revision)) => {
            format!("revises {} → {}", short(revision.capability), revision.terms.name)
        }
        Message::AdvertiseCapability(AdvertiseCapability::Retire(retirement)) => {
            format!("retires {}", short(retirement.capability))
        }
        Message::Discover(criteria) => match &criteria.category {
            Some(category) => format!("looks for {category}"),
            None => "looks for capabilities".into(),
        },
        Message::Intent(Intent::Open(terms)) => format!("wants: {}", terms.outcome),
        Message::Intent(Intent::Revise(revision)) => format!("revises {}", short(revision.intent)),
        Message::Intent(Intent::Cancel(end)) => format!("cancels {}", short(end.intent)),
        Message::Offer(offer) => match &offer.price {
            Some(price) => {
                format!("on {} for {} {}", short(offer.intent), price.amount, price.currency)
            }
            None => format!("on {}", short(offer.intent)),
        },
        Message::Negotiate(Negotiate::Counter(counter)) => {
            format!("counters {}", short(counter.offer))
        }
        Message::Negotiate(Negotiate::Decline(decline)) => {
            format!("declines {}", short(decline.offer))
        }
        Message::Negotiate(Negotiate::Withdraw(withdraw)) => {
            format!("withdraws {}", short(withdraw.offer))
        }
        Message::Negotiate(Negotiate::RequestCancellation(request)) => {
            format!("asks to cancel {}", short(request.task))
        }
        Message::Negotiate(Negotiate::Reveal(reveal)) => {
            let Price { amount, currency } = &reveal.price;
            format!("opens the bid {}: {amount} {currency}", short(reveal.offer))
        }
        Message::TaskStart(start) => {
            format!("awards {} (attempt {})", short(start.offer), start.attempt)
        }
        Message::TaskProgress(progress) => {
            format!("{} {} {} %", short(progress.task), progress.state.name(), progress.percent)
        }
        Message::TaskDone(done) => format!("{} {}", short(done.task), done.outcome.name()),
        Message::Attest(Attest::Claim(claim)) => {
            format!("claims {}: {}", claim.kind, claim.statement)
        }
        Message::Attest(Attest::Delegate(delegation)) => {
            format!("delegates to {}", delegation.delegate.short())
        }
        Message::Attest(Attest::Revoke(revocation)) => {
            format!("revokes {}", short(revocation.attestation))
        }
        Message::Attest(Attest::RotateKey(rotation)) => {
            format!("goes on as {}", rotation.successor.short())
        }
        Message::Attest(Attest::RevokeKey(_)) => "signs nothing any more".into(),
        Message::PolicyUpdate(policy) => {
            format!("{} {} v{}", policy.action.name(), policy.name, policy.policy_version)
        }
        Message::Observe(Observe::TaskStatus(task)) => format!("asks for task {}", short(task)),
        Message::Observe(Observe::Trace(trace)) => format!("asks for trace {trace}"),
        Message::Observe(Observe::CoordinationGraph(intent)) => {
            format!("asks for the graph of {}", short(intent))
        }
        Message::Observe(Observe::Notice(notice)) => {
            format!("{} is {}", short(notice.subject), notice.state)
        }
    }
}
