//! Rules of a NetworkPolicy as values: whom they let pass, on which ports. Filled by
//! `crate::manifest`, which reads every field of the API; a rule that it could not read says why.
//! Judges nothing.

use compact_str::CompactString;
use ipnet::IpNet;

use crate::domain::{
    flow::{Direction, Protocol},
    grant::PortSpan,
    names::Text,
    policy::Selector,
};

/// A NetworkPolicy's spec. `None` rules: the direction is not among the effective policyTypes, so the
/// policy says nothing about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    pub selector: Selector,
    pub egress: Option<Vec<Read>>,
    pub ingress: Option<Vec<Read>>,
}

/// A rule, or why it is not understood.
pub type Read = Result<Rule, Text>;

/// One rule: any of the peers, on any of the ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Empty: everybody, outside the cluster too.
    pub peers: Vec<Peer>,
    /// Empty: every port of every protocol, those without ports too.
    pub ports: Vec<PortMatch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Block { network: IpNet, except: Vec<IpNet> },
    Pods(Pods),
}

/// Pods by their labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pods {
    /// `None`: those of the policy's own namespace.
    pub namespaces: Option<Selector>,
    /// `None`: all of them; a plugin may tell that from an empty selector.
    pub pods: Option<Selector>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortMatch {
    /// Every port of it.
    Protocol(Protocol),
    Span(PortSpan),
    /// A name among the ports of the destination's containers, with the same protocol.
    Named {
        name: CompactString,
        protocol: Protocol,
    },
}

impl Network {
    pub fn rules(&self, direction: Direction) -> Option<&[Read]> {
        match direction {
            Direction::Egress => self.egress.as_deref(),
            Direction::Ingress => self.ingress.as_deref(),
        }
    }
}
