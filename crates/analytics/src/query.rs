//! Questions in SQL: read-only, as of any tree size, with errors that say where.
//!
//! A statement runs in a transaction that is rolled back. What it may do is decided when it is
//! prepared, by an authorizer that names what it refuses.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Error, ErrorCode, Row, Statement};
use tally_protocol::TreeSize;

use crate::cell::Value;
use crate::database::{self, is_damage};
use crate::error::QueryError;
use crate::rows::schema;
use crate::tables::Tables;

/// Longest statement.
pub const MOST_STATEMENT_BYTES: usize = 1 << 20;

/// Pragmas that only tell.
const TELLING_PRAGMAS: [&str; 6] =
    ["table_info", "table_xinfo", "table_list", "index_list", "index_info", "compile_options"];

/// Why a materialized view may not be read.
const EARLIER: &str = "whose rows are not kept as of an earlier moment";

/// Who takes an answer, row by row.
pub trait Answer {
    /// The names of its columns, each once; comes first.
    ///
    /// # Errors
    /// When it can't be handed on; the statement ends then.
    fn columns(&mut self, names: &[String]) -> io::Result<()>;

    /// A row; `false` when no more are wanted.
    ///
    /// # Errors
    /// As [`Answer::columns`].
    fn row(&mut self, values: Vec<Value>) -> io::Result<bool>;
}

impl Tables {
    /// Answers a statement, as of a tree size or as of all that is in the tables.
    ///
    /// # Errors
    /// [`QueryError`]; rows that came before were handed on.
    pub fn query(
        &mut self,
        sql: &str,
        as_of: Option<TreeSize>,
        answer: &mut dyn Answer,
    ) -> Result<(), QueryError> {
        if sql.len() > MOST_STATEMENT_BYTES {
            let what = format!("a statement has at most {MOST_STATEMENT_BYTES} bytes");
            return Err(QueryError::Wrong { what, place: String::new() });
        }
        self.connection.execute_batch("BEGIN").map_err(|error| read_error(error, sql))?;
        let answered = self.show(as_of).and_then(|hidden| self.ask(sql, hidden, answer));
        // The views of an earlier moment go with it.
        let ended = self.connection.execute_batch("ROLLBACK");
        answered.and(ended.map_err(|error| read_error(error, sql)))
    }

    /// Puts views of that moment before the tables; the materialized views that have none.
    fn show(&self, as_of: Option<TreeSize>) -> Result<Vec<String>, QueryError> {
        let Some(size) = as_of.map(TreeSize::as_u64) else { return Ok(Vec::new()) };
        let read = |error| read_error(error, "");
        let cursor = database::cursor(&self.connection).map_err(read)?.0.0;
        if size > cursor {
            return Err(QueryError::Beyond { cursor, size });
        }
        for table in schema() {
            self.connection.execute_batch(&table.as_of(size)).map_err(read)?;
        }
        self.views_as_of().map_err(read)
    }

    fn ask(
        &mut self,
        sql: &str,
        hidden: Vec<String>,
        answer: &mut dyn Answer,
    ) -> Result<(), QueryError> {
        let asked = guarded(&mut self.connection, Guard::asking(hidden, EARLIER), |connection| {
            let mut statement = single(connection, sql)?;
            hand_on(&mut statement, sql, answer)
        });
        asked.map_err(|(error, refused)| match (error, refused) {
            (QueryError::Wrong { .. }, Some(refused)) => QueryError::Writes(refused),
            (error, _) => error,
        })
    }
}

/// The one statement of a text.
pub(crate) fn single<'c>(
    connection: &'c Connection,
    sql: &str,
) -> Result<Statement<'c>, QueryError> {
    let statement = match connection.prepare(sql) {
        Ok(statement) => statement,
        Err(Error::MultipleStatement) => return Err(QueryError::Count("several")),
        Err(error) => return Err(read_error(error, sql)),
    };
    match statement.column_count() {
        0 if statement.expanded_sql().is_none_or(|sql| sql.is_empty()) => {
            Err(QueryError::Count("none"))
        }
        _ if !statement.readonly() => Err(QueryError::Writes("change the tables".into())),
        0 => Err(QueryError::Writes("give no rows".into())),
        _ => Ok(statement),
    }
}

/// The names of an answer's columns.
pub(crate) fn columns(statement: &Statement<'_>) -> Result<Vec<String>, QueryError> {
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            return Err(QueryError::SameName(name.clone()));
        }
    }
    Ok(names)
}

fn hand_on(
    statement: &mut Statement<'_>,
    sql: &str,
    answer: &mut dyn Answer,
) -> Result<(), QueryError> {
    let names = columns(statement)?;
    let read = |error| read_error(error, sql);
    let mut rows = statement.query([]).map_err(read)?;
    // The first row comes before the names: most failures come with it.
    let mut next = rows.next().map_err(read)?;
    answer.columns(&names)?;
    while let Some(row) = next {
        if !answer.row(values(row, names.len()).map_err(read)?)? {
            break;
        }
        next = rows.next().map_err(read)?;
    }
    Ok(())
}

