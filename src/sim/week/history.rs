//! The week before a demo begins, of one cluster of a scenario: its own nodes, workloads and calls,
//! thinned to so many lines. What its collector has seen by then is in the scenario. Pure: the plan
//! and a moment in, a week out.

use std::ops::Range;

use chrono::{DateTime, Utc};
use fastrand::Rng;

use super::{
    happen::Week,
    inventory::{DAY, HOUR, Inventory, Kind, MINUTE, Node, Pod, SECOND, Site, Workload, random_name},
    script::{Manner, Party, Protocol, Rhythm, Script},
};
use crate::sim::fleet::{
    plan::{self, Edge, End, Plan, hash64},
    scenario::{self, Answers, Class, CollectorSpec},
};

/// About this many lines a day come of one cluster.
const LINES_A_DAY: f64 = 4_500.0;
/// Lines of one visit: the question and its answer at both ends, and two connections.
const LINES_A_VISIT: f64 = 6.0;

/// The history of a cluster up to `now`.
pub fn week(plan: &Plan, spec: &CollectorSpec, now: DateTime<Utc>) -> Week {
    let end = (now.timestamp() + 3_599).div_euclid(3_600) * HOUR;
    let window = end - i64::from(spec.days) * DAY..end;
    let mut rng = Rng::with_seed(plan.seed ^ 0x01d);
    let mut inventory = Inventory { cluster: plan.cluster.clone(), ..Inventory::default() };
    inventory.nodes = nodes(plan, spec, &window, &mut rng);
    inventory.workloads = plan.workloads.iter().map(workload).collect();
    pods(plan, window.start..nanos(now), &mut inventory, &mut rng);
    inventory.sites = plan.externals.iter().map(site).collect();
    inventory.resolvers = plan.resolver().map(|it| inventory.workloads[it].pods.clone()).unwrap_or_default();
    let scripts = scripts(plan, &window);
    let mut week = Week::new(inventory, scripts, window, plan.seed);
    week.until = nanos(now);
    week.replies = 0.03;
    week.losses_a_day = spec.losses_a_day;
    week.node_cache = spec.answers == Answers::NodeCache;
    week
}

fn nodes(plan: &Plan, spec: &CollectorSpec, window: &Range<i64>, rng: &mut Rng) -> Vec<Node> {
    let silent = |name: &str| {
        let hole = spec.hole.as_ref().filter(|hole| hole.node == name)?;
        let from = window.end - i64::from(hole.hours_ago) * HOUR;
        Some(from..from + i64::from(hole.hours) * HOUR)
    };
    let one = |it: &plan::Node| Node {
        name: it.name.clone(),
        address: it.address,
        skew: rng.i64(-SECOND..SECOND),
        silent: silent(&it.name),
    };
    plan.nodes.iter().map(one).collect()
}

fn workload(it: &plan::Workload) -> Workload {
    Workload {
        ns: it.namespace.clone(),
        name: it.name.clone(),
        kind: match it.kind {
            scenario::Kind::Deployment => Kind::Deployment,
            scenario::Kind::DaemonSet => Kind::DaemonSet,
            scenario::Kind::CronJob => Kind::CronJob,
        },
        host_network: it.host_network,
        service: it.service,
        pods: Vec::new(),
    }
}

/// The pods that are there now were there all the time; a CronJob had one for each run.
fn pods(plan: &Plan, window: Range<i64>, inventory: &mut Inventory, rng: &mut Rng) {
    for (index, workload) in plan.workloads.iter().enumerate() {
        let runs = workload.schedule.as_ref().map(|cron| {
            let mut runs = Vec::new();
            let mut at = DateTime::from_timestamp_nanos(window.start);
            while let Some(next) = cron.next(at).filter(|next| nanos(*next) < window.end - MINUTE) {
                runs.push(nanos(next));
                at = next;
            }
            runs
        });
        for pod in &workload.pods {
            let it = &plan.pods[*pod];
            let mut add = |name: String, life: Range<i64>| {
                inventory.workloads[index].pods.push(inventory.pods.len());
                inventory.pods.push(Pod {
                    workload: index,
                    name,
                    node: it.node,
                    v4: it.address,
                    v6: None,
                    life,
                });
            };
            match &runs {
                None => add(it.name.clone(), window.start - DAY..window.end + DAY),
                Some(runs) => runs.iter().for_each(|at| {
                    let name = format!("{}-{}-{}", workload.name, at / MINUTE, random_name(rng, 5));
                    add(name, *at..at + 90 * SECOND);
                }),
            }
        }
    }
}

