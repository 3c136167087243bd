//! The manifest of an export: written here, and read back from wherever it lay meanwhile.

use serde::{Deserialize, Serialize};
use tally_protocol::ChainHash;

use crate::cell::Kind;
use crate::rows::schema;

/// Events of a whole part, when nothing else is said.
pub const PART_EVENTS: u64 = 65_536;

/// Least and most events of a whole part.
const PART_LIMITS: std::ops::RangeInclusive<u64> = 1..=1 << 40;

/// Longest manifest.
pub(super) const MOST_BYTES: usize = 64 << 20;

const FORMAT: &str = "tally.tables.v1";

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Apache Parquet, compressed with Snappy.
    Parquet,
    /// A JSON object a line, with the values that `tally sql --json` gives.
    Jsonl,
}

impl Encoding {
    /// The end of file names.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Jsonl => "jsonl",
        }
    }
}

/// What is in an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of the manifest: `tally.tables.v1`.
    pub format: String,
    /// How rows are written.
    pub encoding: Encoding,
    /// The ledger.
    pub origin: String,
    /// The number of events that the files are as of.
    pub size: u64,
    /// Link of the log's chain after those: 64 hexadecimal digits.
    pub chain: String,
    /// Events of a whole part.
    pub part_events: u64,
    /// The tables.
    pub tables: Vec<PartedTable>,
}

/// A table and its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartedTable {
    /// Its name, and its directory's.
    pub name: String,
    /// What its rows are.
    pub meaning: String,
    /// The columns that tell its rows apart; of a versioned table, what versions have in common.
    pub key: Vec<String>,
    /// Whether rows are versions, of which that with the greatest `from_position` holds.
    pub versioned: bool,
    /// Its columns in order.
    pub columns: Vec<PartedColumn>,
    /// Its files in the order of the log.
    pub parts: Vec<Part>,
}

/// A column of a table in files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartedColumn {
    /// Its name.
    pub name: String,
    /// What it holds, as `tally sql --schema` says.
    pub kind: String,
    /// Whether a row may have none.
    pub optional: bool,
    /// What it means.
    pub meaning: String,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Where it is, from the manifest.
    pub file: String,
    /// Position of the first event whose rows are in it.
    pub from: u64,
    /// Position after the last one.
    pub to: u64,
    /// How many rows it has.
    pub rows: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// SHA-256 of it: 64 hexadecimal digits.
    pub sha256: String,
}

/// Why a text is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    /// Longer than any.
    #[error("a manifest has at most {MOST_BYTES} bytes")]
    TooLong,
    /// Not JSON of this shape.
    #[error("this is no manifest of an export: {0}")]
    Json(String),
    /// Of another format.
    #[error("this is of format {0:?}, this program writes {FORMAT:?}")]
    Format(String),
    /// A field says what can't be.
    #[error("{field} of the manifest is not what it must be")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// The parts of a table are not those that the log divides into.
    #[error("the parts of {table} are not those of {size} events")]
    Parts {
        /// The table.
        table: String,
        /// The events.
        size: u64,
    },
}

/// Where a part is.
pub(super) fn part_file(table: &str, encoding: Encoding, from: u64, to: u64) -> String {
    format!("{table}/part-{from:010}-{to:010}.{}", encoding.suffix())
}

impl Manifest {
    /// The manifest of an empty log.
    pub(super) fn empty(encoding: Encoding, origin: String, part_events: Option<u64>) -> Self {
        let wanted = part_events.unwrap_or(PART_EVENTS);
        Self {
            format: FORMAT.to_owned(),
            encoding,
            origin,
            size: 0,
            chain: String::new(),
            part_events: wanted.clamp(*PART_LIMITS.start(), *PART_LIMITS.end()),
            tables: schema().map(PartedTable::empty).collect(),
        }
    }

    /// Reads a manifest; every name of a file in it is one that an export gives.
    ///
    /// # Errors
    /// [`BadManifest`].
    pub fn parse(text: &str) -> Result<Self, BadManifest> {
        if text.len() > MOST_BYTES {
            return Err(BadManifest::TooLong);
        }
        let manifest: Self =
            serde_json::from_str(text).map_err(|error| BadManifest::Json(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(BadManifest::Format(manifest.format));
        }
        if manifest.chain.parse::<ChainHash>().is_err() {
            return Err(BadManifest::Field { field: "chain" });
        }
        if !PART_LIMITS.contains(&manifest.part_events) {
            return Err(BadManifest::Field { field: "part_events" });
        }
        manifest.tables.iter().try_for_each(|table| manifest.check_parts(table))?;
        Ok(manifest)
    }

    fn check_parts(&self, table: &PartedTable) -> Result<(), BadManifest> {
        let wrong = || BadManifest::Parts { table: table.name.clone(), size: self.size };
        let mut parts = table.parts.iter();
        for (from, to) in self.ranges() {
            let part = parts.next().ok_or_else(wrong)?;
            let file = part_file(&table.name, self.encoding, from, to);
            if (part.from, part.to) != (from, to) || part.file != file {
                return Err(wrong());
            }
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(()) }
    }

    /// Where parts begin and end: whole ones, and a last one.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (size, step) = (self.size, self.part_events);
        let next = move |from: &u64| from.checked_add(step).filter(|next| *next < size);
        let first = (size > 0).then_some(0);
        std::iter::successors(first, next)
            .map(move |from| (from, size.min(from.saturating_add(step))))
    }

    /// Whether it is of the same tables.
    pub(super) fn has_tables_of(&self, other: &Self) -> bool {
        let bare = |table: &PartedTable| PartedTable { parts: Vec::new(), ..table.clone() };
        self.tables.len() == other.tables.len()
            && self.tables.iter().zip(&other.tables).all(|(one, two)| bare(one) == bare(two))
    }

    /// As it is written.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest is JSON");
        text.push('\n');
        text
    }
}

impl PartedTable {
    fn empty(table: &crate::schema::Table) -> Self {
        let column = |column: crate::schema::Column| PartedColumn {
            name: column.name.to_owned(),
            kind: Kind::name(column.kind).to_owned(),
            optional: column.optional,
            meaning: column.meaning.to_owned(),
        };
        Self {
            name: table.name.to_owned(),
            meaning: table.meaning.to_owned(),
            key: table.key.iter().map(|&name| name.to_owned()).collect(),
            versioned: table.versioned,
            columns: table.exported_columns().into_iter().map(column).collect(),
            parts: Vec::new(),
        }
    }
}
