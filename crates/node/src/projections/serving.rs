//! What questions are answered from, while it may be exchanged for a newer one.

use std::sync::{Arc, RwLock};

use tally_protocol::{Position, TreeSize};
use tokio::sync::watch;

/// A projection's value and how far it is. Cloning shares it.
#[derive(Debug)]
pub struct Serving<T>(Arc<RwLock<Option<Served<T>>>>);

#[derive(Debug)]
struct Served<T> {
    value: Arc<T>,
    cursor: watch::Receiver<Position>,
}

impl<T> Clone for Serving<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Served<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), cursor: self.cursor.clone() }
    }
}

impl<T> Serving<T> {
    /// Nothing yet: the node puts something there before anyone can ask.
    pub(super) fn new() -> Self {
        Self(Arc::new(RwLock::new(None)))
    }

    /// Puts another in its place. Who has the old one finishes with it.
    pub(super) fn switch(&self, value: Arc<T>, cursor: watch::Receiver<Position>) {
        *self.0.write().expect("nobody panics while holding it") = Some(Served { value, cursor });
    }

    /// What is served now.
    pub fn value(&self) -> Arc<T> {
        self.served().value
    }

    /// How far it is.
    pub fn cursor(&self) -> Position {
        *self.served().cursor.borrow()
    }

    /// What is served, once it holds at least so many events; `None` when it stops before.
    pub async fn at_least(&self, size: TreeSize) -> Option<Arc<T>> {
        loop {
            let Served { value, mut cursor } = self.served();
            match cursor.wait_for(|next| next.0 >= size.as_u64()).await {
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
