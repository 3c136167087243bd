//! Files that people give to the program.

use tally_analytics::export::Manifest;

use crate::targets::Outcome;

/// Messages as `tally submit` reads them: twice the text is twice the messages.
pub fn submission(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::accepted("not UTF-8") };
    match tally_cli::outside::submission(text) {
        Ok(messages) => {
            let twice = tally_cli::outside::submission(&format!("{text}\n{text}"));
            assert_eq!(twice, Ok(2 * messages), "messages do not depend on those before them");
            Outcome::accepted(if messages > 0 { "messages" } else { "none" })
        }
        Err(error) => Outcome::refused(&error),
    }
}

/// A recorded workflow as `tally demo --trace` reads it: layout does not matter.
pub fn trace(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::accepted("not UTF-8") };
    match tally_cli::outside::trace(text) {
        Ok(tasks) => {
            assert!(tasks > 0, "a workflow has tasks");
            // What the reader skips may be no whole JSON: an escape that stands for no character.
            let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
                return Outcome::accepted("workflow with something else");
            };
            assert_eq!(tally_cli::outside::trace(&value.to_string()), Ok(tasks));
            Outcome::accepted("workflow")
        }
        Err(error) => Outcome::refused(&error),
    }
}

/// The manifest of an export: written back it says the same, and no file in it lies elsewhere.
pub fn manifest(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else { return Outcome::accepted("not UTF-8") };
    match Manifest::parse(text) {
        Ok(manifest) => {
            assert_eq!(Manifest::parse(&manifest.to_json()), Ok(manifest.clone()));
            for table in &manifest.tables {
                for part in &table.parts {
                    assert!(part.file.starts_with(&format!("{}/part-", table.name)));
                    assert!(part.from < part.to && part.to <= manifest.size);
                }
            }
            Outcome::accepted("manifest")
        }
        Err(error) => Outcome::refused(&error),
    }
}
