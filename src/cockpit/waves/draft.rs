//! A plan in the making: its rows are gathered from the world, as many at a time as the caller can
//! afford; what is made of them then needs the world no more and may be worked out anywhere. Input:
//! the world as it is at each step, so a row is as old as its step.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::domain::{
    calendar::Calendar,
    fleet::Cluster,
    flow::Direction,
    forecast::{Given, forecast, pace_of},
    hold::{Hold, HoldKind},
    names::{ClusterName, NsName},
    risk::Risk,
    rollout::Target,
    time::Timestamp,
    wave::{Candidate, WavePlan},
};

use super::{Waves, after, exclusion, largest, record, risk, row_state, running, since_when};
use crate::cockpit::{settings::Settings, world::World};

/// Rows gathered so far, and what else the plan is made of.
#[derive(Clone, Debug)]
pub struct Draft {
    at: Timestamp,
    settings: Settings,
    largest: [Option<ClusterName>; 2],
    exclusions: Vec<Hold>,
    /// Of clusters whose lists are not read: namespaces that files and records know of.
    written: BTreeMap<ClusterName, BTreeSet<NsName>>,
    /// Clusters that are gathered, in the order of the fleet file.
    done: usize,
    /// The last namespace of the next one that is.
    behind: Option<NsName>,
    rows: Vec<Candidate>,
    unread: Vec<ClusterName>,
    /// When something that was counted in runs out.
    expires: Option<Timestamp>,
}

impl Draft {
    pub(in crate::cockpit) fn begin(world: &World) -> Self {
        let written = written(world);
        let sizes: BTreeMap<&ClusterName, usize> = world
            .clusters()
            .map(|cluster| (&cluster.name, names(world, cluster, &written).count()))
            .collect();
        let now = world.now();
        let holds = world.shared().holds().filter_map(|kept| kept.value.expires);
        let shared = world.shared();
        let ends = holds.chain(shared.now(now).and_then(|now| shared.next_end(now)));
        Self {
            at: now,
            settings: world.plan().settings.clone(),
            largest: [true, false].map(|staging| largest(world, staging, &sizes).cloned()),
            exclusions: running(world, HoldKind::Exclusion).map(|kept| kept.value.clone()).collect(),
            done: 0,
            behind: None,
            rows: Vec::new(),
            unread: world.clusters().filter(|one| !one.is_complete()).map(|one| one.name.clone()).collect(),
            expires: ends.filter(|at| *at > now).min(),
            written,
        }
    }

    /// The next namespaces in turn, at most so many; none: all are gathered.
    pub(in crate::cockpit) fn next(&self, world: &World, most: usize) -> Vec<(ClusterName, NsName)> {
        let mut out = Vec::new();
        for (nth, cluster) in world.clusters().enumerate().skip(self.done) {
            let behind = self.behind.as_ref().filter(|_| nth == self.done);
            let left = names(world, cluster, &self.written).filter(|ns| behind.is_none_or(|last| *ns > last));
            out.extend(left.take(most - out.len()).map(|ns| (cluster.name.clone(), ns.clone())));
            if out.len() >= most {
                break;
            }
        }
        out
    }

    /// Takes in the rows of these namespaces, which [`Self::next`] named.
    pub(in crate::cockpit) fn gather(&mut self, world: &World, next: &[(ClusterName, NsName)]) {
        for (name, ns) in next {
            if let Some(cluster) = world.cluster(name) {
                self.namespace(world, cluster, ns);
            }
        }
        if let Some((name, ns)) = next.last() {
            self.done = world.clusters().position(|cluster| cluster.name == *name).unwrap_or(self.done);
            self.behind = Some(ns.clone());
        }
    }

    fn namespace(&mut self, world: &World, cluster: &Cluster, ns: &NsName) {
        let seen = cluster.namespaces.get(ns);
        let entry = self.settings.risks.iter().find(|entry| entry.namespaces.contains(ns));
        let risk = risk(world, cluster, ns, seen, entry.and_then(|entry| entry.risk));
        for direction in Direction::ALL {
            let target = Target { cluster: cluster.name.clone(), ns: ns.clone(), direction };
            let (state, since) = row_state(world, &target);
            self.rows.push(Candidate {
                environment: cluster.environment,
                risk: Risk { inward: direction == Direction::Ingress, ..risk.clone() },
                priority: entry.and_then(|entry| entry.priority),
                shared: entry.is_some_and(|entry| entry.shared),
                largest: self.largest.iter().flatten().any(|name| *name == cluster.name),
                after: after(world, ns),
                recorded: record(world, &target).and_then(|kept| kept.value.wave),
                since: since_when(world, &target, &state, since),
                state,
                exclusion: exclusion(&self.exclusions, &target).cloned().map(Box::new),
                target,
            });
        }
    }

    /// The plan of what was gathered. Asks the world nothing.
    pub fn finish(self) -> Waves {
        let settings = &self.settings;
        let (egress, ingress) =
            self.rows.into_iter().partition(|row| row.target.direction == Direction::Egress);
        let egress = WavePlan::of(Direction::Egress, &settings.egress, egress);
        let ingress = WavePlan::of(Direction::Ingress, &settings.ingress, ingress);
        let given = Given {
            now: self.at,
            needed: settings.soak.needed,
            pace: pace_of([&egress, &ingress]),
            calendar: Calendar { hours: settings.hours.as_ref(), blocked: &settings.blocked },
            egress: None,
        };
        let after = Given { egress: Some(&egress), ..given };
        Waves {
            egress_forecast: forecast(&egress, &given),
            ingress_forecast: forecast(&ingress, &after),
            egress,
            ingress,
            unread: self.unread,
            at: self.at,
            expires: self.expires,
            touched: false,
            cost: TimeDelta::zero(),
        }
    }
}

/// Namespaces that files and records know of, of clusters whose lists are not read.
fn written(world: &World) -> BTreeMap<ClusterName, BTreeSet<NsName>> {
    let unread = world.clusters().filter(|cluster| !cluster.is_complete());
    let mut out: BTreeMap<_, BTreeSet<_>> = unread.map(|one| (one.name.clone(), BTreeSet::new())).collect();
    if out.is_empty() {
        return out;
    }
    let files = world.files().sets.keys().map(|(cluster, ns, _)| (cluster, ns));
    let records = world.shared().records().map(|kept| (&kept.value.target.cluster, &kept.value.target.ns));
    for (cluster, ns) in files.chain(records) {
        if let Some(known) = out.get_mut(cluster)
            && !known.contains(ns)
        {
            known.insert(ns.clone());
        }
    }
    out
}

/// Namespaces in scope, in order: those that are there; where the lists are not read, also those that
/// files and records know of.
fn names<'w>(
    world: &'w World,
    cluster: &'w Cluster,
    written: &'w BTreeMap<ClusterName, BTreeSet<NsName>>,
) -> impl Iterator<Item = &'w NsName> {
    let there = cluster.namespaces.keys();
    let all: Box<dyn Iterator<Item = &NsName>> = match written.get(&cluster.name) {
        None => Box::new(there),
        Some(more) => Box::new(there.chain(more).collect::<BTreeSet<_>>().into_iter()),
    };
    all.filter(|ns| !world.plan().excludes(ns))
}
