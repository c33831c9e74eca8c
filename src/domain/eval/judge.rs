//! The verdict on one connection, by its first packet: egress of the source and ingress of the
//! destination. Answers to allowed connections are never asked about. The hot path: no allocation.

use std::net::IpAddr;

use super::{
    model::{Class, Model, Party, PodFacts, PodId, Who, side},
    plugin::{Holds, Traits},
    table::{NONE, Table},
    verdict::{Decision, Doubt, Judged, RuleRef},
};
use crate::domain::flow::{Direction, Protocol};

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub from: Party,
    pub to: Party,
    pub protocol: Protocol,
    /// At the destination, after a Service's translation.
    pub port: u16,
    /// The Service's address and port that egress rules see instead, where the plugin judges before
    /// the translation.
    pub through: Option<(IpAddr, u16)>,
}

/// One end as a direction judges it.
struct Side<'m> {
    subject: PodId,
    peer: Party,
    protocol: Protocol,
    port: u16,
    /// The pod whose names of ports count.
    destination: Option<&'m PodFacts>,
    /// The peer's address is a Service's, which stands for its pods.
    is_service: bool,
}

/// What the rules say so far: the first rule that surely lets it pass, and the first doubt.
struct Found {
    rule: u32,
    doubt: Option<Doubt>,
}

impl Found {
    #[inline]
    fn sure(&mut self, rule: u32) {
        self.rule = self.rule.min(rule);
    }

    #[inline]
    fn doubt(&mut self, doubt: Doubt) {
        self.doubt.get_or_insert(doubt);
    }
}

impl Model {
    /// What the policies do with the connection.
    #[inline]
    pub fn judge(&self, question: &Question) -> Judged {
        self.judge_as(self.traits, question)
    }

    /// The same, were the plugin another one.
    #[inline]
    pub fn judge_as(&self, traits: Traits, question: &Question) -> Judged {
        let Question { from, to, protocol, port, through } = *question;
        if let Some(doubt) = doubtful(self, question) {
            return Judged::both(Decision::Unknown(doubt));
        }
        if from.who == to.who && matches!(from.who, Who::Pod(_)) {
            return Judged::both(Decision::Itself);
        }
        let destination = match to.who {
            Who::Pod(pod) => Some(&self.pods[pod.0 as usize]),
            Who::Host(_) | Who::Outside | Who::Shared => None,
        };
        let egress = match from.who {
            Who::Pod(subject) => {
                let (peer, port) = match through {
                    Some((address, port)) => (Party { address: Some(address), ..to }, port),
                    None => (to, port),
                };
                let is_service = through.is_some();
                let side = Side { subject, peer, protocol, port, destination, is_service };
                self.decide(&traits, Direction::Egress, &side)
            }
            Who::Host(_) => Decision::HostNetwork,
            Who::Outside | Who::Shared => Decision::NoPod,
        };
        let ingress = match to.who {
            Who::Pod(subject) => {
                let side = Side { subject, peer: from, protocol, port, destination, is_service: false };
                self.decide(&traits, Direction::Ingress, &side)
            }
            Who::Host(_) => Decision::HostNetwork,
            Who::Outside | Who::Shared => Decision::NoPod,
        };
        Judged { egress, ingress }
    }

    #[inline]
    fn decide(&self, traits: &Traits, direction: Direction, side: &Side<'_>) -> Decision {
        let cell = &self.cells[side.subject.0 as usize];
        let at = cell.class[self::side(direction)];
        if at == NONE {
            return Decision::NotIsolated;
        }
        let class = &self.classes[at as usize];
        let own_node = match side.peer.who {
            Who::Host(node) if direction == Direction::Ingress => {
                if node == NONE || cell.node == NONE {
                    Holds::Unsure
                } else {
                    holds(node == cell.node)
                }
            }
            Who::Host(_) | Who::Pod(_) | Who::Outside | Who::Shared => Holds::No,
        };
        if own_node == Holds::Yes && traits.local_node_passes == Holds::Yes {
            return Decision::OwnNode;
        }
        let decided = if class.policies.is_empty() {
            Decision::NotIsolated
        } else {
            match self.by_rules(traits, class, side) {
                Decision::Denied if own_node != Holds::No => Decision::Unknown(Doubt::OwnNode),
                decided => decided,
            }
        };
        if class.foreign.is_empty() { decided } else { self.with_foreign(class, decided) }
    }

