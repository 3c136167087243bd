//! Texts from files, or from standard input.

use std::io::Read;
use std::path::Path;

use crate::error::CliError;

/// Most bytes of a text.
const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a whole text; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let limit = MAX_TEXT_BYTES + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
    if text.len() as u64 > MAX_TEXT_BYTES {
        let path = path.display();
        return Err(CliError::Usage(format!(
            "{path} has more than {MAX_TEXT_BYTES} bytes; split it"
        )));
    }
    Ok(text)
}
