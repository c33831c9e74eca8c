//! Where the pods of a namespace may go: the baseline that every namespace needs, and the
//! destinations that evidence shows, by selector, by address, by published range or by name.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    desk::{Desk, Piece},
    draft::{Body, Cause, Drawn, Peer, Reserved},
    facts::Sees,
    seen::{Far, Seen},
    settings::Published,
};
use crate::domain::{
    destination::Category,
    edge::{DnsName, Grade},
    flow::{Entity, Protocol},
    grant::PortSpan,
    names::{NsName, Text, Workload},
    opened::Ports,
    policy::Role,
    range::{self, Space},
    ranges::Ranges,
    wildcard::Wildcard,
};

const DNS: u16 = 53;
const CLOCK: PortSpan = PortSpan { protocol: Protocol::Udp, from: 123, to: 123 };

fn span(protocol: Protocol, port: u16) -> PortSpan {
    PortSpan { protocol, from: port, to: port }
}

fn lookups(ports: &BTreeSet<u16>) -> Ports {
    let both = |port: &u16| [span(Protocol::Udp, *port), span(Protocol::Tcp, *port)];
    Ports::new(ports.iter().flat_map(both), Vec::new())
}

fn baseline_rule(why: String, peers: Vec<Peer>, ports: Ports) -> Drawn {
    Drawn { why: vec![Text::from(why)], body: Body::Made { peers, ports, proxied: false } }
}

/// What every pod needs, whatever evidence says. Cilium's own rules come beside it.
pub(super) fn baseline(desk: &mut Desk<'_>) -> Vec<Drawn> {
    let mut rules = resolver(desk);
    let clocks = ["0.0.0.0/0", "::/0"].iter().filter_map(|raw| raw.parse().ok());
    let peers = clocks.map(|network| super::block(network, &[])).collect();
    let why = "baseline: time (NTP), and no metadata address".to_owned();
    rules.push(baseline_rule(why, peers, Ports::new([CLOCK], Vec::new())));
    if desk.input.settings.pod_to_pod {
        let why = "baseline: pods of the cluster among themselves".to_owned();
        rules.push(baseline_rule(why, vec![Peer::EveryPod], Ports::all()));
    }
    rules
}

/// The resolver that this cluster really has: its pods, and where a cache on the nodes stands before
/// them the addresses on which that listens.
fn resolver(desk: &mut Desk<'_>) -> Vec<Drawn> {
    let facts = desk.input.facts;
    let Some(resolver) = &facts.resolver else { return Vec::new() };
    let mut rules = Vec::new();
    if let Some(pods) = &resolver.pods {
        let mut ports = pods.ports.clone();
        if facts.sees() == Sees::Either {
            ports.insert(DNS);
        }
        let labels: Vec<_> = pods.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let why = format!(
            "baseline: DNS to the cluster's resolver, {} pods of {} with {}",
            pods.ready,
            pods.ns,
            labels.join(",")
        );
        rules.push(baseline_rule(why, vec![Peer::pods(&pods.ns, &pods.labels)], lookups(&ports)));
        if pods.ready == 0 {
            desk.warn(format!(
                "the selector of the resolver's Service matches no ready pod of {} now: DNS would be closed",
                pods.ns
            ));
        }
    }
    let mut local = resolver.node_local.clone();
    if !local.is_empty() || facts.sees() == Sees::Either || resolver.pods.is_none() {
        local.extend(&resolver.service);
    }
    let by_entity = facts.nodes_need_entities() && !resolver.node_local.is_empty();
    if by_entity {
        desk.warn(
            "lookups go to NodeLocal DNSCache on the host, which Cilium knows as an entity: without \
             egress-allowlist-fqdn there is no DNS"
                .to_owned(),
        );
    } else if !local.is_empty() {
        let why = "baseline: DNS to addresses that are no pods (NodeLocal DNSCache, the resolver's Service)";
        let peers = local.into_iter().map(Peer::address).collect();
        rules.push(baseline_rule(why.to_owned(), peers, lookups(&BTreeSet::from([DNS]))));
    }
    if resolver.pods.is_none() && resolver.node_local.is_empty() && resolver.service.is_empty() {
        desk.warn("the cluster has no resolver that a rule could name: DNS would be closed".to_owned());
    }
    rules
}

