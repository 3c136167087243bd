//! Questions to the provenance graph as a server reads them, and answers as a client does.

use std::fmt::Debug;

use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tally_api::provenance::{
    answer, cause, filter, run, start, wire_cause, wire_filter, wire_run, wire_start,
};
use tally_api::v1;
use tally_api::{moment, wire_moment};
use tally_coordination::award::AwardsView;
use tally_provenance::{
    Blame, Bottlenecks, Difference, Direction, Impact, Keys, LineageQuestion, Unanswered,
    Whereabouts, Why,
};

use crate::seeds;
use crate::targets::Outcome;

/// A question that was read can be written, and read again as the same; and asking it of a graph
/// ends, with an answer or without.
pub fn provenance_question(data: &[u8]) -> Outcome {
    let Some((which, data)) = data.split_first() else {
        return Outcome::accepted("empty");
    };
    match which % 4 {
        0 => read(data, |wire: v1::GetWhyRequest| {
            let as_of = moment(wire.as_of);
            assert_eq!(moment(wire_moment(as_of)), as_of);
            let start = start(wire.subject.as_ref())?;
            let again = wire_start(&start);
            assert_eq!(tally_api::provenance::start(Some(&again))?, start);
            let graph = seeds::graph();
            let view = as_of.map_or(Ok(graph.head()), |moment| graph.as_of(moment));
            Ok(said(&view.and_then(|view| {
                view.why(&start)?;
                view.blame(&start)?;
                view.keys(&start)?;
                view.whereabouts(&start)
            })))
        }),
        1 => read(data, |wire: v1::GetImpactRequest| {
            let cause = cause(wire.cause.as_ref())?;
            let again = wire_cause(&cause);
            assert_eq!(tally_api::provenance::cause(Some(&again))?, cause);
            Ok(said(&seeds::graph().head().impact(&cause)))
        }),
        2 => read(data, |wire: v1::GetDifferenceRequest| {
            let (first, second) = (run(wire.first.as_ref())?, run(wire.second.as_ref())?);
            assert_eq!(run(Some(&wire_run(&first)))?, first);
            let view = seeds::graph().head();
            Ok(said(&view.bottlenecks(&first).and_then(|_| view.difference(&first, &second))))
        }),
        _ => read(data, |wire: v1::GetLineageRequest| {
            let filter = filter(wire.filter)?;
            let again = tally_api::provenance::filter(Some(wire_filter(&filter)))?;
            // A label without a key and a value is there all the same.
            assert_eq!(again, filter);
            let uri = seeds::data_uri();
            let start = tally_provenance::Start::DataUri(&uri);
            let question = LineageQuestion { filter, ..LineageQuestion::new(Direction::Down) };
            Ok(said(&seeds::graph().head().lineage(start, &question)))
        }),
    }
}

fn read<W: Message + Default>(
    data: &[u8],
    ask: impl FnOnce(W) -> Result<Outcome, tally_api::BadAnswer>,
) -> Outcome {
    match W::decode(data) {
        Ok(wire) => ask(wire).unwrap_or_else(|bad| Outcome::refused(&bad)),
        Err(_) => Outcome::accepted("no protobuf"),
    }
}

fn said<T>(answer: &Result<T, Unanswered>) -> Outcome {
    match answer {
        Ok(_) => Outcome::accepted("answered"),
        Err(unanswered) => Outcome::refused(unanswered),
    }
}

/// An answer of any kind, in JSON.
pub fn provenance_answer(data: &[u8]) -> Outcome {
    let Ok(json) = std::str::from_utf8(data) else {
        return Outcome::accepted("no text");
    };
    let wire = v1::ProvenanceAnswer { as_of: 0, json: json.to_owned() };
    let kinds = [
        says_one_thing::<Why>,
        says_one_thing::<Whereabouts>,
        says_one_thing::<Blame>,
        says_one_thing::<Keys>,
        says_one_thing::<Impact>,
        says_one_thing::<AwardsView>,
        says_one_thing::<Difference>,
        says_one_thing::<Bottlenecks>,
    ];
    let read = kinds.iter().enumerate().filter(|(_, says)| says(&wire)).map(|(kind, _)| kind);
    let read: Vec<usize> = read.collect();
    Outcome::refused(&read)
}

/// An answer that was read can be written, and read again as the same.
fn says_one_thing<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    wire: &v1::ProvenanceAnswer,
) -> bool {
    let Ok(first) = answer::<T>(wire) else { return false };
    let json = serde_json::to_string(&first).expect("JSON");
    let again = answer::<T>(&v1::ProvenanceAnswer { as_of: 0, json }).expect("its own encoding");
    assert_eq!(again, first, "an answer says one thing");
    true
}
