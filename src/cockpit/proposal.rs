//! The narrowest rule that would let a denied flow pass, with what else it would open: to be copied and
//! reviewed, never applied from here. Where no rule can or should be written, why. From what the
//! watch and the recording told; asks nobody.

use std::{collections::BTreeSet, net::IpAddr};

use crate::domain::{
    author::facts::{self, Workloads},
    denial::{Class, Group, GroupKey, Peer},
    edge,
    eval::cluster::NAME_LABEL,
    fleet::{Cluster, CniKind, Listed},
    flow::{Direction, Entity, Protocol},
    gate as owner_gate,
    grant::PortSpan,
    names::{ClusterName, NsName, Text, Workload},
    opened::{Opened, Ports, What},
    policy::{Labels, Pinned, Role, Selector},
    sighting::Outcome,
    time::minute,
};

use super::{gate, orders::Target, world::World};

/// A rule, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub target: Target,
    pub rule: Result<Proposed, Text>,
}

/// One rule and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Where it belongs, from the root of the workspace on.
    pub file: Text,
    /// As that file holds it.
    pub yaml: String,
    /// What it opens, in a line.
    pub opens: Text,
    /// What passes beside the flow that was denied.
    pub also: Vec<Text>,
    /// Denials of this run that would pass, the one asked about first.
    pub denied: Vec<Text>,
    /// Recorded attempts that would pass; `None`: what was recorded is not read.
    pub recorded: Option<Recorded>,
    pub owners: Owners,
    pub notes: Vec<Text>,
}

/// What the owner gate says of the rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// It needs a grant: alone it will be refused.
    pub refuse: Vec<Text>,
    /// Whether it needs one is not known, and why.
    pub unknown: Vec<Text>,
}

/// Edges of the recording that the rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Denied then; each with how often and by whom.
    pub denied: Vec<Text>,
    /// Edges that passed then.
    pub passed: usize,
}

/// The other end of the rule.
enum Far {
    Address(IpAddr),
    /// Pods of a namespace with all of these labels, and whose pods they are now.
    Pods {
        ns: NsName,
        labels: Labels,
        workloads: BTreeSet<Workload>,
    },
}

pub fn propose(world: &World, group: &Group) -> Proposal {
    let key = &group.key;
    let target = Target { cluster: key.cluster.clone(), ns: key.ns.clone(), direction: key.direction };
    let rule = no_rule(group).map_or_else(|| far(world, group), Err).map(|far| {
        let opened = opened(key, &far);
        Proposed {
            file: file(world, &target),
            yaml: yaml(group, &far),
            opens: Text::from(words(key, &far)),
            also: also(world, key, &far),
            denied: denied(world, group, &far),
            recorded: recorded(world, key, &far),
            owners: owners(world, &target, group, &far, &opened),
            notes: notes(world, group, &target, &opened),
        }
    });
    Proposal { target, rule }
}

/// Denials that no rule should or can answer.
fn no_rule(group: &Group) -> Option<Text> {
    let why = match (group.class, group.key.protocol) {
        (Class::StartUp, _) => {
            "it was denied while its pod started, and the same pod got there later or became ready: the \
             policies that are live let it pass, and were not yet in force for a new pod. A rule would change \
             nothing; let the workload retry when it starts"
        }
        (_, Protocol::Icmp) => {
            "no NetworkPolicy can name ICMP: what becomes of it is the network plugin's choice"
        }
        (_, Protocol::Unknown) => "the source tells no protocol that a NetworkPolicy could name",
        (_, Protocol::Tcp | Protocol::Udp | Protocol::Sctp) if group.key.port == 0 => {
            "the source tells no port, and a rule without one would open every port"
        }
        (_, Protocol::Tcp | Protocol::Udp | Protocol::Sctp) => return None,
    };
    Some(Text::new(why))
}