/// Rules that only Cilium understands and that need no evidence: DNS on the host, and the proxy that
/// names need.
pub(super) fn ciliums(desk: &Desk<'_>, has_names: bool) -> Vec<Drawn> {
    let facts = desk.input.facts;
    let Some(resolver) = facts.resolver.as_ref().filter(|_| facts.is_cilium()) else { return Vec::new() };
    let mut rules = Vec::new();
    if facts.nodes_need_entities() && !resolver.node_local.is_empty() {
        let why = "baseline: DNS to NodeLocal DNSCache, which listens on the host".to_owned();
        let peers = vec![Peer::Entity(Reserved::Host)];
        rules.push(baseline_rule(why, peers, lookups(&BTreeSet::from([DNS]))));
    }
    if let Some(pods) = resolver.pods.as_ref().filter(|_| has_names) {
        let why =
            vec![Text::new("lookups pass Cilium's DNS proxy, from which it learns the addresses of names")];
        let peers = vec![Peer::pods(&pods.ns, &pods.labels)];
        rules.push(Drawn { why, body: Body::Made { peers, ports: lookups(&pods.ports), proxied: true } });
    }
    rules
}

/// One destination.
pub(super) fn destination(desk: &mut Desk<'_>, seen: &Seen<'_>) {
    if desk.is_nameless(seen) || is_harbors(desk, seen) {
        return;
    }
    match seen.far {
        Far::Pods(ns, workload) => pods(desk, seen, ns, workload),
        Far::Entity(entity) => self::entity(desk, seen, entity),
        Far::Name(name) => self::name(desk, seen, name),
        Far::Address(_) => addresses(desk, seen),
        Far::Unsaid(_) => {
            let why =
                "the source tells neither address nor name; a source that does is needed, or a rule of yours";
            desk.leave_out(Cause::Unsaid, &seen.subject(), why);
        }
    }
}

fn pods(desk: &mut Desk<'_>, seen: &Seen<'_>, ns: &NsName, workload: &Workload) {
    let running = desk.input.facts.running(ns, workload);
    if running.is_some_and(|running| running.host_network) {
        return match is_lookup(desk, seen) {
            true => {}
            false => desk.open_nodes(Role::Allowlist, seen),
        };
    }
    let is_resolver =
        desk.input.facts.resolver.as_ref().and_then(|it| it.pods.as_ref()).is_some_and(|pods| {
            pods.ns == *ns
                && pods.ports.contains(&seen.port)
                && matches!(seen.protocol, Protocol::Udp | Protocol::Tcp)
        });
    // The baseline has them.
    if desk.input.settings.pod_to_pod || is_resolver {
        return;
    }
    let peer = super::pods_peer(desk, ns, workload);
    desk.open(Piece {
        role: Role::Allowlist,
        peer,
        span: seen.span(),
        why: seen.why(),
        subject: &seen.subject(),
    });
}

fn entity(desk: &mut Desk<'_>, seen: &Seen<'_>, entity: Entity) {
    match entity {
        Entity::KubeApiserver => desk.open_api(Role::Baseline, seen),
        Entity::Host | Entity::RemoteNode if is_lookup(desk, seen) => {}
        Entity::Host | Entity::RemoteNode => desk.open_nodes(Role::Allowlist, seen),
        Entity::Ingress => desk.open_entity(Role::Allowlist, seen, Reserved::Ingress),
        Entity::Unmanaged => desk.open_entity(Role::Allowlist, seen, Reserved::Unmanaged),
        Entity::Health => {
            desk.leave_out(Cause::Unroutable, &seen.subject(), "it is Cilium's own health check");
        }
        Entity::World => {
            let why = "the source tells neither address nor name of it";
            desk.leave_out(Cause::Unsaid, &seen.subject(), why);
        }
    }
}

