//! The log's segments and the rebuildable rows
