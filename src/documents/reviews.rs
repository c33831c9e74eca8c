//! Reviews as `sluice review` prints them, in JSON and text, from the rows of the screen (law 10):
//! the queue, one dossier, and what asking or deciding came to.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    table::Table,
    wire::{RefusalOut, TargetOut, TroubleOut, pretty, refusal_text, time},
};
use crate::{
    cockpit::{
        decide::Refusal,
        ports::Trouble,
        reviews::{ClusterRow, Dossier, OpensRow, Queue, ReviewRow, SeenRow},
        world::World,
    },
    domain::{
        gate::clock,
        grant::{Decision, Grant, Opening, Standing},
        names::{ClusterName, Text},
        time::Timestamp,
    },
};

#[derive(Debug, Serialize)]
struct ReviewOut {
    name: String,
    version: String,
    created: String,
    /// `open`, `expiring`, `decided`.
    queue: &'static str,
    requested_by: String,
    grant: GrantOut,
    purpose: String,
    findings: Vec<String>,
    clusters: Vec<StandingOut>,
}

#[derive(Debug, Serialize)]
struct GrantOut {
    clusters: Vec<String>,
    namespace: String,
    /// As kubectl's `-l` takes it; empty: all pods.
    selector: String,
    direction: &'static str,
    /// A name or a pattern, else `null`.
    name: Option<String>,
    networks: Vec<String>,
    ports: Vec<String>,
    expires: String,
}

#[derive(Debug, Serialize)]
struct StandingOut {
    uid: String,
    /// `null`: no cluster of the fleet says that it is the one.
    name: Option<String>,
    /// `open`, `approved`, `rejected`, `revoked`, `expired`, `self-approved`, `time-unknown`.
    standing: &'static str,
    until: Option<String>,
}

