//! How much of the recorded week was seen again under the new bytes, and what was not: connections
//! older than the policy go on in most data planes and are refused only when they reconnect. Rests on
//! flows and on the collector's edges, and says so; our evaluator says which of them it would refuse.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    cockpit::dossier,
    domain::{
        denial::Peer,
        destination::Destination,
        edge,
        eval::verdict::Verdict,
        evidence::Exercised,
        fleet::Cluster,
        flow::{Direction, End, Flow, Protocol},
        names::{Text, Workload},
        opinion::{Asked, Opinion, opinions},
        rollout::Target,
        sighting::Outcome,
        time::Timestamp,
    },
};

/// Who goes where: what a flow and a destination of the week have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    workload: Workload,
    peer: Peer,
    port: u16,
    protocol: Protocol,
}

impl Way {
    fn asked(&self) -> Asked<'_> {
        let address = match &self.peer {
            Peer::Address(address) => Some(*address),
            Peer::Workload { .. } | Peer::Name(_) | Peer::Entity(_) | Peer::Unknown => None,
        };
        Asked {
            pod: None,
            workload: Some(&self.workload),
            peer: &self.peer,
            address,
            port: self.port,
            protocol: self.protocol,
        }
    }
}

/// A destination of the week.
#[derive(Clone, Debug)]
struct Wanted {
    text: Text,
    label: Text,
    ways: Vec<Way>,
    last: Timestamp,
}

/// Seen before the bytes and not since, and the live set would refuse it, or it is not known whether.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    pub workload: Workload,
    pub destination: Text,
    pub port: u16,
    pub protocol: Protocol,
    /// When it was seen last.
    pub last: Timestamp,
    /// Our evaluator's word on it, were it to reconnect; never that it is allowed.
    pub ours: Opinion,
}

/// One rollout's traffic since its bytes are live.
#[derive(Clone, Debug, Default)]
pub struct Exercise {
    /// Ways seen since then, with when last; at most [`Exercise::WAYS`].
    seen: BTreeMap<Way, Timestamp>,
    /// Ways seen under earlier bytes.
    before: BTreeMap<Way, Timestamp>,
    /// Only while the week's edges are here.
    week: Option<Vec<Wanted>>,
    pub exercised: Exercised,
    /// What would be refused were it to reconnect, as of the last minute.
    old: Vec<Unseen>,
}

impl Exercise {
    const WAYS: usize = 4_000;

    /// New bytes: what was seen until now is what went before.
    pub fn anew(self) -> Self {
        let mut before = self.before;
        before.extend(self.seen);
        while before.len() > Self::WAYS {
            before.pop_last();
        }
        Self { before, week: self.week, ..Self::default() }
    }

    /// An allowed flow under the bytes.
    pub fn allowed(&mut self, flow: &Flow) {
        let Some(workload) = flow.judged().workload.clone() else { return };
        let port = if flow.protocol == Protocol::Icmp { 0 } else { flow.port };
        for peer in peers(flow.peer()) {
            let way = Way { workload: workload.clone(), peer, port, protocol: flow.protocol };
            if let Some(last) = self.seen.get_mut(&way) {
                *last = flow.at.max(*last);
                continue;
            }
            if self.seen.len() < Self::WAYS {
                self.seen.insert(way, flow.at);
            }
        }
    }

    /// The week's destinations came, came anew, or are not here any more.
    pub fn know(&mut self, week: Option<(&[Destination], Direction)>) {
        self.week = week.map(|(all, direction)| {
            let wanted = |one: &&Destination| one.direction == direction && one.outcome != Outcome::Denied;
            let week = all.iter().filter(wanted).map(wanted_of);
            // What the source did not say cannot be known again.
            week.filter(|one| !one.ways.is_empty()).take(Exercised::KEPT).collect()
        });
    }

    /// Counts again what of the week was seen.
    pub fn settle(&mut self, began: Timestamp) {
        let Some(week) = &self.week else { return };
        self.exercised.of = week.len() as u32;
        let again = week.iter().filter(|wanted| is_again(wanted, &self.seen, began));
        self.exercised.again = again.map(|wanted| wanted.text.clone()).collect();
    }

    /// `None`: no week was ever known here.
    pub fn figures(&self) -> Option<(usize, usize)> {
        (self.exercised.of > 0).then_some((self.exercised.again.len(), self.exercised.of as usize))
    }

    /// Seen before the bytes and not since, and not sure to be allowed: newest first, what would be refused
    /// before what is not known.
    pub fn old(&self) -> &[Unseen] {
        &self.old
    }

