//! A prediction as `sluice predict` and the cockpit tell it: one line for a dialog, text for a person,
//! JSON for scripts. All from the same values.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    discovery::{companion::Part, page::Evidence},
    table::Table,
};
use crate::domain::{
    coverage::Readiness,
    eval::{isolation::Isolation, verdict::Verdict},
    flow::Direction,
    names::{ClusterName, Text, plural},
    predict::{
        families::{Closing, Count},
        prediction::{Family, Hit, Prediction},
        stories::{Checked, Mark},
        words::{isolation, place, thing, unused},
    },
    readiness::CronSeen,
    time::{Timestamp, span},
};

/// A prediction, and what its evidence does not cover.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub cluster: ClusterName,
    pub prediction: Prediction,
    /// Pods that turn, by family.
    pub closing: Closing,
    pub uncovered: Vec<Text>,
}

/// Why a companion's evidence does not suffice as a whole for a direction.
pub fn doubts(part: &Part, direction: Direction) -> Vec<Text> {
    match part.evidence.readiness(direction) {
        Readiness::Ready => Vec::new(),
        Readiness::NotYet { left } => {
            vec![Text::from(format!("the recording is too short: {} is missing", span(*left)))]
        }
        Readiness::Blocked { why } => why.clone(),
    }
}

/// What it has not seen, though it may suffice.
pub fn uncovered(part: &Part) -> Vec<Text> {
    uncovered_by(&part.evidence)
}

/// The same of evidence that no document holds yet.
pub fn uncovered_by(evidence: &Evidence) -> Vec<Text> {
    let coverage = &evidence.coverage;
    let mut out: Vec<Text> = coverage.doubts.clone();
    let all = coverage.gaps.iter().map(|gap| gap.to - gap.from).fold(TimeDelta::zero(), |a, b| a + b);
    if !coverage.gaps.is_empty() {
        let many = coverage.gaps.len();
        out.push(Text::from(format!(
            "{} in which nothing was recorded, {} in all",
            plural(many, "gap"),
            span(all)
        )));
    }
    let unseen = evidence.crons.iter().flatten().filter(|cron| cron.seen != CronSeen::Ran && !cron.waived);
    out.extend(unseen.map(|cron| {
        Text::from(format!(
            "CronJob {} was not seen running, so what it needs is not recorded",
            cron.job.name
        ))
    }));
    out.extend(
        evidence
            .silent
            .iter()
            .flatten()
            .map(|workload| Text::from(format!("{} {workload} had no traffic", workload.kind))),
    );
    out.extend(evidence.remarks.iter().cloned());
    out
}

/// For a person.
pub fn text(shown: &Shown) -> String {
    let it = &shown.prediction;
    let mut out = format!("{}/{} {}: {}\n", shown.cluster, it.ns, it.direction, headline(it));
    let uid = it.bound.cluster.as_ref().map_or("unknown", |uid| uid.as_str());
    let window = it.bound.window;
    out.push_str(&format!(
        "  counts for {}, cluster UID {uid}, recorded {} to {}\n",
        it.bound.digest,
        minute(window.from),
        minute(window.to)
    ));
    hits(&mut out, "would be denied", &it.denied, false);
    hits(&mut out, "unknown", &it.unknown, true);
    list(&mut out, "why the evidence does not suffice", it.doubts.iter().map(Text::to_string));
    list(&mut out, "what the evidence has not seen", shown.uncovered.iter().map(Text::to_string));
    if it.icmp > 0 {
        let what =
            format!("{} of ICMP, which no rule names: the network plugin decides", plural(it.icmp, "edge"));
        list(&mut out, "not judged", [what]);
    }
    checks(&mut out, &it.checks);
    let headline = if it.turned.is_empty() { Vec::new() } else { shown.closing.words() };
    list(&mut out, "isolation", headline.into_iter().chain(isolation(&it.turned)));
    let changes = it
        .changes
        .iter()
        .map(|change| format!("{}: {} {} on {}", change.who, change.how.as_str(), change.what, change.ports));
    list(&mut out, "what it changes", changes);
    list(&mut out, "rules that nothing recorded needs", it.unused.iter().map(unused));
    out
}

