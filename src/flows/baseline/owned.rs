//! What sources tell, kept longer than the bytes it came from: flows wait here for late answers,
//! answers until they are on disk. Holds no opinion; `domain::sighting` says what the fields mean.

use std::net::IpAddr;

use compact_str::CompactString;

use crate::domain::{
    flow::{Direction, Entity, Protocol},
    sighting::{Answer, Client, Lost, Outcome, Side, Sighting, Told},
    time::Timestamp,
};

/// One thing a source told.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Flow(Box<HeardFlow>),
    Answer(Box<HeardAnswer>),
    Lost(HeardLoss),
    Other { node: Option<CompactString>, at: Option<Timestamp> },
}

#[derive(Clone, Debug, PartialEq)]
pub struct HeardFlow {
    pub at: Timestamp,
    pub until: Timestamp,
    pub node: Option<CompactString>,
    pub direction: Option<Direction>,
    pub outcome: Outcome,
    pub protocol: Protocol,
    pub source: HeardSide,
    pub destination: HeardSide,
    pub source_port: u16,
    pub port: u16,
    pub reply: Option<bool>,
    pub flows: u64,
    pub names: [Option<CompactString>; Sighting::NAMES],
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeardSide {
    pub address: Option<IpAddr>,
    pub ns: Option<CompactString>,
    pub pod: Option<CompactString>,
    pub workload: Option<(CompactString, CompactString)>,
    pub service: Option<(CompactString, CompactString)>,
    pub entity: Option<Entity>,
    pub class: Option<CompactString>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HeardClient {
    Pod { ns: CompactString, pod: CompactString },
    Address(IpAddr),
    Workload { ns: CompactString, name: CompactString },
}

#[derive(Clone, Debug, PartialEq)]
pub struct HeardAnswer {
    pub at: Timestamp,
    pub client: HeardClient,
    pub query: CompactString,
    pub cnames: Vec<CompactString>,
    pub addresses: Vec<IpAddr>,
    pub ttl_secs: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HeardLoss {
    pub node: Option<CompactString>,
    pub from: Timestamp,
    pub until: Timestamp,
    pub count: Option<u64>,
    pub why: CompactString,
}

type Pair = Option<(CompactString, CompactString)>;

fn own(text: Option<&str>) -> Option<CompactString> {
    text.map(CompactString::new)
}

fn own_pair(pair: Option<(&str, &str)>) -> Pair {
    pair.map(|(a, b)| (a.into(), b.into()))
}

fn lend_pair(pair: &Pair) -> Option<(&str, &str)> {
    pair.as_ref().map(|(a, b)| (a.as_str(), b.as_str()))
}

impl Heard {
    pub fn of(told: &Told<'_>) -> Self {
        match told {
            Told::Flow(sighting) => Self::Flow(Box::new(HeardFlow::of(sighting))),
            Told::Answer(answer) => Self::Answer(Box::new(HeardAnswer::of(answer))),
            Told::Lost(lost) => Self::Lost(HeardLoss {
                node: own(lost.node),
                from: lost.from,
                until: lost.until,
                count: lost.count,
                why: lost.why.into(),
            }),
            Told::Other { node, at } => Self::Other { node: own(*node), at: *at },
        }
    }
}

impl HeardLoss {
    pub fn lend(&self) -> Lost<'_> {
        Lost {
            node: self.node.as_deref(),
            from: self.from,
            until: self.until,
            count: self.count,
            why: &self.why,
        }
    }
}

impl HeardFlow {
    pub fn of(told: &Sighting<'_>) -> Self {
        Self {
            at: told.at,
            until: told.until,
            node: own(told.node),
            direction: told.direction,
            outcome: told.outcome,
            protocol: told.protocol,
            source: HeardSide::of(&told.source),
            destination: HeardSide::of(&told.destination),
            source_port: told.source_port,
            port: told.port,
            reply: told.reply,
            flows: told.flows,
            names: told.names.map(own),
        }
    }

    pub fn lend(&self) -> Sighting<'_> {
        Sighting {
            at: self.at,
            until: self.until,
            node: self.node.as_deref(),
            direction: self.direction,
            outcome: self.outcome,
            protocol: self.protocol,
            source: self.source.lend(),
            destination: self.destination.lend(),
            source_port: self.source_port,
            port: self.port,
            reply: self.reply,
            flows: self.flows,
            names: self.names.each_ref().map(Option::as_deref),
        }
    }
}

impl HeardSide {
    fn of(side: &Side<'_>) -> Self {
        Self {
            address: side.address,
            ns: own(side.ns),
            pod: own(side.pod),
            workload: own_pair(side.workload),
            service: own_pair(side.service),
            entity: side.entity,
            class: own(side.class),
        }
    }

