//! What a namespace's destinations and callers do differently between two pages of one cluster, both
//! judged by the rules of now, and what the live policies say of each. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::page::{self, Kind, Page};
use crate::domain::{
    destination::{Category, Destination},
    edge::{DnsName, Peer},
    flow::Direction,
    names::Text,
    predict::prediction::{Hit, Prediction},
    renewal::{Changed, Cover, Difference},
    time::Timestamp,
};

/// What the live policies of one direction do to the evidence of now.
#[derive(Clone, Debug)]
pub enum Live {
    /// No default deny of ours is in force there.
    NotIsolated,
    Judged(Box<Prediction>),
    Unknown(Text),
}

type Place = (Direction, Kind, String);

/// One place of a page.
struct Party<'p>(Vec<&'p Destination>);

/// Every place that is not as it was, what asks for somebody first.
pub fn of(before: &Page, now: &Page, live: &BTreeMap<Direction, Live>) -> Vec<Changed> {
    let (before, now) = (parties(before), parties(now));
    let places: BTreeSet<&Place> = before.keys().chain(now.keys()).collect();
    let mut out: Vec<_> = places
        .into_iter()
        .filter_map(|place| changed(place, before.get(place), now.get(place), live))
        .collect();
    out.sort_by(|a, b| (a.rank(), a.direction, &a.title).cmp(&(b.rank(), b.direction, &b.title)));
    out
}

fn parties(page: &Page) -> BTreeMap<Place, Party<'_>> {
    let mut out: BTreeMap<Place, Party<'_>> = BTreeMap::new();
    for one in &page.destinations {
        let place = (one.direction, page::kind(one), page::title(one));
        out.entry(place).or_insert_with(|| Party(Vec::new())).0.push(one);
    }
    out
}

fn changed(
    place: &Place,
    before: Option<&Party<'_>>,
    now: Option<&Party<'_>>,
    live: &BTreeMap<Direction, Live>,
) -> Option<Changed> {
    let shown = now.or(before)?;
    let differences = match (before, now) {
        (Some(before), Some(now)) => differences(before, now),
        (None, Some(now)) => {
            let classes: Vec<_> = now.classes().into_iter().collect();
            let flagged = (!classes.is_empty()).then_some(Difference::Flagged(classes));
            std::iter::once(Difference::New).chain(flagged).collect()
        }
        (Some(_), None) => vec![Difference::Gone],
        (None, None) => Vec::new(),
    };
    if differences.is_empty() {
        return None;
    }
    Some(Changed {
        direction: place.0,
        title: Text::new(&place.2),
        category: shown.category(),
        differences,
        last: shown.last(),
        cover: now.map(|party| cover(place, party, live)),
    })
}

fn differences(before: &Party<'_>, now: &Party<'_>) -> Vec<Difference> {
    let mut out = Vec::new();
    let turned = |was: BTreeSet<Text>, is: BTreeSet<Text>| {
        let more: Vec<_> = is.difference(&was).cloned().collect();
        let less: Vec<_> = was.difference(&is).cloned().collect();
        (more, less)
    };
    let (more, less) = turned(before.classes(), now.classes());
    out.extend((!more.is_empty()).then_some(Difference::Flagged(more)));
    out.extend((!less.is_empty()).then_some(Difference::Cleared(less)));
    let (was, is) = (before.category(), now.category());
    out.extend((was != is).then_some(Difference::Category { was, is }));
    let (more, less) = turned(before.ports(), now.ports());
    if !more.is_empty() || !less.is_empty() {
        out.push(Difference::Ports { more, less });
    }
    let (more, less) = turned(before.workloads(), now.workloads());
    if !more.is_empty() || !less.is_empty() {
        out.push(Difference::Workloads { more, less });
    }
    out
}

impl Party<'_> {
    fn classes(&self) -> BTreeSet<Text> {
        let findings = self.0.iter().flat_map(|one| &one.meaning.findings);
        findings.map(|finding| finding.class.clone()).collect()
    }

    fn ports(&self) -> BTreeSet<Text> {
        self.0.iter().map(|one| Text::from(page::port(one))).collect()
    }

    fn workloads(&self) -> BTreeSet<Text> {
        self.0.iter().map(|one| Text::from(page::workload(&one.workload))).collect()
    }

    fn category(&self) -> Category {
        self.0.iter().map(|one| one.meaning.category).max().unwrap_or(Category::Unknown)
    }

    fn last(&self) -> Timestamp {
        self.0.iter().map(|one| one.seen.last).max().unwrap_or_default()
    }

    /// Is this recorded connection one of the party's?
    fn has(&self, hit: &Hit) -> bool {
        self.0.iter().any(|one| {
            one.workload == hit.workload
                && (one.port, one.protocol) == (hit.port, hit.protocol)
                && leads_to(one, &hit.peer, hit.name.as_ref())
        })
    }
}

fn leads_to(one: &Destination, peer: &Peer, name: Option<&DnsName>) -> bool {
    let by_name = name.is_some_and(|name| one.name.as_ref() == Some(name) || one.also.contains(name));
    let by_address = |address| one.addresses.contains(address);
    by_name || one.peer == *peer || matches!(peer, Peer::Address(address) if by_address(address))
}

fn cover(place: &Place, party: &Party<'_>, live: &BTreeMap<Direction, Live>) -> Cover {
    let told = match live.get(&place.0) {
        None => return Cover::Unknown(Text::new("the live policies were not looked at")),
        Some(Live::NotIsolated) => return Cover::NotIsolated,
        Some(Live::Unknown(why)) => return Cover::Unknown(why.clone()),
        Some(Live::Judged(told)) => told,
    };
    let denied: BTreeSet<_> = told.denied.iter().filter(|hit| party.has(hit)).map(words).collect();
    if !denied.is_empty() {
        return Cover::Denied(denied.into_iter().collect());
    }
    match told.unknown.iter().find(|hit| party.has(hit)) {
        Some(hit) => {
            Cover::Unknown(hit.why.clone().unwrap_or_else(|| Text::new("the evaluation does not say")))
        }
        None => Cover::Covered,
    }
}

fn words(hit: &Hit) -> Text {
    let port = if hit.port == 0 { String::new() } else { format!("{}/", hit.port) };
    Text::from(format!("{port}{} of {}", hit.protocol, page::workload(&hit.workload)))
}

#[cfg(test)]
mod tests;