fn far(world: &World, group: &Group) -> Result<Far, Text> {
    let key = &group.key;
    let cilium = world
        .cluster(&key.cluster)
        .and_then(|cluster| cluster.cni.as_ref())
        .is_some_and(|cni| cni.kind == CniKind::Cilium);
    match (&key.peer, group.address) {
        (Peer::Workload { ns, workload }, _) => pods(world, &key.cluster, ns, workload),
        (Peer::Address(address), _) => Ok(Far::Address(address.to_canonical())),
        (Peer::Entity(entity), _) if *entity != Entity::World && cilium => Err(Text::from(format!(
            "Cilium knows it as {}, which no address in a NetworkPolicy matches: only a CiliumNetworkPolicy can name \
             it, and `sluice author` writes one once discovery has seen it pass",
            entity.as_str()
        ))),
        (Peer::Name(_) | Peer::Entity(_), Some(address)) => Ok(Far::Address(address.to_canonical())),
        (Peer::Name(name), None) => {
            Err(Text::from(format!("no address of {name} was told, and a NetworkPolicy cannot hold a name")))
        }
        (Peer::Entity(entity), None) => {
            Err(Text::from(format!("all that the source says of the other end is {}", entity.as_str())))
        }
        (Peer::Unknown, _) => Err(Text::new("the source does not say who the other end is")),
    }
}

/// The labels by which the pods of a workload are told apart now.
fn pods(world: &World, cluster: &ClusterName, ns: &NsName, workload: &Workload) -> Result<Far, Text> {
    let known = world.cluster(cluster).filter(|cluster| cluster.listed.contains(&Listed::Pods));
    let Some(cluster) = known else {
        return Err(Text::from(format!("the pods of {cluster} are not listed, so no label is known")));
    };
    let all = running(cluster, ns);
    // A source may not say the kind.
    let found = all.get(ns).and_then(|all| {
        let alike = |known: &&Workload| known.name == workload.name;
        all.get(workload).or_else(|| all.get(all.keys().find(alike)?))
    });
    let Some(running) = found else {
        return Err(Text::from(format!(
            "no pod of {ns}/{workload} runs now, so which labels it has is not known: ask again when it runs"
        )));
    };
    if running.host_network {
        return Err(Text::from(format!(
            "the pods of {ns}/{workload} are on their node's network, where no podSelector finds them: a rule would \
             have to name the nodes"
        )));
    }
    if running.labels.iter().next().is_none() {
        return Err(Text::from(format!(
            "no label tells the pods of {ns}/{workload} apart: a rule would take all pods of {ns}. Give them a label \
             of their own first"
        )));
    }
    let labels = running.labels.clone();
    let has = |pod: &crate::domain::fleet::Pod| {
        labels.iter().all(|(key, value)| pod.labels.get(key) == Some(value)) && !pod.finished
    };
    let pods = cluster.namespaces.get(ns).into_iter().flat_map(|ns| ns.pods.values());
    let workloads = pods.filter(|pod| has(pod)).map(|pod| pod.workload.clone()).collect();
    Ok(Far::Pods { ns: ns.clone(), labels, workloads })
}

fn running(cluster: &Cluster, ns: &NsName) -> Workloads {
    facts::workloads(cluster.namespaces.get(ns).into_iter().flat_map(|ns| ns.pods.values()))
}

fn span(key: &GroupKey) -> PortSpan {
    PortSpan { protocol: key.protocol, from: key.port, to: key.port }
}

/// As the owner gate asks for it.
fn opened(key: &GroupKey, far: &Far) -> Opened {
    let what = match far {
        Far::Address(address) => What::Block { network: (*address).into(), except: Vec::new() },
        Far::Pods { .. } => What::Inside,
    };
    let ports = Ports::new([span(key)], Vec::new());
    Opened { direction: key.direction, rule: 1, selector: Selector::default(), what, entity: None, ports }
}

fn file(world: &World, target: &Target) -> Text {
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    let folder = match world.files().sets.get(&key) {
        Some(authored) => authored.folder.to_string(),
        None => format!("network-policies/{}/{}", target.cluster, target.ns),
    };
    Text::from(format!("{folder}/{}-allowlist.extra.yaml", target.direction))
}