    fn lend(&self) -> Side<'_> {
        Side {
            address: self.address,
            ns: self.ns.as_deref(),
            pod: self.pod.as_deref(),
            workload: lend_pair(&self.workload),
            service: lend_pair(&self.service),
            entity: self.entity,
            class: self.class.as_deref(),
        }
    }
}

impl HeardClient {
    pub fn of(client: &Client<'_>) -> Self {
        match client {
            Client::Pod { ns, pod } => Self::Pod { ns: (*ns).into(), pod: (*pod).into() },
            Client::Address(address) => Self::Address(*address),
            Client::Workload { ns, name } => Self::Workload { ns: (*ns).into(), name: (*name).into() },
        }
    }

    pub fn lend(&self) -> Client<'_> {
        match self {
            Self::Pod { ns, pod } => Client::Pod { ns, pod },
            Self::Address(address) => Client::Address(*address),
            Self::Workload { ns, name } => Client::Workload { ns, name },
        }
    }
}

impl HeardAnswer {
    /// Names on a chain that are kept; resolvers stop earlier.
    const CHAIN: usize = 16;
    const ADDRESSES: usize = 256;

    pub fn of(answer: &Answer<'_>) -> Self {
        Self {
            at: answer.at,
            client: HeardClient::of(&answer.client),
            query: answer.query.into(),
            cnames: answer.cnames.iter().take(Self::CHAIN).map(|name| (*name).into()).collect(),
            addresses: answer.addresses.iter().take(Self::ADDRESSES).copied().collect(),
            ttl_secs: answer.ttl_secs,
        }
    }

    pub fn lend<R>(&self, to: impl FnOnce(&Answer<'_>) -> R) -> R {
        let cnames: Vec<&str> = self.cnames.iter().map(CompactString::as_str).collect();
        to(&Answer {
            at: self.at,
            client: self.client.lend(),
            query: &self.query,
            cnames: &cnames,
            addresses: &self.addresses,
            ttl_secs: self.ttl_secs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_told() {
        let at = Timestamp::from_timestamp(1_772_442_000, 0).expect("in range");
        let side = Side {
            address: Some(IpAddr::from([10, 0, 0, 1])),
            ns: Some("shop"),
            pod: Some("cart-1"),
            workload: Some(("Deployment", "cart")),
            service: Some(("shop", "cart")),
            entity: Some(Entity::World),
            class: Some("pub"),
        };
        let told = Sighting {
            at,
            until: at,
            node: Some("worker-1"),
            direction: Some(Direction::Egress),
            outcome: Outcome::Audit,
            protocol: Protocol::Sctp,
            source: side,
            destination: Side::default(),
            source_port: 7,
            port: 443,
            reply: Some(false),
            flows: 3,
            names: [Some("a.example"), None, None, None],
        };
        assert_eq!(HeardFlow::of(&told).lend(), told);
        let answer = Answer {
            at,
            client: Client::Workload { ns: "shop", name: "cart" },
            query: "a.example",
            cnames: &["b.example"],
            addresses: &[IpAddr::from([10, 0, 0, 1])],
            ttl_secs: 30,
        };
        HeardAnswer::of(&answer).lend(|kept| assert_eq!(*kept, answer));
    }
}
