//! Who does what, again and again through the week: a script is one workload's (or stranger's) habit
//! of calling one destination, and the manner in which it finds the address. Values only.

use std::ops::Range;

#[derive(Clone, Debug)]
pub struct Script {
    pub from: Party,
    pub to: Party,
    pub protocol: Protocol,
    pub port: u16,
    /// A visit is one lookup and some connections right after it.
    pub visits_a_day: f64,
    pub connections: u32,
    pub manner: Manner,
    pub rhythm: Rhythm,
    /// Nothing of it happens outside.
    pub active: Range<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    Workload(usize),
    Site(usize),
    /// The API server, on the first node's address.
    Api,
    /// Nodes themselves: the kubelet's probes, or what listens on a node.
    Nodes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
    Icmp,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
        }
    }
}

/// How the caller comes to the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It asks and connects.
    Asks,
    /// It tries the search list first: some answers say that there is no such name.
    Searches,
    /// It asks; the report of the answer is late, and comes after the first packet.
    AsksLate,
    /// It asks over IPv4 and connects over IPv6.
    AsksForV6,
    /// In even hours it asks for the other site with the same addresses first; in odd ones it does not.
    AsksBoth { other: usize },
    /// Each pod asks once in its life; what comes hours later has no newer answer.
    AsksOnce,
    /// Each pod asks once, and connects for the first time hours later.
    AsksLongBefore,
    /// Every second pod asks, the others have the address from somewhere else.
    SomeAsk,
    /// It has the address already, or needs none.
    Never,
    /// As `Never`, and a policy of the caller's namespace denies it.
    DeniedLeaving,
    /// A policy of the callee's namespace denies it.
    DeniedArriving,
    /// The agent does not say whether it is a reply.
    Unclear,
}

/// When in the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    Always,
    /// More by day, little at weekends.
    Office,
    /// Once a day at about this hour.
    Nightly(u8),
    /// When its pods live: a CronJob's.
    WithPods,
}

impl Rhythm {
    /// How much of a day's visits fall into an hour of the week, times 24.
    pub fn weight(self, hour: i64) -> f64 {
        let (of_day, day) = (hour.rem_euclid(24), hour.div_euclid(24).rem_euclid(7));
        match self {
            Self::Always | Self::WithPods => 1.0,
            // 1970 began on a Thursday.
            Self::Office if matches!(day, 2 | 3) => 0.2,
            Self::Office if (7..19).contains(&of_day) => 1.8,
            Self::Office => 0.3,
            Self::Nightly(at) => f64::from(u8::from(of_day == i64::from(at))) * 24.0,
        }
    }
}
