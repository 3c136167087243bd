//! `tally sql`: questions to the history, as of any moment.

use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use comfy_table::Table as Grid;
use serde::Serialize;
use tally_analytics::{Answer, QueryError, Table, Value, schema};

use super::tables::History;
use crate::args::analytics::SqlArgs;
use crate::error::CliError;
use crate::output::{Output, table};
use crate::text::read_text;

pub(crate) async fn run(args: SqlArgs, output: Output) -> Result<(), CliError> {
    if args.schema {
        show_schema(output);
        return Ok(());
    }
    let sql = match (&args.statement, &args.file) {
        (Some(statement), _) => statement.clone(),
        (None, Some(file)) => read_text(file)?,
        (None, None) => unreachable!("one of them is required"),
    };
    let data = args.data.as_deref().expect("it is required");
    let mut history = History::open(data, args.cache.as_deref(), output)?;
    history.refresh()?;
    stop_on_ctrl_c(&history);
    let mut printer = Printer::new(&args, output);
    let mut asked = ask(&mut history, &sql, &args, &mut printer);
    if matches!(asked, Err(QueryError::Damaged(_))) && !printer.has_begun {
        history.remake()?;
        asked = ask(&mut history, &sql, &args, &mut printer);
    }
    match asked.and_then(|()| Ok(printer.finish()?)) {
        // Who read the answer has seen enough.
        Err(QueryError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error @ QueryError::Damaged(_)) => {
            history.remake()?;
            Err(error.into())
        }
        other => Ok(other?),
    }
}

fn ask(
    history: &mut History,
    sql: &str,
    args: &SqlArgs,
    printer: &mut Printer,
) -> Result<(), QueryError> {
    let size = |as_of| history.tables.size_as_of(as_of);
    let size = args.at.as_of.map(size).transpose()?;
    history.tables.query(sql, size, printer)
}

/// The first Ctrl-C ends the statement, the second the program.
fn stop_on_ctrl_c(history: &History) {
    let interrupter = history.tables.interrupter();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            interrupter.interrupt();
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(1);
            }
        }
    });
}

/// How an answer is printed.
enum Form {
    /// One array, a row a line.
    Json,
    Csv,
    /// A table of so many rows.
    Grid {
        grid: Box<Grid>,
        room: usize,
    },
}

/// Prints an answer.
struct Printer {
    form: Form,
    out: BufWriter<Stdout>,
    names: Vec<String>,
    rows: usize,
    has_begun: bool,
    output: Output,
}

impl Printer {
    fn new(args: &SqlArgs, output: Output) -> Self {
        let form = match (output.is_json(), args.csv) {
            (true, _) => Form::Json,
            (false, true) => Form::Csv,
            (false, false) => Form::Grid { grid: Box::default(), room: args.limit },
        };
        let out = BufWriter::new(io::stdout());
        Self { form, out, names: Vec::new(), rows: 0, has_begun: false, output }
    }

    fn finish(mut self) -> io::Result<()> {
        match &self.form {
            Form::Json if self.rows == 0 => writeln!(self.out, "]")?,
            Form::Json => writeln!(self.out, "\n]")?,
            Form::Csv => {}
            Form::Grid { grid, room } => {
                writeln!(self.out, "{grid}")?;
                self.out.flush()?;
                if self.rows > *room {
                    self.output.say(&format!("… and more: --limit {room} rows are shown"));
                }
            }
        }
        self.out.flush()
    }
}

impl Answer for Printer {
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        self.names = names.to_vec();
        match &mut self.form {
            Form::Json => {
                self.has_begun = true;
                write!(self.out, "[")
            }
            Form::Csv => {
                self.has_begun = true;
                let names = names.iter().map(|name| csv_field(name)).collect::<Vec<_>>();
                write!(self.out, "{}\r\n", names.join(","))
            }
            Form::Grid { grid, .. } => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                **grid = table(&names);
                Ok(())
            }
        }
    }

    fn row(&mut self, values: Vec<Value>) -> io::Result<bool> {
        self.rows += 1;
        match &mut self.form {
            Form::Json => {
                let separator = if self.rows == 1 { "\n" } else { ",\n" };
                let pairs = self.names.iter().cloned().zip(values.into_iter().map(Value::to_json));
                let object = serde_json::Value::Object(pairs.collect());
                write!(self.out, "{separator}{object}")?;
                Ok(true)
            }
            Form::Csv => {
                let fields = values.into_iter().map(|value| csv_field(&plain(value)));
                write!(self.out, "{}\r\n", fields.collect::<Vec<_>>().join(","))?;
                Ok(true)
            }
            Form::Grid { grid, room } => {
                let is_room = self.rows <= *room;
                if is_room {
                    grid.add_row(values.into_iter().map(plain));
                }
                Ok(is_room)
            }
        }
    }
}

/// A value as a text; nothing where there is none.
fn plain(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => text,
        other => match other.to_json() {
            serde_json::Value::String(text) => text,
            number => number.to_string(),
        },
    }
}

/// RFC 4180, section 2, rules 5 to 7.
fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

// ------------------------------------------------------------------ the schema

#[derive(Serialize)]
struct Schema {
    tables: Vec<&'static Table>,
}

fn show_schema(output: Output) {
    output.answer(&Schema { tables: schema().collect() }, |schema| {
        let tables = schema.tables.iter().map(|table| table_text(table));
        let columns = COLUMN_NOTES.to_owned();
        tables.chain([columns]).collect::<Vec<_>>().join("\n")
    });
}

const COLUMN_NOTES: &str = "\
A `?` marks a column that a row may have none of. Times are microseconds since 1970 in UTC:
datetime(recorded_at / 1000000, 'unixepoch') makes a date of one. Ids are lower-case hexadecimal,
agents did:key, flags 0 or 1. Lists are JSON: json_each() makes rows of one.
Of a table with versions, NAME shows what holds (as of --as-of), and NAME_versions every version with
from_position and to_position (exclusive).
";

fn table_text(table: &Table) -> String {
    let versions = if table.versioned { "  (versions)" } else { "" };
    let mut text = format!("{}{versions}\n  {}\n", table.name, table.meaning);
    for column in &table.columns {
        let mark = if column.optional { "?" } else { "" };
        let kind = format!("{}{mark}", column.kind.name());
        text.push_str(&format!("    {:<18} {kind:<9} {}\n", column.name, column.meaning));
    }
    text
}
