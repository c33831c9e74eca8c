//! The desk on which one rollout is drafted: pieces go to the shelf of their policy once the owner
//! gate lets them pass; what does not pass is left out with its reason. Both directions write here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chrono::{Offset, Utc};
use ipnet::IpNet;

use super::{
    Input,
    draft::{Cause, LeftOut, Peer, Reserved},
    facts::Sees,
    seen::Seen,
    shelf::Shelf,
};
use crate::domain::{
    flow::{Direction, Protocol},
    gate::{self, Gate},
    grant::PortSpan,
    names::Text,
    opened::{Opened, Ports, What},
    policy::{Pinned, Role, Selector},
    ranges::Ranges,
};

pub(super) struct Desk<'a> {
    pub input: &'a Input<'a>,
    pub shelves: BTreeMap<&'static str, Shelf>,
    pub left_out: BTreeSet<LeftOut>,
    pub warnings: BTreeSet<Text>,
    pub work: BTreeSet<Text>,
}

/// One thing to open, before anybody was asked.
pub(super) struct Piece<'p> {
    pub role: Role,
    pub peer: Peer,
    pub span: PortSpan,
    pub why: Text,
    /// What it is called if it is left out.
    pub subject: &'p Text,
}

impl<'a> Desk<'a> {
    pub(super) fn new(input: &'a Input<'a>) -> Self {
        let (shelves, left_out) = (BTreeMap::new(), BTreeSet::new());
        Self { input, shelves, left_out, warnings: BTreeSet::new(), work: BTreeSet::new() }
    }

    pub(super) fn direction(&self) -> Direction {
        self.input.known.target.direction
    }

    pub(super) fn leave_out(&mut self, cause: Cause, what: &Text, why: impl Into<Text>) {
        self.left_out.insert(LeftOut { cause, what: what.clone(), why: why.into() });
    }

    pub(super) fn warn(&mut self, said: String) {
        self.warnings.insert(Text::from(said));
    }

    /// Opens it, if no owner has to be asked or one has said yes.
    pub(super) fn open(&mut self, piece: Piece<'_>) {
        let Piece { role, peer, span, why, subject } = piece;
        let role = if peer.is_ciliums() { Role::Fqdn } else { role };
        let pinned = Pinned::of(self.direction()).find(|pinned| pinned.role == role);
        let Some(name) = pinned.map(|pinned| pinned.name) else {
            let why = "only a CiliumNetworkPolicy could name it, and the pinned set has none for callers: write a \
                       rule with its port and no `from` into ingress-allowlist.extra.yaml, or set \
                       policy-cidr-match-mode to nodes";
            return self.leave_out(Cause::Unroutable, subject, why);
        };
        let what = what(&peer);
        let gate = self.judge(name, &what, Ports::new([span], Vec::new()));
        if !gate.passes() {
            return self.leave_out(Cause::Flagged, subject, refusal(&gate, self.input));
        }
        let review = gate.openings.first().and_then(|opening| opening.cover.review());
        let shelf = self.shelves.entry(name).or_default();
        match review {
            Some(review) => {
                shelf.put_granted(peer, span, Text::from(format!("{why}; granted by review {review}")));
            }
            None => shelf.put(peer, span, why),
        }
    }

    pub(super) fn judge(&self, policy: &str, what: &What, ports: Ports) -> Gate {
        let (direction, selector) = (self.direction(), Selector::default());
        let opened = Opened { direction, rule: 1, selector, what: what.clone(), entity: None, ports };
        gate::judge_opening(policy, &opened, &self.input.known)
    }

    /// Addresses as seen, each network by itself before the gate.
    pub(super) fn open_addresses(&mut self, role: Role, seen: &Seen<'_>, addresses: &BTreeSet<IpAddr>) {
        let networks: Vec<IpNet> = addresses.iter().map(|address| IpNet::from(*address)).collect();
        for network in Ranges::of(&networks).networks() {
            let peer = super::block(network, &[]);
            self.open(Piece { role, peer, span: seen.span(), why: seen.why(), subject: &seen.subject() });
        }
    }

    /// The API server, as this enforcer sees it.
    pub(super) fn open_api(&mut self, role: Role, seen: &Seen<'_>) {
        let subject = seen.subject();
        let facts = self.input.facts;
        let Some(api) = &facts.api else {
            let why = "the endpoints of the API server are not known; let `sluice author` reach the cluster";
            return self.leave_out(Cause::FactMissing, &subject, why);
        };
        let why = Text::from(format!("{}; by the endpoints of default/kubernetes", seen.evidence()));
        let mut places = api.endpoints.clone();
        if facts.sees() == Sees::Either {
            places.extend(&api.service);
        }
        for (address, port) in places {
            let span = match self.direction() {
                Direction::Egress => PortSpan { protocol: Protocol::Tcp, from: port, to: port },
                Direction::Ingress => seen.span(),
            };
            let peer = match facts.nodes_need_entities() {
                true => Peer::Entity(Reserved::KubeApiserver),
                false => Peer::address(address),
            };
            self.open(Piece { role, peer, span, why: why.clone(), subject: &subject });
        }
    }

