//! Rows as JSON objects, one a line.

use std::io::Write;

use ::parquet::errors::ParquetError;

use super::PartWriter;
use crate::cell::Value;
use crate::schema::Column;

/// Writes lines.
pub(super) struct Writer<'w, W: Write> {
    sink: std::io::BufWriter<&'w mut W>,
    names: Vec<&'static str>,
}

impl<'w, W: Write> Writer<'w, W> {
    pub(super) fn new(sink: &'w mut W, columns: &[Column]) -> Self {
        let names = columns.iter().map(|column| column.name).collect();
        Self { sink: std::io::BufWriter::new(sink), names }
    }
}

impl<W: Write> PartWriter for Writer<'_, W> {
    fn row(&mut self, values: Vec<Value>) -> Result<(), ParquetError> {
        let pairs = self.names.iter().zip(values);
        let object = pairs.map(|(&name, value)| (name.to_owned(), value.to_json())).collect();
        writeln!(self.sink, "{}", serde_json::Value::Object(object))?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), ParquetError> {
        Ok(self.sink.flush()?)
    }
}