/// A whole extra file with this one rule. Labels and names are quoted as JSON is, which is YAML too.
fn yaml(group: &Group, far: &Far) -> String {
    let key = &group.key;
    let side = match key.direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    };
    let last = group.last.format("%Y-%m-%d %H:%M UTC");
    let who = key.workload.as_ref().map_or_else(|| "an unknown workload".to_owned(), ToString::to_string);
    let why = format!(
        "denied to {who} {}, last {last} ({}). Write here who needs it, and why",
        times(group.count),
        key.peer
    );
    let peer = peer(key, far).join("\n        ");
    format!(
        "rules:\n  - why: {}\n    {side}:\n      - {peer}\n    ports:\n      - protocol: {}\n        port: {}\n",
        quoted(&why),
        key.protocol,
        key.port
    )
}

/// The peer as lines of a list's item.
fn peer(key: &GroupKey, far: &Far) -> Vec<String> {
    match far {
        Far::Address(address) => {
            vec![
                "ipBlock:".to_owned(),
                format!("  cidr: {}", quoted(&ipnet::IpNet::from(*address).to_string())),
            ]
        }
        Far::Pods { ns, labels, .. } => {
            let mut out = Vec::new();
            if *ns != key.ns {
                out.extend(["namespaceSelector:".to_owned(), "  matchLabels:".to_owned()]);
                out.push(format!("    {NAME_LABEL}: {}", quoted(ns.as_str())));
            }
            out.extend(["podSelector:".to_owned(), "  matchLabels:".to_owned()]);
            out.extend(labels.iter().map(|(key, value)| format!("    {}: {}", quoted(key), quoted(value))));
            out
        }
    }
}

/// A double-quoted YAML scalar. Text has no control bytes, so quotes and backslashes are all.
fn quoted(raw: &str) -> String {
    format!("\"{}\"", raw.replace('\\', "\\\\").replace('"', "\\\""))
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn words(key: &GroupKey, far: &Far) -> String {
    let (all, ports) = (format!("every pod of {}", key.ns), span(key));
    let far = match far {
        Far::Address(address) => address.to_string(),
        Far::Pods { ns, labels, .. } => {
            let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("pods of {ns} with {}", labels.join(", "))
        }
    };
    match key.direction {
        Direction::Egress => format!("from {all} to {far} on {ports}"),
        Direction::Ingress => format!("from {far} to {all} on {ports}"),
    }
}

/// Who else could use it, and where else it leads.
fn also(world: &World, key: &GroupKey, far: &Far) -> Vec<Text> {
    let mut out = Vec::new();
    if let Some(ns) = world.namespace(&key.cluster, &key.ns) {
        let others: BTreeSet<_> = ns
            .subjects()
            .map(|pod| &pod.workload)
            .filter(|workload| key.workload.as_ref().is_none_or(|own| own.name != workload.name))
            .collect();
        let act = match key.direction {
            Direction::Egress => "may use it too",
            Direction::Ingress => "may be called so too",
        };
        out.push(Text::from(match others.len() {
            0 => format!("the allowlist is for every pod of {}: nobody else runs there now", key.ns),
            _ => format!(
                "the allowlist is for every pod of {}: {} {act}",
                key.ns,
                few(others.into_iter().map(ToString::to_string).collect())
            ),
        }));
    }
    match far {
        Far::Address(address) => {
            let names = names_at(world, key, *address);
            if !names.is_empty() {
                let said = format!("recorded names at {address}, all of them open with it: {}", few(names));
                out.push(Text::from(said));
            }
            out.push(Text::from(format!("whoever answers at {address} later")));
        }
        Far::Pods { ns, workloads, .. } => {
            let named = match &key.peer {
                Peer::Workload { workload, .. } => Some(&workload.name),
                _ => None,
            };
            let others: Vec<_> = workloads
                .iter()
                .filter(|one| Some(&one.name) != named)
                .map(|workload| format!("{ns}/{workload}"))
                .collect();
            out.push(match others.is_empty() {
                true => Text::new("no pod of another workload has these labels now"),
                false => Text::from(format!("pods with these labels are also of {}", few(others))),
            });
        }
    }
    out
}

fn few(all: Vec<String>) -> String {
    const NAMED: usize = 6;
    let more = all.len().saturating_sub(NAMED);
    let named = all.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

fn names_at(world: &World, key: &GroupKey, address: IpAddr) -> Vec<String> {
    let mut out: BTreeSet<String> = BTreeSet::new();
    for (edge_key, edge) in edges(world, key).into_iter().flatten() {
        if matches!(edge_key.peer, edge::Peer::Address(at) if at.to_canonical() == address) {
            out.extend(edge_key.name.iter().chain(&edge.also).map(ToString::to_string));
        }
    }
    out.into_iter().collect()
}

/// What was recorded of the row's namespace; `None`: it is not read here.
fn edges<'w>(
    world: &'w World,
    key: &GroupKey,
) -> Option<impl Iterator<Item = &'w (edge::EdgeKey, edge::Edge)>> {
    let answer = world.discoveries().opened(&key.cluster, &key.ns)?.answer.as_ref()?;
    answer.baseline.trouble.is_none().then(|| answer.baseline.edges.iter())
}

