//! Parts of a prediction in words, the same for dialog, document and command line. Pure.

use std::collections::BTreeMap;

use super::{
    prediction::{Hit, Prediction, Unused},
    stories::{Checked, Mark, Said, Weight},
};
use crate::domain::{
    edge::Peer,
    eval::{
        isolation::{Isolation, Turned},
        verdict::Verdict,
    },
    flow::Direction,
    names::plural,
    time::{Timestamp, age, span},
};

/// `would deny 3 destinations, last 2h00m ago: cart to 203.0.113.7 443/TCP, …`; and what is unknown.
pub fn summary(prediction: &Prediction, now: Timestamp) -> Vec<(Verdict, String)> {
    let mut out = Vec::new();
    let word = thing(prediction);
    if let Some(last) = prediction.denied.iter().map(|hit| hit.last).max() {
        let many = plural(prediction.denied.len(), word);
        let text =
            format!("would deny {many}, last {} ago: {}", span(age(last, now)), few(&prediction.denied));
        out.push((Verdict::Denied, text));
    }
    if !prediction.unknown.is_empty() {
        let many = plural(prediction.unknown.len(), word);
        out.push((Verdict::Unknown, format!("unknown: {many}: {}", few(&prediction.unknown))));
    }
    out.extend(prediction.doubts.iter().map(|doubt| (Verdict::Unknown, format!("unknown: {doubt}"))));
    if out.is_empty() && prediction.edges + prediction.icmp == 0 {
        let text = format!("no {word} was recorded, so nothing shows what it would deny");
        out.push((Verdict::Allowed, text));
    } else if out.is_empty() {
        let many = plural(prediction.edges, &format!("recorded {word}"));
        out.push((Verdict::Allowed, format!("would deny none of {many}")));
    }
    out
}

/// What the checks have against it, by name: `dns-reachable: cart of shop: lookups … would be denied.
/// Allow it in …`. First what blocks; what only warns stands beside it.
pub fn against(prediction: &Prediction) -> Vec<(Weight, Mark, String)> {
    let mut open: Vec<&Checked> = prediction.checks.iter().filter(|one| one.mark != Mark::Pass).collect();
    open.sort_by_key(|one| (one.weight, std::cmp::Reverse(one.mark)));
    let line = |one: &Checked| (one.weight, one.mark, format!("{}: {}", one.name, found(one)));
    open.into_iter().map(line).collect()
}

/// All that a check found, in one line.
pub fn found(one: &Checked) -> String {
    let word = if one.mark == Mark::Unknown { "unknown: " } else { "" };
    let more = if one.more > 0 { format!(" And {} more.", one.more) } else { String::new() };
    let all: Vec<String> = one.said.iter().map(said).collect();
    format!("{word}{}{more}", all.join(" "))
}

/// `cart of shop: lookups by UDP to … would be denied. Allow it in egress-baseline-allow.`
fn said(one: &Said) -> String {
    match one.next.is_empty() {
        true => format!("{}: {}.", one.object, one.fact),
        false => format!("{}: {}. {}", one.object, one.fact, one.next),
    }
}

fn few(hits: &[Hit]) -> String {
    const NAMED: usize = 2;
    let mut said: Vec<String> = hits.iter().take(NAMED).map(short).collect();
    if hits.len() > NAMED {
        said.push(format!("and {} more", hits.len() - NAMED));
    }
    said.join("; ")
}

/// `cart to api.example.net (203.0.113.7) 443/TCP`.
fn short(hit: &Hit) -> String {
    let essential = hit.essential.map_or_else(String::new, |one| format!("{}: ", one.as_str()));
    format!("{essential}{} with {} {}/{}", hit.workload, place(hit), hit.port, hit.protocol)
}

/// The other end, by name where it has one.
pub fn place(hit: &Hit) -> String {
    let peer = match &hit.peer {
        Peer::Pods { ns, workload } => format!("{ns}/{workload}"),
        Peer::Entity(entity) => entity.as_str().to_owned(),
        Peer::Address(address) => address.to_string(),
        Peer::Unsaid(class) if class.as_str().is_empty() => "an end that is not told".to_owned(),
        Peer::Unsaid(class) => class.to_string(),
    };
    hit.name.as_ref().map_or(peer.clone(), |name| format!("{name} ({peer})"))
}

/// What the other end is.
pub fn thing(prediction: &Prediction) -> &'static str {
    match prediction.direction {
        Direction::Egress => "destination",
        Direction::Ingress => "caller",
    }
}

/// Pods by how their isolation turns.
pub fn isolation(turned: &[Turned]) -> Vec<String> {
    let mut by: BTreeMap<(Option<Isolation>, Option<Isolation>), Vec<&str>> = BTreeMap::new();
    for one in turned {
        by.entry((one.before, one.after)).or_default().push(one.pod.as_str());
    }
    let word = |isolation: Option<Isolation>| match isolation {
        Some(Isolation::Open) => "open",
        Some(Isolation::Isolated) => "isolated",
        Some(Isolation::Unknown) => "unknown",
        Some(Isolation::Exempt) => "exempt",
        None => "absent",
    };
    let said = |((before, after), pods): (_, Vec<&str>)| {
        const NAMED: usize = 4;
        let go = if pods.len() == 1 { "goes" } else { "go" };
        let more = pods.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named: Vec<&str> = pods.iter().take(NAMED).copied().collect();
        let many = plural(pods.len(), "pod");
        format!("{many} {go} from {} to {}: {}{more}", word(before), word(after), named.join(", "))
    };
    by.into_iter().map(said).collect()
}

/// A rule that nothing recorded needs, and what to think of it.
pub fn unused(one: &Unused) -> String {
    let Some(rule) = one.rule else {
        return format!("{}: its podSelector finds no pod now ({}); a typo?", one.policy, one.peer);
    };
    let finds = match one.pods {
        None => String::new(),
        Some(0) => ": it finds no pod now; a typo?".to_owned(),
        Some(many) => format!(": it finds {} now", plural(many, "pod")),
    };
    format!("{} rule {rule}: {} on {}{finds}", one.policy, one.peer, one.ports)
}
