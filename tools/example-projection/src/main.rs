//! `tally-example-projection LEDGER ROWS`: brings the rows up to date with the ledger in a data
//! directory, whether a server runs on it or not, and shows them. Run it again: it goes on.

use std::path::Path;

use tally_example_projection::{Ends, Outcomes};
use tally_projection::{Stored, catch_up};
use tally_protocol::{AgentId, Position};
use tally_store::rows::from_bytes;
use tally_store::{LogReader, SegmentReader};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [ledger, rows] = arguments.as_slice() else {
        return Err("usage: tally-example-projection LEDGER ROWS".into());
    };
    let (log, _) = SegmentReader::open_read_only(Path::new(ledger), &mut |_| {})?;
    let size = log.tip().size;
    let (stored, _) = Stored::open(Path::new(rows), Outcomes, Position(0), size)?;
    let mut stored = stored.workers(2);
    catch_up(&mut stored, &log, |cursor| eprintln!("{cursor} of {size} events"))?;
    stored.rows().scan(&[], |agent, ends| {
        println!("{} {:?}", AgentId::from_bytes(agent)?, from_bytes::<Ends>(ends)?);
        Ok(())
    })
}
