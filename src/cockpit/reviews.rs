//! Reviews as people see them: the queue, and the dossier of one. The screen and `-o json` both read
//! this (law 10). What was not read stays unknown; it is never an empty list.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chrono::TimeDelta;
use ipnet::IpNet;

use crate::domain::{
    destination::{Destination, Finding},
    edge::DnsName,
    flow::Direction,
    gate::Gate,
    grant::{Decision, Grant, Opening, PortSpan, Review, Standing},
    names::{ClusterName, NsName, Text, Workload},
    opened::{Opened, Ports, What},
    policy::Selector,
    range,
    rollout::{Kept, Target},
    suspect,
    time::Timestamp,
};

use super::{
    decide::Reason,
    gate::{self, DUE, Usage},
    review_orders,
    world::World,
};

/// How long a grant is asked for where nobody says.
pub const USUAL: TimeDelta = TimeDelta::days(90);

/// Most findings of one review.
const FINDINGS: usize = 20;

/// Where a review stands in the queue: what waits first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Some cluster of it is not decided.
    Open,
    /// Approved, and it ends within two weeks.
    Expiring,
    Decided,
}

impl Queue {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Expiring => "expiring",
            Self::Decided => "decided",
        }
    }
}

/// A review as a row.
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewRow {
    pub name: Text,
    pub version: Text,
    pub created: Timestamp,
    pub queue: Queue,
    pub requested_by: Text,
    pub grant: Grant,
    pub purpose: Text,
    pub findings: Vec<Text>,
    pub clusters: Vec<ClusterRow>,
}

/// Where it stands for one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterRow {
    pub uid: Text,
    /// `None`: no cluster of the fleet says that it is the one.
    pub name: Option<ClusterName>,
    pub standing: Standing,
}

/// Everything that a decision needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Dossier {
    pub row: ReviewRow,
    /// Names and addresses of it that were seen, and who went there; `None`: no edges were read.
    pub seen: Option<SeenRow>,
    /// What of the workspace's policies an approval would let pass.
    pub opens: Vec<OpensRow>,
    pub usage: Usage,
    pub decisions: Vec<Decision>,
    /// Who may not decide: whoever asked, under every name.
    pub not_by: Vec<Text>,
    /// Why you may not; empty: you may.
    pub against_you: Vec<Reason>,
}

/// What edges show of a destination.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenRow {
    pub names: Vec<DnsName>,
    /// Sorted, as many as are kept with the destinations.
    pub addresses: Vec<IpAddr>,
    pub who: Vec<WhoRow>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WhoRow {
    pub cluster: ClusterName,
    pub workload: Workload,
    pub port: PortSpan,
    pub flows: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// One peer of one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct OpensRow {
    pub target: Target,
    pub policy: Text,
    pub opened: Opened,
    pub standing: &'static str,
}

/// Reviews that wait first, then those that run out, then the rest; within each the oldest first.
pub fn queue(world: &World) -> Vec<ReviewRow> {
    let mut rows: Vec<_> = world.shared().reviews().map(|kept| row(world, kept)).collect();
    rows.sort_by(|a, b| (a.queue, end(a), &a.name).cmp(&(b.queue, end(b), &b.name)));
    rows
}

/// What of the queue must not be overlooked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Reviews that some cluster of them waits for.
    pub open: usize,
    /// Reviews whose grant ends within two weeks.
    pub ending: usize,
    /// When the first of those does.
    pub first: Option<Timestamp>,
}

pub fn waits(rows: &[ReviewRow]) -> Waits {
    let is_ending = |row: &&ReviewRow| row.queue == Queue::Expiring;
    Waits {
        open: rows.iter().filter(|row| row.queue == Queue::Open).count(),
        ending: rows.iter().filter(is_ending).count(),
        first: rows.iter().filter(is_ending).filter_map(end).min(),
    }
}

/// Expiring ones stand by their end.
fn end(row: &ReviewRow) -> Option<Timestamp> {
    let ends = row.clusters.iter().filter_map(|cluster| match cluster.standing {
        Standing::Approved { until } => Some(until),
        _ => None,
    });
    ends.min().filter(|_| row.queue == Queue::Expiring)
}

