//! Where what may be opened is gathered until it becomes rules: by kind of peer, family and port, so
//! that equal input gives equal rules in any order. Networks are put together exactly; what a grant
//! opens stays by itself, because together with others it would go beyond the grant.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::draft::{Body, Drawn, Peer};
use crate::domain::{grant::PortSpan, names::Text, opened::Ports, ranges::Ranges};

/// The rules of one policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    bins: BTreeMap<(Kind, PortSpan), Bin>,
    granted: BTreeMap<(Peer, PortSpan), BTreeSet<Text>>,
}

/// What never shares a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Pods,
    V4,
    V6,
    Entities,
    Names,
}

impl Kind {
    fn of(peer: &Peer) -> Self {
        match peer {
            Peer::EveryPod | Peer::Pods { .. } => Self::Pods,
            Peer::Block { network: IpNet::V4(_), .. } => Self::V4,
            Peer::Block { network: IpNet::V6(_), .. } => Self::V6,
            Peer::Entity(_) => Self::Entities,
            Peer::Name(_) => Self::Names,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Bin {
    peers: BTreeSet<Peer>,
    networks: BTreeSet<IpNet>,
    why: BTreeSet<Text>,
}

/// Ports that share their peers, and why.
type Ported = (Vec<PortSpan>, BTreeSet<Text>);

impl Shelf {
    pub(super) fn put(&mut self, peer: Peer, span: PortSpan, why: Text) {
        let bin = self.bins.entry((Kind::of(&peer), span)).or_default();
        bin.why.insert(why);
        match peer {
            Peer::Block { network, .. } => drop(bin.networks.insert(network)),
            peer => drop(bin.peers.insert(peer)),
        }
    }

    pub(super) fn put_granted(&mut self, peer: Peer, span: PortSpan, why: Text) {
        self.granted.entry((peer, span)).or_default().insert(why);
    }

    /// Ports with the same peers share a rule.
    pub(super) fn rules(self) -> Vec<Drawn> {
        let mut merged: BTreeMap<(Kind, Vec<Peer>), Ported> = BTreeMap::new();
        for ((kind, span), bin) in self.bins {
            let meant: Vec<IpNet> = bin.networks.iter().copied().collect();
            let networks = Ranges::of(&bin.networks).networks();
            let blocks = networks.into_iter().map(|network| super::block(network, &meant));
            let peers = bin.peers.into_iter().chain(blocks).collect();
            let (spans, why) = merged.entry((kind, peers)).or_default();
            spans.push(span);
            why.extend(bin.why);
        }
        let mut out: Vec<_> = merged
            .into_iter()
            .map(|((kind, peers), (spans, why))| ((kind, spans[0]), drawn(peers, spans, why)))
            .collect();
        out.sort_by(|(a, one), (b, other)| (a, &one.why).cmp(&(b, &other.why)));
        let granted = self.granted.into_iter().map(|((peer, span), why)| drawn(vec![peer], vec![span], why));
        out.into_iter().map(|(_, rule)| rule).chain(granted).collect()
    }
}

fn drawn(peers: Vec<Peer>, spans: Vec<PortSpan>, why: BTreeSet<Text>) -> Drawn {
    let ports = Ports::new(spans, Vec::new());
    Drawn { why: why.into_iter().collect(), body: Body::Made { peers, ports, proxied: false } }
}
