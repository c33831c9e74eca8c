//! The command line of the plan, of what the team puts on it, of the pre-flight and of installing, as types.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{
    args::{Change, Format, direction, duration, namespace},
    help,
};
use crate::domain::{flow::Direction, names::NsName, time::Timestamp};

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

/// What a hold is about, and why.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::HOLD)]
pub struct Hold {
    /// The whole fleet; else name a cluster with --context, and a namespace of it with -n
    #[arg(long, conflicts_with_all = ["namespaces", "direction"])]
    pub fleet: bool,
    #[command(flatten)]
    pub holding: Holding,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::EXCLUDE)]
pub struct Exclude {
    #[command(flatten)]
    pub holding: Holding,
}

/// What hold and exclude share.
#[derive(Clone, Debug, Args)]
pub struct Holding {
    /// Only this namespace of the cluster; may be repeated
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = namespace)]
    pub namespaces: Vec<NsName>,
    /// Only this direction of the namespace
    #[arg(long, value_parser = direction, value_name = "egress|ingress", requires = "namespaces")]
    pub direction: Option<Direction>,
    /// Why: kept with it, and shown wherever it stands in the way
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// When it ends: RFC 3339, or a date (its first moment in UTC)
    #[arg(long, value_name = "T", value_parser = super::hold::moment, conflicts_with = "span")]
    pub until: Option<Timestamp>,
    /// How long it lasts
    #[arg(long = "for", id = "span", value_name = "DURATION", value_parser = duration)]
    pub span: Option<Duration>,
    #[command(flatten)]
    pub sharing: Sharing,
}

#[derive(Clone, Debug, Args)]
pub struct Release {
    /// Its name, as `sluice plan` shows it
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub sharing: Sharing,
}

/// What every write to the state cluster shares.
#[derive(Clone, Debug, Args)]
pub struct Sharing {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// How long to wait for the state cluster
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
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
