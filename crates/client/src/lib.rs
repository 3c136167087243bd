//! Connect, sign, append, and verify every log receipt
