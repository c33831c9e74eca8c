//! The fleet as `sluice status` prints it: JSON for scripts, text for people, both from the rows of
//! the screen (law 10). Unknown is `null` in JSON and `?` in text, never zero.

use chrono::FixedOffset;
use serde::Serialize;

use super::{
    monthly::{DocumentOut, out as documents},
    shadow::ShadowOut,
    soak::SoakOut,
    table::Table,
    wire::{IsolationOut, SourceOut, TroubleOut, rate, source_line, time},
};
use crate::{
    cockpit::{
        discovery::{CollectionRow, CollectorRow, Progress, WANTED},
        monthly,
        rows::{self, ClusterRow, NamespaceRow, RolloutRow, Standing},
        world::World,
    },
    domain::{
        fleet::{Enforcement, Environment},
        flow::Direction,
        names::plural,
        time::{Timestamp, age, span},
    },
};

#[derive(Debug, Serialize)]
struct StatusOut {
    at: String,
    /// Path of sluice.yaml; `null`: the kubeconfig's contexts stand in, nothing can be applied.
    workspace: Option<String>,
    read_only: bool,
    clusters: Vec<ClusterOut>,
    notices: Vec<NoticeOut>,
    /// Discovery documents that are due for their monthly review, or need somebody; `null`: not read.
    documents: Option<Vec<DocumentOut>>,
}

#[derive(Debug, Serialize)]
struct NoticeOut {
    at: Option<String>,
    #[serde(flatten)]
    trouble: TroubleOut,
}

#[derive(Debug, Serialize)]
struct ClusterOut {
    name: String,
    context: String,
    environment: &'static str,
    health: HealthOut,
    /// Age of the last good answer.
    age_seconds: Option<i64>,
    uid: Option<String>,
    version: Option<String>,
    cni: CniOut,
    user: Option<String>,
    may: Vec<&'static str>,
    denials_per_minute: Option<f64>,
    source: SourceOut,
    collector: CollectorOut,
    /// `false`: namespaces were not listed yet, so an empty list says nothing.
    namespaces_listed: bool,
    namespaces: Vec<NamespaceOut>,
}

/// What collects the week's evidence, and how far it is.
#[derive(Debug, Serialize)]
struct CollectorOut {
    /// `unknown`, `none`, `connecting`, `live`, `broken`.
    link: &'static str,
    reason: Option<String>,
    /// Age of what it told last.
    age_seconds: Option<i64>,
    version: Option<String>,
    window: Option<WindowOut>,
    /// Of the namespace that is furthest behind.
    progress: ProgressOut,
    namespaces_ready: Option<usize>,
    namespaces_judged: Option<usize>,
    sources: Vec<String>,
    troubles: Vec<String>,
}

