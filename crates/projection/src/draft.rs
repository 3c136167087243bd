//! Rows in the making: what a batch of events has changed, on top of what is kept.

use std::collections::HashMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tally_store::rows::{MAX_KEY_BYTES, MAX_VALUE_BYTES, from_bytes, to_bytes};
use tally_store::{Rows, RowsError};

use crate::fold::Poison;

/// Changes by key: the value, or nothing where the row is removed. In no order: they are sorted
/// once, when they are kept.
pub(crate) type Changes = HashMap<Vec<u8>, Option<Vec<u8>>>;

/// A new value, or none any more.
type Change = Option<Vec<u8>>;

/// The rows as an event finds them, and the changes it makes.
pub struct Draft<'r> {
    rows: &'r Rows,
    /// What the batch had changed before this draft began.
    before: &'r Changes,
    /// What events changed since, the present one among them.
    changes: Changes,
    /// The keys that the present event changed, and what was changed of them before.
    replaced: Vec<(Vec<u8>, Option<Change>)>,
    /// The rows could not be read: no fault of the event.
    failure: Option<RowsError>,
}

impl<'r> Draft<'r> {
    pub(crate) fn new(rows: &'r Rows, before: &'r Changes) -> Self {
        Self { rows, before, changes: Changes::new(), replaced: Vec::new(), failure: None }
    }

    /// The value of a row.
    ///
    /// # Errors
    /// [`Poison`]: it was written from another type, or the rows cannot be read; pass it on.
    pub fn get<T: DeserializeOwned>(&mut self, key: impl AsRef<[u8]>) -> Result<Option<T>, Poison> {
        let value = self.bytes(key.as_ref())?;
        Ok(value.map(|bytes| from_bytes(&bytes)).transpose()?)
    }

    /// Sets the value of a row.
    ///
    /// # Errors
    /// [`Poison`]: the key has more than [`MAX_KEY_BYTES`] or the value more than
    /// [`MAX_VALUE_BYTES`].
    pub fn put<T: Serialize + ?Sized>(
        &mut self,
        key: impl AsRef<[u8]>,
        value: &T,
    ) -> Result<(), Poison> {
        let (key, value) = (key.as_ref(), to_bytes(value));
        if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            return Err(Poison::new(format!(
                "a row has a key of {} and a value of {} bytes; at most {MAX_KEY_BYTES} and \
                 {MAX_VALUE_BYTES} are kept",
                key.len(),
                value.len()
            )));
        }
        self.change(key, Some(value));
        Ok(())
    }

    /// Removes a row, if it is there.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) {
        self.change(key.as_ref(), None);
    }

    /// Changes the value of a row, which begins as the type's default.
    ///
    /// # Errors
    /// As [`Draft::get`] and [`Draft::put`].
    pub fn update<T: Serialize + DeserializeOwned + Default>(
        &mut self,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(&mut T),
    ) -> Result<(), Poison> {
        let key = key.as_ref();
        let mut value = self.get(key)?.unwrap_or_default();
        change(&mut value);
        self.put(key, &value)
    }

    fn bytes(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Poison> {
        let changed = [&self.changes, self.before];
        if let Some(value) = changed.into_iter().find_map(|changes| changes.get(key)) {
            return Ok(value.clone());
        }
        self.rows.get(key).map_err(|error| {
            let poison = Poison::from(&error);
            self.failure = Some(error);
            poison
        })
    }

    fn change(&mut self, key: &[u8], change: Change) {
        let replaced = self.changes.insert(key.to_vec(), change);
        self.replaced.push((key.to_vec(), replaced));
    }

    /// Keeps what the present event changed.
    pub(crate) fn keep(&mut self) {
        self.replaced.clear();
    }

    /// Undoes what the present event changed.
    pub(crate) fn undo(&mut self) {
        // A key that was changed twice comes to what it was before the first time.
        for (key, replaced) in self.replaced.drain(..).rev() {
            match replaced {
                Some(change) => self.changes.insert(key, change),
                None => self.changes.remove(&key),
            };
        }
    }

    /// The failure to read rows, if there was one.
    pub(crate) fn take_failure(&mut self) -> Option<RowsError> {
        self.failure.take()
    }

    /// All that was kept.
    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }
}
