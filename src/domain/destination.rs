//! A destination as people review it: edges of one workload to one name or address, taken together,
//! with what it means. Filled by `discovery`.

use std::net::IpAddr;

use super::{
    edge::{DnsName, Grade, Hours, Peer},
    flow::{Direction, Protocol},
    names::{NsName, Text, Workload},
    sighting::Outcome,
    time::Timestamp,
};

/// What kind of party a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    Internal,
    Infra,
    Vendor,
    Registry,
    Customer,
    Unknown,
}

impl Category {
    pub const ALL: [Self; 6] =
        [Self::Internal, Self::Infra, Self::Vendor, Self::Registry, Self::Customer, Self::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Infra => "infra",
            Self::Vendor => "vendor",
            Self::Registry => "registry",
            Self::Customer => "customer",
            Self::Unknown => "unknown",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str() == raw)
    }
}

/// How urgently an owner must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == raw)
    }
}

/// Why an owner must look at a destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub severity: Severity,
    /// The catalogue's class (`tunnel`), or the behaviour's (`one-workload`).
    pub class: Text,
    /// One sentence.
    pub reason: Text,
    /// Where the rule stands: `built-in catalogue`, a feed with its date, `behaviour`.
    pub source: Text,
    /// Whose label, for hosts under which customers' own content lives.
    pub party: Option<Text>,
}

/// How much a name's addresses change.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Churn {
    /// Distinct addresses, highest of any day.
    pub addresses_a_day: u32,
    /// Share of the hours with traffic that brought an address not seen before (0 to 1), the first not counted.
    pub new_share: f32,
}

/// One destination of one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    pub ns: NsName,
    pub workload: Workload,
    pub direction: Direction,
    /// The peer of all its edges; an address stands for the whole set where there is a name.
    pub peer: Peer,
    pub name: Option<DnsName>,
    pub also: Vec<DnsName>,
    pub chain: Vec<DnsName>,
    /// Sorted, at most [`Destination::ADDRESSES`].
    pub addresses: Vec<IpAddr>,
    /// Of which the list above shows the first.
    pub addresses_total: usize,
    pub protocol: Protocol,
    pub port: u16,
    pub outcome: Outcome,
    pub grade: Grade,
    pub seen: Seen,
    pub meaning: Meaning,
}

/// When and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub flows: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub hours: Hours,
    pub churn: Churn,
}

/// What it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    pub category: Category,
    /// The rule that decided, in words.
    pub category_by: Text,
    /// Most severe first.
    pub findings: Vec<Finding>,
}

impl Destination {
    pub const ADDRESSES: usize = 64;

    pub fn suspect(&self) -> Option<&Finding> {
        self.meaning.findings.first()
    }
}