/// Other groups of the same row and port that the rule would let pass.
fn alike<'w>(world: &'w World, group: &Group, far: &Far) -> Vec<&'w Group> {
    let key = &group.key;
    let is_alike = |other: &&Group| {
        let it = &other.key;
        let same = (&it.cluster, &it.ns, it.direction, it.port, it.protocol)
            == (&key.cluster, &key.ns, key.direction, key.port, key.protocol);
        let inside = match (far, &it.peer) {
            (Far::Address(address), Peer::Address(at)) => at.to_canonical() == *address,
            (Far::Address(address), _) => other.address.is_some_and(|at| at.to_canonical() == *address),
            (Far::Pods { ns, workloads, .. }, Peer::Workload { ns: theirs, workload }) => {
                ns == theirs && workloads.iter().any(|one| one.name == workload.name)
            }
            (Far::Pods { .. }, _) => false,
        };
        other.id != group.id && same && inside
    };
    world.denials().groups().filter(is_alike).collect()
}

fn denied(world: &World, group: &Group, far: &Far) -> Vec<Text> {
    const SHOWN: usize = 8;
    let say = |one: &Group| {
        let who =
            one.key.workload.as_ref().map_or_else(|| "unknown workload".to_owned(), ToString::to_string);
        Text::from(format!(
            "{who} with {}, {}, last {}, {}",
            one.key.peer,
            times(one.count),
            minute(one.last, world.zone()),
            one.class.word()
        ))
    };
    let others = alike(world, group, far);
    let more = (others.len() + 1).saturating_sub(SHOWN);
    let mut out: Vec<_> = std::iter::once(group).chain(others).take(SHOWN).map(say).collect();
    out.extend((more > 0).then(|| Text::from(format!("and {more} more groups of denials"))));
    out
}

fn recorded(world: &World, key: &GroupKey, far: &Far) -> Option<Recorded> {
    const SHOWN: usize = 8;
    let inside = |peer: &edge::Peer| match (far, peer) {
        (Far::Address(address), edge::Peer::Address(at)) => at.to_canonical() == *address,
        (Far::Pods { ns, workloads, .. }, edge::Peer::Pods { ns: theirs, workload }) => {
            ns == theirs && workloads.iter().any(|one| one.name == workload.name)
        }
        _ => false,
    };
    let mut out = Recorded::default();
    for (it, edge) in edges(world, key)? {
        let same =
            (&it.ns, it.direction, it.port, it.protocol) == (&key.ns, key.direction, key.port, key.protocol);
        if !same || !inside(&it.peer) {
            continue;
        }
        if it.outcome == Outcome::Denied {
            let last = minute(edge.last, world.zone());
            let name = it.name.as_ref().map_or_else(String::new, |name| format!(" by the name {name}"));
            out.denied.push(Text::from(format!("{}{name}, {}, last {last}", it.workload, times(edge.flows))));
        } else {
            out.passed += 1;
        }
    }
    let more = out.denied.len().saturating_sub(SHOWN);
    out.denied.truncate(SHOWN);
    out.denied.extend((more > 0).then(|| Text::from(format!("and {more} more recorded edges"))));
    Some(out)
}

