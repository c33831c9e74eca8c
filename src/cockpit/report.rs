//! The evidence of one rollout in one value, to be handed over: what soaked where and how long, what was
//! denied and who decided on it, who watched, and what all of it does not prove. Pure.

use std::collections::BTreeSet;

use crate::domain::{
    fleet::{Environment, Presence},
    gate::Gated,
    grant::{Decision, Grant, Standing},
    hold::{Override, Waiver},
    journal::Entry,
    names::{Text, plural},
    rollout::{Applied, Kept, Target},
    soak::{Judged, hours},
    time::Timestamp,
};

use super::{
    gate,
    ports::Gap,
    recording, rows,
    shadow::{self, Shadow},
    shared::Observer,
    soaks::SoakRow,
    world::World,
};

#[derive(Clone, Debug, PartialEq)]
pub struct SoakReport {
    pub target: Target,
    pub at: Timestamp,
    pub environment: Environment,
    /// UID of the cluster's kube-system namespace.
    pub uid: Option<Text>,
    /// Full digest of what is live; `None`: it is not live and closed, or not read.
    pub digest: Option<Text>,
    pub standing: rows::Standing,
    /// The clock; `None`: the set is not live and closed here.
    pub soak: Option<SoakRow>,
    /// What is only staged of it; no part of the evidence.
    pub shadow: Option<Shadow>,
    /// What the team recorded; `None`: nothing, or the state cluster is not read.
    pub record: Option<Recorded>,
    pub grants: Vec<GrantUsed>,
    /// Live and flagged, and no grant covers it.
    pub ungranted: Vec<Gated>,
    pub waivers: Vec<Kept<Waiver>>,
    pub overrides: Vec<Kept<Override>>,
    pub watched: Watched,
    /// Newest last.
    pub acts: Vec<Entry>,
    /// Sentences; never empty.
    pub limits: Vec<Text>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub wave: Option<u32>,
    pub applied: Option<Applied>,
    pub overridden: bool,
    /// It is not as it was applied.
    pub drift: Vec<Text>,
}

/// A grant that a live policy needs.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantUsed {
    pub review: Text,
    pub grant: Grant,
    pub standing: Standing,
    pub decision: Option<Decision>,
    pub requested_by: Text,
}

/// Who watched, and what is known to be lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    pub observer: Option<Observer>,
    pub source: Text,
    /// Gaps that the source told, newest last.
    pub gaps: Vec<Gap>,
    pub lost: u64,
}

/// `None`: the fleet has no such namespace.
pub fn soak_report(world: &World, target: &Target) -> Option<SoakReport> {
    let cluster = world.cluster(&target.cluster)?;
    let ns = cluster.namespaces.get(&target.ns)?;
    let shared = world.shared();
    let soak = world.soaks().row(target, world);
    let is_tight = cluster.is_complete() && ns.presence(target.direction) == Presence::Tight;
    let record = shared.record(target).map(|kept| Recorded {
        wave: kept.value.wave,
        applied: kept.value.applied.clone(),
        overridden: kept.value.overridden,
        drift: world.incidents().of(target).iter().map(|incident| Text::from(incident.words())).collect(),
    });
    let (grants, ungranted) = grants(world, target);
    let waivers = shared.waivers().filter(|kept| kept.value.target == *target).cloned().collect();
    let overrides = shared.overrides().filter(|kept| kept.value.target == *target).cloned().collect();
    let source = world.source(&target.cluster);
    let acts = shared.journal().map(|kept| &kept.value).filter(|entry| recording::concerns(entry, target));
    let mut report = SoakReport {
        target: target.clone(),
        at: shared.now(world.now()).unwrap_or(world.now()),
        environment: cluster.environment,
        uid: cluster.uid.clone(),
        digest: is_tight.then(|| Text::from(cluster.digest(ns, target.direction).to_string())),
        standing: rows::rollout_row(world, cluster, ns, target.direction).standing,
        soak,
        shadow: shadow::of(world, target),
        record,
        grants,
        ungranted,
        waivers,
        overrides,
        watched: Watched {
            observer: shared.observer(&target.cluster).cloned(),
            source: rows::source_of(world, cluster).name,
            gaps: source.map(|source| source.gaps.iter().cloned().collect()).unwrap_or_default(),
            lost: source.map_or(0, |source| source.lost),
        },
        acts: acts.cloned().collect(),
        limits: Vec::new(),
    };
    report.limits = limits(world, &report);
    Some(report)
}

