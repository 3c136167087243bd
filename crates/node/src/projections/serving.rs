//! What questions are answered from, while it may be exchanged for a newer one.

use std::sync::{Arc, RwLock, Weak};

use tally_projection::Runner;
use tally_protocol::{Position, TreeSize};
use tokio::sync::watch;

/// A projection's value and how far it is. Cloning shares it.
pub struct Serving<T>(Arc<RwLock<Option<Served<T>>>>);

struct Served<T> {
    value: Arc<T>,
    progress: Progress,
}

/// How far a build is, and who takes it further.
#[derive(Clone)]
pub(super) struct Progress {
    pub(super) cursor: watch::Receiver<Position>,
    /// Of one that is folded.
    pub(super) runner: Option<Weak<Runner>>,
}

impl Progress {
    fn hurry(&self, position: Position) {
        if let Some(runner) = self.runner.as_ref().and_then(Weak::upgrade) {
            runner.hurry(position);
        }
    }
}

impl<T> Clone for Serving<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Served<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), progress: self.progress.clone() }
    }
}

impl<T> Serving<T> {
    /// Nothing yet: the node puts something there before anyone can ask.
    pub(super) fn new() -> Self {
        Self(Arc::new(RwLock::new(None)))
    }

    /// Puts another in its place. Who has the old one finishes with it.
    pub(super) fn switch(&self, value: Arc<T>, progress: Progress) {
        *self.0.write().expect("nobody panics while holding it") = Some(Served { value, progress });
    }

    /// What is served now.
    pub fn value(&self) -> Arc<T> {
        self.served().value
    }

    /// How far it is.
    pub fn cursor(&self) -> Position {
        *self.served().progress.cursor.borrow()
    }

    /// What is served, once it holds at least so many events; `None` when it stops before.
    pub async fn at_least(&self, size: TreeSize) -> Option<Arc<T>> {
        loop {
            let Served { value, mut progress } = self.served();
            progress.hurry(Position::at_tip(size));
            match progress.cursor.wait_for(|next| next.0 >= size.as_u64()).await {
                Ok(_) => return Some(value),
                // It has stopped: for good, or because another took its place.
                Err(_) if Arc::ptr_eq(&value, &self.served().value) => return None,
                Err(_) => {}
            }
        }
    }

    fn served(&self) -> Served<T> {
        let served = self.0.read().expect("nobody panics while holding it").clone();
        served.expect("served since the node opened")
    }
}
