//! An observer: follows the log, checks everything, and knows what it comes to.
//!
//! It runs the same rules over the same events as the ledger, so what an agent decides by it rests
//! on nobody's word: signatures, both chains, and every admission are computed again.

use std::sync::Arc;
use std::time::Duration;

use tally_coordination::{Change, State, admit};
use tally_protocol::{ChainHash, Event, Position, signature};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::connection::Client;
use crate::error::Error;
use crate::subscription::Subscription;

/// First wait before a lost connection is tried again; doubles each time.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// How often a lost connection is tried again before the observer gives up.
const MAX_RETRIES: u32 = 8;

/// Follows a ledger from its first event on. Clones share one fold; it ends with the last of them.
#[derive(Clone)]
pub struct Observer {
    client: Client,
    seen: watch::Receiver<Seen>,
    _task: Arc<StopOnDrop>,
}

#[derive(Debug, Clone)]
struct Seen {
    state: State,
    /// Why it goes no further.
    end: Option<Arc<Error>>,
}

struct StopOnDrop(AbortHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Observer {
    /// Starts to follow a ledger. Returns at once; [`Observer::at_least`] waits for a position.
    pub fn start(client: Client) -> Self {
        let state = State::new(client.origin().clone());
        let (sender, seen) = watch::channel(Seen { state, end: None });
        let follow = follow(client.clone(), sender);
        let task = Arc::new(StopOnDrop(tokio::spawn(follow).abort_handle()));
        Self { client, seen, _task: task }
    }

    /// The ledger that is followed.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the log has come to, as far as it was read: a snapshot.
    pub fn state(&self) -> State {
        self.seen.borrow().state.clone()
    }

    /// Waits until the event at this position is folded, as after a receipt.
    ///
    /// # Errors
    /// As [`Observer::until`].
    pub async fn at_least(&self, position: Position) -> Result<State, Error> {
        self.until(|state| (state.next_position() > position).then(|| state.clone())).await
    }

    /// Waits until `look` finds something; it is called again after every few events.
    ///
    /// # Errors
    /// [`Error::Observed`] with the reason when the log can't be followed any further: it breaks a
    /// rule, or the ledger is gone.
    pub async fn until<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> Result<T, Error> {
        let mut seen = self.seen.clone();
        let mut found = None;
        let looked = seen.wait_for(|seen| {
            found = look(&seen.state);
            found.is_some() || seen.end.is_some()
        });
        match looked.await.map(|seen| seen.end.clone()) {
            Ok(end) => found.ok_or_else(|| end.map_or(Error::StreamEnded, Error::Observed)),
            Err(_) => Err(Error::StreamEnded),
        }
    }
}

async fn follow(client: Client, seen: watch::Sender<Seen>) {
    let (mut tries, mut chain) = (0, ChainHash::genesis(client.origin()));
    loop {
        let before = seen.borrow().state.next_position();
        let error = follow_once(&client, &seen, &mut chain).await;
        if seen.borrow().state.next_position() > before {
            tries = 0;
        }
        let lost = matches!(error, Error::Unreachable(_) | Error::StreamEnded);
        if !lost || tries == MAX_RETRIES {
            let end = Some(Arc::new(error));
            seen.send_modify(|seen| seen.end = end);
            return;
        }
        tracing::debug!(%error, tries, "the stream of events broke; subscribing again");
        tokio::time::sleep(FIRST_RETRY * 2_u32.pow(tries)).await;
        tries += 1;
    }
}

/// Follows until something is wrong.
async fn follow_once(client: &Client, seen: &watch::Sender<Seen>, chain: &mut ChainHash) -> Error {
    let from = seen.borrow().state.next_position();
    let mut events: Subscription = match client.continue_from(from, *chain).await {
        Ok(events) => events,
        Err(error) => return error,
    };
    loop {
        let event = match events.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Error::StreamEnded,
            Err(error) => return error,
        };
        // What came with the same message is folded before anybody looks.
        let mut batch = vec![event];
        while let Some(event) = events.next_buffered() {
            match event {
                Ok(event) => batch.push(event),
                Err(error) => return error,
            }
        }
        *chain = batch.last().expect("one at least").chain();
        let mut state = seen.borrow().state.clone();
        let folded = batch.iter().try_for_each(|event| {
            state.fold(judge(&state, event)?);
            Ok(())
        });
        seen.send_modify(|seen| seen.state = state);
        if let Err(error) = folded {
            return error;
        }
    }
}

/// Checks the event that comes next for a state: the author's signature, the ledger's time, and
/// every rule. Folding the change takes it in.
///
/// # Errors
/// [`Error::BrokenRule`]: the operator should not have admitted it.
pub fn judge(state: &State, event: &Event) -> Result<Change, Error> {
    let position = event.position();
    let broken = |found: String| Error::BrokenRule { position, found };
    let parsed = event.signed().parse().map_err(|error| broken(error.to_string()))?;
    let verified = signature::verify(parsed).map_err(|error| broken(error.to_string()))?;
    if event.recorded_at() < state.recorded_at() {
        return Err(broken("the ledger's time goes back".into()));
    }
    if state.position_of(&verified.id()).is_some() {
        return Err(broken("the envelope stands in the log already".into()));
    }
    admit(state, verified.id(), verified.envelope(), event.recorded_at())
        .map_err(|refusal| broken(refusal.to_string()))
}