#[derive(Debug, Serialize)]
struct WindowOut {
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
struct ProgressOut {
    /// `unknown`, `no collector`, `collecting`, `blocked`, `ready`.
    state: &'static str,
    /// Proved hours of the node with the least; `null` where they are not known.
    credited_hours: Option<i64>,
    wanted_hours: i64,
    /// As the screen says it.
    words: String,
}

/// How far a namespace's evidence is.
#[derive(Debug, Serialize)]
struct CollectionOut {
    #[serde(flatten)]
    progress: ProgressOut,
    /// Why it is not ready, every reason.
    why: Vec<String>,
    /// The same for ingress; what stands beside it is for egress.
    ingress: CallersOut,
    edges: Option<u64>,
    /// `null`: its edges were not read in this run.
    destinations: Option<usize>,
    suspects: Option<usize>,
}

#[derive(Debug, Serialize)]
struct CallersOut {
    #[serde(flatten)]
    progress: ProgressOut,
    why: Vec<String>,
}

#[derive(Debug, Serialize)]
struct HealthOut {
    state: &'static str,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct CniOut {
    name: String,
    /// `enforces`, `does not enforce`, `unknown`.
    enforcement: &'static str,
    evidence: Option<String>,
}

#[derive(Debug, Serialize)]
struct NamespaceOut {
    name: String,
    pods: Option<usize>,
    owner: Option<String>,
    contact: Option<String>,
    excluded: bool,
    terminating: bool,
    collection: CollectionOut,
    egress: RolloutOut,
    ingress: RolloutOut,
}

#[derive(Debug, Serialize)]
struct RolloutOut {
    phase: &'static str,
    /// `-`, `accepted`, `in force`.
    standing: &'static str,
    policies: Vec<PolicyOut>,
    foreign_policies: usize,
    isolation: Option<IsolationOut>,
    denials_per_minute: Option<f64>,
    order: Option<u64>,
    drift: Vec<String>,
    /// `null`: the set is not live and closed.
    soak: Option<SoakOut>,
    /// What is only staged of it; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowOut>,
}

#[derive(Debug, Serialize)]
struct PolicyOut {
    name: &'static str,
    live: bool,
}

/// The status document as JSON, with a newline at its end.
pub fn json(world: &World) -> String {
    let out = StatusOut {
        at: time(world.now()),
        workspace: world.plan().path.as_ref().map(ToString::to_string),
        read_only: world.is_read_only(),
        clusters: rows::clusters(world).map(|row| cluster_out(world, &row)).collect(),
        notices: rows::notices(world)
            .iter()
            .map(|(at, trouble)| NoticeOut { at: at.map(time), trouble: trouble.into() })
            .collect(),
        documents: monthly::due(world).as_deref().map(documents),
    };
    super::wire::pretty(&out)
}

fn cluster_out(world: &World, row: &ClusterRow) -> ClusterOut {
    ClusterOut {
        name: row.name.to_string(),
        context: row.context.to_string(),
        environment: row.environment.as_str(),
        health: HealthOut { state: row.health.word(), reason: row.health.reason().map(ToString::to_string) },
        age_seconds: row.last_good.map(|at| age(at, world.now()).num_seconds()),
        uid: row.uid.as_ref().map(ToString::to_string),
        version: row.version.as_ref().map(ToString::to_string),
        cni: CniOut {
            name: row.cni.words.to_string(),
            enforcement: enforcement(row.cni.enforcement),
            evidence: row.cni.evidence.as_ref().map(ToString::to_string),
        },
        user: row.user.as_ref().map(ToString::to_string),
        may: row.may.clone(),
        denials_per_minute: row.denials_per_minute.map(rate),
        source: (&row.source).into(),
        collector: collector_out(world, &row.collector),
        namespaces_listed: row.namespaces.is_some(),
        namespaces: namespaces(world, row).iter().map(|ns| namespace_out(ns, world.now())).collect(),
    }
}

fn collector_out(world: &World, row: &CollectorRow) -> CollectorOut {
    CollectorOut {
        link: row.link,
        reason: row.reason.as_ref().map(ToString::to_string),
        age_seconds: row.at.map(|at| age(at, world.now()).num_seconds()),
        version: row.version.as_ref().map(ToString::to_string),
        window: row.window.map(|window| WindowOut { from: time(window.from), to: time(window.to) }),
        progress: progress_out(row.progress),
        namespaces_ready: row.ready.map(|(ready, _)| ready),
        namespaces_judged: row.ready.map(|(_, all)| all),
        sources: row.sources.iter().map(ToString::to_string).collect(),
        troubles: row.troubles.iter().map(ToString::to_string).collect(),
    }
}

fn progress_out(progress: Progress) -> ProgressOut {
    let state = match progress {
        Progress::Unknown => "unknown",
        Progress::NoCollector => "no collector",
        Progress::Collecting { .. } => "collecting",
        Progress::Blocked { .. } => "blocked",
        Progress::Ready { .. } => "ready",
    };
    let credited_hours = progress.credited().map(|credited| credited.num_hours());
    ProgressOut { state, credited_hours, wanted_hours: WANTED.num_hours(), words: progress.words() }
}

fn collection_out(row: &CollectionRow) -> CollectionOut {
    CollectionOut {
        progress: progress_out(row.progress),
        why: row.why.iter().map(ToString::to_string).collect(),
        ingress: CallersOut {
            progress: progress_out(row.ingress),
            why: row.ingress_why.iter().map(ToString::to_string).collect(),
        },
        edges: row.edges,
        destinations: row.destinations,
        suspects: row.suspects,
    }
}

fn namespaces(world: &World, row: &ClusterRow) -> Vec<NamespaceRow> {
    world.cluster(&row.name).map_or_else(Vec::new, |cluster| rows::namespaces(world, cluster).collect())
}

fn namespace_out(row: &NamespaceRow, now: Timestamp) -> NamespaceOut {
    NamespaceOut {
        name: row.name.to_string(),
        pods: row.pods,
        owner: row.owner.as_ref().map(ToString::to_string),
        contact: row.contact.as_ref().map(ToString::to_string),
        excluded: row.excluded,
        terminating: row.terminating,
        collection: collection_out(&row.collection),
        egress: rollout_out(&row.egress, now),
        ingress: rollout_out(&row.ingress, now),
    }
}

fn rollout_out(row: &RolloutRow, now: Timestamp) -> RolloutOut {
    RolloutOut {
        phase: row.phase.as_str(),
        standing: row.standing.as_str(),
        policies: row.policies.iter().map(|(name, live)| PolicyOut { name, live: *live }).collect(),
        foreign_policies: row.foreign,
        isolation: row.isolation.as_ref().map(Into::into),
        denials_per_minute: row.denials_per_minute.map(rate),
        order: row.order.map(|id| id.0),
        drift: row.drift.iter().map(ToString::to_string).collect(),
        soak: row.soak.as_deref().map(Into::into),
        shadow: row.shadow.as_ref().map(|shadow| ShadowOut::of(shadow, now)),
    }
}

fn enforcement(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Enforces => "enforces",
        Enforcement::DoesNot => "does not enforce",
        Enforcement::Audits => "only audits",
        Enforcement::Unknown => "unknown",
    }
}

