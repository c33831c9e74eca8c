//! The owner gate on the world as it is known: may these policies be applied, which live ones open
//! what no grant covers, which grants run out, who uses one. Worked out when asked, from what is
//! there; changes nothing. An expiry never touches a live policy: it is told, and the row stops.

use std::{collections::BTreeSet, net::IpAddr};

use chrono::TimeDelta;
use ipnet::IpNet;

use crate::domain::{
    destination::Destination,
    edge::Peer,
    flagged::Flagged,
    fleet::{Cluster, Listed, Presence},
    flow::Direction,
    gate::{self, Cover, Gate, Gated, Known, Missing},
    grant::{Grant, Opening, Review, Standing},
    names::{ClusterName, NsName, Text, Workload},
    opened::What,
    policy::{Policy, Role},
    range,
    ranges::Ranges,
    rollout::{Kept, Target},
    time::Timestamp,
    valve::Set,
    wildcard::Wildcard,
};

use super::{decide::Reason, review_orders, world::World};

/// How long before its end a grant is due.
pub const DUE: TimeDelta = TimeDelta::days(14);

/// The state cluster's time, and never before anything that its API server stamped: a clock that was
/// set back makes no grant valid again. `None`: not known.
pub fn time(world: &World) -> Option<Timestamp> {
    let now = world.shared().now(world.now())?;
    let stamped = world.shared().reviews().map(|kept| kept.created).max();
    Some(stamped.map_or(now, |stamped| stamped.max(now)))
}

/// Every reason why these policies may not be applied, as far as owners are asked. Empty: it passes.
pub fn owner_gate(world: &World, target: &Target, set: &Set) -> Vec<Reason> {
    let gate = judge(world, target, set.values());
    let missing = gate.missing.iter().map(|missing| match (missing, review_orders::away(world)) {
        (Missing::Reviews, Some(away)) => (away.code(), away.to_string()),
        _ => (missing.as_str(), missing.reason(target)),
    });
    let openings = gate.openings.iter().filter(|one| one.cover != Cover::Unknown);
    let openings = openings.filter_map(|one| Some((one.cover.as_str(), one.reason(target, world.zone())?)));
    missing.chain(openings).map(|(code, said)| Reason::OwnerGate { code, said: Text::from(said) }).collect()
}

/// What the workspace's policies of a rollout open; `None`: there are none.
pub fn authored(world: &World, target: &Target) -> Option<Gate> {
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    Some(judge(world, target, world.files().sets.get(&key)?.set.values()))
}

/// What is live and opens, ours and foreign. `None` while the set is not complete and closed, or
/// an order is under way: then the valve is what decides.
pub fn live(world: &World, target: &Target) -> Option<Gate> {
    let cluster = world.cluster(&target.cluster).filter(|cluster| cluster.is_complete())?;
    let ns = cluster.namespaces.get(&target.ns)?;
    let busy = world.orders().in_flight(&target.cluster, &target.ns).is_some();
    if busy || ns.presence(target.direction) != Presence::Tight {
        return None;
    }
    let is_valve = |policy: &Policy| policy.pinned().is_some_and(|pinned| pinned.role == Role::Valve);
    Some(judge(world, target, ns.policies.values().filter(|policy| !is_valve(policy))))
}

/// Judges policies in the direction of a rollout.
pub fn judge<'p>(world: &World, target: &Target, policies: impl Iterator<Item = &'p Policy>) -> Gate {
    with_known(world, target, |known| gate::judge(policies, known))
}

/// Everything by which an opening of a rollout is judged.
pub fn with_known<T>(world: &World, target: &Target, judge: impl FnOnce(&Known<'_>) -> T) -> T {
    let evidence = evidence(world, &target.cluster, &target.ns);
    let shared = world.shared();
    let reviews: Vec<_> = shared.reviews().collect();
    let known = Known {
        target,
        uid: world.cluster(&target.cluster).and_then(|cluster| cluster.uid.as_ref()),
        catalogue: world.discoveries().rules().map(|rules| &rules.catalogue),
        evidence: evidence.as_deref(),
        reviews: shared.is_live().then_some(reviews.as_slice()),
        people: &world.plan().settings.people,
        now: time(world),
    };
    judge(&known)
}

/// Flagged destinations of a namespace, of its document and of its collector; `None`: neither was
/// read whole.
pub fn evidence<'w>(world: &'w World, cluster: &ClusterName, ns: &NsName) -> Option<Vec<&'w Flagged>> {
    let document = world.files().flagged.as_ref().and_then(|all| all.get(&(cluster.clone(), ns.clone())));
    let opened = world.discoveries().opened(cluster, ns);
    let answer =
        opened.and_then(|opened| opened.answer.as_ref()).filter(|_| world.discoveries().rules().is_some());
    let whole =
        answer.is_some_and(|answer| answer.baseline.left_out == 0 && answer.baseline.trouble.is_none());
    (document.is_some() || whole).then(|| {
        document.into_iter().flatten().chain(answer.into_iter().flat_map(|answer| &answer.flagged)).collect()
    })
}

