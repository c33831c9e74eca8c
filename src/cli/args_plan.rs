//! The command line of the plan, of the pre-flight and of installing, as types.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{
    args::{Change, Format, direction, duration},
    help,
};
use crate::domain::flow::Direction;

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::PLAN)]
pub struct Plan {
    /// Only this direction
    #[arg(long, value_parser = direction, value_name = "egress|ingress")]
    pub direction: Option<Direction>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// How long to wait for clusters that have not answered
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::ADVANCE)]
pub struct Advance {
    /// Whose wave
    #[arg(long, value_parser = direction, value_name = "egress|ingress", default_value = "egress")]
    pub direction: Direction,
    #[command(flatten)]
    pub change: Change,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::INIT)]
pub struct Init {
    /// Where to write it; left out: the current folder, or --workspace
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::PREFLIGHT)]
pub struct Preflight {
    /// Read these manifest files or folders (`-`: what is piped in) instead of clusters
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["contexts"])]
    pub manifests: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// How long to wait for a cluster
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::INSTALL)]
pub struct Install {
    /// The cluster by its name in sluice.yaml or its context; left out: `state:` of sluice.yaml
    #[arg(long, value_name = "CLUSTER")]
    pub state_cluster: Option<String>,
    /// Print every object as YAML and do nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub print: bool,
    /// Print what runs `sluice watch` for this cluster, in it, as YAML for kubectl, and do nothing
    #[arg(long, value_name = "CLUSTER", conflicts_with_all = ["dry_run", "print", "state_cluster"])]
    pub watch: Option<String>,
    /// The image of sluice that it runs
    #[arg(long, value_name = "IMAGE", requires = "watch", default_value = "sluice:0.1.0")]
    pub image: String,
    #[command(flatten)]
    pub change: Change,
}
