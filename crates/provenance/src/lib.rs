//! The provenance graph and its questions