fn site(it: &plan::External) -> Site {
    Site {
        host: it.host.clone(),
        chain: it.cnames.clone(),
        addresses: it.addresses.clone(),
        ttl: if it.churns { 20 } else { 60 },
        turn: it.churns.then_some(10 * MINUTE),
    }
}

/// The plan's calls, rare ones more often and frequent ones less often than they are.
fn scripts(plan: &Plan, window: &Range<i64>) -> Vec<Script> {
    let edges: Vec<&Edge> = plan.edges.iter().filter(|edge| !is_lookup(plan, edge)).collect();
    let weight = |edge: &Edge| edge.per_second.powf(0.3);
    let sum: f64 = edges.iter().map(|edge| weight(edge)).sum();
    let visits = LINES_A_DAY / LINES_A_VISIT;
    let script = |edge: &&Edge| {
        let share = if sum > 0.0 { weight(edge) / sum } else { 0.0 };
        Script {
            from: party(edge.from),
            to: party(edge.to),
            protocol: match edge.protocol {
                plan::Protocol::Tcp => Protocol::Tcp,
                plan::Protocol::Udp => Protocol::Udp,
                plan::Protocol::Sctp => Protocol::Sctp,
                plan::Protocol::Icmp => Protocol::Icmp,
            },
            port: edge.port,
            visits_a_day: visits * share,
            connections: 2,
            manner: manner(plan, edge),
            rhythm: rhythm(plan, edge),
            active: active(plan, edge, window),
        }
    };
    edges.iter().map(script).collect()
}

/// Questions to the resolver come with the calls that need them.
fn is_lookup(plan: &Plan, edge: &Edge) -> bool {
    edge.port == 53 && matches!(edge.to, End::Workload(to) if Some(to) == plan.resolver())
}

fn party(end: End) -> Party {
    match end {
        End::Workload(workload) => Party::Workload(workload),
        End::External(site) => Party::Site(site),
        End::Api => Party::Api,
        End::Nodes => Party::Nodes,
    }
}

fn manner(plan: &Plan, edge: &Edge) -> Manner {
    match (edge.from, edge.to) {
        (End::Workload(_), End::External(external)) => match (&plan.externals[external].host, edge.keep) {
            (Some(_), true) => Manner::AsksOnce,
            (Some(_), false) => Manner::Asks,
            (None, _) => Manner::Never,
        },
        (End::Workload(_), End::Workload(_)) if edge.port != 0 => Manner::Asks,
        (End::Workload(_) | End::External(_) | End::Api | End::Nodes, _) => Manner::Never,
    }
}

fn rhythm(plan: &Plan, edge: &Edge) -> Rhythm {
    let End::Workload(from) = edge.from else { return Rhythm::Office };
    let workload = &plan.workloads[from];
    let namespace = plan.namespaces.iter().find(|ns| ns.name == workload.namespace);
    match (&workload.schedule, workload.namespace.as_str()) {
        (Some(_), _) => Rhythm::WithPods,
        (None, "monitoring" | "logging" | "data" | "gitops" | "cert-manager") => Rhythm::Always,
        (None, _) if namespace.is_some_and(|ns| ns.system) => Rhythm::Always,
        (None, _) => Rhythm::Office,
    }
}

/// What is suspect began in mid-window, on another day in each cluster.
fn active(plan: &Plan, edge: &Edge, window: &Range<i64>) -> Range<i64> {
    let suspect = matches!(edge.to, End::External(it) if plan.externals[it].class == Class::Suspect);
    if !suspect {
        return window.clone();
    }
    let half = (window.end - window.start) / 2;
    let later = (hash64(&format!("{}/{}", plan.cluster, edge.port)) % 20) as i64 * HOUR;
    window.start + half + later.min(half / 2)..window.end
}

fn nanos(at: DateTime<Utc>) -> i64 {
    at.timestamp() * SECOND
}