/// A lookup that the baseline lets through to a cache on the node.
fn is_lookup(desk: &Desk<'_>, seen: &Seen<'_>) -> bool {
    let local = desk.input.facts.resolver.as_ref().is_some_and(|resolver| !resolver.node_local.is_empty());
    local && seen.port == DNS && matches!(seen.protocol, Protocol::Udp | Protocol::Tcp)
}

/// A name: by its addresses while those stay, else by what holds them all.
fn name(desk: &mut Desk<'_>, seen: &Seen<'_>, name: &DnsName) {
    let is_sure = seen.grade == Grade::Fresh;
    if !seen.churns() && !seen.addresses.is_empty() {
        if !is_sure {
            let also: Vec<_> = seen.also.iter().take(3).map(ToString::to_string).collect();
            let also = if also.is_empty() { String::new() } else { format!(", perhaps {}", also.join(", ")) };
            let (place, grade) = (seen.place(), seen.grade.as_str());
            desk.warn(format!(
                "{place}: its name is {grade}{also}; only the addresses that were seen are opened"
            ));
        }
        return addresses(desk, seen);
    }
    if !is_sure {
        let grade = seen.grade.as_str();
        let count = seen.addresses.len();
        let why = format!(
            "its name is {grade} and it had {count} addresses, so neither the name nor a list of them is sure; \
             a better source of answers, or a rule of yours"
        );
        return desk.leave_out(Cause::NameUnsure, &seen.subject(), why);
    }
    let published = desk.input.settings.published.iter().find(|published| published.holds(name));
    match published {
        Some(published) => by_range(desk, seen, published),
        None => by_name(desk, seen, name),
    }
}

impl Published {
    fn holds(&self, name: &DnsName) -> bool {
        self.names.iter().any(|mine| match Wildcard::of(mine) {
            Some(wildcard) => wildcard.matches(name.as_str()),
            None => mine == name,
        })
    }
}

fn by_range(desk: &mut Desk<'_>, seen: &Seen<'_>, published: &Published) {
    let ranges = Ranges::of(&published.networks);
    if let Some(outside) = seen.addresses.iter().find(|address| !ranges.contains(**address)) {
        let why = format!(
            "{outside} is not within the networks of {}; bring that list up to date",
            published.source
        );
        return desk.leave_out(Cause::Churning, &seen.subject(), why);
    }
    let count = seen.addresses.len();
    let why = format!(
        "{}; by the published networks of {}, instead of {count} addresses",
        seen.evidence(),
        published.source
    );
    for network in ranges.networks() {
        let peer = super::block(network, &[]);
        let (span, why, subject) = (seen.span(), Text::new(&why), &seen.subject());
        desk.open(Piece { role: Role::Allowlist, peer, span, why, subject });
    }
}

fn by_name(desk: &mut Desk<'_>, seen: &Seen<'_>, name: &DnsName) {
    let facts = desk.input.facts;
    let resolver = facts.resolver.as_ref();
    let is_proxied = resolver.is_some_and(|it| it.pods.is_some() && it.node_local.is_empty());
    if facts.is_cilium() && is_proxied {
        let peer = Peer::Name(name.clone());
        let subject = &seen.subject();
        return desk.open(Piece { role: Role::Fqdn, peer, span: seen.span(), why: seen.why(), subject });
    }
    let way = match facts.is_cilium() {
        true if resolver.is_some_and(|it| !it.node_local.is_empty()) => {
            "lookups go past Cilium's DNS proxy to NodeLocal DNSCache, so a rule by name would match nothing; \
             name published networks in sluice.yaml, or write a rule of yours"
        }
        true => {
            "the resolver is not known, which a rule by name needs; let `sluice author` reach the cluster"
        }
        false => {
            "name its provider's published networks in sluice.yaml (author.published), or write a rule of yours"
        }
    };
    let (cause, fact) = match seen.addresses.len() {
        0 => (Cause::Unsaid, "the source tells no address of it".to_owned()),
        count => (
            Cause::Churning,
            format!("its addresses change ({count} in the window), so no list of them is ever proved"),
        ),
    };
    desk.leave_out(cause, &seen.subject(), format!("{fact}; {way}"));
}

