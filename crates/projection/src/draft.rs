//! Rows in the making: what a batch of events has changed, on top of what is kept.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tally_store::rows::{MAX_KEY_BYTES, MAX_VALUE_BYTES, from_bytes, to_bytes};
use tally_store::{Rows, RowsError};

use crate::changes::{Changes, Slot, Value};
use crate::fold::Poison;

/// The rows as an event finds them, and the changes it makes.
pub struct Draft<'r> {
    rows: &'r Rows,
    /// What the batch had changed before this draft began.
    before: &'r Changes,
    /// What events changed since, the present one among them.
    changes: Changes,
    /// What the present event changed, and what was changed there before.
    replaced: Vec<(Slot, Option<Value>)>,
    /// The rows could not be read: no fault of the event.
    failure: Option<RowsError>,
}

impl<'r> Draft<'r> {
    pub(crate) fn new(rows: &'r Rows, before: &'r Changes) -> Self {
        let (changes, replaced) = (Changes::default(), Vec::new());
        Self { rows, before, changes, replaced, failure: None }
    }

    /// The value of a row.
    ///
    /// # Errors
    /// [`Poison`]: it was written from another type, or the rows cannot be read; pass it on.
    pub fn get<T: DeserializeOwned>(&mut self, key: impl AsRef<[u8]>) -> Result<Option<T>, Poison> {
        let key = key.as_ref();
        self.value(key, self.changes.slot(key))
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
        hold_to_limits(key, &value)?;
        self.change(key, self.changes.slot(key), Some(value));
        Ok(())
    }

    /// Removes a row, if it is there.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) {
        let key = key.as_ref();
        self.change(key, self.changes.slot(key), None);
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
        let slot = self.changes.slot(key);
        let mut value = self.value(key, slot)?.unwrap_or_default();
        change(&mut value);
        let value = to_bytes(&value);
        hold_to_limits(key, &value)?;
        self.change(key, slot, Some(value));
        Ok(())
    }

    /// The value of the row with this key, which is in this slot if any event changed it.
    fn value<T: DeserializeOwned>(
        &mut self,
        key: &[u8],
        slot: Option<Slot>,
    ) -> Result<Option<T>, Poison> {
        let changed = slot.and_then(|slot| self.changes.value(slot));
        if let Some(value) = changed.or_else(|| self.before.get(key)) {
            return Ok(value.as_deref().map(from_bytes).transpose()?);
        }
        match self.rows.get(key) {
            Ok(value) => Ok(value.as_deref().map(from_bytes).transpose()?),
            Err(error) => {
                let poison = Poison::from(&error);
                self.failure = Some(error);
                Err(poison)
            }
        }
    }

    fn change(&mut self, key: &[u8], slot: Option<Slot>, value: Value) {
        let slot = slot.unwrap_or_else(|| self.changes.add(key));
        let replaced = self.changes.replace(slot, Some(value));
        self.replaced.push((slot, replaced));
    }

    /// Keeps what the present event changed.
    pub(crate) fn keep(&mut self) {
        self.replaced.clear();
    }

    /// Undoes what the present event changed.
    pub(crate) fn undo(&mut self) {
        // A row that was changed twice comes to what it was before the first time.
        for (slot, replaced) in self.replaced.drain(..).rev() {
            self.changes.replace(slot, replaced);
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

fn hold_to_limits(key: &[u8], value: &[u8]) -> Result<(), Poison> {
    if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
        return Err(Poison::new(format!(
            "a row has a key of {} and a value of {} bytes; at most {MAX_KEY_BYTES} and \
             {MAX_VALUE_BYTES} are kept",
            key.len(),
            value.len()
        )));
    }
    Ok(())
}
