//! A graph over rows says what a graph in memory says, whatever was kept when, however small the
//! part of it that stays at hand, and however often it was opened again; and what it can't read
//! makes no answer.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tally_protocol::{AgentId, Position, TreeSize};
use tally_provenance::{CACHE_BYTES, Cause, Graph, GraphFailure, GraphRows, NodeRef};

use crate::history::*;
use crate::time::{AGENTS, Act, act, answers};

type RowMap = BTreeMap<Vec<u8>, Vec<u8>>;

/// Rows in a map, which can fail.
struct Kept {
    rows: Mutex<RowMap>,
    /// Reads that go well from now on.
    reads: AtomicUsize,
}

impl Kept {
    fn new(rows: RowMap) -> Arc<Self> {
        Arc::new(Self { rows: Mutex::new(rows), reads: AtomicUsize::new(usize::MAX) })
    }

    fn keep(&self, graph: &mut Graph) {
        self.rows.lock().expect("no panic").extend(graph.fresh_rows());
        graph.take_over();
    }
}

impl GraphRows for Kept {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        match self.reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)) {
            Ok(_) => Ok(self.rows.lock().expect("no panic").get(key).cloned()),
            Err(_) => Err("the disk is gone".into()),
        }
    }
}

/// What is done while a history is folded.
#[derive(Debug, Clone, Copy)]
enum Step {
    Fold,
    Keep,
    /// Opened again from what was kept, and the rest folded again.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![6 => Just(Step::Fold), 2 => Just(Step::Keep), 1 => Just(Step::Kill)]
}

fn open(kept: &Arc<Kept>, cache_bytes: usize) -> Graph {
    Graph::over(Arc::clone(kept) as Arc<dyn GraphRows>, cache_bytes).expect("they can be read")
}

/// Folds a history over rows, by steps, and all of the rest; then keeps it.
fn folded(h: &History, cache_bytes: usize, steps: &[Step]) -> (Graph, Arc<Kept>) {
    let kept = Kept::new(RowMap::new());
    let mut graph = open(&kept, cache_bytes);
    let rest = std::iter::repeat_n(Step::Fold, h.events.len());
    for step in steps.iter().copied().chain(rest) {
        let next = graph.next_position().0 as usize;
        match (step, h.events.get(next)) {
            (Step::Fold, Some((position, time, id, envelope))) => {
                graph.fold(*position, *time, *id, envelope);
            }
            (Step::Fold, None) => {}
            (Step::Keep, _) => kept.keep(&mut graph),
            (Step::Kill, _) => graph = open(&kept, cache_bytes),
        }
        assert!(graph.failure().is_none(), "{:?}", graph.failure());
    }
    kept.keep(&mut graph);
    (graph, kept)
}

fn agents(h: &mut History) -> Vec<AgentId> {
    (0..AGENTS).map(|agent| h.agent(agent)).collect()
}

/// Some acts; many make lists that are longer than a block.
fn history_of(acts: u32) -> History {
    let mut h = History::new();
    for n in 0..acts {
        let [a, b, c, d] = n.wrapping_mul(0x9e37_79b9).to_be_bytes();
        let (of, files) = ([b, c, d], [a % 8, b % 8, c % 8]);
        Act { kind: (n % 17) as u8, agent: a % AGENTS, of, files, more: d }.play(&mut h);
    }
    h
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_answers_as_in_memory_and_its_rows_do_not_tell_how_they_came(
        acts in prop::collection::vec(act(), 1..=24),
        steps in prop::collection::vec(step(), 0..48),
        cache in prop::sample::select(vec![0, 6_000, 1 << 20]),
    ) {
        let mut h = History::new();
        acts.iter().for_each(|act| act.play(&mut h));
        let agents = agents(&mut h);
        let (graph, kept) = folded(&h, cache, &steps);
        let opened = open(&kept, cache);
        for size in 0..=h.events.len() {
            let size = TreeSize::new(size as u64);
            let expected = answers(h.graph.at(size).expect("folded"), &h, &agents);
            for graph in [&graph, &opened] {
                let found = answers(graph.at(size).expect("folded"), &h, &agents);
                prop_assert!(found == expected, "as of {}", size);
                prop_assert!(graph.failure().is_none());
            }
        }
        prop_assert_eq!(opened.edges(), h.graph.edges());
        let all: RowMap = h.graph.fresh_rows().collect();
        prop_assert_eq!(&*kept.rows.lock().expect("no panic"), &all);
    }

    #[test]
    fn rows_that_are_not_what_was_written_make_no_panic(
        seed in any::<u64>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u16>(), any::<u8>()), 1..8),
    ) {
        let mut h = history_of(34);
        let agents = agents(&mut h);
        let mut rows: RowMap = h.graph.fresh_rows().collect();
        let keys: Vec<Vec<u8>> = rows.keys().cloned().collect();
        for (which, at, byte) in damage {
            let row = rows.get_mut(which.get(&keys)).expect("a key of them");
            match (usize::from(at) % (row.len() + 1), seed % 3) {
                (at, 0) if at < row.len() => row[at] ^= byte,
                (at, 1) => row.truncate(at),
                (at, _) => row.insert(at, byte),
            }
        }
        if let Ok(graph) = Graph::over(Kept::new(rows), 1 << 16) {
            let _any = answers(graph.head(), &h, &agents[..1]);
        }
    }
}

