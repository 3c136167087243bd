//! What a ledger's key says that its log has come to, so that others can compare their fold with it.
//!
//! A signed note (C2SP signed-note) by the key that signs checkpoints, with this text:
//!
//! ```text
//! tally.state.v1
//! <origin>
//! <size> <digest of the state after so many events, 64 hexadecimal digits>
//! <the size that the next one will be for>
//! ```
//!
//! It is put on record as the statement of a claim of kind [`STATE_DIGEST`]. Who reads the log finds
//! it after the state that it is about has passed; that is why each one says which size the next is
//! for, and why the first one is for size 0, which anyone knows. The first line and the fourth keep
//! it from ever being taken for a checkpoint.

use tally_tlog::{Note, NoteSigner, Origin, TreeSize, VerifierKey};

use crate::Message;
use crate::ids::Digest;
use crate::message::{Attest, Claim};

/// Kind of the claims that carry such notes.
pub const STATE_DIGEST: &str = "state-digest";

/// First line of the text.
const FIRST_LINE: &str = "tally.state.v1";

/// What the state is after so many events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateDigest {
    /// How many events are folded.
    pub size: TreeSize,
    /// The digest of what they come to.
    pub digest: Digest,
    /// The size that the next one will be for.
    pub next: TreeSize,
}

impl StateDigest {
    /// The text that is signed.
    pub fn text(&self, origin: &Origin) -> String {
        let Self { size, digest, next } = self;
        format!("{FIRST_LINE}\n{origin}\n{size} {digest}\n{next}\n")
    }

    /// Reads a text of this ledger; `None` when it is none, or not as [`StateDigest::text`] writes it.
    pub fn parse(text: &str, origin: &Origin) -> Option<Self> {
        let mut lines = text.lines().skip(2);
        let (size, digest) = lines.next()?.split_once(' ')?;
        let number = |text: &str| text.parse().ok().map(TreeSize::new);
        let next = number(lines.next()?)?;
        let read = Self { size: number(size)?, digest: digest.parse().ok()?, next };
        (read.text(origin) == text).then_some(read)
    }

    /// The note, signed.
    pub fn sign(&self, origin: &Origin, signer: &NoteSigner) -> String {
        let note = signer.sign(&self.text(origin));
        note.expect("lines of names, numbers and digits make a note").to_string()
    }

    /// Reads the note that a message carries as a claim; `None` when it carries none that one of
    /// these keys has signed for this ledger.
    pub fn of_message(message: &Message, keys: &[VerifierKey], origin: &Origin) -> Option<Self> {
        let Message::Attest(Attest::Claim(Claim { kind, statement, .. })) = message else {
            return None;
        };
        (kind.as_str() == STATE_DIGEST).then(|| Self::open(statement.as_str(), keys, origin))?
    }

    /// Reads a note; `None` when none of these keys has signed it, or it is of another ledger.
    pub fn open(note: &str, keys: &[VerifierKey], origin: &Origin) -> Option<Self> {
        let note = Note::parse(note.as_bytes()).ok()?;
        Self::parse(note.verify(keys).ok()?.text(), origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_signed_and_by_nobody_else() {
        let origin = Origin::new("example.org/test").expect("an origin");
        let other = Origin::new("example.org/other").expect("an origin");
        let signer = NoteSigner::from_seed(origin.key_name(), &[1; 32]);
        let stranger = NoteSigner::from_seed(origin.key_name(), &[2; 32]);
        let said = StateDigest {
            size: TreeSize::new(12),
            digest: Digest([7; 32]),
            next: TreeSize::new(24),
        };
        let note = said.sign(&origin, &signer);
        let expected = format!("tally.state.v1\nexample.org/test\n12 {}\n24\n\n", "07".repeat(32));
        assert!(note.starts_with(&expected), "{note}");
        let keys = [signer.verifier_key()];
        assert_eq!(StateDigest::open(&note, &keys, &origin), Some(said));
        assert_eq!(StateDigest::open(&note, &keys, &other), None);
        assert_eq!(StateDigest::open(&note, &[stranger.verifier_key()], &origin), None);
        assert_eq!(StateDigest::open(&note.replace("12 ", "13 "), &keys, &origin), None);
        let text = said.text(&origin);
        for (part, other) in [("v1", "v2"), ("12 ", "012 "), ("24", "+24"), ("24\n", "24\n\n")] {
            assert_eq!(StateDigest::parse(&text.replace(part, other), &origin), None, "{other:?}");
        }
    }
}
