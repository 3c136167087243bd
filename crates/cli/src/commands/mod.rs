//! The commands.

pub(crate) mod backup;
pub(crate) mod fsck;
pub(crate) mod keygen;
pub(crate) mod lineage;
pub(crate) mod log;
pub(crate) mod objects;
pub(crate) mod prove;
pub(crate) mod serve;
pub(crate) mod submit;
pub(crate) mod verify;
