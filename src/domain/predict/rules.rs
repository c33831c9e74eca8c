//! Rules of a wanted set that nothing recorded needs: a selector that finds no pod, a network that
//! nobody went to, a port that nobody used. Each peer is looked at by itself, so that one rule never
//! hides another. Pure.

use std::net::IpAddr;

use super::{place::Placed, prediction::Unused};
use crate::domain::{
    edge::{Edge, EdgeKey, Peer as Recorded},
    eval::{
        cluster::Cluster,
        rule::{Network, Peer, Pods, PortMatch, Rule},
    },
    flow::{Direction, Protocol},
    names::{NsName, Text},
    policy::{Labels, Policy, Role, Selector},
    ranges::Ranges,
};

/// What was recorded, by the other end.
pub(super) struct Used<'r> {
    /// Sorted.
    addresses: Vec<(IpAddr, Protocol, u16)>,
    /// The other end's pods (namespace, labels), or a namespace whose pods are not known.
    pods: Vec<(&'r NsName, Option<&'r Labels>, Protocol, u16)>,
    any: Vec<(Protocol, u16)>,
}

impl<'r> Used<'r> {
    pub fn new(cluster: &'r Cluster, placed: &Placed<'r>, edges: &[(&'r EdgeKey, &'r Edge)]) -> Self {
        let mut out = Self { addresses: Vec::new(), pods: Vec::new(), any: Vec::new() };
        for (key, _) in edges {
            out.any.push((key.protocol, key.port));
            match &key.peer {
                Recorded::Address(address) => {
                    let address = address.to_canonical();
                    out.addresses.push((address, key.protocol, key.port));
                }
                Recorded::Pods { ns, workload } => {
                    let pods = placed.of(ns, workload);
                    if pods.is_empty() {
                        out.pods.push((ns, None, key.protocol, key.port));
                    }
                    for pod in pods {
                        let pod = &cluster.pods[*pod];
                        out.pods.push((ns, Some(&pod.labels), key.protocol, key.port));
                        let of_pod = pod.addresses.iter().map(|own| (*own, key.protocol, key.port));
                        out.addresses.extend(of_pod);
                    }
                }
                Recorded::Entity(_) | Recorded::Unsaid(_) => {}
            }
        }
        out.addresses.sort_unstable();
        out.addresses.dedup();
        out.pods.sort_unstable();
        out.pods.dedup();
        out.any.sort_unstable();
        out.any.dedup();
        out
    }

    fn meets_block(&self, ranges: &Ranges, ports: &[PortMatch]) -> bool {
        let [v4, v6] = ranges.numbers();
        let v4 = v4.iter().filter_map(|(first, last)| {
            let address = |number: u128| u32::try_from(number).ok().map(|bits| IpAddr::V4(bits.into()));
            Some((address(*first)?, address(*last)?))
        });
        let v6 = v6.iter().map(|(first, last)| (IpAddr::V6((*first).into()), IpAddr::V6((*last).into())));
        v4.chain(v6).any(|(first, last)| {
            let begin = self.addresses.partition_point(|(address, ..)| *address < first);
            self.addresses[begin..]
                .iter()
                .take_while(|(address, ..)| *address <= last)
                .any(|(_, protocol, port)| meet(ports, *protocol, *port))
        })
    }

    /// Pods that are not known may be meant: then nothing is said against the rule.
    fn meets_pods(&self, cluster: &Cluster, own: &NsName, peer: &Pods, ports: &[PortMatch]) -> bool {
        self.pods.iter().any(|(ns, labels, protocol, port)| {
            meet(ports, *protocol, *port)
                && in_namespace(cluster, own, peer, ns)
                && labels.is_none_or(|labels| peer.pods.as_ref().is_none_or(|want| want.matches(labels)))
        })
    }
}

/// A named port may be any.
pub(super) fn meet(ports: &[PortMatch], protocol: Protocol, port: u16) -> bool {
    ports.is_empty()
        || ports.iter().any(|one| match one {
            PortMatch::Protocol(own) => *own == protocol,
            PortMatch::Span(span) => span.protocol == protocol && (span.from..=span.to).contains(&port),
            PortMatch::Named { protocol: own, .. } => *own == protocol,
        })
}

pub(super) fn in_namespace(cluster: &Cluster, own: &NsName, peer: &Pods, ns: &NsName) -> bool {
    match &peer.namespaces {
        None => own == ns,
        Some(selector) => {
            let known = cluster.namespaces.iter().find(|one| one.name == *ns);
            known.is_none_or(|known| selector.matches(&known.labels))
        }
    }
}

