//! What `tally projection` can be told.

use clap::{Args, Subcommand};

use super::DEFAULT_ADDRESS;

#[derive(Debug, Args)]
pub(crate) struct ProjectionArgs {
    /// Ask the ledger at this URL.
    #[arg(long, value_name = "URL", env = "TALLY_URL", global = true,
          default_value_t = format!("http://{DEFAULT_ADDRESS}"))]
    pub(crate) url: String,

    #[command(subcommand)]
    pub(crate) what: ProjectionWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectionWhat {
    /// How each is doing: how far, how fast, what stands in its way.
    List,
    /// Build one again from history, beside the one that is served; it is compared and switched in
    /// when it has come as far. After a mend, this brings events out of quarantine.
    Rebuild(RebuildArgs),
    /// Give up the build that is under way; what is served stays.
    Cancel(NameArgs),
    /// The events that one could not fold, and what became of its builds.
    Audit(NameArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Which projection.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// Which projection.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Wait until it is switched in, with progress.
    #[arg(long)]
    pub(crate) wait: bool,
}
