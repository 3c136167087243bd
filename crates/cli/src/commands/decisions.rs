//! `tally decisions`: every decision that the log rests on, made again.

use serde::Serialize;
use tally_coordination::Decision;
use tally_protocol::{AsOf, EnvelopeId, Position, TreeSize};

use crate::args::DecisionsArgs;
use crate::error::CliError;
use crate::output::{Output, short};
use crate::source::Source;

#[derive(Serialize)]
struct Line<'d> {
    position: Position,
    event: EnvelopeId,
    #[serde(flatten)]
    decision: &'d Decision,
}

pub(crate) async fn run(args: DecisionsArgs, output: Output) -> Result<(), CliError> {
    let source = Source::open(&args.source, output).await?;
    let wanted = args.position.map(Position);
    let end = wanted.map(|position| AsOf::Size(TreeSize::new(position.next().0)));
    let mut count = 0_u64;
    source
        .replay(end, |event, change| {
            let position = event.position();
            if wanted.is_none_or(|wanted| wanted == position) {
                for decision in change.decisions() {
                    count += 1;
                    let line = Line { position, event: event.signed().id(), decision };
                    output.answer(&line, text);
                }
            }
            Ok(())
        })
        .await?;
    output.say(&format!("{count} decisions, each made again from the log alone"));
    Ok(())
}

fn text(line: &Line<'_>) -> String {
    let said = match line.decision {
        Decision::Policy { object, record } => {
            let set = record.decision.policy_set.to_string();
            format!("{object}: allowed by policy set {}", short(set))
        }
        Decision::Award { task, offer, evaluation, auction } => {
            let ground = match (auction, evaluation) {
                (Some(auction), _) => {
                    let price = &auction.price;
                    format!("wins the auction, is paid {} {}", price.amount, price.currency)
                }
                (None, Some(evaluation)) => {
                    format!("chosen from {} by {}", evaluation.candidates.len(), evaluation.method)
                }
                (None, None) => "chosen by the initiator".into(),
            };
            format!("task {}: offer {} {ground}", short(task), short(offer))
        }
    };
    format!("{:>8}  {said}", line.position)
}
