//! Makes a ledger grow: signs on all cores what comes next while a node appends what came before.

use std::sync::Arc;

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use tally_benches::{Market, origin};
use tally_load::{Load, node};
use tally_node::Node;
use tally_protocol::SignedEnvelope;

use crate::{Failure, SIGNERS};

/// Lanes that are appended side by side.
const LANES: usize = 4;

/// Envelopes that are signed together.
const SIGNED_AHEAD: u64 = 40_000;

/// What the signers of a ledger have said so far.
pub(crate) struct Writer {
    markets: Vec<Market>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        let market = |lane: usize| Market::new(origin(), SIGNERS / LANES, lane as u64);
        Self { markets: (0..LANES).map(market).collect() }
    }

    /// Appends until there are so many events. `reached` hears of every step.
    pub(crate) async fn grow(
        &mut self,
        node: &Node,
        events: u64,
        reached: impl Fn(u64),
    ) -> Result<(), Failure> {
        let size = || node.snapshot().tip.size.as_u64();
        assert!(size() < events, "a ledger that grows has {events} events already");
        let mut next = self.sign(SIGNED_AHEAD.min(events - size()));
        loop {
            let load = Arc::new(next);
            let ahead = size() + load.len() as u64;
            let more = SIGNED_AHEAD.min(events.saturating_sub(ahead));
            let (signed, appended) =
                tokio::join!(self.sign_beside(more), node::append(node, &load));
            appended?;
            reached(size());
            if more == 0 {
                return Ok(());
            }
            next = signed;
        }
    }

    /// The next envelopes, as many or a few more, in an order in which they are admitted.
    pub(crate) fn tail(&mut self, envelopes: usize) -> Vec<SignedEnvelope> {
        self.sign(envelopes as u64).in_turn().cloned().collect()
    }

    /// Signs on threads that the tasks of this process do not need.
    async fn sign_beside(&mut self, envelopes: u64) -> Load {
        let mut signing = Self { markets: std::mem::take(&mut self.markets) };
        let signing = tokio::task::spawn_blocking(move || {
            let load = signing.sign(envelopes);
            (signing, load)
        });
        let (signed, load) = signing.await.expect("signing does not panic");
        *self = signed;
        load
    }

    fn sign(&mut self, envelopes: u64) -> Load {
        let each = (envelopes as usize).div_ceil(LANES);
        let markets = std::mem::take(&mut self.markets);
        let signed: Vec<_> = markets
            .into_par_iter()
            .map(|mut market| {
                let lane = market.batch(each);
                (market, lane)
            })
            .collect();
        let (markets, lanes) = signed.into_iter().unzip();
        self.markets = markets;
        Load { signers: SIGNERS, lanes }
    }
}