/// The values of a row of so many columns.
pub(crate) fn values(row: &Row<'_>, width: usize) -> Result<Vec<Value>, Error> {
    (0..width).map(|at| row.get_ref(at).map(Value::from)).collect()
}

/// What a statement may do.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    /// Tables that it may not read.
    hidden: Vec<String>,
    /// Why not.
    why: &'static str,
    /// The one table that it may make and change.
    own: Option<String>,
}

impl Guard {
    /// It may only ask.
    pub(crate) fn asking(hidden: Vec<String>, why: &'static str) -> Self {
        Self { hidden, why, own: None }
    }

    /// It may make one table and change its rows.
    pub(crate) fn keeping(hidden: Vec<String>, why: &'static str, own: &str) -> Self {
        Self { hidden, why, own: Some(own.to_owned()) }
    }

    /// What it would do and may not.
    fn refused(&self, action: AuthAction<'_>) -> Option<String> {
        let own = |table: &str| self.own.as_deref() == Some(table);
        // Making a table is a change of the table of tables.
        let makes = |table: &str| self.own.is_some() && table == "sqlite_master";
        let refused = |text: String| Some(text);
        match action {
            AuthAction::Select | AuthAction::Recursive => None,
            AuthAction::Read { table_name, .. } if self.hidden.iter().any(|t| t == table_name) => {
                refused(format!("read {table_name}, {}", self.why))
            }
            AuthAction::Read { .. } => None,
            AuthAction::Function { function_name } if function_name != "load_extension" => None,
            AuthAction::Pragma { pragma_name, .. } if TELLING_PRAGMAS.contains(&pragma_name) => {
                None
            }
            AuthAction::Insert { table_name } if own(table_name) || makes(table_name) => None,
            AuthAction::Update { table_name, .. } if own(table_name) || makes(table_name) => None,
            AuthAction::Delete { table_name } if own(table_name) => None,
            AuthAction::CreateTable { table_name } if own(table_name) => None,
            AuthAction::CreateIndex { table_name, .. } if own(table_name) => None,
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name }
                if table_name.starts_with("sqlite_") =>
            {
                refused("change what tables there are".into())
            }
            AuthAction::Insert { table_name } => refused(format!("insert into {table_name}")),
            AuthAction::Update { table_name, .. } => refused(format!("update {table_name}")),
            AuthAction::Delete { table_name } => refused(format!("delete from {table_name}")),
            AuthAction::Pragma { pragma_name, .. } => refused(format!("run PRAGMA {pragma_name}")),
            AuthAction::Attach { filename } => refused(format!("attach {filename}")),
            AuthAction::Function { function_name } => refused(format!("call {function_name}")),
            AuthAction::CreateTable { table_name }
            | AuthAction::CreateTempTable { table_name }
            | AuthAction::CreateVtable { table_name, .. } => {
                refused(format!("make the table {table_name}"))
            }
            AuthAction::DropTable { table_name } | AuthAction::DropTempTable { table_name } => {
                refused(format!("drop {table_name}"))
            }
            AuthAction::AlterTable { table_name, .. } => refused(format!("alter {table_name}")),
            AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
                refused("begin or end a transaction".into())
            }
            _ => refused("change more than rows".into()),
        }
    }
}

/// Does something under a guard. An error comes with what the guard refused, if it did.
pub(crate) fn guarded<T, E>(
    connection: &mut Connection,
    guard: Guard,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, (E, Option<String>)> {
    let refused = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&refused);
    let hook = move |context: AuthContext<'_>| match guard.refused(context.action) {
        None => Authorization::Allow,
        Some(text) => {
            seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
            Authorization::Deny
        }
    };
    connection.authorizer(Some(hook)).expect("a hook can be set");
    let done = work(connection);
    connection
        .authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
        .expect("a hook can be taken away");
    let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
    done.map_err(|error| (error, refused))
}

/// What an error of the engine means to who asked.
pub(crate) fn read_error(error: Error, sql: &str) -> QueryError {
    if is_damage(&error) {
        return QueryError::Damaged(error);
    }
    if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return QueryError::Interrupted;
    }
    match error {
        Error::SqlInputError { msg, offset, .. } => {
            let place = usize::try_from(offset).map(|at| place(sql, at)).unwrap_or_default();
            QueryError::Wrong { what: msg, place }
        }
        Error::SqliteFailure(failure, Some(what)) if is_wrong(failure.code) => {
            QueryError::Wrong { what, place: String::new() }
        }
        error => QueryError::Read(error),
    }
}

/// Whether a failure lies with the statement.
fn is_wrong(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Unknown
            | ErrorCode::TypeMismatch
            | ErrorCode::TooBig
            | ErrorCode::ConstraintViolation
            | ErrorCode::AuthorizationForStatementDenied
    )
}

/// The line of a statement with a mark under the place: `, line 2:` and the two lines.
fn place(sql: &str, at: usize) -> String {
    let Some(before) = sql.get(..at) else { return String::new() };
    let number = before.matches('\n').count() + 1;
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = sql[begin..].lines().next().unwrap_or_default();
    let column = before[begin..].chars().count();
    format!(", line {number}:\n  {line}\n  {:column$}^", "")
}