/// Addresses by what each is to the cluster.
fn addresses(desk: &mut Desk<'_>, seen: &Seen<'_>) {
    let mut plain = BTreeSet::new();
    let (mut api, mut node, mut pod, mut own) = (false, false, false, false);
    for address in &seen.addresses {
        match spot(desk, seen, *address) {
            Spot::Covered => {}
            Spot::Api => api = true,
            Spot::Node => node = true,
            Spot::Pod => pod = true,
            Spot::Own => own = true,
            Spot::Plain => drop(plain.insert(*address)),
        }
    }
    if api {
        desk.open_api(Role::Baseline, seen);
    }
    if node {
        desk.open_nodes(Role::Allowlist, seen);
    }
    if pod && !desk.input.settings.pod_to_pod {
        let why =
            "the address is one of pods, and no record says of which; a source that names pods is needed";
        desk.leave_out(Cause::UnknownPod, &seen.subject(), why);
    }
    if own {
        desk.leave_out(Cause::Unroutable, &seen.subject(), "it never leaves the pod, so no policy judges it");
    }
    desk.open_addresses(Role::Allowlist, seen, &plain);
}

enum Spot {
    /// The baseline has it.
    Covered,
    Api,
    Node,
    Pod,
    Own,
    Plain,
}

fn spot(desk: &Desk<'_>, seen: &Seen<'_>, address: IpAddr) -> Spot {
    let facts = desk.input.facts;
    let resolver = facts.resolver.as_ref();
    let is_resolver =
        resolver.is_some_and(|it| it.service.contains(&address) || it.node_local.contains(&address));
    let port = (address, seen.port);
    if address.is_unspecified() || range::space(address) == Space::Loopback {
        Spot::Own
    } else if (is_resolver && seen.port == DNS) || (seen.span() == CLOCK && !super::is_metadata(address)) {
        Spot::Covered
    } else if facts
        .api
        .as_ref()
        .is_some_and(|api| api.endpoints.contains(&port) || api.service.contains(&port))
    {
        Spot::Api
    } else if facts.is_node(address) {
        Spot::Node
    } else if facts.is_pod(address) {
        Spot::Pod
    } else {
        Spot::Plain
    }
}

/// Registries, where Harbor has landed: Harbor instead, and the rest is work to move.
fn is_harbors(desk: &mut Desk<'_>, seen: &Seen<'_>) -> bool {
    let Some(harbor) = desk.input.settings.harbor.as_ref().filter(|harbor| harbor.landed) else {
        return false;
    };
    let is_harbor = match seen.far {
        Far::Name(name) => harbor.names.contains(name),
        Far::Address(address) => Ranges::of(&harbor.networks).contains(address),
        Far::Pods(ns, _) => harbor.ns.as_ref() == Some(ns) && seen.port == harbor.port,
        Far::Entity(_) | Far::Unsaid(_) => false,
    };
    if !is_harbor && seen.category != Category::Registry {
        return false;
    }
    if !is_harbor {
        desk.work.insert(Text::from(format!("{}: let it pull through Harbor", seen.evidence())));
        let why = "Harbor has landed in this cluster: move it to Harbor, which is allowed instead";
        desk.leave_out(Cause::PastHarbor, &seen.subject(), why);
    }
    let (subject, span) =
        (Text::new("Harbor"), PortSpan { protocol: Protocol::Tcp, from: harbor.port, to: harbor.port });
    let why = Text::new("Harbor, by author.harbor of sluice.yaml, instead of registries");
    let networks =
        Ranges::of(&harbor.networks).networks().into_iter().map(|network| super::block(network, &[]));
    let pods = harbor.ns.iter().map(|ns| Peer::pods(ns, &harbor.labels));
    for peer in networks.chain(pods) {
        desk.open(Piece { role: Role::Allowlist, peer, span, why: why.clone(), subject: &subject });
    }
    true
}
