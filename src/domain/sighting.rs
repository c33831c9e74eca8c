//! What sources tell the baseline, borrowed from their bytes: one flow record, one DNS answer. A
//! million of these pass a second, so nothing here owns a string. What a source cannot say is
//! `None`, never guessed.

use std::net::IpAddr;

use super::{
    flow::{Direction, Entity, Protocol},
    time::Timestamp,
};

/// What became of the connection at the end that judged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Allowed,
    /// Denied attempts are kept, and never count as a destination.
    Denied,
    /// Passed, but enforcement would have dropped it.
    Audit,
}

impl Outcome {
    pub const ALL: [Self; 3] = [Self::Allowed, Self::Denied, Self::Audit];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Audit => "audit",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == raw)
    }
}

/// One end of a flow record, as the source put it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side<'a> {
    /// IPv4-mapped IPv6 is already unmapped.
    pub address: Option<IpAddr>,
    pub ns: Option<&'a str>,
    pub pod: Option<&'a str>,
    /// Kind (`Deployment`) and name. A kind the source does not say is empty.
    pub workload: Option<(&'a str, &'a str)>,
    /// Namespace and name of the Service the connection was made to.
    pub service: Option<(&'a str, &'a str)>,
    pub entity: Option<Entity>,
    /// A class instead of an address (`pub`, `pvt`, the name of a network set).
    pub class: Option<&'a str>,
}

/// One flow record: `flows` connections (or packets, where the source counts those) between two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting<'a> {
    pub at: Timestamp,
    /// When the record's last packet was seen; `at` where the source gives one time only.
    pub until: Timestamp,
    /// The node whose agent saw it.
    pub node: Option<&'a str>,
    /// Seen from the end that reports it: egress is the source's report, ingress the destination's.
    /// `None` where the source does not say.
    pub direction: Option<Direction>,
    pub outcome: Outcome,
    pub protocol: Protocol,
    pub source: Side<'a>,
    pub destination: Side<'a>,
    pub source_port: u16,
    pub port: u16,
    /// `None` where the source does not say.
    pub reply: Option<bool>,
    /// 0: a further record of a connection that was counted. It moves `until` and counts nothing.
    pub flows: u64,
    /// Names of the destination that the source itself knows (Cilium's FQDN cache, Calico's
    /// `dest_domains`), at most [`Sighting::NAMES`].
    pub names: [Option<&'a str>; 4],
}

impl Sighting<'_> {
    /// Written out at the field: a constant there crashes rustc 1.95 where a closure takes its fields.
    pub const NAMES: usize = 4;
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client<'a> {
    Pod {
        ns: &'a str,
        pod: &'a str,
    },
    /// The packet's source address; whose it was at that time must be found out.
    Address(IpAddr),
    /// Calico's aggregated form: every pod of this workload.
    Workload {
        ns: &'a str,
        name: &'a str,
    },
}

/// One DNS answer with at least one address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer<'a> {
    /// When the answer was sent.
    pub at: Timestamp,
    pub client: Client<'a>,
    /// The name asked, lower case, without a trailing dot.
    pub query: &'a str,
    /// Owner names on the CNAME chain after the question, in order.
    pub cnames: &'a [&'a str],
    pub addresses: &'a [IpAddr],
    /// Lowest of the answer, seconds.
    pub ttl_secs: u32,
}

/// One thing a decoder understood. Handed to a closure, so that it may borrow from the line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "lives on the stack for one call; a box would cost more")]
pub enum Told<'a> {
    Flow(Sighting<'a>),
    Answer(Answer<'a>),
    /// The sender says that it lost events.
    Lost(Lost<'a>),
    /// Well-formed, and none of our business; still a sign of its node.
    Other {
        node: Option<&'a str>,
        at: Option<Timestamp>,
    },
}

/// A loss as its sender tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lost<'a> {
    pub node: Option<&'a str>,
    pub from: Timestamp,
    pub until: Timestamp,
    pub count: Option<u64>,
    pub why: &'a str,
}
