//! Rows as Parquet: ids and JSON as texts, times as timestamps in UTC, flags as booleans.

use std::io::Write;
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{Type, TypePtr};

use super::PartWriter;
use crate::cell::{Kind, Value};
use crate::schema::Column;

/// Rows of a group: what is held in memory.
const GROUP_ROWS: usize = 65_536;

/// Who wrote it. No version: the same rows give the same bytes in every release.
const CREATED_BY: &str = "tally";

/// Writes a file in groups of rows.
pub(super) struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Held>,
    rows: usize,
}

/// The values of a column that are not written yet.
struct Held {
    optional: bool,
    /// 1 where there is a value, 0 where there is none.
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Integers(Vec<i64>),
    Flags(Vec<bool>),
    Texts(Vec<ByteArray>),
}

impl Held {
    fn of(column: &Column) -> Self {
        let values = match column.kind {
            Kind::Integer | Kind::Time => Values::Integers(Vec::new()),
            Kind::Flag => Values::Flags(Vec::new()),
            Kind::Text | Kind::Id | Kind::Agent | Kind::Json => Values::Texts(Vec::new()),
        };
        Self { optional: column.optional, levels: Vec::new(), values }
    }

    fn push(&mut self, value: Value) -> Result<(), ParquetError> {
        self.levels.push((value != Value::Null).into());
        match (&mut self.values, value) {
            (_, Value::Null) if self.optional => {}
            (Values::Integers(held), Value::Integer(number)) => held.push(number),
            (Values::Flags(held), Value::Integer(flag)) => held.push(flag != 0),
            (Values::Texts(held), Value::Text(text)) => held.push(text.into_bytes().into()),
            (_, value) => {
                return Err(ParquetError::General(format!("a row has {value:?} out of place")));
            }
        }
        Ok(())
    }

    fn write(&mut self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = self.optional.then_some(&self.levels[..]);
        match (&mut self.values, writer) {
            (Values::Integers(held), ColumnWriter::Int64ColumnWriter(writer)) => {
                writer.write_batch(held, levels, None)?;
                held.clear();
            }
            (Values::Flags(held), ColumnWriter::BoolColumnWriter(writer)) => {
                writer.write_batch(held, levels, None)?;
                held.clear();
            }
            (Values::Texts(held), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                writer.write_batch(held, levels, None)?;
                held.clear();
            }
            _ => unreachable!("the schema is made of the same columns"),
        }
        self.levels.clear();
        Ok(())
    }
}

impl<W: Write + Send> Writer<W> {
    pub(super) fn new(sink: W, table: &str, columns: &[Column]) -> Result<Self, ParquetError> {
        let fields: Result<Vec<TypePtr>, _> = columns.iter().map(field).collect();
        let schema = Type::group_type_builder(table).with_fields(fields?).build()?;
        let properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(Compression::SNAPPY)
            .build();
        let file = SerializedFileWriter::new(sink, Arc::new(schema), Arc::new(properties))?;
        Ok(Self { file, columns: columns.iter().map(Held::of).collect(), rows: 0 })
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for held in &mut self.columns {
            let column = group.next_column()?;
            let mut column = column.expect("the schema is made of the same columns");
            held.write(column.untyped())?;
            column.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

fn field(column: &Column) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Integer => (Physical::INT64, None),
        Kind::Flag => (Physical::BOOLEAN, None),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Kind::Text | Kind::Id | Kind::Agent | Kind::Json => {
            (Physical::BYTE_ARRAY, Some(LogicalType::String))
        }
    };
    let repetition = if column.optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    Type::primitive_type_builder(column.name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .build()
        .map(Arc::new)
}

impl<W: Write + Send> PartWriter for Writer<W> {
    fn row(&mut self, values: Vec<Value>) -> Result<(), ParquetError> {
        for (held, value) in self.columns.iter_mut().zip(values) {
            held.push(value)?;
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS { self.write_group() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), ParquetError> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.file.close()?;
        Ok(())
    }
}