    /// What the rules of NetworkPolicies say of an isolated pod.
    #[inline]
    fn by_rules(&self, traits: &Traits, class: &Class, side: &Side<'_>) -> Decision {
        if side.protocol == Protocol::Sctp && traits.sctp != Holds::Yes {
            return Decision::Unknown(Doubt::Sctp);
        }
        let mut found = Found { rule: NONE, doubt: None };
        let look = Look { traits, class, side };
        // What a rule without peers or by labels lets pass hangs on no way of the plugin: it is named first.
        match side.peer.who {
            Who::Pod(peer) => {
                let group = self.cells[peer.0 as usize].group as usize;
                look.table(class.groups[group], &mut found);
                if found.rule != NONE {
                    return Decision::Allowed(look.rule(found.rule));
                }
                if let Some(perhaps) = class.perhaps.get(group) {
                    look.perhaps(*perhaps, Doubt::NamespaceLabels, &mut found);
                }
                let has = if side.is_service { Holds::Yes } else { traits.block_matches_pods };
                look.blocks(has, Doubt::BlockHasPod, &mut found);
            }
            Who::Host(_) => {
                look.table(class.anybody, &mut found);
                if found.rule != NONE {
                    return Decision::Allowed(look.rule(found.rule));
                }
                match traits.all_namespaces_have_hosts {
                    Holds::Yes => look.table(class.hosts, &mut found),
                    Holds::Unsure => look.perhaps(class.hosts, Doubt::HostsOfNamespaces, &mut found),
                    Holds::No => {}
                }
                look.blocks(traits.block_matches_nodes, Doubt::BlockHasNode, &mut found);
            }
            Who::Outside | Who::Shared => {
                look.table(class.anybody, &mut found);
                if found.rule != NONE {
                    return Decision::Allowed(look.rule(found.rule));
                }
                look.blocks(Holds::Yes, Doubt::NoAddress, &mut found);
            }
        }
        if found.rule != NONE {
            return Decision::Allowed(look.rule(found.rule));
        }
        let unread = class.unread.map(Doubt::Rule);
        let unnamed = (class.has_port_names && traits.named_ports != Holds::Yes).then_some(Doubt::NamedPorts);
        let unenforced = (traits.enforces != Holds::Yes).then_some(Doubt::Enforcement);
        match found.doubt.or(unread).or(unnamed).or(unenforced) {
            Some(doubt) => Decision::Unknown(doubt),
            None => Decision::Denied,
        }
    }

    /// Policies of kinds that are not evaluated can only make a verdict unknown.
    fn with_foreign(&self, class: &Class, decided: Decision) -> Decision {
        use super::cluster::Weight::{Adds, Baseline, Narrows, Overrides};
        let counts = |foreign: &&u32| match (self.foreign[**foreign as usize].weight, decided) {
            (Overrides, _) => true,
            (Adds, Decision::Allowed(_)) => false,
            (Adds, _) => true,
            (Narrows, decided) => decided != Decision::Denied,
            (Baseline, decided) => decided == Decision::NotIsolated,
        };
        class.foreign.iter().find(counts).map_or(decided, |at| Decision::Unknown(Doubt::Foreign(*at)))
    }
}

#[inline]
fn holds(is: bool) -> Holds {
    if is { Holds::Yes } else { Holds::No }
}

/// What makes a question one that no rule can answer.
#[inline]
fn doubtful(model: &Model, question: &Question) -> Option<Doubt> {
    if matches!(question.protocol, Protocol::Icmp | Protocol::Unknown) {
        return Some(Doubt::Protocol);
    }
    if question.from.who == Who::Shared || question.to.who == Who::Shared {
        return Some(Doubt::SharedAddress);
    }
    match question.to.who {
        Who::Pod(pod) if model.cells[pod.0 as usize].finished => Some(Doubt::Finished(pod)),
        Who::Pod(_) | Who::Host(_) | Who::Outside | Who::Shared => None,
    }
}

/// Rules of a class, for one end of a connection.
struct Look<'l> {
    traits: &'l Traits,
    class: &'l Class,
    side: &'l Side<'l>,
}

impl Look<'_> {
    #[inline]
    fn rule(&self, at: u32) -> RuleRef {
        self.class.rules[at as usize]
    }

    /// Rules that surely mean the peer.
    #[inline]
    fn table(&self, table: u32, found: &mut Found) {
        let Some(table) = self.class.tables.get(table as usize) else { return };
        let Side { protocol, port, .. } = *self.side;
        found.sure(table.first(protocol, port, self.traits.end_port == Holds::Yes));
        if self.traits.end_port == Holds::Unsure && table.has_ranges() {
            let rule = table.first(protocol, port, true);
            if rule != NONE && found.rule > rule {
                found.doubt(Doubt::EndPort(self.rule(rule)));
            }
        }
        if !table.named.is_empty() {
            self.named(table, found);
        }
    }

    /// A named port is whatever number the destination's containers give it.
    fn named(&self, table: &Table, found: &mut Found) {
        let Some(destination) = self.side.destination else { return };
        if self.traits.named_ports != Holds::Yes {
            return found.doubt(Doubt::NamedPorts);
        }
        for named in table.named.iter().filter(|named| named.protocol == self.side.protocol) {
            match &destination.ports {
                None => found.doubt(Doubt::PortName(self.rule(named.rule))),
                Some(ports) if ports.contains(&(named.name, named.protocol, self.side.port)) => {
                    found.sure(named.rule);
                }
                Some(_) => {}
            }
        }
    }

    /// Rules that perhaps mean the peer.
    fn perhaps(&self, table: u32, doubt: impl Fn(RuleRef) -> Doubt, found: &mut Found) {
        let mut meant = Found { rule: NONE, doubt: None };
        self.table(table, &mut meant);
        if meant.rule != NONE {
            found.doubt(doubt(self.rule(meant.rule)));
        } else if let Some(doubt) = meant.doubt {
            found.doubt(doubt);
        }
    }

    /// Rules whose networks have the peer's address; `counts`: does the plugin look at the address of
    /// such a peer?
    #[inline]
    fn blocks(&self, counts: Holds, doubt: impl Fn(RuleRef) -> Doubt, found: &mut Found) {
        match (counts, self.side.peer.address) {
            (Holds::No, _) => {}
            (_, None) => self.perhaps(self.class.blocks, Doubt::NoAddress, found),
            (Holds::Yes, Some(address)) => self.table(self.class.at(address), found),
            (Holds::Unsure, Some(address)) => self.perhaps(self.class.at(address), doubt, found),
        }
    }
}
