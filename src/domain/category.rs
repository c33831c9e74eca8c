//! What kind of party a destination is: by the workspace's own rules first, then by the built-in
//! ones, then by what the data plane and the address say. The most specific rule wins; its words are
//! kept. Built by `workspace`; reads no file itself.

use std::net::IpAddr;

use super::{
    destination::Category,
    edge::Peer,
    flow::{Entity, Protocol},
    lookup::{Names, Networks},
    names::{NsName, Text},
    range,
    suspect::{Entries, Ports},
};

/// All rules, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Categories {
    rules: Vec<Rule>,
    names: Names<u32>,
    networks: Networks<u32>,
    namespaces: Vec<(NsName, u32)>,
    /// Rules of a port alone.
    ports: Vec<u32>,
}

/// One rule. Its entries are told beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub category: Category,
    /// In words: `GitHub's container registry`.
    pub label: Text,
    /// Of the workspace: goes before the built-in ones.
    pub own: bool,
    pub ports: Ports,
    pub protocol: Option<Protocol>,
    /// Only where the address is no public one.
    pub inside: bool,
}

/// What is known of a destination when its category is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub peer: &'a Peer,
    /// Without search suffixes.
    pub name: Option<&'a str>,
    /// The name is one of the cluster's own (`.cluster.local`).
    pub cluster_name: bool,
    pub addresses: &'a [IpAddr],
    pub protocol: Protocol,
    pub port: u16,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub category: Category,
    /// The rule that decided, in words.
    pub by: Text,
    /// A rule of the workspace decided.
    pub own: bool,
}

impl Categories {
    pub fn add(&mut self, rule: Rule, entries: &Entries, namespaces: &[NsName]) {
        let id = self.rules.len() as u32;
        let bare = entries == &Entries::default() && namespaces.is_empty();
        self.rules.push(rule);
        entries.suffixes.iter().for_each(|name| self.names.add_suffix(name.as_str(), id));
        entries.exact.iter().for_each(|name| self.names.add_exact(name.as_str(), id));
        entries.patterns.iter().for_each(|pattern| self.names.add_pattern(pattern.clone(), id));
        entries.networks.iter().for_each(|network| self.networks.add(*network, id));
        self.namespaces.extend(namespaces.iter().map(|ns| (ns.clone(), id)));
        if bare {
            self.ports.push(id);
        }
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Every destination has a category; `unknown` says that no rule named it.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let own = self.best(question, true);
        let built_in = || self.best(question, false);
        own.or_else(built_in).map_or_else(|| inherent(question), |rule| self.told(rule))
    }

    fn told(&self, rule: u32) -> Decision {
        let rule = &self.rules[rule as usize];
        Decision { category: rule.category, by: rule.label.clone(), own: rule.own }
    }

    /// Names before ports, ports before namespaces, those before networks; within one kind the most
    /// specific, then the first of the file.
    fn best(&self, question: &Question<'_>, own: bool) -> Option<u32> {
        let fits = |id: u32| {
            let rule = &self.rules[id as usize];
            rule.own == own
                && rule.ports.hold(question.port)
                && rule.protocol.is_none_or(|protocol| protocol == question.protocol)
                && (!rule.inside || !may_be_public(question))
        };
        let mut best: Option<(usize, u32)> = None;
        if let Some(name) = question.name {
            self.names.each(name, |hit| {
                let better = best.is_none_or(|(weight, id)| {
                    (hit.part.len(), std::cmp::Reverse(hit.value)) > (weight, std::cmp::Reverse(id))
                });
                if better && fits(hit.value) {
                    best = Some((hit.part.len(), hit.value));
                }
            });
        }
        let named = best.map(|(_, id)| id);
        named
            .or_else(|| self.ports.iter().copied().find(|id| fits(*id)))
            .or_else(|| self.by_namespace(question, fits))
            .or_else(|| self.by_network(question, fits))
    }

    fn by_namespace(&self, question: &Question<'_>, fits: impl Fn(u32) -> bool) -> Option<u32> {
        let Peer::Pods { ns, .. } = question.peer else { return None };
        self.namespaces.iter().find(|(other, id)| other == ns && fits(*id)).map(|(_, id)| *id)
    }

    /// A name's addresses count where they are all of one rule.
    fn by_network(&self, question: &Question<'_>, fits: impl Fn(u32) -> bool) -> Option<u32> {
        if matches!(question.peer, Peer::Pods { .. }) {
            return None;
        }
        let mut out = None;
        for address in question.addresses {
            let mut found = None;
            self.networks.each(range::fold(*address), |_, id| {
                if found.is_none() && fits(id) {
                    found = Some(id);
                }
            });
            let category = |id: u32| self.rules[id as usize].category;
            match (out, found) {
                (None, Some(_)) => out = found,
                (Some(a), Some(b)) if category(a) == category(b) => {}
                (_, None) | (Some(_), Some(_)) => return None,
            }
        }
        out
    }
}

/// May the other end be somewhere in the internet?
fn may_be_public(question: &Question<'_>) -> bool {
    let public = |address: &IpAddr| range::space(range::fold(*address)) == range::Space::Public;
    match question.peer {
        Peer::Pods { .. } => false,
        Peer::Entity(entity) => *entity == Entity::World,
        Peer::Address(_) => question.addresses.iter().any(public),
        Peer::Unsaid(class) => class.as_str() != "pvt",
    }
}

/// What needs no rule: the data plane's own words, and names of the cluster.
fn inherent(question: &Question<'_>) -> Decision {
    let (category, by) = match question.peer {
        Peer::Pods { ns, .. } => (Category::Internal, format!("pods of {ns}")),
        Peer::Entity(Entity::Host | Entity::RemoteNode | Entity::Health) => {
            (Category::Infra, "a node of the cluster, by the data plane".to_owned())
        }
        Peer::Entity(Entity::KubeApiserver) => {
            (Category::Infra, "the API server, by the data plane".to_owned())
        }
        Peer::Entity(Entity::Ingress) => {
            (Category::Infra, "the cluster's ingress, by the data plane".to_owned())
        }
        Peer::Entity(Entity::Unmanaged) => {
            (Category::Internal, "pods that the data plane does not manage".to_owned())
        }
        Peer::Address(_) | Peer::Unsaid(_) | Peer::Entity(Entity::World) if question.cluster_name => {
            (Category::Internal, "a name of the cluster".to_owned())
        }
        Peer::Unsaid(class) if class.as_str() == "pvt" => {
            (Category::Internal, "a private network, as the source says".to_owned())
        }
        Peer::Address(_) | Peer::Unsaid(_) | Peer::Entity(Entity::World) => {
            (Category::Unknown, "no rule names it".to_owned())
        }
    };
    Decision { category, by: Text::from(by), own: false }
}
