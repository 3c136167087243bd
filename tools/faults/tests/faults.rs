//! A few kills of the real server, and a judge who notices what he is there for.

use std::fs::File;

use tally_faults::Violation;
use tally_faults::kill::Campaign;
use tally_faults::load::Effort;
use tally_faults::world::World;
use tally_store::{Located, Scanned, scan};

/// Agents in these tests.
const CLIENTS: u64 = 4;

#[test]
fn killed_servers_lose_nothing() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().to_owned();
    let campaign = Campaign { cycles: 5, seed: 7, clients: CLIENTS, directory };
    let mut told = 0;
    let report = campaign.run(|summary| told = summary.cycles);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let summary = report.summary;
    assert_eq!((summary.cycles, told, summary.ledgers), (5, 5, 1));
    assert!(summary.receipts > 0 && summary.events > 0, "{summary:?}");
}

/// A world whose server was killed, with receipts for every group.
fn killed(place: &tempfile::TempDir) -> World {
    let mut world = World::new(place.path(), CLIENTS, 1);
    let server = world.start().expect("a start");
    world.load(&server, Effort::of(20)).expect("answers");
    server.kill();
    world
}

/// Where the last commits of the only segment end.
fn commits(world: &World) -> Vec<u64> {
    let end = |located: Located| matches!(located.item, Scanned::Commit(_)).then_some(located.end);
    scan(&world.data()).expect("a log").filter_map(|located| end(located.ok()?)).collect()
}

/// Takes the last group from the log, and the mark that would prove it.
fn lose_the_last_group(world: &World) {
    let ends = commits(world);
    let log = world.data().join(format!("log/{:020}.seg", 0));
    let file = File::options().write(true).open(log).expect("the segment");
    file.set_len(ends[ends.len() - 2]).expect("shorter by a group");
    std::fs::remove_file(world.data().join("mark")).expect("a mark");
}

#[test]
fn the_judge_notices_a_lost_event() {
    let place = tempfile::tempdir().expect("a directory");
    let mut world = killed(&place);
    lose_the_last_group(&world);
    let found = world.check().expect_err("the last group is gone");
    assert!(matches!(found, Violation::Lost { .. }), "{found}");
    // Nor does the server: without the mark it can't.
    let server = world.start().expect("it knows no better");
    server.kill();
    let found = world.check().expect_err("the last group is still gone");
    assert!(matches!(found, Violation::Lost { .. }), "{found}");
}

#[test]
fn the_judge_notices_a_log_that_shrinks_between_two_looks() {
    let place = tempfile::tempdir().expect("a directory");
    let mut world = killed(&place);
    world.check().expect("nothing is lost yet");
    lose_the_last_group(&world);
    let found = world.start().err().expect("the server has fewer events than were there");
    assert!(matches!(found, Violation::Size { .. }), "{found}");
}

#[test]
fn the_judge_notices_what_the_mark_proves() {
    let place = tempfile::tempdir().expect("a directory");
    let mut world = killed(&place);
    let mark = std::fs::read(world.data().join("mark")).expect("a mark");
    lose_the_last_group(&world);
    std::fs::write(world.data().join("mark"), mark).expect("the mark again");
    let found = world.check().expect_err("the mark says that more was acknowledged");
    assert!(matches!(found, Violation::Invalid(_)), "{found}");
    let found = world.start().err().expect("the server refuses");
    assert!(matches!(found, Violation::NoStart { .. }), "{found}");
}