/// The status for people: a paragraph a cluster, a line a namespace.
pub fn text(world: &World) -> String {
    let mut out = String::new();
    for row in rows::clusters(world) {
        out.push_str(&cluster_text(world, &row));
        out.push('\n');
    }
    for (_, trouble) in rows::notices(world) {
        out.push_str(&format!("note: {trouble}\n"));
    }
    let due = monthly::due(world);
    if due.is_none() {
        out.push_str("documents: not read yet, so which are due is not known\n");
    }
    let (rows, unwritten) = monthly::folded(due.unwrap_or_default());
    for row in &rows {
        out.push_str(&format!("document: {}\n", monthly::line(row, world.now())));
    }
    if let Some(one) = &unwritten {
        out.push_str(&format!("document: {}\n", one.line()));
    }
    out
}

fn cluster_text(world: &World, row: &ClusterRow) -> String {
    let answered = row
        .last_good
        .map_or("never answered".to_owned(), |at| format!("answered {} ago", span(age(at, world.now()))));
    let reason = row.health.reason().map_or(String::new(), |reason| format!(": {reason}"));
    let environment = match row.environment {
        Environment::Unknown => "environment unknown",
        Environment::Staging | Environment::Production => row.environment.as_str(),
    };
    let mut out = format!("{}  {environment}  {}, {answered}{reason}\n", row.name, row.health.word());
    let user = row.user.as_ref().map_or("unknown".to_owned(), ToString::to_string);
    let may = if row.may.is_empty() { "nothing known".to_owned() } else { row.may.join(", ") };
    out.push_str(&format!(
        "  CNI {}: {}; user {user} may: {may}\n",
        row.cni.words,
        enforcement(row.cni.enforcement)
    ));
    out.push_str(&format!("  flows: {}\n", source_line(&row.source, world.now(), world.zone())));
    out.push_str(&format!("  collector: {}\n", collector_text(world, &row.collector)));
    if row.namespaces.is_none() {
        out.push_str("  namespaces: unknown\n");
        return out;
    }
    let mut table = Table::new(&[
        "NAMESPACE",
        "PODS",
        "WEEK SEEN",
        "EGRESS",
        "DENIED/MIN",
        "INGRESS",
        "DENIED/MIN",
        "OWNER",
        "NOTE",
    ]);
    for ns in namespaces(world, row) {
        let cell = |direction| rollout_cell(ns.rollout(direction));
        let rate = |direction| denied_cell(ns.rollout(direction).denials_per_minute);
        table.row([
            ns.name.to_string(),
            ns.pods.map_or("?".to_owned(), |pods| pods.to_string()),
            ns.collection.progress.words(),
            cell(Direction::Egress),
            rate(Direction::Egress),
            cell(Direction::Ingress),
            rate(Direction::Ingress),
            ns.owner.as_ref().map_or("-".to_owned(), ToString::to_string),
            note_cell(&ns, world.now(), world.zone()),
        ]);
    }
    out.push_str(&table.text("  "));
    out
}

fn collector_text(world: &World, row: &CollectorRow) -> String {
    let mut parts = vec![match &row.reason {
        Some(reason) => format!("{}: {reason}", row.link),
        None => row.link.to_owned(),
    }];
    if let Some(at) = row.at {
        parts.push(format!("told {} ago", span(age(at, world.now()))));
    }
    if let Some((ready, all)) = row.ready {
        let behind = format!(", furthest behind {}", row.progress.words());
        let behind = if ready == all { "" } else { &behind };
        parts.push(format!("{ready} of {} ready{behind}", plural(all, "namespace")));
    }
    parts.extend(row.sources.iter().chain(&row.troubles).map(ToString::to_string));
    parts.join(", ")
}

fn rollout_cell(row: &RolloutRow) -> String {
    let isolated = row.isolation.as_ref().filter(|isolation| isolation.isolated > 0);
    let isolated = isolated.map_or(String::new(), |i| format!(" {}/{} isolated", i.isolated, i.pods));
    let clock = row.soak.as_deref().map_or(String::new(), |soak| format!(" {}", soak.judged.words()));
    match row.standing {
        Standing::None => format!("{}{isolated}", row.phase.as_str()),
        standing => format!("{}{clock} ({}){isolated}", row.phase.as_str(), standing.words()),
    }
}

fn denied_cell(per_minute: Option<f64>) -> String {
    per_minute.map_or("?".to_owned(), |rate| if rate == 0.0 { "0".to_owned() } else { format!("{rate:.1}") })
}

fn note_cell(ns: &NamespaceRow, now: Timestamp, zone: FixedOffset) -> String {
    let mut notes: Vec<String> = Vec::new();
    if ns.terminating {
        notes.push("being deleted".to_owned());
    }
    for direction in Direction::ALL {
        let row = ns.rollout(direction);
        notes.extend(row.drift.iter().map(ToString::to_string));
        notes.extend(row.shadow.iter().map(|shadow| format!("{direction} {}", shadow.words(now, zone))));
    }
    notes.join("; ")
}