#[derive(Debug, Serialize)]
struct DossierOut {
    #[serde(flatten)]
    review: ReviewOut,
    /// `null`: no edges of it were read.
    seen: Option<SeenOut>,
    opens: Vec<OpensOut>,
    usage: UsageOut,
    decisions: Vec<DecisionOut>,
    may_not_decide: Vec<String>,
    /// Why you may not decide; empty: you may.
    against_you: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SeenOut {
    names: Vec<String>,
    addresses: Vec<String>,
    who: Vec<WhoOut>,
}

#[derive(Debug, Serialize)]
struct WhoOut {
    cluster: String,
    workload: String,
    port: String,
    flows: u64,
    first: String,
    last: String,
}

#[derive(Debug, Serialize)]
struct OpensOut {
    target: TargetOut,
    policy: String,
    rule: u32,
    what: String,
    ports: String,
    pods: String,
    /// What the gate says of it now.
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct UsageOut {
    /// `null`: not all pods are read.
    workloads: Option<Vec<String>>,
    /// `null`: not all edges are read.
    flows_a_day: Option<f64>,
    rollouts: Vec<TargetOut>,
}

#[derive(Debug, Serialize)]
struct DecisionOut {
    verdict: &'static str,
    by: String,
    at: String,
    reason: String,
    ticket: Option<String>,
    clusters: Vec<String>,
    expires: Option<String>,
}

/// What asking or deciding came to.
#[derive(Debug)]
pub struct Report<'w> {
    pub command: &'static str,
    /// The word of the exit code.
    pub result: &'static str,
    pub dry_run: bool,
    pub reviews: Vec<ReviewRow>,
    pub grants: Vec<Grant>,
    /// Each write: what it was, and what went wrong.
    pub written: Vec<(Text, Option<&'w Trouble>)>,
    pub refusals: Vec<Refusal>,
    pub troubles: Vec<Trouble>,
}

#[derive(Debug, Serialize)]
struct ReportOut {
    command: &'static str,
    result: &'static str,
    dry_run: bool,
    reviews: Vec<ReviewOut>,
    grants: Vec<GrantOut>,
    written: Vec<WrittenOut>,
    refusals: Vec<RefusalOut>,
    troubles: Vec<TroubleOut>,
}

#[derive(Debug, Serialize)]
struct WrittenOut {
    what: String,
    /// `null`: it was taken.
    trouble: Option<TroubleOut>,
}

pub fn list_json(rows: &[ReviewRow]) -> String {
    pretty(&rows.iter().map(review_out).collect::<Vec<_>>())
}

pub fn show_json(dossier: &Dossier) -> String {
    let texts = |texts: &[Text]| texts.iter().map(ToString::to_string).collect();
    let usage = &dossier.usage;
    pretty(&DossierOut {
        review: review_out(&dossier.row),
        seen: dossier.seen.as_ref().map(seen_out),
        opens: dossier.opens.iter().map(opens_out).collect(),
        usage: UsageOut {
            workloads: usage
                .workloads
                .as_ref()
                .map(|all| all.iter().map(|(c, w)| format!("{c}: {w}")).collect()),
            flows_a_day: usage.flows_a_day.map(|flows| (flows * 10.0).round() / 10.0),
            rollouts: usage.rollouts.iter().map(Into::into).collect(),
        },
        decisions: dossier.decisions.iter().map(decision_out).collect(),
        may_not_decide: texts(&dossier.not_by),
        against_you: dossier.against_you.iter().map(ToString::to_string).collect(),
    })
}

pub fn report_json(report: &Report<'_>) -> String {
    let written = |(what, trouble): &(Text, Option<&Trouble>)| WrittenOut {
        what: what.to_string(),
        trouble: trouble.map(Into::into),
    };
    pretty(&ReportOut {
        command: report.command,
        result: report.result,
        dry_run: report.dry_run,
        reviews: report.reviews.iter().map(review_out).collect(),
        grants: report.grants.iter().map(grant_out).collect(),
        written: report.written.iter().map(written).collect(),
        refusals: report.refusals.iter().map(Into::into).collect(),
        troubles: report.troubles.iter().map(Into::into).collect(),
    })
}

fn review_out(row: &ReviewRow) -> ReviewOut {
    ReviewOut {
        name: row.name.to_string(),
        version: row.version.to_string(),
        created: time(row.created),
        queue: row.queue.as_str(),
        requested_by: row.requested_by.to_string(),
        grant: grant_out(&row.grant),
        purpose: row.purpose.to_string(),
        findings: row.findings.iter().map(ToString::to_string).collect(),
        clusters: row.clusters.iter().map(standing_out).collect(),
    }
}

fn grant_out(grant: &Grant) -> GrantOut {
    let (name, networks) = match &grant.destination {
        Opening::Name(name) => (Some(name.to_string()), Vec::new()),
        Opening::Networks(networks) => (None, networks.iter().map(ToString::to_string).collect()),
    };
    GrantOut {
        clusters: grant.clusters.iter().map(ToString::to_string).collect(),
        namespace: grant.ns.to_string(),
        selector: if grant.selector.is_everything() { String::new() } else { grant.selector.to_string() },
        direction: grant.direction.as_str(),
        name,
        networks,
        ports: grant.ports.iter().map(ToString::to_string).collect(),
        expires: time(grant.expires),
    }
}

fn standing_out(row: &ClusterRow) -> StandingOut {
    StandingOut {
        uid: row.uid.to_string(),
        name: row.name.as_ref().map(ToString::to_string),
        standing: row.standing.as_str(),
        until: until(&row.standing).map(time),
    }
}

fn until(standing: &Standing) -> Option<Timestamp> {
    match standing {
        Standing::Approved { until } | Standing::Expired(until) => Some(*until),
        Standing::Open
        | Standing::Rejected(_)
        | Standing::Revoked(_)
        | Standing::SelfApproved(_)
        | Standing::OtherCluster
        | Standing::TimeUnknown => None,
    }
}

fn seen_out(seen: &SeenRow) -> SeenOut {
    SeenOut {
        names: seen.names.iter().map(ToString::to_string).collect(),
        addresses: seen.addresses.iter().map(ToString::to_string).collect(),
        who: seen
            .who
            .iter()
            .map(|who| WhoOut {
                cluster: who.cluster.to_string(),
                workload: who.workload.to_string(),
                port: who.port.to_string(),
                flows: who.flows,
                first: time(who.first),
                last: time(who.last),
            })
            .collect(),
    }
}

fn opens_out(row: &OpensRow) -> OpensOut {
    OpensOut {
        target: (&row.target).into(),
        policy: row.policy.to_string(),
        rule: row.opened.rule,
        what: row.opened.what.to_string(),
        ports: row.opened.ports.to_string(),
        pods: row.opened.selector.to_string(),
        state: row.standing,
    }
}

fn decision_out(decision: &Decision) -> DecisionOut {
    DecisionOut {
        verdict: decision.verdict.as_str(),
        by: decision.stamp.by.to_string(),
        at: time(decision.stamp.at),
        reason: decision.reason.to_string(),
        ticket: decision.ticket.as_ref().map(ToString::to_string),
        clusters: decision.clusters.iter().map(ToString::to_string).collect(),
        expires: decision.expires.map(time),
    }
}

pub fn list_text(rows: &[ReviewRow]) -> String {
    if rows.is_empty() {
        return "No review.\n".to_owned();
    }
    let mut table =
        Table::new(&["REVIEW", "QUEUE", "NAMESPACE", "DESTINATION", "PORTS", "ASKED BY", "CLUSTERS"]);
    for row in rows {
        let clusters: Vec<_> = row.clusters.iter().map(standing_text).collect();
        table.row([
            row.name.to_string(),
            row.queue.as_str().to_owned(),
            format!("{} {}", row.grant.ns, row.grant.direction),
            row.grant.destination.to_string(),
            row.grant.ports().to_string(),
            row.requested_by.to_string(),
            clusters.join(", "),
        ]);
    }
    let count = |queue| rows.iter().filter(|row| row.queue == queue).count();
    let (open, expiring) = (count(Queue::Open), count(Queue::Expiring));
    format!("{}{open} to decide, {expiring} end within two weeks, {} in all\n", table.text(""), rows.len())
}

fn cluster_text(row: &ClusterRow) -> String {
    row.name.as_ref().map_or_else(|| format!("unknown cluster {}", row.uid), ClusterName::to_string)
}

fn standing_text(row: &ClusterRow) -> String {
    let end = until(&row.standing).map(|until| format!(" {}", until.date_naive())).unwrap_or_default();
    format!("{} {}{end}", cluster_text(row), row.standing.as_str())
}

/// Clusters by the names that the fleet has for them.
fn names(world: &World, uids: &BTreeSet<Text>) -> String {
    let name = |uid: &Text| {
        let known = world.clusters().find(|cluster| cluster.uid.as_ref() == Some(uid));
        known.map_or_else(|| format!("unknown cluster {uid}"), |cluster| cluster.name.to_string())
    };
    uids.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// What a grant would let pass, in one sentence.
pub fn grant_text(world: &World, grant: &Grant) -> String {
    format!(
        "{} of {} in {} to {} on {}, until {}",
        grant.selector,
        grant.ns,
        names(world, &grant.clusters),
        grant.destination,
        grant.ports(),
        clock(grant.expires)
    )
}

pub fn show_text(world: &World, dossier: &Dossier) -> String {
    let row = &dossier.row;
    let mut out = format!("{} ({})\n", row.name, row.queue.as_str());
    let mut line = |key: &str, value: &str| out.push_str(&format!("{key:<12}{value}\n"));
    line("asks for", &grant_text(world, &row.grant));
    line("asked by", &format!("{} at {}", row.requested_by, clock(row.created)));
    line("purpose", row.purpose.as_str());
    row.findings.iter().for_each(|finding| line("flagged", finding.as_str()));
    row.clusters.iter().for_each(|cluster| line("stands", &standing_text(cluster)));
    match &dossier.seen {
        None => line("seen", "unknown: no edges of it were read"),
        Some(seen) => seen_lines(seen, &mut line),
    }
    if dossier.opens.is_empty() {
        line("would open", "no rule of the workspace's policies");
    }
    for OpensRow { target, policy, opened, standing } in &dossier.opens {
        let (rule, what, ports) = (opened.rule, &opened.what, &opened.ports);
        line(
            "would open",
            &format!("{target}: {policy} rule {rule}, {what} on {ports} to {} ({standing})", opened.selector),
        );
    }
    usage_lines(dossier, &mut line);
    for decision in &dossier.decisions {
        line("decided", &decision_text(world, decision));
    }
    let not_by: Vec<_> = dossier.not_by.iter().map(Text::as_str).collect();
    line("not by", &not_by.join(", "));
    if dossier.against_you.is_empty() {
        line("you", "may decide");
    }
    dossier.against_you.iter().for_each(|reason| line("you", &reason.to_string()));
    out
}

fn seen_lines(seen: &SeenRow, line: &mut impl FnMut(&str, &str)) {
    const SHOWN: usize = 8;
    let list = |all: Vec<String>| match all.len().saturating_sub(SHOWN) {
        0 => all.join(", "),
        more => format!("{} and {more} more", all[..SHOWN].join(", ")),
    };
    if seen.who.is_empty() {
        line("seen", "nobody went there");
        return;
    }
    if !seen.names.is_empty() {
        line("names", &list(seen.names.iter().map(ToString::to_string).collect()));
    }
    if !seen.addresses.is_empty() {
        line("addresses", &list(seen.addresses.iter().map(ToString::to_string).collect()));
    }
    for who in &seen.who {
        let said = format!(
            "{} {} on {}, {} flows, last {}",
            who.cluster,
            who.workload,
            who.port,
            who.flows,
            clock(who.last)
        );
        line("seen", &said);
    }
}

fn usage_lines(dossier: &Dossier, line: &mut impl FnMut(&str, &str)) {
    let usage = &dossier.usage;
    let workloads = match &usage.workloads {
        None => "workloads unknown".to_owned(),
        Some(all) => format!("{} workloads", all.len()),
    };
    let flows = match usage.flows_a_day {
        None => "flows a day unknown".to_owned(),
        Some(flows) => format!("{flows:.0} flows a day"),
    };
    let rollouts: Vec<_> = usage.rollouts.iter().map(ToString::to_string).collect();
    let used = if rollouts.is_empty() { "no rollout".to_owned() } else { rollouts.join(", ") };
    line("used by", &format!("{used}; {workloads}, {flows}"));
}

fn decision_text(world: &World, decision: &Decision) -> String {
    let clusters = names(world, &decision.clusters);
    let ticket = decision.ticket.as_ref().map(|ticket| format!(" [{ticket}]")).unwrap_or_default();
    let until = decision.expires.map(|until| format!(", until {}", clock(until))).unwrap_or_default();
    let Decision { verdict, stamp, reason, .. } = decision;
    let (verdict, by, at) = (verdict.as_str(), &stamp.by, clock(stamp.at));
    format!("{verdict} by {by} at {at} for {clusters}{until}: {reason}{ticket}")
}

pub fn report_text(report: &Report<'_>) -> String {
    let mut out = String::new();
    for (what, trouble) in &report.written {
        match trouble {
            None => out.push_str(&format!("{what}: done\n")),
            Some(trouble) => out.push_str(&format!("{what}: {trouble}\n")),
        }
    }
    report.refusals.iter().for_each(|refusal| out.push_str(&refusal_text(refusal)));
    report.troubles.iter().for_each(|trouble| out.push_str(&format!("{trouble}\n")));
    out
}
