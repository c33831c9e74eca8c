//! What `sluice report` takes. Reads no environment and no file.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    cli::{
        args::{DiscoverFormat, Format, direction, duration, namespace},
        help,
    },
    domain::{flow::Direction, journal::Hash, names::NsName},
};

#[derive(Clone, Debug, Args)]
pub struct Report {
    #[command(subcommand)]
    pub command: ReportCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ReportCommand {
    /// The evidence of one rollout's soak, and what it does not prove
    Soak(ReportSoak),
    /// What the next shift needs: first things first, what hurts, what changed, what ends soon
    Handover(ReportHandover),
    /// What was rolled back, held, excluded, waived or overridden, with age, owner and due date
    OpenEnds(ReportOpenEnds),
    /// What changed around a rollout, and which change stands nearest before each denial
    Timeline(ReportTimeline),
    /// The whole journal; with -o json a copy that can be verified offline
    Journal(ReportJournal),
    /// Verify a copy of the journal offline, and say where it breaks
    Verify(ReportVerify),
}

/// One rollout of one cluster.
#[derive(Clone, Debug, Args)]
pub struct ReportRow {
    /// The namespace
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = namespace)]
    pub ns: NsName,
    /// Which direction
    #[arg(long, value_parser = direction, value_name = "egress|ingress", default_value = "egress")]
    pub direction: Direction,
    /// How long to wait for the cluster and the state cluster
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
}

#[derive(Clone, Debug, Args)]
pub struct ReportSoak {
    #[command(flatten)]
    pub row: ReportRow,
    /// How to print
    #[arg(short, long, value_enum, default_value = "md")]
    pub output: PaperFormat,
    /// Write it to reports/ in the workspace instead of printing
    #[arg(long)]
    pub write: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::HANDOVER)]
pub struct ReportHandover {
    /// How far back changes are listed
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = duration)]
    pub since: Duration,
    /// How long denials are watched
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub watch: Duration,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: DiscoverFormat,
    /// Write it to reports/ in the workspace instead of printing: markdown, or JSON with -o json
    #[arg(long)]
    pub write: bool,
    /// How long to wait for clusters that have not answered
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
}

#[derive(Clone, Debug, Args)]
pub struct ReportOpenEnds {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: DiscoverFormat,
    /// How long to wait for the state cluster
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
}

#[derive(Clone, Debug, Args)]
pub struct ReportTimeline {
    #[command(flatten)]
    pub row: ReportRow,
    /// How far back it goes
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub since: Duration,
    /// How long denials are watched
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub watch: Duration,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::JOURNAL)]
pub struct ReportJournal {
    /// How to print; json: one entry a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Clone, Debug, Args)]
pub struct ReportVerify {
    /// A copy as `sluice report journal -o json` prints it
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The hash that the last entry must have, as somebody kept it elsewhere
    #[arg(long, value_name = "HASH", value_parser = hash)]
    pub head: Option<Hash>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PaperFormat {
    #[default]
    Md,
    Json,
}

fn hash(raw: &str) -> Result<Hash, String> {
    Hash::parse(raw).ok_or_else(|| "write 64 hexadecimal digits".to_owned())
}
