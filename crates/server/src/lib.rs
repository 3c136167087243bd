//! The gRPC server
