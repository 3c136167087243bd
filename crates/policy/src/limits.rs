//! Every limit of this crate, by name.
//!
//! They bound the work that one text or one request can cause. A change here changes which texts
//! and requests the ledger takes.

/// Most bytes of a policy's text.
pub const MAX_TEXT_BYTES: usize = 32_768;

/// Most rules of one policy.
pub const MAX_RULES: usize = 256;

/// Most operators and brackets that nest in each other in a rule, as `a && b && c` does, too. A list
/// is as deep as its deepest item, however long it is.
pub const MAX_DEPTH: usize = 64;

/// Most opening brackets of one rule.
pub const MAX_BRACKETS: usize = 2_048;

/// Most bytes of a rule's `@id`.
pub const MAX_RULE_NAME_BYTES: usize = 256;

/// Most policies of one set.
pub const MAX_POLICIES: usize = 128;

/// Most bytes of all texts of one set. Time grows with them times the bytes of the request.
pub const MAX_SET_BYTES: usize = 131_072;

/// Most bytes of a request in its canonical form.
pub const MAX_REQUEST_BYTES: usize = 32_768;