fn headline(it: &Prediction) -> String {
    let word = thing(it);
    let of = plural(it.edges, &format!("recorded {word}"));
    match it.verdict() {
        Verdict::Denied if it.denied.is_empty() => {
            let fail = it.checks.iter().filter(|one| one.blocks() && one.mark == Mark::Fail).count();
            format!("would deny none of {of}, and {} against it", stands(fail))
        }
        Verdict::Denied => {
            let unknown =
                if it.unknown.is_empty() { String::new() } else { format!(", {} unknown", it.unknown.len()) };
            format!("would deny {} of {of}{}{unknown}", it.denied.len(), families(&it.denied))
        }
        Verdict::Unknown if it.unknown.is_empty() && it.doubts.is_empty() => {
            let unknown = it.checks.iter().filter(|one| one.blocks()).count();
            format!("unknown: nothing of {of} would be denied, and {}, unknown, against it", stands(unknown))
        }
        Verdict::Unknown if it.unknown.is_empty() => {
            format!("unknown: nothing of {of} would be denied, and they do not suffice")
        }
        Verdict::Unknown => format!("unknown for {} of {of}; nothing else would be denied", it.unknown.len()),
        Verdict::Allowed if it.edges + it.icmp == 0 => {
            format!("no {word} was recorded, so nothing shows what it would deny")
        }
        Verdict::Allowed => format!("would deny none of {of}"),
    }
}

fn stands(checks: usize) -> String {
    format!("{} {}", plural(checks, "check"), if checks == 1 { "stands" } else { "stand" })
}

/// Every check by name, those that passed too.
fn checks(out: &mut String, all: &[Checked]) {
    let mut table = Table::new(&["check", "story", "weight", "", "what"]);
    for one in all {
        let (number, weight) = (one.number.to_string(), one.weight.as_str().to_owned());
        let first = [one.name.to_owned(), number, weight, one.mark.as_str().to_owned()];
        let mut lines: Vec<String> = Vec::new();
        for said in &one.said {
            lines.push(format!("{}: {}", said.object, said.fact));
            lines.extend((!said.next.is_empty()).then(|| format!("  {}", said.next)));
        }
        lines.extend((one.more > 0).then(|| format!("and {} more", one.more)));
        for (at, line) in lines.into_iter().enumerate() {
            let [name, number, weight, mark] = if at == 0 { first.clone() } else { Default::default() };
            table.row([name, number, weight, mark, line]);
        }
    }
    out.push_str(&format!("checks:\n{}", table.text("  ")));
}

/// Only where both families are there.
fn families(hits: &[Hit]) -> String {
    let of = |families: [Family; 2]| hits.iter().filter(|hit| families.contains(&hit.family)).count();
    match (of([Family::V4, Family::Both]), of([Family::V6, Family::Both])) {
        (0, 0) | (_, 0) => String::new(),
        (v4, v6) => format!(" ({v4} by IPv4, {v6} by IPv6)"),
    }
}

fn hits(out: &mut String, title: &str, hits: &[Hit], has_why: bool) {
    if hits.is_empty() {
        return;
    }
    let last = if has_why { "why" } else { "note" };
    let mut table = Table::new(&["who", "with", "port", "family", "flows", "hours", "last", last]);
    for hit in hits {
        table.row([
            hit.workload.to_string(),
            place(hit),
            format!("{}/{}", hit.port, hit.protocol),
            hit.family.as_str().to_owned(),
            hit.flows.to_string(),
            hit.hours.to_string(),
            minute(hit.last),
            note(hit),
        ]);
    }
    out.push_str(&format!("{title}:\n{}", table.text("  ")));
}

fn note(hit: &Hit) -> String {
    let mut out = Vec::new();
    out.extend(hit.essential.map(|one| format!("{}: the baseline does not cover it", one.as_str())));
    out.extend(hit.is_part.then(|| "between some of the pods".to_owned()));
    out.extend(hit.why.as_ref().map(Text::to_string));
    out.extend((hit.now == Verdict::Denied).then(|| "what is live denies it too".to_owned()));
    out.join("; ")
}

