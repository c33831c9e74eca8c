//! The command line as types. What it accepts and what `--help` says is a golden of `tests/cli`.
//! Reads no environment and no file.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    cockpit::reviews::Wanted,
    domain::{
        flow::Direction,
        grant::PortSpan,
        names::{NsName, Text},
        time::Timestamp,
    },
};

pub use super::args_collect::{Collect, DnstapDoor, FlowFile};
pub use super::args_plan::{Advance, Init, Install, Plan, Preflight};
pub use super::args_screen::Shown;
pub use super::args_team::{
    Exclude, Hold, Holding, Override, OverrideAsk, OverrideCommand, OverrideConfirm, Release, Row, Sharing,
    Waive,
};
use super::help;

/// Rolls default-deny NetworkPolicies across a fleet of Kubernetes clusters.
///
/// Without a subcommand it opens the cockpit, on the fleet of sluice.yaml (looked for in the
/// current folder and its parents) or, where there is none, on the contexts of the kubeconfig.
#[derive(Clone, Debug, Parser)]
#[command(name = "sluice", version, max_term_width = 100, after_help = super::exit::help(), after_long_help = help::main())]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    /// Begin the cockpit there, as notifications say
    #[arg(long, value_name = "CLUSTER[/NAMESPACE[/DIRECTION]]")]
    pub open: Option<String>,
    #[command(flatten)]
    pub shown: Shown,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What every way in understands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The kubeconfig to use instead of KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// Only this cluster, by its context or its name in sluice.yaml; may be repeated
    #[arg(long = "context", visible_alias = "cluster", global = true, value_name = "CONTEXT")]
    pub contexts: Vec<String>,
    /// The folder that holds sluice.yaml
    #[arg(long, global = true, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Neither apply nor roll back
    #[arg(long, global = true)]
    pub read_only: bool,
    /// The cockpit's theme, by name
    #[arg(long, global = true, value_name = "NAME")]
    pub theme: Option<String>,
    /// Draw the cockpit with ASCII characters only
    #[arg(long, global = true)]
    pub ascii: bool,
    /// Leave the mouse to the terminal
    #[arg(long, global = true)]
    pub no_mouse: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// The cockpit on a simulated fleet of 13 clusters; nothing else to install
    Demo(super::demo::Demo),
    /// Print the fleet: clusters, namespaces, policies, denials a minute
    Status(Status),
    /// Print what must hold of each cluster before anything is written there, with evidence and fix
    ///
    /// Who enforces NetworkPolicies, what is recorded and how far back, whether DNS answers are exported,
    /// what a policy would cut. Exit code 0: nothing is stopped; 3: a check fails that stops rollout or
    /// discovery; 4: none fails, but one of them is unknown; 1: no cluster could be looked at.
    Preflight(Preflight),
    /// Print denied flows and what the sources lost
    Denials(Denials),
    /// Print where the workloads of a cluster really talk, or write it for review
    ///
    /// Reads flow records and DNS answers from files, as many and as large as they are, and joins
    /// them (or asks the cluster's collector, which did): which destinations, how sure their names are,
    /// which of them an owner must look at, and what the window has not seen.
    Discover(Discover),
    /// Write the policies of namespaces from their evidence, and say what was left out and why
    ///
    /// Reads the discovery documents' edges, the reviews of the state cluster, and a few facts of the
    /// cluster itself. What a person wrote is never overwritten: rules of yours stand in
    /// egress-allowlist.extra.yaml and ingress-allowlist.extra.yaml beside the policies.
    Author(super::author::Author),
    /// Say what the policies do with a connection, which rule decided, and why it may be unknown
    ///
    /// Kubernetes' NetworkPolicies whole, at both ends, as the network plugin enforces them. Allowed,
    /// denied, or unknown where policies of other kinds or the plugin's ways may decide.
    Explain(super::explain::Explain),
    /// Say what the workspace's policies of a namespace would have denied in the recorded week
    ///
    /// Replays the edges beside the discovery document against exactly what would be applied, in
    /// place of what is live: who would lose which destination, what is unknown, which rules
    /// nothing needs, what opens and what closes.
    Predict(super::predict::Predict),
    /// Apply the workspace's policies of a namespace: previewed, confirmed, the valve closed last
    Apply(Apply),
    /// Apply all rows of the present wave that may go now, as `sluice plan` shows them
    ///
    /// Previewed, confirmed row by row, and applied one after the other; a row that is refused does not
    /// keep the others from going. --context only says which clusters' rows are meant. Exit code 0: all
    /// of them are live, or no row is left; 3: rows wait and none may go, with every reason; 4: some are
    /// live, others not.
    Advance(Advance),
    /// Apply the newest bytes of a namespace that soaked clean; they soak anew
    Revert(Revert),
    /// Take our policies of a namespace back: the valve opened first
    ///
    /// Needs the cluster's API server and nothing else: no sluice.yaml, no relay, no other cluster.
    Rollback(Rollback),
    /// Ask security for flagged destinations, decide on them, and see who uses what was granted
    Review(Review),
    /// Print what may be applied today, and for all the rest why not and who can clear it
    ///
    /// Waves are always those of the whole fleet; --context only says which rows are printed. Exit code
    /// 0: something may go, or nothing is left to do; 3: rows wait and none may go; 4: some clusters were
    /// not read, so rows may be missing.
    Plan(Plan),
    /// Let nothing of a row, a namespace, a cluster or the fleet advance until it is released
    ///
    /// Rollback and abort work all the same. Written to the state cluster, with your name by its API
    /// server.
    Hold(Hold),
    /// Take a row, a namespace or a cluster out of its wave for a while: the wave goes on without it
    Exclude(Exclude),
    /// End a hold or an exclusion, by its name
    Release(Release),
    /// Take something upon yourself until a day: the soak no longer waits for exactly that
    ///
    /// A denial, a CronJob that did not run, a workload without evidence, silence. Nothing is opened:
    /// what is denied stays denied. Listed among the open ends with your name until it ends.
    Waive(Waive),
    /// Go on without soak, coverage or order: one person asks, another confirms
    Override(Override),
    /// Write a first sluice.yaml from the kubeconfig's contexts; never overwrites one
    Init(Init),
    /// Gather a cluster's flows and DNS answers into edges, for days, and serve them read-only
    ///
    /// Runs in or near one cluster: around this pod, or by the kubeconfig's current context or
    /// --context. It goes on where it stopped, and the cockpit finds it by its pod's label.
    Collect(Collect),
    /// Observe all clusters without a screen: hold their Leases, write the soak's evidence
    ///
    /// Runs beside the state cluster or anywhere that reaches all clusters, for weeks. While it runs,
    /// cockpits leave the observing to it. Ends on SIGTERM after a last write.
    Watch(Watch),
    /// Put into the state cluster what the team's shared state needs; again: upgrade it
    ///
    /// Definitions, admission policies and roles, shown before they are written. Who gets which role
    /// is yours to bind: what is missing is printed.
    Install(Install),
    /// Print what can be handed over: soak report, shift handover, open ends, timeline, journal
    Report(super::report::args::Report),
    /// Assert every default deny that must be there by now: Kyverno policies, and the check itself
    Kyverno(super::kyverno::Kyverno),
    /// Print which discovery documents are due, what changed since, and write them anew
    Documents(super::documents::Documents),
    /// Print SECURITY-RUNBOOK.md, or write it: how to take a default deny back, also without sluice
    ///
    /// From sluice.yaml and the policy files; asks no cluster.
    Runbook(super::runbook::Runbook),
    /// Inside a probe's pod: dial once and say what came of it, in one word
    ///
    /// The cluster's observer starts such pods where sluice.yaml says so under `probes:`. The words:
    /// connected, refused, unreachable, silent.
    #[command(hide = true)]
    Probe(super::probe::Probe),
    /// Print a completion script for a shell
    #[command(after_long_help = help::COMPLETIONS)]
    Completions {
        /// Whose script
        shell: clap_complete::Shell,
    },
    /// Print the manual page, with every command and option
    #[command(after_long_help = help::MAN)]
    Man,
    /// Print every path that sluice reads or writes
    Info,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::STATUS)]
