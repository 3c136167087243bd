//! Every loop against a real server, for a moment: what is asked is appended and answered.

use std::sync::Arc;
use std::time::Duration;

use tally_benches::origin;
use tally_load::{Failure, Load, Served, Wanted, decode, rpc};

const MOST: Duration = Duration::from_secs(60);

fn load(lanes: usize, seed: u64) -> Arc<Load> {
    let wanted = Wanted { signers: 3 * lanes, lanes, envelopes: 400, seed };
    Arc::new(Load::sign(&origin(), wanted))
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_append_all_that_they_are_given() {
    let served = Served::start(&origin()).expect("a server");
    let url = served.url();
    let unary = rpc::unary(url, &load(4, 1), 2, MOST).await.expect("single calls");
    let closed = rpc::stream(url, &load(2, 2), 16, MOST).await.expect("streams");
    let open = rpc::open(url, &load(2, 3), 2_000.0, MOST).await.expect("an open loop");
    assert_eq!((unary.appended, closed.appended, open.appended), (400, 400, 400));
    // 400 at 2,000 a second: the last is to be sent 0.1995 s after the first.
    assert!(open.elapsed >= Duration::from_millis(199), "{:?}", open.elapsed);
    assert!(served.process().cpu_of_threads() > Duration::ZERO);

    let again = rpc::unary(url, &load(4, 1), 2, MOST).await;
    assert!(matches!(again, Err(Failure::Duplicate)), "{again:?}");

    served.settle().await.expect("it catches up");
    for cores in [1, 3] {
        let read = decode::rate(&served.data(), cores).expect("the log is whole");
        // The ledger's own agent may have spoken as well.
        assert!((1_200..1_210).contains(&read.events), "{read:?}");
    }
}

#[tokio::test]
async fn a_loop_ends_at_its_time() {
    let served = Served::start(&origin()).expect("a server");
    let session = rpc::unary(served.url(), &load(1, 1), 1, Duration::ZERO).await.expect("no call");
    assert_eq!(session.appended, 0);
}

#[test]
fn a_damaged_log_is_no_figure() {
    let directory = tally_load::scratch().expect("a directory");
    let log = directory.path().join("log");
    std::fs::create_dir(&log).expect("a directory");
    std::fs::write(log.join("0.seg"), [2, 0, 0, 0, 1, 0, 0, 0, 0, 9, 9, 9, 9, 7]).expect("a file");
    let read = decode::rate(directory.path(), 1);
    assert!(matches!(read, Err(Failure::Damaged { offset: 0, .. })), "{read:?}");
}
