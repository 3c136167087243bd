//! Why something could not be measured.

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A program is not there.
    #[error("{what} is not installed: {install}")]
    Absent {
        /// Which.
        what: &'static str,
        /// What installs it.
        install: &'static str,
    },
    /// A file, a process or a socket.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A program did not do what it was asked.
    #[error("{program}: {said}")]
    Program {
        /// Which.
        program: String,
        /// What it said.
        said: String,
    },
    /// PostgreSQL refuses.
    #[error("PostgreSQL: {0}")]
    Postgresql(#[from] tokio_postgres::Error),
    /// SQLite refuses.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// UmaDB refuses.
    #[cfg(feature = "umadb")]
    #[error("UmaDB: {0}")]
    Umadb(#[from] umadb_dcb::DcbError),
    /// The file of payloads ends within one, or has none.
    #[error("the payloads end in the middle of one, or there is none")]
    Payloads,
    /// No time.
    #[error("{0} seconds are no time")]
    Seconds(f64),
}

impl Failure {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