pub struct Status {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// How long to wait for clusters that have not answered
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub deadline: Duration,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::DENIALS)]
pub struct Denials {
    /// Print each denial as it comes, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// How long to watch; with --follow: for ever if left out
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub watch: Option<Duration>,
    /// Only this namespace; may be repeated
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = namespace)]
    pub namespaces: Vec<NsName>,
    /// Only this direction
    #[arg(long, value_parser = direction, value_name = "egress|ingress")]
    pub direction: Option<Direction>,
    /// How to print; json: one object a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = super::discover::HELP)]
pub struct Discover {
    /// Only this namespace; may be repeated
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = namespace)]
    pub namespaces: Vec<NsName>,
    /// Flow records: FORMAT:PATH, and further paths of the same format; without any, the cluster's
    /// collector is read
    #[arg(long, value_name = "FORMAT:PATH", num_args = 1.., value_parser = super::records::source)]
    pub flows: Vec<super::records::Source>,
    /// DNS answers: FORMAT:PATH, and further paths of the same format
    #[arg(long, requires = "flows", value_name = "FORMAT:PATH", num_args = 1.., value_parser = super::records::source)]
    pub dns: Vec<super::records::Source>,
    /// Only what began at or after T: RFC 3339, a date (UTC), or 7d for seven days ago
    #[arg(long, value_name = "T", value_parser = super::records::moment)]
    pub from: Option<super::records::Moment>,
    /// Only what began before T
    #[arg(long, value_name = "T", value_parser = super::records::moment)]
    pub to: Option<super::records::Moment>,
    /// How to print; json: one object a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: DiscoverFormat,
    /// Print denied attempts too, marked as such; they never count as destinations
    #[arg(long)]
    pub denied: bool,
    /// Write network-policies/discovery/NAMESPACE.md and its companion instead of printing; what
    /// people wrote into the notes is kept
    #[arg(long)]
    pub write: bool,
    /// With --write: give up edits outside the notes
    #[arg(long, requires = "write")]
    pub force: bool,
    /// How long to wait for the cluster's collector
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DiscoverFormat {
    #[default]
    Text,
    Json,
    Md,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::APPLY)]
