//! Answers for people and for programs.

use std::io::IsTerminal;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tally_protocol::Time;

use crate::error::CliError;

/// How a command answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether the answer is for a program.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// One answer: JSON for programs, otherwise what `text` makes of it.
    pub(crate) fn answer<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) {
        if self.json {
            self.line(&serde_json::to_string(value).expect("answers have string keys"));
        } else {
            self.line(text(value).trim_end());
        }
    }

    /// A line of the answer. A reader that has gone ends the program quietly.
    pub(crate) fn line(self, text: &str) {
        use std::io::Write;
        if writeln!(std::io::stdout(), "{text}").is_err() {
            std::process::exit(0);
        }
    }

    /// A word to a person beside the answer.
    pub(crate) fn say(self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }

    pub(crate) fn error(self, error: &CliError) {
        if self.json {
            // A negative verdict was the answer already.
            if !matches!(error, CliError::Negative(_)) {
                self.line(&error.to_json().to_string());
            }
        } else if !matches!(error, CliError::Negative(_)) {
            eprintln!("tally: {error}");
        }
    }

    /// A progress bar on standard error, for people only.
    pub(crate) fn progress(self, what: &'static str, total: u64) -> ProgressBar {
        if self.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(
            "{prefix:>10} [{bar:40}] {percent:>3} %  {human_pos}/{human_len}  {elapsed} (left {eta})",
        )
        .expect("the template is fixed")
        .progress_chars("━╸ ");
        ProgressBar::new(total).with_style(style).with_prefix(what)
    }
}

/// A table with these columns.
pub(crate) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|column| column.to_uppercase()));
    table
}

/// A time for people: UTC to the millisecond.
pub(crate) fn time_text(time: Time) -> String {
    match jiff::Timestamp::from_microsecond(time.0) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        Err(_) => format!("{} µs", time.0),
    }
}

/// A duration for people.
pub(crate) fn duration_text(us: u64) -> String {
    let seconds = Duration::from_micros(us).as_secs_f64();
    match us {
        0 => "0 s".into(),
        1..1_000_000 => format!("{:.0} ms", seconds * 1e3),
        1_000_000..120_000_000 => format!("{seconds:.1} s"),
        120_000_000..7_200_000_000 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// The beginning of an id, enough for a person.
pub(crate) fn short(id: impl std::fmt::Display) -> String {
    id.to_string().chars().take(12).collect()
}
