//! Evidence of rows that were applied before, as whoever watched them would have left it: every node
//! heard in every minute, but for what the scenario says was silent. Pure: plan and times in, JSON out.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::sim::fleet::{
    past::{RowSpec, Way, hours_before, minutes_before},
    plan::{End, Plan},
    scenario::{Cni, Kind, Scenario},
};

/// The watch was stopped so many minutes before the scenario begins.
const STOPPED: u32 = 4;
/// Who watched.
const OBSERVER: &str = "sluice-watch-6d9f7c5b8-x2lqk";

/// One row's evidence, without metadata. `digest` is that of its live policies.
pub struct Row<'a> {
    pub scenario: &'a Scenario,
    pub plan: &'a Plan,
    pub spec: &'a RowSpec,
    pub namespace: &'a str,
    pub uid: &'a str,
    pub digest: &'a str,
    pub start: DateTime<Utc>,
}

impl Row<'_> {
    pub fn spec(&self) -> Value {
        let since = hours_before(self.start, self.spec.applied_hours_ago);
        let until = minutes_before(self.start, STOPPED);
        let nodes = nodes_of(self.plan, self.namespace);
        let places = places(0, nodes.len());
        let minutes = stretch(since, until);
        let hours = (until - since).num_hours();
        let mut spec = json!({
            "cluster": self.spec.cluster, "namespace": self.namespace,
            "direction": self.spec.direction.as_str(),
            "clusterUid": self.uid, "digest": self.digest,
            "since": stamp(since), "until": stamp(until), "observer": OBSERVER,
            "ground": { "cni": cni_words(self.plan.cni), "dns": "direct" },
            "looked": minutes,
            "nodes": nodes,
            "trails": self.trails(nodes.len(), since, until),
            "verdicts": {
                "allowed": (self.calls_an_hour() * hours as f64) as u64,
                "denied": self.spec.denied.iter().map(|denied| denied.count).sum::<u64>(),
            },
            "groups": self.groups(until),
        });
        if !nodes.is_empty() {
            spec["verdicts"]["inForce"] = json!([{ "at": stamp(until), "nodes": places }]);
        }
        spec
    }

    fn trails(&self, nodes: usize, since: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Value> {
        let all = stretch(since, until);
        let trail = |nodes: String, heard: &str| json!({ "nodes": nodes, "ran": all, "heard": heard });
        match &self.spec.silent {
            _ if nodes == 0 => Vec::new(),
            None => vec![trail(places(0, nodes), &all)],
            Some(silent) => {
                let from = hours_before(self.start, silent.hours_ago);
                let to = from + Duration::minutes(i64::from(silent.minutes));
                let broken =
                    format!("{},{}+{}", stretch(since, from), silent.minutes, (until - to).num_minutes());
                let mut trails = vec![trail("0".to_owned(), &broken)];
                trails.extend((nodes > 1).then(|| trail(places(1, nodes), &all)));
                trails
            }
        }
    }

    /// Denials as the agents told them.
    fn groups(&self, until: DateTime<Utc>) -> Vec<Value> {
        let group = |workload: &str, address: &str, port: u16, first: DateTime<Utc>, count: u64| {
            json!({
                "workload": { "kind": "Deployment", "name": workload },
                "destination": address, "port": port, "protocol": "TCP", "class": "hurting",
                "count": count, "first": stamp(first), "last": stamp(until), "said": "POLICY_DENIED",
            })
        };
        let all = self.spec.denied.iter().flat_map(|denied| {
            let external = self.scenario.externals.iter().find(|external| external.name == denied.to);
            let first = minutes_before(self.start, denied.minutes_ago);
            external.into_iter().flat_map(move |external| {
                external
                    .addresses
                    .iter()
                    .map(move |address| group(&denied.workload, address, external.port, first, denied.count))
            })
        });
        all.collect()
    }

    /// Calls of its workloads, or to them, that a rule allows.
    fn calls_an_hour(&self) -> f64 {
        let workload = |end: End| match end {
            End::Workload(at) => Some(&self.plan.workloads[at]),
            End::External(_) | End::Api | End::Nodes => None,
        };
        let calls = self.plan.edges.iter().filter(|edge| !edge.forgotten).filter_map(|edge| {
            let judged = match self.spec.direction {
                Way::Egress => edge.from,
                Way::Ingress => edge.to,
            };
            let callers = workload(edge.from).map_or(1, |from| from.pods.len());
            let ours = workload(judged).is_some_and(|judged| judged.namespace == self.namespace);
            ours.then_some(edge.per_second * callers as f64)
        });
        calls.sum::<f64>() * 3_600.0
    }
}

/// Nodes that run its pods on which policies act, sorted.
fn nodes_of(plan: &Plan, namespace: &str) -> Vec<String> {
    let ours = plan.pods.iter().filter(|pod| {
        let workload = &plan.workloads[pod.workload];
        workload.namespace == namespace && !workload.host_network && workload.kind != Kind::CronJob
    });
    let names: BTreeSet<&str> = ours.map(|pod| plan.nodes[pod.node].name.as_str()).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// `0-2`
fn places(from: usize, to: usize) -> String {
    if from + 1 >= to { from.to_string() } else { format!("{from}-{}", to - 1) }
}

/// Minutes since 1970, and how many.
fn stretch(from: DateTime<Utc>, until: DateTime<Utc>) -> String {
    format!("{}+{}", from.timestamp() / 60, (until - from).num_minutes())
}

/// The plugin and version that `system` installs.
fn cni_words(cni: Cni) -> &'static str {
    match cni {
        Cni::Cilium => "Cilium v1.19.4",
        Cni::Calico | Cni::CalicoOperator => "Calico v3.31.2",
        Cni::Antrea => "Antrea v2.5.0",
        Cni::Flannel => "flannel v0.27.4",
        Cni::Aws => "AWS VPC CNI v1.3.1",
        Cni::Kindnet => "kindnet v20240513-cbe9b1",
    }
}

pub fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
