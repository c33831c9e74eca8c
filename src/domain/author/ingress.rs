//! Who may call the pods of a namespace: the callers that evidence shows, by selector where they are
//! pods, by node, by the API server's endpoints, or by address. Probes of a pod's own node pass
//! everywhere and get no rule.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    desk::{Desk, Piece},
    draft::{Cause, Reserved},
    seen::{Far, Seen},
};
use crate::domain::{
    flow::{Entity, Protocol},
    grant::PortSpan,
    names::Text,
    policy::Role,
    range::{self, Space},
};

/// So many callers from outside on one port are listed; beyond it is not a list any more.
pub const CALLERS: usize = 64;

const LIST: Role = Role::Allowlist;

/// Callers by address, until all of a port are known.
#[derive(Default)]
pub(super) struct Outside<'s, 'a> {
    by_port: BTreeMap<(Protocol, u16), Vec<&'s Seen<'a>>>,
}

pub(super) fn callers<'a>(desk: &mut Desk<'_>, all: &[Seen<'a>]) {
    let mut outside = Outside::default();
    for seen in all.iter().filter(|seen| seen.passed) {
        caller(desk, seen, &mut outside);
    }
    outside.settle(desk);
    callbacks(desk);
}

/// What the API server is told to call here, seen or not: a webhook that is cut off stops or silently
/// passes what it was there to look at.
fn callbacks(desk: &mut Desk<'_>) {
    let ns = &desk.input.known.target.ns;
    let ours = desk.input.facts.callbacks.iter().flatten().filter(|one| one.ns == *ns);
    for callback in ours.collect::<Vec<_>>() {
        let span = PortSpan { protocol: Protocol::Tcp, from: callback.port, to: callback.port };
        let subject = Text::from(format!("the API server TCP/{}, for {}", callback.port, callback.object));
        let why = Text::from(format!("{}: called by the API server on the pods' own port", callback.object));
        desk.open_callback(LIST, span, &why, &subject);
    }
}

fn caller<'s, 'a>(desk: &mut Desk<'_>, seen: &'s Seen<'a>, outside: &mut Outside<'s, 'a>) {
    if desk.is_nameless(seen) {
        return;
    }
    match seen.far {
        Far::Pods(ns, workload) => {
            if desk.input.facts.running(ns, workload).is_some_and(|running| running.host_network) {
                return desk.open_nodes(LIST, seen);
            }
            let peer = super::pods_peer(desk, ns, workload);
            desk.open(Piece {
                role: LIST,
                peer,
                span: seen.span(),
                why: seen.why(),
                subject: &seen.subject(),
            });
        }
        Far::Entity(Entity::KubeApiserver) => desk.open_api(LIST, seen),
        // The pod's own node, which no policy can keep out.
        Far::Entity(Entity::Host | Entity::Health) => {}
        Far::Entity(Entity::RemoteNode) => {
            behind_nodes(desk, seen);
            desk.open_nodes(LIST, seen);
        }
        Far::Entity(Entity::Ingress) => desk.open_entity(LIST, seen, Reserved::Ingress),
        Far::Entity(Entity::Unmanaged) => desk.open_entity(LIST, seen, Reserved::Unmanaged),
        Far::Entity(Entity::World) | Far::Unsaid(_) => {
            let why = "the source tells no address of the callers; to open the port to all, write it into \
                       ingress-allowlist.extra.yaml";
            desk.leave_out(Cause::Unsaid, &seen.subject(), why);
        }
        Far::Name(_) | Far::Address(_) => {
            let key = (seen.protocol, seen.port);
            outside.by_port.entry(key).or_default().push(seen);
        }
    }
}

/// Who opens a port to nodes opens it to whoever comes through them (networkpolicy-semantics 5: NodePorts
/// and load balancers hide the client behind a node, unless their traffic policy is Local).
fn behind_nodes(desk: &mut Desk<'_>, seen: &Seen<'_>) {
    desk.warn(format!(
        "{}/{} is called by nodes: behind them may be clients of a NodePort or a load balancer, and a rule for \
         nodes lets all of those in; with externalTrafficPolicy Local they come by their own addresses",
        seen.protocol, seen.port
    ));
}

impl Outside<'_, '_> {
    fn settle(self, desk: &mut Desk<'_>) {
        for seens in self.by_port.into_values() {
            let mut plain: Vec<(&Seen<'_>, BTreeSet<IpAddr>)> = Vec::new();
            for seen in seens {
                let addresses = inside(desk, seen);
                if !addresses.is_empty() {
                    plain.push((seen, addresses));
                }
            }
            let count: usize = plain.iter().map(|(_, addresses)| addresses.len()).sum();
            if count > CALLERS {
                let (first, _) = plain[0];
                let what =
                    Text::from(format!("{count} callers by address on {}/{}", first.protocol, first.port));
                let why = "so many are no list any more: whether all may call is a person's word, written into \
                           ingress-allowlist.extra.yaml";
                desk.leave_out(Cause::TooMany, &what, why);
                continue;
            }
            for (seen, addresses) in plain {
                desk.open_addresses(LIST, seen, &addresses);
            }
        }
    }
}

/// Takes those of the cluster out; gives back the others.
fn inside(desk: &mut Desk<'_>, seen: &Seen<'_>) -> BTreeSet<IpAddr> {
    let facts = desk.input.facts;
    let (mut plain, mut api, mut node, mut pod) = (BTreeSet::new(), false, false, false);
    for address in seen.addresses.iter().copied() {
        if range::space(address) == Space::Loopback || address.is_unspecified() {
        } else if facts.api.as_ref().is_some_and(|it| it.endpoints.iter().any(|(one, _)| *one == address)) {
            api = true;
        } else if facts.is_node(address) {
            node = true;
        } else if facts.is_pod(address) {
            pod = true;
        } else {
            plain.insert(address);
        }
    }
    if node {
        behind_nodes(desk, seen);
        desk.open_nodes(LIST, seen);
    }
    if api {
        desk.open_api(LIST, seen);
    }
    if pod {
        let why = "the caller's address is one of pods, and no record says of which; a source that names pods is \
                   needed";
        desk.leave_out(Cause::UnknownPod, &seen.subject(), why);
    }
    plain
}