    /// The API server as a caller: through the agents of konnectivity where they are pods, else from its
    /// endpoints.
    pub(super) fn open_callback(&mut self, role: Role, span: PortSpan, why: &Text, subject: &Text) {
        let facts = self.input.facts;
        let agent = facts.workloads.iter().flatten().find_map(|(ns, all)| {
            let mut own = all.iter().filter(|(_, running)| !running.host_network);
            own.find(|(one, _)| one.name.as_str() == "konnectivity-agent").map(|(one, _)| (ns, one))
        });
        if let Some((ns, workload)) = agent {
            let peer = super::pods_peer(self, ns, workload);
            return self.open(Piece { role, peer, span, why: why.clone(), subject });
        }
        let Some(api) = &facts.api else {
            let fact = "the endpoints of the API server are not known; let `sluice author` reach the cluster";
            return self.leave_out(Cause::FactMissing, subject, fact);
        };
        let addresses: BTreeSet<IpAddr> = api.endpoints.iter().map(|(address, _)| *address).collect();
        for address in addresses {
            let peer = match facts.nodes_need_entities() {
                true => Peer::Entity(Reserved::KubeApiserver),
                false => Peer::address(address),
            };
            self.open(Piece { role, peer, span, why: why.clone(), subject });
        }
    }

    /// Every node: they come and go, and pods move among them.
    pub(super) fn open_nodes(&mut self, role: Role, seen: &Seen<'_>) {
        let (subject, span) = (seen.subject(), seen.span());
        let facts = self.input.facts;
        let why = Text::from(format!("{}; nodes of the cluster", seen.evidence()));
        if facts.nodes_need_entities() {
            for entity in [Reserved::Host, Reserved::RemoteNode] {
                let peer = Peer::Entity(entity);
                self.open(Piece { role, peer, span, why: why.clone(), subject: &subject });
            }
            return;
        }
        let Some(nodes) = &facts.nodes else {
            let why = "the addresses of the nodes are not known; let `sluice author` reach the cluster";
            return self.leave_out(Cause::FactMissing, &subject, why);
        };
        for address in nodes {
            let peer = Peer::address(*address);
            self.open(Piece { role, peer, span, why: why.clone(), subject: &subject });
        }
    }

    pub(super) fn open_entity(&mut self, role: Role, seen: &Seen<'_>, entity: Reserved) {
        let subject = seen.subject();
        if !self.input.facts.is_cilium() {
            let why = "only Cilium has a word for it, and this cluster is not known to run Cilium";
            return self.leave_out(Cause::Unroutable, &subject, why);
        }
        let peer = Peer::Entity(entity);
        self.open(Piece { role, peer, span: seen.span(), why: seen.why(), subject: &subject });
    }

    /// What no rule can name, whatever the peer is.
    pub(super) fn is_nameless(&mut self, seen: &Seen<'_>) -> bool {
        let why = match seen.protocol {
            Protocol::Tcp | Protocol::Udp | Protocol::Sctp if seen.port > 0 => return false,
            Protocol::Tcp | Protocol::Udp | Protocol::Sctp => "the source tells no port",
            Protocol::Icmp => {
                "no NetworkPolicy can name ICMP; what becomes of it is the network plugin's word"
            }
            Protocol::Unknown => "the source tells no protocol that a NetworkPolicy could name",
        };
        self.leave_out(Cause::Unroutable, &seen.subject(), why);
        true
    }
}

/// As the gate asks for it.
fn what(peer: &Peer) -> What {
    match peer {
        Peer::EveryPod | Peer::Pods { .. } | Peer::Entity(_) => What::Inside,
        Peer::Block { network, except } => What::Block { network: *network, except: except.clone() },
        Peer::Name(name) => What::Name(name.clone()),
    }
}

/// Every reason, with the next step.
pub(super) fn refusal(gate: &Gate, input: &Input<'_>) -> Text {
    let target = input.known.target;
    let openings = gate.openings.iter().filter_map(|one| one.clause(target, Utc.fix()));
    let missing = gate.missing.iter().map(|missing| missing.reason(target));
    Text::from(openings.chain(missing).collect::<Vec<_>>().join("; "))
}