/// Names count beside the address, also those of others that it would open: a suspect is known by either.
fn owners(world: &World, target: &Target, group: &Group, far: &Far, opened: &Opened) -> Owners {
    let policy = Pinned::of(target.direction).find(|pinned| pinned.role == Role::Allowlist);
    let Some(policy) = policy.map(|pinned| pinned.name) else { return Owners::default() };
    let mut all = vec![opened.clone()];
    if let (Far::Address(address), Direction::Egress) = (far, target.direction) {
        let denied = std::iter::once(group).chain(alike(world, group, far));
        let denied =
            denied.filter(|one| matches!(one.key.peer, Peer::Name(_))).map(|one| one.key.peer.to_string());
        let names: BTreeSet<String> = denied.chain(names_at(world, &group.key, *address)).collect();
        let names = names.iter().filter_map(|name| edge::DnsName::parse(name));
        all.extend(names.map(|name| Opened { what: What::Name(name), ..opened.clone() }));
    }
    let mut out = Owners::default();
    let add = |to: &mut Vec<Text>, said: String| {
        let said = Text::from(said);
        if !to.contains(&said) {
            to.push(said);
        }
    };
    gate::with_known(world, target, |known| {
        for opened in &all {
            let found = owner_gate::judge_opening(policy, opened, known);
            let refused = found.openings.iter().filter_map(|one| one.clause(target, world.zone()));
            refused.for_each(|said| add(&mut out.refuse, said));
            found.missing.iter().for_each(|missing| add(&mut out.unknown, missing.reason(target)));
        }
    });
    out
}

fn notes(world: &World, group: &Group, target: &Target, opened: &Opened) -> Vec<Text> {
    let mut out = Vec::new();
    if let Peer::Name(_) = &group.key.peer {
        out.push(Text::from(format!(
            "{} may have other addresses tomorrow, and a NetworkPolicy knows none of its names: a published range \
             of its provider holds longer, or on Cilium egress-allowlist-fqdn, which `sluice author` writes",
            group.key.peer
        )));
    }
    match group.class {
        Class::Noisy(noise) => out.push(Text::from(format!(
            "these denials are classed as noise ({}): a rule is perhaps not what is missing",
            noise.as_str()
        ))),
        Class::Unattributed => out.push(Text::new(
            "the data plane names policies, and none of them is ours: a rule of ours may not help",
        )),
        Class::Expected => {
            out.push(Text::new("somebody waived or rejected exactly this: it is meant to be denied"));
        }
        Class::Would => {
            out.push(Text::new("nothing was denied yet: staged policies, or an audit, would deny it"));
        }
        Class::Hurting | Class::StartUp => {}
    }
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    let sets = world.files().sets.get(&key);
    let opens = |theirs: &Opened| {
        theirs.direction == opened.direction
            && theirs.selector.is_everything()
            && theirs.ports.cover(&opened.ports)
            && match (theirs.what.addresses(), opened.what.addresses()) {
                (Some(has), Some(wants)) => has.covers(&wants),
                _ => false,
            }
    };
    let mut all = sets.into_iter().flat_map(|authored| authored.set.values());
    if let Some(policy) = all.find(|policy| policy.opens.iter().any(&opens)) {
        out.push(Text::from(format!(
            "{} of the workspace opens this already: apply it instead of adding a rule",
            policy.key.name
        )));
    }
    out
}