    /// Asks our evaluator anew what of it the live set would refuse.
    pub fn weigh(&mut self, cluster: Option<&Cluster>, target: &Target, began: Timestamp) {
        let unseen = self.unseen(began);
        let Some(cluster) = cluster.filter(|_| !unseen.is_empty()) else {
            self.old.clear();
            return;
        };
        let asked: Vec<_> = unseen.iter().flat_map(|(ways, ..)| ways.iter().map(Way::asked)).collect();
        let mut said = opinions(cluster, &target.ns, target.direction, &asked).into_iter();
        let mut out = Vec::new();
        for (ways, destination, last) in &unseen {
            let ours = Opinion::heaviest(said.by_ref().take(ways.len()));
            let (Some(way), Some(ours)) = (ways.first(), ours) else { continue };
            if ours.verdict != Verdict::Allowed {
                out.push(Unseen {
                    workload: way.workload.clone(),
                    destination: destination.clone(),
                    port: way.port,
                    protocol: way.protocol,
                    last: *last,
                    ours,
                });
            }
        }
        let is_unknown = |one: &Unseen| one.ours.verdict == Verdict::Unknown;
        out.sort_by(|a, b| {
            let order = is_unknown(a).cmp(&is_unknown(b)).then(b.last.cmp(&a.last));
            order.then_with(|| a.destination.cmp(&b.destination))
        });
        self.old = out;
    }

    /// Each with every way to reach it, what it is called, and when it was seen last.
    fn unseen(&self, began: Timestamp) -> Vec<(Vec<Way>, Text, Timestamp)> {
        let week = self.week.iter().flatten().filter(|wanted| !is_again(wanted, &self.seen, began));
        let week = week.map(|wanted| (concrete(&wanted.ways), wanted.label.clone(), wanted.last));
        let known: BTreeSet<&Way> = self.week.iter().flatten().flat_map(|wanted| &wanted.ways).collect();
        let before =
            self.before.iter().filter(|(way, _)| !self.seen.contains_key(way) && !known.contains(way));
        let before = before.map(|(way, last)| (vec![way.clone()], Text::from(way.peer.to_string()), *last));
        week.chain(before).collect()
    }

    /// What the list above rests on, in words.
    pub fn rests_on(&self) -> &'static str {
        match (&self.week, self.before.is_empty()) {
            (Some(_), true) => "the collector's week, and flows seen since the bytes are live",
            (Some(_), false) => "the collector's week, and flows seen before and since the bytes are live",
            (None, false) => {
                "flows seen before and since the bytes are live; the collector's week is not read here"
            }
            (None, true) => "nothing: the collector's week is not read here, and no flows were seen before",
        }
    }
}

/// A policy knows no names: where there are addresses they are what is asked about.
fn concrete(ways: &[Way]) -> Vec<Way> {
    let is_name = |way: &&Way| matches!(way.peer, Peer::Name(_));
    let has_more = ways.iter().any(|way| !is_name(&way));
    ways.iter().filter(|way| !has_more || !is_name(way)).cloned().collect()
}

fn is_again(wanted: &Wanted, seen: &BTreeMap<Way, Timestamp>, began: Timestamp) -> bool {
    wanted.last >= began || wanted.ways.iter().any(|way| seen.contains_key(way))
}

/// A name and an address are both ways to know a peer again.
fn peers(end: &End) -> impl Iterator<Item = Peer> {
    let first = match Peer::of(end) {
        Peer::Name(name) => Peer::Name(bare(&name)),
        other @ (Peer::Workload { .. } | Peer::Address(_) | Peer::Entity(_) | Peer::Unknown) => other,
    };
    let also = match (&first, end.address) {
        (Peer::Name(_), Some(address)) => Some(Peer::Address(address)),
        _ => None,
    };
    std::iter::once(first).chain(also)
}

fn bare(name: &Text) -> Text {
    Text::from(name.as_str().trim_end_matches('.').to_ascii_lowercase())
}

fn wanted_of(one: &Destination) -> Wanted {
    let label = Text::from(dossier::label(one));
    let mut peers: Vec<Peer> = one.name.iter().map(|name| Peer::Name(Text::new(name.as_str()))).collect();
    match &one.peer {
        edge::Peer::Pods { ns, workload } => {
            peers.push(Peer::Workload { ns: ns.clone(), workload: workload.clone() });
        }
        edge::Peer::Entity(entity) => peers.push(Peer::Entity(*entity)),
        edge::Peer::Address(_) | edge::Peer::Unsaid(_) => {}
    }
    peers.extend(one.addresses.iter().map(|address| Peer::Address(*address)));
    let way = |peer| Way { workload: one.workload.clone(), peer, port: one.port, protocol: one.protocol };
    Wanted {
        text: Text::from(format!("{:?} {label} {}", one.workload, dossier::port(one))),
        label,
        ways: peers.into_iter().map(way).collect(),
        last: one.seen.last,
    }
}
