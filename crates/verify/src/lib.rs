//! A whole ledger judged offline