fn list(out: &mut String, title: &str, lines: impl IntoIterator<Item = String>) {
    let lines: Vec<String> = lines.into_iter().collect();
    if !lines.is_empty() {
        out.push_str(&format!("{title}:\n"));
        lines.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
}

fn minute(at: Timestamp) -> String {
    DateTime::<Utc>::format(&at, "%Y-%m-%d %H:%MZ").to_string()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HitOut {
    workload: Value,
    peer: String,
    name: Option<String>,
    protocol: &'static str,
    port: u16,
    family: &'static str,
    flows: u64,
    hours: usize,
    last: String,
    some_pods_only: bool,
    essential: Option<&'static str>,
    live: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// One object, with a newline.
pub fn json(shown: &Shown) -> String {
    let it = &shown.prediction;
    let time = |at: Timestamp| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let turned = it.turned.iter().map(|one| {
        let word = |isolation: Option<Isolation>| isolation.map(|one| format!("{one:?}").to_lowercase());
        json!({ "pod": one.pod.as_str(), "before": word(one.before), "after": word(one.after) })
    });
    let changes = it.changes.iter().map(|change| {
        json!({ "who": change.who.as_str(), "how": change.how.as_str(), "what": change.what.as_str(),
            "ports": change.ports.as_str() })
    });
    let unused = it.unused.iter().map(|one| {
        json!({ "policy": one.policy.as_str(), "rule": one.rule, "peer": one.peer.as_str(),
            "ports": one.ports.as_str(), "podsNow": one.pods })
    });
    let checks = it.checks.iter().map(check_out);
    let texts = |all: &[Text]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    let out = json!({
        "cluster": shown.cluster.as_str(),
        "namespace": it.ns.as_str(),
        "direction": it.direction.as_str(),
        "verdict": it.verdict().as_str(),
        "digest": it.bound.digest.to_string(),
        "clusterUid": it.bound.cluster.as_ref().map(Text::as_str),
        "from": time(it.bound.window.from),
        "to": time(it.bound.window.to),
        "edges": it.edges,
        "icmp": it.icmp,
        "denied": it.denied.iter().map(hit_out).collect::<Vec<_>>(),
        "unknown": it.unknown.iter().map(hit_out).collect::<Vec<_>>(),
        "doubts": texts(&it.doubts),
        "uncovered": texts(&shown.uncovered),
        "checks": checks.collect::<Vec<_>>(),
        "isolated": count(shown.closing.isolated),
        "opened": count(shown.closing.opened),
        "isolation": turned.collect::<Vec<_>>(),
        "changes": changes.collect::<Vec<_>>(),
        "unused": unused.collect::<Vec<_>>(),
    });
    format!("{out}\n")
}

fn count(count: Count) -> Value {
    json!({ "pods": count.pods, "ipv4": count.v4, "ipv6": count.v6, "addressUnknown": count.unsaid })
}

fn check_out(one: &Checked) -> Value {
    let found = one.said.iter().map(|said| {
        let next = (!said.next.is_empty()).then(|| said.next.as_str());
        json!({ "object": said.object.as_str(), "fact": said.fact.as_str(), "next": next })
    });
    json!({
        "name": one.name,
        "story": one.number,
        "weight": one.weight.as_str(),
        "verdict": one.mark.as_str(),
        "found": found.collect::<Vec<_>>(),
        "more": one.more,
    })
}

fn hit_out(hit: &Hit) -> HitOut {
    let peer = Hit { name: None, ..hit.clone() };
    HitOut {
        workload: json!({ "kind": hit.workload.kind.as_str(), "name": hit.workload.name.as_str() }),
        peer: place(&peer),
        name: hit.name.as_ref().map(ToString::to_string),
        protocol: hit.protocol.as_str(),
        port: hit.port,
        family: hit.family.as_str(),
        flows: hit.flows,
        hours: hit.hours,
        last: hit.last.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        some_pods_only: hit.is_part,
        essential: hit.essential.map(|one| one.as_str()),
        live: hit.now.as_str(),
        why: hit.why.as_ref().map(ToString::to_string),
    }
}
