//! JSON lines, to a file or to standard output.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tally_protocol::Position;
use tempfile::NamedTempFile;

use crate::error::CliError;
use crate::output::Output;

/// Where lines go. A file is there with all of them, or not at all.
pub(super) struct Lines {
    file: Option<(PathBuf, BufWriter<NamedTempFile>)>,
    output: Output,
    written: u64,
}

/// What was written to a file.
#[derive(Serialize)]
struct Written<'a> {
    file: &'a Path,
    lines: u64,
    left_out: &'a [Position],
}

impl Lines {
    /// Lines to a file, or to standard output when there is none.
    pub(super) fn to(out: Option<&Path>, output: Output) -> Result<Self, CliError> {
        let open = |path: &Path| {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let mut builder = tempfile::Builder::new();
            let file = builder.prefix(".part-").permissions(super::tiles::public());
            match file.tempfile_in(directory.unwrap_or(Path::new("."))) {
                Ok(file) => Ok((path.to_owned(), BufWriter::new(file))),
                Err(error) => Err(CliError::failed(path.display(), error)),
            }
        };
        Ok(Self { file: out.map(open).transpose()?, output, written: 0 })
    }

    pub(super) fn write(&mut self, line: &impl Serialize) -> Result<(), CliError> {
        self.write_text(&serde_json::to_string(line).expect("lines have string keys"))
    }

    /// A document that has its line feeds already, but for the last.
    pub(super) fn write_text(&mut self, text: &str) -> Result<(), CliError> {
        self.written += 1;
        match &mut self.file {
            Some((path, file)) => {
                writeln!(file, "{text}").map_err(|error| CliError::failed(path.display(), error))
            }
            None => {
                self.output.line(text);
                Ok(())
            }
        }
    }

    /// Puts the file in its place and says what is in it: so many of `what`, and where events stand
    /// of which none could be made.
    pub(super) fn finish(self, what: &str, left_out: &[Position]) -> Result<(), CliError> {
        self.finish_with(left_out, |file, lines| {
            format!("{}: {lines} {what}, one a line", file.display())
        })
    }

    /// The same for one document.
    pub(super) fn finish_document(self, what: &str) -> Result<(), CliError> {
        self.finish_with(&[], |file, _| format!("{}: {what}", file.display()))
    }

    fn finish_with(
        self,
        left_out: &[Position],
        text: impl FnOnce(&Path, u64) -> String,
    ) -> Result<(), CliError> {
        let Some((path, file)) = self.file else { return Ok(()) };
        let failed = |error: std::io::Error| CliError::failed(path.display(), error);
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        let answer = Written { file: &path, lines: self.written, left_out };
        self.output.answer(&answer, |Written { file, lines, .. }| text(file, *lines));
        Ok(())
    }
}
