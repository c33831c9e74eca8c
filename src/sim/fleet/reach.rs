//! What is closed right now: every connection of a plan, and one from and to anywhere for each
//! namespace, judged by the naive evaluator. Tests compare it before and after to see whether a
//! namespace became more closed. Pure.

use std::{collections::BTreeSet, fmt, net::Ipv4Addr};

use crate::sim::fleet::{
    event::{Direction, Place},
    plan::{End, Plan, Protocol},
    traffic::peer,
    verdict::{Peer, Side, View},
};

/// A connection that policies deny, and who denies it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closed {
    /// The namespace whose policies deny it.
    pub namespace: String,
    pub direction: Direction,
    pub from: String,
    pub to: String,
    pub port: u16,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.direction {
            Direction::Egress => "egress",
            Direction::Ingress => "ingress",
        };
        write!(f, "{} {side}: {} -> {}:{}", self.namespace, self.from, self.to, self.port)
    }
}

const ANYWHERE: &str = "anywhere";
const ANYWHERE_PORT: u16 = 8443;

/// Everything that is closed under `view`.
pub fn closed(plan: &Plan, view: &View) -> BTreeSet<Closed> {
    let mut all = BTreeSet::new();
    for edge in &plan.edges {
        for source in places(plan, edge.from) {
            for target in places(plan, edge.to).into_iter().filter(|target| *target != source) {
                let (from, to) = ((name(plan, source), source), (name(plan, target), target));
                let ends = (peer(plan, source), peer(plan, target));
                let ruling = view.judge(&ends.0, &ends.1, edge.port, edge.protocol);
                for (side, direction, at) in
                    [(ruling.egress, Direction::Egress, source), (ruling.ingress, Direction::Ingress, target)]
                {
                    if let (Side::Denied(_), Place::Pod(pod)) = (side, at) {
                        let namespace = plan.pod_workload(pod).namespace.clone();
                        let (from, to) = (from.0.clone(), to.0.clone());
                        all.insert(Closed { namespace, direction, from, to, port: edge.port });
                    }
                }
            }
        }
    }
    all.extend(anywhere(plan, view));
    all
}

/// For every pod of the plan: to and from an address that nobody has heard of.
fn anywhere(plan: &Plan, view: &View) -> BTreeSet<Closed> {
    let outside = Peer::External { address: Ipv4Addr::new(198, 51, 100, 250).into(), host: None };
    let mut all = BTreeSet::new();
    for pod in 0..plan.pods.len() {
        let own = peer(plan, Place::Pod(pod));
        let out = view.judge(&own, &outside, ANYWHERE_PORT, Protocol::Tcp).egress;
        let back = view.judge(&outside, &own, ANYWHERE_PORT, Protocol::Tcp).ingress;
        let (name, namespace) = (name(plan, Place::Pod(pod)), &plan.pod_workload(pod).namespace);
        let mut note = |side: &Side, direction, from: &str, to: &str| {
            if let Side::Denied(_) = side {
                let (from, to) = (from.to_owned(), to.to_owned());
                all.insert(Closed { namespace: namespace.clone(), direction, from, to, port: ANYWHERE_PORT });
            }
        };
        note(&out, Direction::Egress, &name, ANYWHERE);
        note(&back, Direction::Ingress, ANYWHERE, &name);
    }
    all
}

fn places(plan: &Plan, end: End) -> Vec<Place> {
    match end {
        End::Workload(w) => plan.workloads[w].pods.iter().map(|pod| Place::Pod(*pod)).collect(),
        End::External(external) => (0..plan.externals[external].addresses.len())
            .map(|address| Place::External { external, address })
            .collect(),
        End::Api => vec![Place::Node(0)],
        End::Nodes => (0..plan.nodes.len()).map(Place::Node).collect(),
    }
}

/// Pods of a workload have one name here: policies cannot tell them apart.
fn name(plan: &Plan, place: Place) -> String {
    match place {
        Place::Pod(pod) => {
            let workload = plan.pod_workload(pod);
            format!("{}/{}", workload.namespace, workload.name)
        }
        Place::Node(0) => "the API server".to_owned(),
        Place::Node(_) => "a node".to_owned(),
        Place::External { external, address } => {
            let it = &plan.externals[external];
            it.host.clone().unwrap_or_else(|| it.addresses[address].to_string())
        }
    }
}
