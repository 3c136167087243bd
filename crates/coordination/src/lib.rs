//! The rules: who may sign what, and the life of every object
