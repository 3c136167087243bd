//! A graph over rows of which one is not what was written.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use tally_provenance::{Direction, Graph, GraphRows, LineageQuestion, Start};

use crate::seeds;
use crate::targets::Outcome;

/// Rows in a map, and one in the place of another.
struct Replaced {
    rows: &'static BTreeMap<Vec<u8>, Vec<u8>>,
    key: &'static [u8],
    value: Vec<u8>,
}

impl GraphRows for Replaced {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        match key == self.key {
            true => Ok(Some(self.value.clone())),
            false => Ok(self.rows.get(key).cloned()),
        }
    }
}

/// Behind the number of a row, in two bytes, what stands in it: questions end, with an answer, or
/// with a failure that is noted. What was written is answered from as in memory.
pub fn graph_rows(data: &[u8]) -> Outcome {
    let Some((&[high, low], value)) = data.split_first_chunk() else {
        return Outcome::accepted("empty");
    };
    let rows = seeds::graph_rows();
    let which = usize::from(u16::from_be_bytes([high, low])) % rows.len();
    let (key, written) = rows.iter().nth(which).expect("one of them");
    let is_written = written == value;
    let replaced = Replaced { rows, key, value: value.to_vec() };
    let graph = match Graph::over(Arc::new(replaced), 1 << 16) {
        Ok(graph) => graph,
        Err(failure) => {
            assert!(!is_written, "{failure}");
            return Outcome::refused(&failure);
        }
    };
    let (view, uri) = (graph.head(), seeds::data_uri());
    let start = Start::DataUri(&uri);
    for direction in [Direction::Up, Direction::Down] {
        let _any = view.lineage(start.clone(), &LineageQuestion::new(direction));
    }
    let _any = (view.why(&start), view.blame(&start), view.whereabouts(&start));
    let _any = (view.workflow(None), view.node_count(), view.recorded_at());
    let edges = graph.edges();
    if is_written {
        assert_eq!(edges, seeds::graph().edges());
        assert!(graph.failure().is_none());
    }
    match graph.failure() {
        Some(failure) => Outcome::refused(failure),
        None => Outcome::accepted("rows"),
    }
}
