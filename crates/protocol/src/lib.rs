//! Messages, envelopes, events, chain, ids, keys and limits
