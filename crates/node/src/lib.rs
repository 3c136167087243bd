//! Sequencer, reads, subscriptions and folds; plain types, no gRPC
