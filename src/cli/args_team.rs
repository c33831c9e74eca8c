//! The command line of what the team puts on the plan, as types: holds, exclusions, waivers, overrides.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::{
    args::{Format, Until, direction, duration, namespace},
    help,
};
use crate::domain::{
    flow::{Direction, Protocol},
    hold::Covers,
    names::{NsName, Workload},
    policy::PolicyDigest,
    time::Timestamp,
};

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

/// One row of the fleet.
#[derive(Clone, Debug, Args)]
pub struct Row {
    /// The namespace; its cluster is named with --context
    #[arg(short, long, value_name = "NAMESPACE", value_parser = namespace)]
    pub namespace: NsName,
    /// Which direction of it
    #[arg(long, value_parser = direction, value_name = "egress|ingress")]
    pub direction: Direction,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::WAIVE)]
#[command(group = ArgGroup::new("subject").required(true).args(["destination", "cronjob", "no_evidence", "quiet"]))]
pub struct Waive {
    #[command(flatten)]
    pub row: Row,
    /// Denials of exactly this destination, port and workload, as `sluice denials -o json` names them
    #[arg(long, value_name = "DESTINATION", requires = "port")]
    pub destination: Option<String>,
    /// With --destination: TCP/443
    #[arg(long, value_name = "PROTOCOL/PORT", requires = "destination", value_parser = port)]
    pub port: Option<(Protocol, u16)>,
    /// With --destination: whose denials; left out: of pods whose workload the source does not name
    #[arg(long, value_name = "KIND/NAME", requires = "destination", value_parser = workload)]
    pub workload: Option<Workload>,
    /// That this CronJob has not run inside the window, or not under these bytes
    #[arg(long, value_name = "NAME")]
    pub cronjob: Option<String>,
    /// That there is no evidence of this workload
    #[arg(long, value_name = "KIND/NAME", value_parser = workload)]
    pub no_evidence: Option<Workload>,
    /// That nothing was judged at all
    #[arg(long)]
    pub quiet: bool,
    /// Why: kept with it, and shown wherever it counts
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// When it ends: a time, a date, or 30d from now
    #[arg(long, value_name = "T", default_value = "14d", value_parser = super::review_gate::until)]
    pub until: Until,
    #[command(flatten)]
    pub sharing: Sharing,
}

#[derive(Clone, Debug, Args)]
pub struct Override {
    #[command(subcommand)]
    pub command: OverrideCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum OverrideCommand {
    /// Ask to go on without soak, coverage or order, for exactly these bytes of one row
    ///
    /// The row is previewed once more; if its digest is another by now, nothing is asked for. Never opens
    /// the owner gate, a changed digest, or a cluster that does not enforce.
    Ask(OverrideAsk),
    /// The second person's yes: from then on the gates are open for these bytes
    Confirm(OverrideConfirm),
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::OVERRIDE)]
pub struct OverrideAsk {
    #[command(flatten)]
    pub row: Row,
    /// The bytes: the digest as `sluice apply --dry-run` prints it
    #[arg(long, value_name = "DIGEST", value_parser = bytes)]
    pub digest: Bytes,
    /// What it covers; may be repeated
    #[arg(long, value_name = "soak|coverage|order", required = true, value_delimiter = ',', value_parser = covers)]
    pub covers: Vec<Covers>,
    /// Why it cannot wait: kept with it, and marks the row for good
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// When it ends: a time, a date, or 12h from now
    #[arg(long, value_name = "T", default_value = "1d", value_parser = super::review_gate::until)]
    pub until: Until,
    #[command(flatten)]
    pub sharing: Sharing,
}

#[derive(Clone, Debug, Args)]
pub struct OverrideConfirm {
    /// Its name, as `sluice plan` shows it
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub sharing: Sharing,
}

/// A digest as somebody types it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bytes {
    Whole(PolicyDigest),
    /// The twelve hexadecimal digits that people are shown.
    Short(String),
}

impl Bytes {
    /// Are these the bytes that are meant?
    pub fn are(&self, digest: PolicyDigest) -> bool {
        match self {
            Self::Whole(whole) => *whole == digest,
            Self::Short(short) => *short == digest.short(),
        }
    }
}

fn bytes(raw: &str) -> Result<Bytes, String> {
    let is_short = raw.len() == 12 && raw.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_short {
        return Ok(Bytes::Short(raw.to_owned()));
    }
    let whole = PolicyDigest::parse(raw).map(Bytes::Whole);
    whole.ok_or_else(|| "write the twelve digits of a preview, or sha256: and all 64".to_owned())
}

fn covers(raw: &str) -> Result<Covers, String> {
    Covers::parse(raw).ok_or_else(|| "write soak, coverage or order".to_owned())
}

fn workload(raw: &str) -> Result<Workload, String> {
    let parts = raw.split_once('/').filter(|(kind, name)| !kind.is_empty() && !name.is_empty());
    let (kind, name) = parts.ok_or_else(|| "write its kind and name, such as Deployment/cart".to_owned())?;
    Ok(Workload::new(kind, name))
}

/// One port. ICMP has none: 0 stands for it.
fn port(raw: &str) -> Result<(Protocol, u16), String> {
    const NEXT: &str = "write protocol and port as the denial has them, such as TCP/443";
    let (protocol, port) = raw.split_once('/').ok_or(NEXT)?;
    let protocol = Protocol::parse(protocol).ok_or(NEXT)?;
    Ok((protocol, port.parse().map_err(|_| NEXT)?))
}
