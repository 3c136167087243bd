//! Every limit of the protocol, by name. A change here is a change of the format.

/// Most bytes of one event: the limit of an entry in a C2SP tlog-tiles bundle.
pub const MAX_EVENT_BYTES: usize = 65_535;

/// Bytes of an event beside its payload: version, position, chain hash, time, length, signature.
pub const EVENT_OVERHEAD_BYTES: usize = 1 + 8 + 32 + 8 + 4 + 64;

/// Most bytes of one envelope payload, so that its event fits.
pub const MAX_PAYLOAD_BYTES: usize = MAX_EVENT_BYTES - EVENT_OVERHEAD_BYTES;

/// Most items of any list in a message.
pub const MAX_LIST_ITEMS: usize = 1_024;

/// Most bytes of a name: capability, category, tag, attribute, unit, label key.
pub const MAX_NAME_BYTES: usize = 256;

/// Most bytes of a URI.
pub const MAX_URI_BYTES: usize = 2_048;

/// Most bytes of a text for people: descriptions, reasons, label values.
pub const MAX_TEXT_BYTES: usize = 8_192;

/// Most bytes of an inline document: a JSON Schema, a policy.
pub const MAX_DOCUMENT_BYTES: usize = 60_000;

/// Most causes of one envelope.
pub const MAX_CAUSES: usize = 64;