pub struct Apply {
    /// The namespace; may be repeated, and they are applied one after the other
    #[arg(short, long = "namespace", value_name = "NAMESPACE", required = true, value_parser = namespace)]
    pub namespaces: Vec<NsName>,
    /// Which direction; may be left out where the workspace has policies of one only
    #[arg(long, value_parser = direction, value_name = "egress|ingress")]
    pub direction: Option<Direction>,
    /// For namespaces that a tool runs from git: write the files of the next safe commit to
    /// DIR/<cluster>/<namespace>/ instead of applying them
    #[arg(long, value_name = "DIR")]
    pub to_git: Option<PathBuf>,
    /// Stage the policies and enforce nothing (Calico): what they would deny is shown as `would deny`.
    /// Rollback takes them away
    #[arg(long, conflicts_with = "to_git")]
    pub shadow: bool,
    #[command(flatten)]
    pub change: Change,
}

#[derive(Clone, Debug, Args)]
pub struct Revert {
    /// The namespace; may be repeated
    #[arg(short, long = "namespace", value_name = "NAMESPACE", required = true, value_parser = namespace)]
    pub namespaces: Vec<NsName>,
    /// Which direction
    #[arg(long, value_parser = direction, value_name = "egress|ingress")]
    pub direction: Direction,
    #[command(flatten)]
    pub change: Change,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::ROLLBACK)]
pub struct Rollback {
    /// The namespace; may be repeated
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = namespace,
          required_unless_present = "all_namespaces", conflicts_with = "all_namespaces")]
    pub namespaces: Vec<NsName>,
    /// Every namespace of the cluster in which a policy of ours is live
    #[arg(long)]
    pub all_namespaces: bool,
    /// Which direction; left out: both
    #[arg(long, value_parser = direction, value_name = "egress|ingress")]
    pub direction: Option<Direction>,
    #[command(flatten)]
    pub change: Change,
}

