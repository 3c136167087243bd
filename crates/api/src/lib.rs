//! Generated gRPC code and its conversions
