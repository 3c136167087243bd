//! Tables and columns: described once, for SQLite, for readers, for Parquet and for JSON.
//!
//! A column is a name, a sentence and a function from the thing that a row is about; what it holds
//! follows from the function's type.

use std::fmt::Write;

use serde::Serialize;

use crate::cell::{Cell, Kind, Value};

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name, as SQL has it.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether a row may have none.
    pub optional: bool,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

/// A table of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its name, as SQL has it.
    pub name: &'static str,
    /// What its rows are, in one sentence.
    pub meaning: &'static str,
    /// The columns that tell its rows apart; none where nothing does.
    pub key: &'static [&'static str],
    /// Whether a row can be followed by another version of itself. Else it has a `position`, and
    /// stays as it is.
    pub versioned: bool,
    /// Its columns in order.
    pub columns: Vec<Column>,
}

/// Where a version begins: the event that made it.
const FROM: Column = Column {
    name: "from_position",
    kind: Kind::Integer,
    optional: false,
    meaning: "Position of the event that made this version.",
};

/// Where a version ends.
const TO: Column = Column {
    name: "to_position",
    kind: Kind::Integer,
    optional: true,
    meaning: "Position of the event that made the next version; none while this one holds.",
};

impl Table {
    /// Where its rows are kept: the table itself, or that of all versions.
    pub fn stored(&self) -> String {
        if self.versioned { format!("{}_versions", self.name) } else { self.name.to_owned() }
    }

    /// The column that says which event made a row.
    pub fn begins(&self) -> &'static str {
        if self.versioned { FROM.name } else { "position" }
    }

    /// The columns that are kept, in order.
    pub fn stored_columns(&self) -> Vec<Column> {
        let ends = if self.versioned { vec![FROM, TO] } else { Vec::new() };
        self.columns.iter().cloned().chain(ends).collect()
    }

    /// The columns that are exported: all but the end of a version, which a later event sets.
    pub fn exported_columns(&self) -> Vec<Column> {
        let mut columns = self.stored_columns();
        columns.retain(|column| *column != TO);
        columns
    }

    /// The statements that make it, with its index and the view of what holds at the end.
    pub(crate) fn ddl(&self) -> String {
        let mut sql = format!("CREATE TABLE {} (\n", self.stored());
        for column in self.stored_columns() {
            let kind = if column.kind.is_integer() { "INTEGER" } else { "TEXT" };
            let null = if column.optional { "" } else { " NOT NULL" };
            writeln!(sql, "  {} {kind}{null},", column.name).expect("a string takes all");
        }
        sql.truncate(sql.len() - 2);
        sql.push_str("\n) STRICT;\n");
        let (name, stored) = (self.name, self.stored());
        let holds = if self.versioned { " WHERE to_position IS NULL" } else { "" };
        if !self.key.is_empty() {
            let key = self.key.join(", ");
            writeln!(sql, "CREATE UNIQUE INDEX {name}_key ON {stored} ({key}){holds};")
                .expect("a string takes all");
        }
        if self.key != ["position"] {
            let begins = self.begins();
            writeln!(sql, "CREATE INDEX {name}_begins ON {stored} ({begins});")
                .expect("a string takes all");
        }
        if self.name == "events" {
            sql.push_str("CREATE INDEX events_recorded_at ON events (recorded_at);\n");
        }
        if self.versioned {
            let columns = names(&self.columns);
            writeln!(sql, "CREATE VIEW {name} AS SELECT {columns} FROM {stored}{holds};")
                .expect("a string takes all");
        }
        sql
    }

    /// Views that stand before the table and show it as it was after `size` events.
    pub(crate) fn as_of(&self, size: u64) -> String {
        let Self { name, .. } = self;
        let columns = names(&self.columns);
        if !self.versioned {
            return format!(
                "CREATE TEMP VIEW {name} AS SELECT {columns} FROM main.{name} \
                 WHERE position < {size};\n"
            );
        }
        let stored = self.stored();
        let versions = format!(
            "CREATE TEMP VIEW {stored} AS SELECT {columns}, from_position, \
             CASE WHEN to_position < {size} THEN to_position END AS to_position \
             FROM main.{stored} WHERE from_position < {size};\n"
        );
        // What held then is told by the stored column, so that the planner sees it.
        let holds = format!(
            "CREATE TEMP VIEW {name} AS SELECT {columns} FROM main.{stored} \
             WHERE from_position < {size} AND (to_position IS NULL OR to_position >= {size});\n"
        );
        versions + &holds
    }

    /// A view `new_…` of the rows that the events from `from` to `to` (exclusive) made.
    pub(crate) fn new_rows(&self, from: u64, to: u64) -> String {
        let Self { name, .. } = self;
        let (columns, stored, begins) = (names(&self.columns), self.stored(), self.begins());
        format!(
            "CREATE TEMP VIEW new_{name} AS SELECT {columns} FROM main.{stored} \
             WHERE {begins} >= {from} AND {begins} < {to};\n"
        )
    }
}

/// Names of columns as SQL lists them.
pub(crate) fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

type Make<R> = Box<dyn Fn(&R) -> Value + Send + Sync>;

/// A table with how its rows are made of things `R`.
pub(crate) struct Rows<R> {
    pub(crate) table: Table,
    values: Vec<Make<R>>,
}

impl<R> Rows<R> {
    /// Rows that stay as they are, each made by the event at its `position`.
    pub(crate) fn kept(
        name: &'static str,
        key: &'static [&'static str],
        meaning: &'static str,
    ) -> Self {
        let table = Table { name, meaning, key, versioned: false, columns: Vec::new() };
        Self { table, values: Vec::new() }
    }

    /// Rows of which each may be followed by another version with the same key.
    pub(crate) fn versions(
        name: &'static str,
        key: &'static [&'static str],
        meaning: &'static str,
    ) -> Self {
        let mut rows = Self::kept(name, key, meaning);
        rows.table.versioned = true;
        rows
    }

    /// One more column.
    pub(crate) fn column<T: Cell>(
        mut self,
        name: &'static str,
        meaning: &'static str,
        make: impl Fn(&R) -> T + Send + Sync + 'static,
    ) -> Self {
        self.table.columns.push(Column { name, kind: T::KIND, optional: T::OPTIONAL, meaning });
        self.values.push(Box::new(move |thing| make(thing).value()));
        self
    }

    /// The row about a thing.
    pub(crate) fn row(&self, thing: &R) -> Row<'_> {
        Row { table: &self.table, values: self.values.iter().map(|make| make(thing)).collect() }
    }
}

/// A row, not yet kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row<'t> {
    pub(crate) table: &'t Table,
    /// One for each column.
    pub(crate) values: Vec<Value>,
}

impl Row<'_> {
    /// The values of the key, in its order.
    pub(crate) fn key(&self) -> impl Iterator<Item = &Value> {
        self.table.key.iter().map(|name| {
            let at = self.table.columns.iter().position(|column| column.name == *name);
            &self.values[at.expect("a key names columns")]
        })
    }
}
