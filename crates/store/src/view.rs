//! Rows as they are at one moment, looked up by key; and how many sorted rows come in at once.
//!
//! A view outlives what is written later, and the rows themselves: once they are closed, it answers
//! nothing.

use std::fmt;
use std::sync::Arc;

use fjall::Snapshot;

use crate::rows::{Change, Rows, RowsError};

/// All rows at one moment.
#[derive(Clone)]
pub struct RowsView {
    rows: Arc<Rows>,
    snapshot: Snapshot,
}

impl Rows {
    /// The rows as they are written now: neither what is written later nor what is in memory only is
    /// among them.
    ///
    /// # Errors
    ///
    /// [`RowsError::Closed`].
    pub fn view(self: &Arc<Self>) -> Result<RowsView, RowsError> {
        let snapshot = self.engine().as_ref().ok_or(RowsError::Closed)?.database.snapshot();
        Ok(RowsView { rows: Arc::clone(self), snapshot })
    }

    /// Writes many changes at once, all or none: durable when it returns. The cursor stays where it
    /// is, so that whoever writes in this way has a row of its own that says how far; nor are rows
    /// written in this way that are committed too.
    ///
    /// # Errors
    ///
    /// [`RowsError`]: nothing is there.
    ///
    /// # Panics
    ///
    /// When the keys do not ascend.
    pub fn ingest(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), RowsError> {
        let engine = self.engine();
        engine.as_ref().ok_or(RowsError::Closed)?.ingest(None, &[], changes)
    }
}

impl RowsView {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// [`RowsError`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        let engine = self.rows.engine();
        engine.as_ref().ok_or(RowsError::Closed)?.get_at(&self.snapshot, key)
    }

    /// The rows whose keys begin with `prefix`, by key.
    ///
    /// # Errors
    ///
    /// [`RowsError`]; of a row that can't be read, in its place.
    #[expect(clippy::type_complexity, reason = "it says what it hands out")]
    pub fn scan(
        &self,
        prefix: &[u8],
    ) -> Result<impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), RowsError>> + use<>, RowsError>
    {
        let engine = self.rows.engine();
        let engine = engine.as_ref().ok_or(RowsError::Closed)?;
        Ok(engine.prefix_at(&self.snapshot, prefix).map(|row| {
            let (key, value) = row.into_inner()?;
            Ok((key[1..].to_vec(), value.to_vec()))
        }))
    }
}

impl fmt::Debug for RowsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsView").finish_non_exhaustive()
    }
}