#[test]
fn long_lists_are_read_in_blocks() {
    let mut h = history_of(400);
    let agents = agents(&mut h);
    let steps = [[Step::Fold; 50], [Step::Keep; 50]].concat();
    let (_, kept) = folded(&h, 0, &steps.repeat(6));
    let blocks = kept.rows.lock().expect("no panic").keys().filter(|key| key[0] == b'b').count();
    assert!(blocks > 8, "{blocks}");
    let all: RowMap = h.graph.fresh_rows().collect();
    assert!(*kept.rows.lock().expect("no panic") == all);
    let ask = |graph: &Graph, size| {
        let view = graph.at(TreeSize::new(size)).expect("folded");
        let (counts, when) = ((view.node_count(), view.edge_count()), view.recorded_at());
        let edges = agents.iter().map(|&agent| view.edges_to(&NodeRef::Agent(agent)));
        let impact = view.impact(&Cause::Agent(agents[1], Position(70)));
        format!("{counts:?} {when:?} {:?} {impact:?}", edges.collect::<Vec<_>>())
    };
    for cache in [0, CACHE_BYTES] {
        let opened = open(&kept, cache);
        assert_eq!(opened.edges(), h.graph.edges());
        for size in (0..=h.events.len() as u64).step_by(37) {
            assert_eq!(ask(&opened, size), ask(&h.graph, size), "as of {size}");
        }
    }
}

#[test]
fn a_read_that_fails_is_noted_and_stays() {
    let mut h = History::new();
    h.run("a", &["in"], &["out"]);
    let agents = agents(&mut h);
    let (_, kept) = folded(&h, 0, &[]);
    let whole = answers(h.graph.head(), &h, &agents);
    for reads in (0..60).step_by(7) {
        let graph = open(&kept, 0);
        kept.reads.store(reads, Ordering::Relaxed);
        assert!(answers(graph.head(), &h, &agents) != whole);
        assert!(
            matches!(graph.failure().map(|cause| &**cause), Some(GraphFailure::Rows(_))),
            "{reads}"
        );
        kept.reads.store(usize::MAX, Ordering::Relaxed);
        assert!(graph.failure().is_some());
        assert!(answers(open(&kept, 0).head(), &h, &agents) == whole);
    }
}

#[test]
fn a_row_that_is_not_there_or_not_whole_is_noted() {
    let mut h = History::new();
    h.run("a", &["in"], &["out"]);
    let rows: RowMap = h.graph.fresh_rows().collect();
    let all = |rows: RowMap| {
        let graph = Graph::over(Kept::new(rows), 0).expect("the head is there");
        graph.edges();
        graph.failure().map(ToString::to_string)
    };
    assert_eq!(all(rows.clone()), None);
    for key in rows.keys().filter(|key| key[0] == b'n') {
        let mut missing = rows.clone();
        missing.remove(key);
        assert!(all(missing).expect("noted").contains("missing"), "{key:?}");
        let mut longer = rows.clone();
        longer.get_mut(key).expect("a key of them").push(0);
        assert!(all(longer).expect("noted").contains("damaged"), "{key:?}");
    }
}