/// Every peer of the set that nothing recorded needs.
pub(super) fn unused(
    cluster: &Cluster,
    ns: &NsName,
    direction: Direction,
    policies: &[&Policy],
    used: &Used<'_>,
) -> Vec<Unused> {
    let mut out = Vec::new();
    for policy in policies {
        let (Some(network), Some(pinned)) = (&policy.network, policy.pinned()) else { continue };
        let name = Text::new(policy.key.name.as_str());
        let selects = selected(cluster, ns, &network.selector);
        if selects == 0 && !network.selector.is_everything() {
            let peer = Text::from(format!("pods {}", network.selector));
            let ports = Text::default();
            out.push(Unused { policy: name.clone(), rule: None, peer, ports, pods: Some(0) });
        }
        for (rule, at) in network.rules(direction).unwrap_or_default().iter().zip(1..) {
            let Ok(rule) = rule else { continue };
            for (peer, pods) in idle(cluster, ns, rule, used) {
                // A baseline is written before anybody needs it; a selector that finds nobody is wrong.
                if pinned.role != Role::Baseline || pods == Some(0) {
                    let (policy, ports) = (name.clone(), words(&rule.ports));
                    out.push(Unused { policy, rule: Some(at), peer, ports, pods });
                }
            }
        }
    }
    out
}

/// Peers of a rule that nothing recorded needs, with the pods that they find.
fn idle(cluster: &Cluster, ns: &NsName, rule: &Rule, used: &Used<'_>) -> Vec<(Text, Option<usize>)> {
    if rule.peers.is_empty() {
        let is_used = used.any.iter().any(|(protocol, port)| meet(&rule.ports, *protocol, *port));
        return if is_used { Vec::new() } else { vec![(Text::new("everybody"), None)] };
    }
    let mut out = Vec::new();
    for peer in &rule.peers {
        match peer {
            Peer::Block { network, except } => {
                let ranges = Ranges::of([network]).minus(&Ranges::of(except));
                if !used.meets_block(&ranges, &rule.ports) {
                    out.push((said(peer), None));
                }
            }
            Peer::Pods(pods) => {
                if !used.meets_pods(cluster, ns, pods, &rule.ports) {
                    let count = cluster.pods.iter().filter(|pod| !pod.finished).filter(|pod| {
                        in_namespace(cluster, ns, pods, &pod.ns)
                            && pods.pods.as_ref().is_none_or(|want| want.matches(&pod.labels))
                    });
                    out.push((said(peer), Some(count.count())));
                }
            }
        }
    }
    out
}

fn selected(cluster: &Cluster, ns: &NsName, selector: &Selector) -> usize {
    let own = cluster.pods.iter().filter(|pod| pod.ns == *ns && !pod.finished);
    own.filter(|pod| selector.matches(&pod.labels)).count()
}

/// A peer in words.
pub(super) fn said(peer: &Peer) -> Text {
    Text::from(match peer {
        Peer::Block { network, except } if except.is_empty() => network.to_string(),
        Peer::Block { network, except } => {
            let cut: Vec<_> = except.iter().map(ToString::to_string).collect();
            format!("{network} except {}", cut.join(", "))
        }
        Peer::Pods(pods) => {
            let which = match &pods.pods {
                Some(selector) if !selector.is_everything() => format!("pods {selector}"),
                Some(_) | None => "all pods".to_owned(),
            };
            match &pods.namespaces {
                None => format!("{which} of the namespace"),
                Some(all) if all.is_everything() => format!("{which} of all namespaces"),
                Some(some) => format!("{which} of namespaces {some}"),
            }
        }
    })
}

/// Ports in words.
pub(super) fn words(ports: &[PortMatch]) -> Text {
    if ports.is_empty() {
        return Text::new("all ports");
    }
    let one = |port: &PortMatch| match port {
        PortMatch::Protocol(protocol) => protocol.to_string(),
        PortMatch::Span(span) if span.from == span.to => format!("{}/{}", span.from, span.protocol),
        PortMatch::Span(span) => format!("{}-{}/{}", span.from, span.to, span.protocol),
        PortMatch::Named { name, protocol } => format!("{}/{protocol}", Text::new(name)),
    };
    Text::from(ports.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Rules that could not be read.
pub(super) fn unread(network: &Network, direction: Direction) -> impl Iterator<Item = (u32, &Text)> {
    let rules = network.rules(direction).unwrap_or_default().iter().zip(1..);
    rules.filter_map(|(rule, at)| Some((at, rule.as_ref().err()?)))
}