/// Something is live that owners did not grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub target: Target,
    pub opening: Gated,
    /// One sentence with the next step.
    pub said: Text,
}

/// What is live in one rollout without a valid grant. Rules of foreign policies that are not
/// understood are no incident: nothing says that they open anything.
pub fn incidents_of(world: &World, target: &Target) -> Vec<Incident> {
    let is_told = |one: &Gated| match one.cover {
        Cover::Covered { .. } | Cover::Unknown => false,
        Cover::NotUnderstood => {
            crate::domain::policy::PINNED.iter().any(|pinned| pinned.name == one.policy.as_str())
        }
        _ => true,
    };
    let gate = live(world, target).unwrap_or_default();
    let told = gate.openings.into_iter().filter(is_told);
    told.filter_map(|opening| {
        let said = Text::from(format!("{target} is live: {}", opening.reason(target, world.zone())?));
        Some(Incident { target: target.clone(), opening, said })
    })
    .collect()
}

/// The same of the whole fleet.
pub fn incidents(world: &World) -> Vec<Incident> {
    targets(world).iter().flat_map(|target| incidents_of(world, target)).collect()
}

fn targets(world: &World) -> Vec<Target> {
    let mut out = Vec::new();
    for cluster in world.clusters() {
        for ns in cluster.namespaces.keys() {
            let target = |direction| Target { cluster: cluster.name.clone(), ns: ns.clone(), direction };
            out.extend(Direction::ALL.map(target));
        }
    }
    out
}

/// A grant that runs out, or ran out while something still uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub review: Text,
    pub cluster: Text,
    /// When it ends or ended.
    pub until: Timestamp,
    pub is_over: bool,
    pub rollouts: Vec<Target>,
}

/// Grants that end within [`DUE`], and ended ones that rollouts still use; soonest first.
pub fn due(world: &World) -> Vec<Due> {
    let Some(now) = time(world) else { return Vec::new() };
    let people = &world.plan().settings.people;
    let mut out = Vec::new();
    for kept in world.shared().reviews() {
        for uid in &kept.value.grant.clusters {
            let (until, is_over) = match kept.value.standing(uid, Some(now), people) {
                Standing::Approved { until } if until - now <= DUE => (until, false),
                Standing::Expired(until) if kept.value.decided(uid).is_some() => (until, true),
                _ => continue,
            };
            let users = rollouts(world, kept).into_iter();
            let rollouts: Vec<_> = users.filter(|target| is_of(world, target, uid)).collect();
            if !is_over || !rollouts.is_empty() {
                let (review, cluster) = (kept.name.clone(), uid.clone());
                out.push(Due { review, cluster, until, is_over, rollouts });
            }
        }
    }
    out.sort_by(|a, b| (a.until, &a.review, &a.cluster).cmp(&(b.until, &b.review, &b.cluster)));
    out
}

fn is_of(world: &World, target: &Target, uid: &Text) -> bool {
    world.cluster(&target.cluster).is_some_and(|cluster| cluster.uid.as_ref() == Some(uid))
}

/// Clusters of the fleet that a grant names.
pub fn clusters<'w>(world: &'w World, grant: &'w Grant) -> impl Iterator<Item = &'w Cluster> {
    world.clusters().filter(|cluster| cluster.uid.as_ref().is_some_and(|uid| grant.clusters.contains(uid)))
}

/// Who uses a grant: shown before it is revoked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Workloads whose pods it is for; `None`: not all pods are read.
    pub workloads: Option<Vec<(ClusterName, Workload)>>,
    /// Flows a day to what it opens; `None`: not all edges are read.
    pub flows_a_day: Option<f64>,
    /// Rollouts of which a policy, in the workspace or live, needs it.
    pub rollouts: Vec<Target>,
}

