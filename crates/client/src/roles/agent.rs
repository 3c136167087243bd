//! What both roles are made of: somebody who signs, follows the log, and knows the ledger's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tally_coordination::{Rule, State};
use tally_protocol::parts::Text;
use tally_protocol::{AgentId, EnvelopeId, Message, Position, Time, TraceId};

use crate::author::{Author, Context};
use crate::error::{Error, Rejection};
use crate::observer::Observer;
use crate::receipt::Receipt;

/// Longest sleep before the ledger's time is looked at again.
const MAX_NAP: Duration = Duration::from_secs(60);

/// Most characters of a reason in a message.
const MAX_REASON_CHARS: usize = 2_000;

pub(super) struct Agent {
    author: Arc<Author>,
    observer: Observer,
    clock: Clock,
}

impl Agent {
    pub(super) fn new(author: Arc<Author>, observer: Observer) -> Self {
        Self { author, observer, clock: Clock::start() }
    }

    pub(super) fn id(&self) -> AgentId {
        self.author.agent()
    }

    pub(super) fn author(&self) -> &Author {
        &self.author
    }

    pub(super) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Whether this key stands, or stood, for this agent.
    pub(super) fn is_me(&self, state: &State, key: &AgentId) -> bool {
        state.is_same_party(key, &self.id())
    }

    /// What the log has come to, and the ledger's time.
    pub(super) fn look(&self) -> (State, Time) {
        let state = self.observer.state();
        self.clock.saw(state.recorded_at());
        (state, self.clock.now())
    }

    /// Appends, and waits until the log that is followed has it.
    pub(super) async fn say(&self, message: Message, context: Context) -> Result<Receipt, Error> {
        let receipt = self.author.append(message, context).await?;
        self.clock.saw(receipt.recorded_at());
        self.observer.at_least(receipt.position()).await?;
        Ok(receipt)
    }

    /// Waits until everything that is in the log now is folded.
    pub(super) async fn catch_up(&self) -> Result<(), Error> {
        let size = self.author.client().head().await?.size.as_u64();
        if let Some(last) = size.checked_sub(1) {
            self.observer.at_least(Position(last)).await?;
        }
        Ok(())
    }

    /// Waits until there are more events than this state has.
    pub(super) async fn news(&self, since: &State) -> Result<(), Error> {
        let known = since.next_position();
        self.observer.until(|state| (state.next_position() > known).then_some(())).await
    }

    /// Waits until the ledger's time is past this one; for ever without one.
    pub(super) async fn passes(&self, time: Option<Time>) {
        let Some(time) = time else { return std::future::pending().await };
        while let Some(left) = self.clock.until_past(time) {
            tokio::time::sleep(left.min(MAX_NAP)).await;
        }
    }
}

/// The ledger's time, as far as events tell: never ahead of it, so that what is past here is past
/// there. It is behind by what the freshest event took to arrive.
struct Clock {
    began: Instant,
    /// The ledger's time when this clock began, or less.
    origin_us: AtomicI64,
}

impl Clock {
    fn start() -> Self {
        Self { began: Instant::now(), origin_us: AtomicI64::new(0) }
    }

    /// An event with this time was there just now.
    fn saw(&self, recorded_at: Time) {
        let origin = recorded_at.0.saturating_sub(self.elapsed_us());
        self.origin_us.fetch_max(origin, Ordering::Relaxed);
    }

    fn now(&self) -> Time {
        Time(self.origin_us.load(Ordering::Relaxed).saturating_add(self.elapsed_us()))
    }

    fn elapsed_us(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// How long it takes until this time is past; `None` when it is.
    fn until_past(&self, time: Time) -> Option<Duration> {
        let left = time.0.saturating_sub(self.now().0);
        u64::try_from(left).ok().map(|us| Duration::from_micros(us.saturating_add(1)))
    }
}

/// Tells a refusal, which changed nothing, from what ends a role.
pub(super) fn settled<T>(result: Result<T, Error>) -> Result<Result<T, Rejection>, Error> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Rejected(rejection)) => Ok(Err(rejection)),
        Err(error) => Err(error),
    }
}

/// Whether this rule refused.
pub(super) fn refused_by(rejection: &Rejection, rule: Rule) -> bool {
    rejection.rule == rule.code()
}

pub(super) fn context(trace_id: Option<TraceId>, cause: EnvelopeId) -> Context {
    Context { trace_id, causes: vec![cause] }
}

/// A text for people, cut to what a text may have.
pub(super) fn text(words: &str) -> Text {
    let cut: String = words.chars().take(MAX_REASON_CHARS).collect();
    Text::new(cut).expect("2,000 characters fit")
}

/// Microseconds, the unit of the protocol.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_set_by_the_freshest_event_and_never_back() {
        let clock = Clock::start();
        clock.saw(Time(5_000_000));
        clock.saw(Time(1_000));
        assert!(clock.now() >= Time(5_000_000));
        assert_eq!(clock.until_past(Time(4_999_999)), None);
        let left = clock.until_past(Time(90_000_000)).expect("to come");
        assert!(left <= Duration::from_micros(85_000_001), "{left:?}");
    }
}