#[derive(Clone, Debug, Args)]
pub struct Review {
    #[command(subcommand)]
    pub command: ReviewCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ReviewCommand {
    /// Print the queue: what waits for a decision, what runs out, what is decided
    List(ReviewList),
    /// Print the dossier of a review: what is known of the destination, what an approval would open
    Show(ReviewShow),
    /// Ask for flagged destinations that the workspace's policies open
    Ask(ReviewAsk),
    /// Let policies open what a review asks for, until it ends
    Approve(ReviewDecide),
    /// Turn a review down: denials of exactly that are expected from then on
    Reject(ReviewDecide),
    /// Take an approval back. Live policies stay as they are; rollouts that use it stop advancing
    Revoke(ReviewDecide),
}

#[derive(Clone, Debug, Args)]
pub struct ReviewList {
    /// Only those that wait for a decision
    #[arg(long)]
    pub open: bool,
    /// Only those of this destination: a name or a part of one, an address, a network
    #[arg(long, value_name = "WORDS")]
    pub destination: Option<String>,
    #[command(flatten)]
    pub look: Look,
}

#[derive(Clone, Debug, Args)]
pub struct ReviewShow {
    /// The review
    #[arg(value_name = "REVIEW")]
    pub name: String,
    #[command(flatten)]
    pub look: Look,
}

/// How to print, and how long to wait for it.
#[derive(Clone, Debug, Args)]
pub struct Look {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// How long to wait for the state cluster and the others
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub deadline: Duration,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::REVIEW_ASK)]
pub struct ReviewAsk {
    /// The namespace
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = namespace)]
    pub namespace: NsName,
    /// A name, a pattern, a network as the policy writes it, or `everything`; left out: every flagged
    /// destination that no grant covers
    #[arg(long, value_name = "DESTINATION", value_parser = super::review_gate::wanted)]
    pub destination: Option<Wanted>,
    /// TCP/443, UDP/8000-8010, TCP; may be repeated. Left out: as the policies open it; else no policy
    /// is needed yet, and the grant is for all pods
    #[arg(long = "port", value_name = "PROTOCOL/PORT", requires = "destination", value_parser = super::review_gate::span)]
    pub ports: Vec<PortSpan>,
    /// Why it is needed
    #[arg(long, value_name = "WORDS")]
    pub purpose: String,
    /// Only for this cluster; may be repeated. Left out: for all whose policies open it
    #[arg(long = "for", value_name = "CLUSTER")]
    pub clusters: Vec<String>,
    /// Until when: a time, a date, or 90d from now
    #[arg(long, value_name = "T", default_value = "90d", value_parser = super::review_gate::until)]
    pub expires: Until,
    #[command(flatten)]
    pub change: Change,
}

#[derive(Clone, Debug, Args)]
pub struct ReviewDecide {
    /// The reviews
    #[arg(value_name = "REVIEW", required = true)]
    pub names: Vec<String>,
    /// Why, for those who read it later
    #[arg(long, value_name = "WORDS")]
    pub reason: String,
    /// Where more is written
    #[arg(long, value_name = "TICKET")]
    pub ticket: Option<String>,
    /// Until when: a time, a date, or 30d from now. Left out: as long as was asked for
    #[arg(long, value_name = "T", value_parser = super::review_gate::until)]
    pub expires: Option<Until>,
    /// Only for this cluster; may be repeated. Left out: for all that the review names
    #[arg(long = "for", value_name = "CLUSTER")]
    pub clusters: Vec<String>,
    #[command(flatten)]
    pub change: Change,
}

/// A moment to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    At(Timestamp),
    In(Duration),
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = help::WATCH)]
pub struct Watch {
    /// How to print; json: one object a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// What apply and rollback share.
#[derive(Clone, Debug, Args)]
pub struct Change {
    /// Do not ask; needed where there is no terminal
    #[arg(short, long)]
    pub yes: bool,
    /// Show what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// How long to wait for the cluster, and then for the end of what was begun
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub deadline: Duration,
}

pub(super) fn namespace(raw: &str) -> Result<NsName, String> {
    NsName::parse(raw).map_err(|bad| bad.why.to_owned())
}

pub(super) fn direction(raw: &str) -> Result<Direction, String> {
    Direction::parse(raw).ok_or_else(|| "write egress or ingress".to_owned())
}

/// `90s`, `5m`, `1h30m`, `500ms`.
pub fn duration(raw: &str) -> Result<Duration, String> {
    const NEXT: &str = "write a duration such as 90s, 5m or 1h30m";
    let mut rest = raw;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(NEXT)?;
        let number: u64 = rest[..digits].parse().map_err(|_| NEXT)?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| at + digits);
        let millis = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(NEXT.to_owned()),
        };
        let part = number.checked_mul(millis).ok_or(NEXT)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or(NEXT)?;
        rest = &rest[unit_end..];
    }
    if total.is_zero() || total > Duration::from_secs(365 * 86_400) {
        return Err(format!("{NEXT}, above nothing and below a year (not {:?})", Text::new(raw)));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        for (raw, millis) in [("90s", 90_000), ("1h30m", 5_400_000), ("500ms", 500), ("2d", 172_800_000)] {
            assert_eq!(duration(raw), Ok(Duration::from_millis(millis)), "{raw}");
        }
        for raw in ["", "0s", "5", "s", "5x", "-5s", "5 m", "99999999999999999999s", "400d", "1h30"] {
            assert!(duration(raw).is_err(), "{raw}");
        }
    }
}
