//! The recorded edges of a namespace against the policies that would be live: which of what passed would
//! be denied, and what is not known. Only the end that the set is for is judged: the other end's
//! policies are another row's. Pure; 100,000 edges take less than 100 ms.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;

use super::{
    diff,
    place::{Placed, with_stand_ins},
    prediction::{Bound, Prediction},
    rules::{self, Used},
    scene::Scene,
    stories::{self, Checked},
    tell::{self, Told},
    weigh::Scales,
};
use crate::domain::{
    edge::{Edge, EdgeKey, Peer, Window},
    eval::{
        cluster::{Cluster, NetworkPolicy, Pod},
        model::Model,
    },
    flow::{Direction, Protocol},
    names::{NsName, PodName, Text, Workload},
    policy::{Labels, Pinned, Policy, PolicyDigest, PolicyKind},
    sighting::Outcome,
    valve::Set,
};

/// The exact bytes, for whom.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    pub ns: &'w NsName,
    pub direction: Direction,
    pub set: &'w Set,
}

/// What was recorded.
#[derive(Clone, Debug)]
pub struct Recorded<'r> {
    pub window: Window,
    /// Of any namespace and outcome: what does not concern the row is passed over.
    pub edges: &'r [(EdgeKey, Edge)],
    /// Why it does not suffice as a whole; empty: it does.
    pub doubts: Vec<Text>,
}

/// What the wanted set, in place of the one that is live, would do to what was recorded.
pub fn predict(cluster: &Cluster, wanted: Wanted<'_>, recorded: Recorded<'_>) -> Prediction {
    let digest = PolicyDigest::of(wanted.set.values());
    let bound = Bound { digest, cluster: cluster.uid.clone(), window: recorded.window };
    let [before, after] = both(cluster, wanted);
    let models = [Model::new(&before), Model::new(&after)];
    let placed = Placed::new(&after.pods);
    let concerns = |key: &EdgeKey| {
        key.ns == *wanted.ns && key.direction == wanted.direction && key.outcome != Outcome::Denied
    };
    let (mut edges, mut icmp) = (Vec::new(), 0);
    for (key, edge) in recorded.edges.iter().filter(|(key, _)| concerns(key)) {
        if key.protocol == Protocol::Icmp {
            icmp += 1;
        } else {
            edges.push((key, edge));
        }
    }
    let policies: Vec<&Policy> = wanted.set.values().collect();
    let scales = Scales::new(&after, &models[1], &placed, wanted, by_name(wanted));
    let live = Scales::new(&before, &models[0], &placed, wanted, Vec::new());
    let told = replay(&scales, &live, &edges);
    let used = Used::new(&after, &placed, &edges);
    let mut doubts = recorded.doubts;
    doubts.extend(not_understood(&policies, wanted.direction));
    let turned = models[0].turned(&models[1]);
    let mut turned: Vec<_> = turned.into_iter().filter(|one| one.ns == *wanted.ns).collect();
    let own = Scene::own(&after, wanted);
    let checks = if own.is_empty() {
        to_come(&after, wanted, &edges)
    } else {
        let (turned, denied) = (&turned, &told.denied);
        let (cluster, scales, by_ns) = (&after, &scales, Scene::by_ns(&after));
        stories::checked(&Scene { wanted, cluster, scales, edges: &edges, turned, denied, own, by_ns })
    };
    turned.retain(|one| one.direction == wanted.direction);
    Prediction {
        ns: wanted.ns.clone(),
        direction: wanted.direction,
        bound,
        edges: edges.len(),
        icmp,
        denied: told.denied,
        unknown: told.unknown,
        doubts,
        unused: rules::unused(&after, wanted.ns, wanted.direction, &policies, &used),
        turned,
        changes: diff::changes(&before, &after, wanted),
        checks,
    }
}

/// The checks of a namespace without pods, asked for a pod that comes tomorrow.
fn to_come(after: &Cluster, wanted: Wanted<'_>, edges: &[(&EdgeKey, &Edge)]) -> Vec<Checked> {
    let mut cluster = after.clone();
    if let Ok(name) = PodName::parse("pods-to-come") {
        cluster.pods.push(Pod {
            ns: wanted.ns.clone(),
            name,
            labels: Labels::default(),
            workload: Some(Workload::new("", "pods to come")),
            addresses: Vec::new(),
            node: None,
            host_network: false,
            finished: false,
            ports: None,
        });
    }
    let (model, placed) = (Model::new(&cluster), Placed::new(&cluster.pods));
    let scales = Scales::new(&cluster, &model, &placed, wanted, by_name(wanted));
    let own = Scene::own(&cluster, wanted);
    let (cluster, scales, by_ns) = (&cluster, &scales, Scene::by_ns(&cluster));
    stories::checked(&Scene { wanted, cluster, scales, edges, turned: &[], denied: &[], own, by_ns })
}

fn by_name<'w>(wanted: Wanted<'w>) -> Vec<&'w Policy> {
    wanted.set.values().filter(|policy| policy.key.kind != PolicyKind::NetworkPolicy).collect()
}

/// The cluster as it is and as it would be, as far as the row hangs on it: policies of its namespace.
fn both(cluster: &Cluster, wanted: Wanted<'_>) -> [Cluster; 2] {
    let mut before = with_stand_ins(cluster);
    before.policies.retain(|policy| policy.ns == *wanted.ns);
    let mut after = before.clone();
    let ours = |kind, name: &str| {
        Pinned::find(kind, name).is_some_and(|pinned| pinned.direction == wanted.direction)
    };
    after.policies.retain(|policy| !ours(PolicyKind::NetworkPolicy, policy.name.as_str()));
    after.policies.extend(wanted.set.values().filter_map(NetworkPolicy::of));
    let kind = PolicyKind::CiliumNetworkPolicy;
    after.foreign.retain(|foreign| {
        let is_ours = foreign.kind.as_str() == kind.as_str() && ours(kind, foreign.name.as_str());
        !is_ours || foreign.ns.as_ref() != Some(wanted.ns)
    });
    [before, after]
}

fn replay(after: &Scales<'_>, before: &Scales<'_>, edges: &[(&EdgeKey, &Edge)]) -> Told {
    let mut told = Told::default();
    // Pods meet pods on few ports: what is the same question is asked once.
    let mut asked: HashMap<_, _, FixedState> = HashMap::default();
    for (key, edge) in edges {
        let is_repeated = matches!(key.peer, Peer::Pods { .. }) && key.name.is_none();
        if is_repeated {
            let question = (&key.workload, &key.peer, key.protocol, key.port);
            let found = asked.entry(question).or_insert_with(|| after.weigh(key, edge));
            tell::tell(&mut told, after, before, (key, edge), found);
        } else {
            tell::tell(&mut told, after, before, (key, edge), &after.weigh(key, edge));
        }
    }
    told.sort();
    told
}

/// Rules of the set that could not be read: what only they would open is not known.
fn not_understood(policies: &[&Policy], direction: Direction) -> Vec<Text> {
    let mut out: BTreeMap<(Text, u32), Text> = BTreeMap::new();
    for policy in policies {
        for (rule, why) in policy.network.iter().flat_map(|network| rules::unread(network, direction)) {
            out.insert((Text::new(policy.key.name.as_str()), rule), why.clone());
        }
    }
    let said =
        |((policy, rule), why)| Text::from(format!("rule {rule} of {policy} is not understood: {why}"));
    out.into_iter().map(said).collect()
}