pub fn row(world: &World, kept: &Kept<Review>) -> ReviewRow {
    let review = &kept.value;
    let (now, people) = (gate::time(world), &world.plan().settings.people);
    let cluster = |uid: &Text| ClusterRow {
        uid: uid.clone(),
        name: world.clusters().find(|one| one.uid.as_ref() == Some(uid)).map(|one| one.name.clone()),
        standing: review.standing(uid, now, people),
    };
    let clusters: Vec<_> = review.grant.clusters.iter().map(cluster).collect();
    let ends = |one: &ClusterRow| matches!((&one.standing, now), (Standing::Approved { until }, Some(now)) if *until - now <= DUE);
    let queue = if clusters.iter().any(|one| one.standing == Standing::Open) {
        Queue::Open
    } else if clusters.iter().any(ends) {
        Queue::Expiring
    } else {
        Queue::Decided
    };
    ReviewRow {
        name: kept.name.clone(),
        version: kept.version.clone(),
        created: kept.created,
        queue,
        requested_by: review.requested_by.clone(),
        grant: review.grant.clone(),
        purpose: review.purpose.clone(),
        findings: review.findings.clone(),
        clusters,
    }
}

pub fn dossier(world: &World, kept: &Kept<Review>) -> Dossier {
    let review = &kept.value;
    let mut not_by: BTreeSet<Text> = review.aliases.iter().cloned().collect();
    not_by.insert(review.requested_by.clone());
    let people = &world.plan().settings.people;
    not_by.extend(people.iter().flatten().filter(|user| review.is_by(user, people)).cloned());
    Dossier {
        row: row(world, kept),
        seen: seen(world, &review.grant),
        opens: opens(world, &review.grant),
        usage: gate::usage(world, kept),
        decisions: review.decisions.clone(),
        not_by: not_by.into_iter().collect(),
        against_you: review_orders::against_us(world, kept),
    }
}

fn seen(world: &World, grant: &Grant) -> Option<SeenRow> {
    let mut out: Option<SeenRow> = None;
    for cluster in gate::clusters(world, grant) {
        let Some(destinations) = world.discoveries().destinations(&cluster.name, &grant.ns) else { continue };
        let out = out.get_or_insert_default();
        for one in destinations.iter().filter(|one| gate::is_inside(one, grant)) {
            out.names.extend(one.name.iter().chain(&one.also).cloned());
            out.addresses.extend(&one.addresses);
            out.who.push(WhoRow {
                cluster: cluster.name.clone(),
                workload: one.workload.clone(),
                port: PortSpan { protocol: one.protocol, from: one.port, to: one.port },
                flows: one.seen.flows,
                first: one.seen.first,
                last: one.seen.last,
            });
        }
    }
    if let Some(seen) = &mut out {
        seen.names.sort();
        seen.names.dedup();
        seen.addresses.sort();
        seen.addresses.dedup();
        seen.who.sort_by(|a, b| (&a.cluster, &a.workload, a.port).cmp(&(&b.cluster, &b.workload, b.port)));
    }
    out
}

/// What the grant covers of the workspace's policies.
fn opens(world: &World, grant: &Grant) -> Vec<OpensRow> {
    let mut out = Vec::new();
    for cluster in gate::clusters(world, grant) {
        let target =
            Target { cluster: cluster.name.clone(), ns: grant.ns.clone(), direction: grant.direction };
        let Gate { openings, .. } = gate::authored(world, &target).unwrap_or_default();
        out.extend(openings.into_iter().filter(|one| grant.beyond(&grant.ns, &one.opened).is_empty()).map(
            |one| OpensRow {
                target: target.clone(),
                standing: one.cover.as_str(),
                policy: one.policy,
                opened: one.opened,
            },
        ));
    }
    out
}

/// Why the destination of a grant is flagged, as far as it is known, most severe first.
pub fn findings(world: &World, grant: &Grant) -> Vec<Finding> {
    let whats: Vec<What> = match &grant.destination {
        Opening::Name(name) => vec![What::Name(name.clone())],
        Opening::Networks(networks) => {
            networks.iter().map(|network| What::Block { network: *network, except: Vec::new() }).collect()
        }
    };
    let ports = grant.ports();
    let mut out = Vec::new();
    for what in &whats {
        out.extend(world.discoveries().rules().iter().flat_map(|rules| rules.catalogue.opens(what, &ports)));
        let opened = what.addresses().map(|ranges| ranges.meant());
        for cluster in gate::clusters(world, grant) {
            let evidence = gate::evidence(world, &cluster.name, &grant.ns).unwrap_or_default();
            let inside = evidence.into_iter().filter(|one| one.lies_in(what, opened.as_ref(), &ports));
            out.extend(inside.flat_map(|one| one.findings.iter().cloned()));
        }
    }
    suspect::sort(&mut out);
    out.truncate(FINDINGS);
    out
}