fn grants(world: &World, target: &Target) -> (Vec<GrantUsed>, Vec<Gated>) {
    let Some(gate) = gate::live(world, target) else { return (Vec::new(), Vec::new()) };
    let reviews: BTreeSet<_> = gate.openings.iter().filter_map(|one| one.cover.review().cloned()).collect();
    let uid = world.cluster(&target.cluster).and_then(|cluster| cluster.uid.clone()).unwrap_or_default();
    let (now, people) = (gate::time(world), &world.plan().settings.people);
    let used = reviews.iter().filter_map(|name| world.shared().review(name)).map(|kept| GrantUsed {
        review: kept.name.clone(),
        grant: kept.value.grant.clone(),
        standing: kept.value.standing(&uid, now, people),
        decision: kept.value.decided(&uid).cloned(),
        requested_by: kept.value.requested_by.clone(),
    });
    let used = used.collect();
    let ungranted = gate::incidents_of(world, target).into_iter().map(|incident| incident.opening);
    (used, ungranted.collect())
}

/// What a reader might believe and must not.
fn limits(world: &World, report: &SoakReport) -> Vec<Text> {
    let mut out = vec![
        "It is for these bytes on this cluster only: another digest, another cluster UID, CNI or DNS path \
         starts anew."
            .to_owned(),
        "Only what ran was judged. A path that no workload took since then may be denied when it is first \
         taken."
            .to_owned(),
    ];
    match &report.soak {
        None => out.push(
            "No soak runs here: the set is not live and closed, or the cluster has not been read.".to_owned(),
        ),
        Some(row) => soak_limits(row, &mut out),
    }
    if !world.shared().is_live() {
        out.push(
            "The state cluster was not read: records, decisions, waivers and what others observed may be \
             missing."
                .to_owned(),
        );
    }
    if report.record.as_ref().is_some_and(|record| record.overridden) {
        out.push("A gate was overridden for this rollout once; the journal says which.".to_owned());
    }
    if !report.watched.gaps.is_empty() {
        let (gaps, lost) = (report.watched.gaps.len(), report.watched.lost);
        let gaps = plural(gaps, "gap");
        out.push(format!(
            "The source told of {gaps} with at least {lost} lost events; what was in them is not known."
        ));
    }
    out.into_iter().map(Text::from).collect()
}

fn soak_limits(row: &SoakRow, out: &mut Vec<String>) {
    let judged = &row.judged;
    let unobserved = judged.wall - judged.credited - judged.lapsed - judged.idle - judged.pending;
    if unobserved > 0 {
        out.push(format!("{} of its time were not observed; nothing is known of them.", hours(unobserved)));
    }
    let missing = weekdays_missing(judged);
    if !missing.is_empty() {
        out.push(format!(
            "Nothing was credited on {}: what runs only then was not judged.",
            missing.join(", ")
        ));
    }
    if judged.in_force < judged.nodes {
        let accepted = judged.nodes - judged.in_force;
        out.push(format!(
            "On {accepted} of {} nodes the policy is accepted by the API server and was not seen in force.",
            judged.nodes
        ));
    }
    if judged.proved < judged.nodes {
        let unproved = judged.nodes - judged.proved;
        out.push(format!("On {unproved} of {} nodes no probe proved that it denies.", judged.nodes));
    }
    match row.exercised {
        None => {
            out.push("The recorded week is not read here: how much of it ran again is not known.".to_owned());
        }
        Some((again, of)) if again < of => out.push(format!(
            "{} of {of} destinations of the recorded week were not seen again since the apply.",
            of - again
        )),
        Some(_) => {}
    }
    if !row.unseen.is_empty() {
        let mut words = row.old_words();
        words[..1].make_ascii_uppercase();
        out.push(format!("{words}."));
    }
    if !judged.expected.is_empty() {
        let groups = match judged.expected.len() {
            1 => "1 group of denials is".to_owned(),
            more => format!("{more} groups of denials are"),
        };
        out.push(format!("{groups} expected by a waiver or a rejection, and denied all the same."));
    }
}

/// Days of the week without a credited minute.
pub fn weekdays_missing(judged: &Judged) -> Vec<&'static str> {
    let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    names
        .into_iter()
        .zip(judged.weekdays())
        .filter(|(_, minutes)| *minutes == 0)
        .map(|(name, _)| name)
        .collect()
}