pub fn usage(world: &World, kept: &Kept<Review>) -> Usage {
    let grant = &kept.value.grant;
    let all: Vec<_> = clusters(world, grant).collect();
    let is_whole = all.len() == grant.clusters.len();
    let listed = is_whole && all.iter().all(|cluster| cluster.listed.contains(&Listed::Pods));
    let workloads: BTreeSet<_> = all.iter().flat_map(|cluster| selected(cluster, grant)).collect();
    let flows: Option<Vec<f64>> =
        all.iter().map(|cluster| flows_a_day(world, &cluster.name, grant)).collect();
    Usage {
        workloads: listed.then(|| workloads.into_iter().collect()),
        flows_a_day: flows.filter(|_| is_whole).map(|flows| flows.iter().sum()),
        rollouts: rollouts(world, kept),
    }
}

/// Workloads of a cluster that a grant is for.
pub fn selected<'c>(cluster: &'c Cluster, grant: &'c Grant) -> impl Iterator<Item = (ClusterName, Workload)> {
    let pods = cluster.namespaces.get(&grant.ns).into_iter().flat_map(|ns| ns.pods.values());
    pods.filter(|pod| !pod.finished && grant.selector.matches(&pod.labels))
        .map(|pod| (cluster.name.clone(), pod.workload.clone()))
}

fn flows_a_day(world: &World, cluster: &ClusterName, grant: &Grant) -> Option<f64> {
    let answer = world.discoveries().opened(cluster, &grant.ns)?.answer.as_ref()?;
    let window = answer.baseline.window;
    let days = (window.to - window.from).num_seconds() as f64 / 86_400.0;
    let inside = answer.destinations.iter().filter(|one| is_inside(one, grant));
    let flows: u64 = inside.map(|one| one.seen.flows).sum();
    (days > 0.0).then(|| flows as f64 / days)
}

/// Does a destination lie in what a grant opens?
pub fn is_inside(one: &Destination, grant: &Grant) -> bool {
    let ports = grant.ports();
    one.direction == grant.direction
        && ports.may_hold(one.protocol, one.port)
        && match &grant.destination {
            Opening::Name(name) => match Wildcard::of(name) {
                Some(wildcard) => one.name.as_ref().is_some_and(|mine| wildcard.matches(mine.as_str())),
                None => one.name.as_ref() == Some(name),
            },
            Opening::Networks(networks) => {
                let ranges = Ranges::of(networks).meant();
                let pods = matches!(one.peer, Peer::Pods { .. });
                !pods && one.addresses.iter().any(|address| ranges.contains(range::fold(*address)))
            }
        }
}

/// Rollouts whose authored or live policies rest on this review.
fn rollouts(world: &World, kept: &Kept<Review>) -> Vec<Target> {
    let grant = &kept.value.grant;
    let target = |cluster: &Cluster| Target {
        cluster: cluster.name.clone(),
        ns: grant.ns.clone(),
        direction: grant.direction,
    };
    let needs = |gate: Option<Gate>| {
        gate.is_some_and(|gate| gate.openings.iter().any(|one| one.cover.review() == Some(&kept.name)))
    };
    let all = clusters(world, grant).map(target);
    all.filter(|target| needs(authored(world, target)) || needs(live(world, target))).collect()
}

/// Reviews whose destination is meant by these words: a name, a part of one, an address, a network.
pub fn search<'w>(world: &'w World, words: &str) -> Vec<&'w Kept<Review>> {
    let words = words.trim().trim_end_matches('.').to_ascii_lowercase();
    let network = words.parse::<IpNet>().ok().or_else(|| words.parse().ok().map(|one: IpAddr| one.into()));
    let fits = |opening: &Opening| match (opening, network) {
        (Opening::Networks(_), Some(network)) => opening.meets(&What::Block { network, except: Vec::new() }),
        (Opening::Name(name), None) => {
            name.as_str().contains(&words) || Wildcard::of(name).is_some_and(|it| it.matches(&words))
        }
        (Opening::Networks(_), None) | (Opening::Name(_), Some(_)) => false,
    };
    world.shared().reviews().filter(|kept| fits(&kept.value.grant.destination)).collect()
}