/// What is wanted of a draft. Whatever is left out is taken from the workspace's policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    pub ns: NsName,
    pub direction: Direction,
    /// `None`: every cluster of the fleet where it is opened.
    pub clusters: Option<Vec<ClusterName>>,
    /// `None`: every flagged peer without a grant.
    pub destination: Option<Wanted>,
    /// `None`: as the policies open it.
    pub ports: Option<Vec<PortSpan>>,
    pub expires: Timestamp,
}

/// A destination as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Everything,
    One(Opening),
}

/// Grants that would let the flagged peers of the workspace's policies pass: one for each destination,
/// ports and workloads, for all clusters that open it alike. With ports it needs no policies: then
/// the grant is for all pods of the namespace.
pub fn draft(world: &World, wish: &Wish) -> Vec<Grant> {
    let named = |name: &ClusterName| wish.clusters.as_ref().is_none_or(|names| names.contains(name));
    let clusters: Vec<_> = world.clusters().filter(|cluster| named(&cluster.name)).collect();
    let grant = |clusters: BTreeSet<Text>, selector, destination, ports: &[PortSpan]| Grant {
        clusters,
        ns: wish.ns.clone(),
        selector,
        direction: wish.direction,
        destination,
        ports: ports.to_vec(),
        expires: wish.expires,
    };
    if let (Some(ports), Some(wanted)) = (&wish.ports, &wish.destination) {
        let uids = clusters.iter().filter_map(|cluster| cluster.uid.clone()).collect();
        let ports = Ports::new(ports.iter().copied(), Vec::new());
        return vec![grant(uids, Selector::default(), wanted.opening(), ports.spans())];
    }
    let mut found: BTreeMap<(Opening, Vec<PortSpan>, Selector), BTreeSet<Text>> = BTreeMap::new();
    for cluster in clusters {
        let target = Target { cluster: cluster.name.clone(), ns: wish.ns.clone(), direction: wish.direction };
        let Gate { openings, .. } = gate::authored(world, &target).unwrap_or_default();
        for one in openings.iter().filter(|one| !one.cover.is_covered()) {
            let wanted = wish.destination.as_ref().is_none_or(|wanted| wanted.names(&one.opened.what));
            if let (true, Some(uid), Some(opening)) = (wanted, &cluster.uid, one.opened.what.opening()) {
                let key = (opening, one.opened.ports.spans().to_vec(), one.opened.selector.clone());
                found.entry(key).or_default().insert(uid.clone());
            }
        }
    }
    let grants =
        found.into_iter().map(|((opening, ports, selector), uids)| grant(uids, selector, opening, &ports));
    grants.collect()
}

/// Grants that would let this destination pass in this cluster, closest first: as the workspace's
/// policies open it, by its name, by the addresses that are kept of it.
pub fn drafts(world: &World, target: &Target, one: &Destination, expires: Timestamp) -> Vec<Grant> {
    let wish = |destination, ports| Wish {
        ns: target.ns.clone(),
        direction: target.direction,
        clusters: Some(vec![target.cluster.clone()]),
        destination,
        ports,
        expires,
    };
    let mut out = draft(world, &wish(None, None));
    out.retain(|grant| gate::is_inside(one, grant));
    let networks: BTreeSet<_> =
        one.addresses.iter().map(|address| IpNet::from(range::fold(*address))).collect();
    let networks = (!networks.is_empty()).then(|| Opening::Networks(networks.into_iter().collect()));
    for opening in one.name.clone().map(Opening::Name).into_iter().chain(networks) {
        let port = PortSpan { protocol: one.protocol, from: one.port, to: one.port };
        for grant in draft(world, &wish(Some(Wanted::One(opening)), Some(vec![port]))) {
            if !out.iter().any(|other| other.destination == grant.destination && other.ports == grant.ports) {
                out.push(grant);
            }
        }
    }
    out
}

impl Wanted {
    fn opening(&self) -> Opening {
        match self {
            Self::One(opening) => opening.clone(),
            Self::Everything => What::Everything.opening().unwrap_or(Opening::Networks(Vec::new())),
        }
    }

    /// Is it what a rule opens? A network is named as the rule writes it, whatever is cut out there.
    fn names(&self, what: &What) -> bool {
        match (self, what) {
            (Self::Everything, What::Everything) => true,
            (Self::One(Opening::Name(name)), What::Name(other)) => name == other,
            (Self::One(Opening::Networks(networks)), What::Block { network, .. }) => {
                networks.contains(network)
            }
            (Self::Everything | Self::One(_), _) => false,
        }
    }
}
