//! A running ledger or mirror, judged from all that it sends.

use tally_client::{Client, Replicated, Trust as ConnectTrust};
use tally_protocol::Event;
use tally_tlog::{Checkpoint, SignedCheckpoint, TreeSize, VerifierKey};
use tally_verify::{FirstBad, Judge, Report, Trust, examine};

use super::rows::judge;
use crate::error::CliError;
use crate::output::Output;

/// Reads the whole log and judges it; nothing is kept. Gives the signed head as well.
pub(super) async fn verify(
    url: &str,
    key: Option<VerifierKey>,
    earlier: Vec<Checkpoint>,
    output: Output,
) -> Result<(Report, Option<SignedCheckpoint>), CliError> {
    let own_key = key.is_none();
    let client =
        Client::connect(url, key.map_or(ConnectTrust::FirstUse, ConnectTrust::Key)).await?;
    if own_key {
        output.say("note: believed the key that the ledger names; pass --log-key to check against one that you got elsewhere");
    }
    let keys = vec![client.log_key().clone()];
    let trust = Trust { origin: client.origin().clone(), keys, earlier };
    let Some(head) = client.head().await?.checkpoint else {
        return Ok((Judge::new(trust).finish(), None));
    };
    let (mut judge, rows) = judge(trust, head.size().as_u64())?;
    let bar = output.progress("verifying", head.size().as_u64());
    let mut messages = client.replicate(tally_protocol::Position(0)).await?;
    while judge.size() < head.size() {
        let message = messages.next().await?.ok_or(tally_client::Error::StreamEnded)?;
        if let Err(bad) = take(&mut judge, message, head.size()) {
            bar.finish_and_clear();
            return Ok((judge.report(Some(bad)), Some(head.signed().clone())));
        }
        bar.set_position(judge.size().as_u64());
        rows.follow(&judge);
    }
    bar.finish_and_clear();
    let note = head.signed().to_bytes();
    let report = match judge.checkpoint(&note) {
        Ok(_) => judge.finish(),
        Err(bad) => judge.report(Some(bad)),
    };
    Ok((report, Some(head.signed().clone())))
}

/// Judges one message, as far as the head that was asked for.
fn take(judge: &mut Judge, message: Replicated, end: TreeSize) -> Result<(), FirstBad> {
    let position = |judge: &Judge| tally_protocol::Position::at_tip(judge.size());
    if message.first != position(judge) {
        let found = format!("the ledger sent position {}", message.first);
        return Err(FirstBad::new(position(judge), "position", found));
    }
    let decode = |bytes| {
        Event::decode(bytes).map_err(|error| FirstBad::new(position(judge), "event", error))
    };
    let events = message.events.into_iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    let mut trees = message.trees.into_iter().peekable();
    for examined in examine(events) {
        if judge.size() == end {
            return Ok(());
        }
        judge.event(examined, |_, _| {})?;
        if let Some((_, note)) = trees.next_if(|(size, _)| *size == judge.size()) {
            judge.checkpoint(&note)?;
        }
    }
    Ok(())
}
