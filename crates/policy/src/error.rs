//! Why a text is no policy, with the place and the remedy.

use std::fmt;

use crate::limits::{MAX_BRACKETS, MAX_DEPTH, MAX_RULE_NAME_BYTES, MAX_RULES, MAX_TEXT_BYTES};

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Place {
    /// The place of a byte; one that lies within a character is that character's.
    pub(crate) fn of(text: &str, byte: usize) -> Self {
        let before = &text[..text.floor_char_boundary(byte)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A text that can't be a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The text is longer than [`MAX_TEXT_BYTES`].
    #[error(
        "the text has {found} bytes, at most {MAX_TEXT_BYTES} are allowed: split it into several \
         policies"
    )]
    TooLong {
        /// Its bytes.
        found: usize,
    },
    /// There is no rule in the text.
    #[error("the text has no rule: write at least one `permit (…);` or `forbid (…);`")]
    Empty,
    /// There are more rules than [`MAX_RULES`].
    #[error("{place}: more than {MAX_RULES} rules: split them into several policies")]
    TooManyRules {
        /// The first rule too many.
        place: Place,
    },
    /// A rule is nested deeper than [`MAX_DEPTH`].
    #[error(
        "{place}: the rule nests operators and brackets {found} deep, at most {MAX_DEPTH} are \
         allowed: use lists, as in `[\"a\", \"b\"].contains(…)`, or several rules"
    )]
    TooDeep {
        /// The rule.
        place: Place,
        /// How deep.
        found: usize,
    },
    /// A rule has more opening brackets than [`MAX_BRACKETS`].
    #[error("{place}: more than {MAX_BRACKETS} opening brackets in one rule: split the rule")]
    TooManyBrackets {
        /// The first bracket too many.
        place: Place,
    },
    /// A character that people can't see, or that changes the order in which they read others.
    #[error("{place}: the character U+{:04X} is not allowed: remove it", u32::from(*.found))]
    Character {
        /// Where it is.
        place: Place,
        /// The character.
        found: char,
    },
    /// A bracket without its partner.
    #[error("{place}: `{found}` has no partner: balance the brackets")]
    Bracket {
        /// Where it is.
        place: Place,
        /// The bracket.
        found: char,
    },
    /// A string that does not end.
    #[error("{place}: the string does not end: close it with `\"`")]
    OpenString {
        /// Where it begins.
        place: Place,
    },
    /// A template.
    #[error("{place}: templates are not supported: name the agent or object in place of the slot")]
    Template {
        /// The slot.
        place: Place,
    },
    /// A function of a Cedar extension.
    #[error(
        "{place}: the extension function `{name}` is not supported: amounts and times are whole \
         numbers, everything else is a string"
    )]
    Extension {
        /// The call.
        place: Place,
        /// The function.
        name: String,
    },
    /// The text is not Cedar.
    #[error("{place}: {message}{}", remedy(.help))]
    Syntax {
        /// Where.
        place: Place,
        /// What Cedar's parser says.
        message: String,
        /// What it advises.
        help: Option<String>,
    },
    /// The text does not fit the schema of the ledger's requests.
    #[error("{place}: {message}{}", remedy(.help))]
    Schema {
        /// Where.
        place: Place,
        /// What Cedar's validator says.
        message: String,
        /// What it advises.
        help: Option<String>,
    },
    /// An `@id` that is no name.
    #[error(
        "{place}: the rule's @id is empty, longer than {MAX_RULE_NAME_BYTES} bytes, or begins with \
         `#`: choose another"
    )]
    RuleName {
        /// The rule.
        place: Place,
    },
    /// Two rules with one `@id`.
    #[error("{place}: a second rule with the @id {name:?}: rename one")]
    SameRuleName {
        /// The second rule.
        place: Place,
        /// The name.
        name: String,
    },
}

fn remedy(help: &Option<String>) -> String {
    help.as_ref().map(|help| format!(": {help}")).unwrap_or_default()
}
