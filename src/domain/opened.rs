//! What a policy opens, peer by peer: for which pods, to where, on which ports. Filled by
//! `crate::manifest`; what could not be understood is said so and never passes for harmless.
//! Judges nothing.

use std::fmt;

use ipnet::IpNet;

use super::{
    edge::DnsName,
    flow::{Direction, Entity, Protocol},
    grant::{Opening, PortSpan},
    names::Text,
    policy::{Requirement, Selector},
    ranges::Ranges,
};

/// One peer of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub direction: Direction,
    /// The rule among those of its direction, counted from 1.
    pub rule: u32,
    /// Pods that may use it.
    pub selector: Selector,
    pub what: What,
    /// Which of Cilium's words for what has no pod it is, of [`What::Inside`].
    pub entity: Option<Entity>,
    pub ports: Ports,
}

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Any peer, in the cluster and outside.
    Everything,
    Block {
        network: IpNet,
        except: Vec<IpNet>,
    },
    /// A DNS name of an FQDN policy; with `*` in it, a pattern.
    Name(DnsName),
    /// Pods, nodes, or what else the data plane knows as part of the cluster.
    Inside,
    /// Why it is not understood.
    Unknown(Text),
}

/// Ports that a rule opens.
///
/// Invariant: `spans` are sorted, and those of one protocol are disjoint and do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    spans: Vec<PortSpan>,
    /// Names of ports: which numbers they are is the word of the pods that carry them.
    named: Vec<Text>,
}

impl PortSpan {
    /// All ports of a protocol. ICMP and what is not known have none: their flows say 0.
    pub fn all_of(protocol: Protocol) -> Self {
        let from = match protocol {
            Protocol::Tcp | Protocol::Udp | Protocol::Sctp => 1,
            Protocol::Icmp | Protocol::Unknown => 0,
        };
        Self { protocol, from, to: u16::MAX }
    }
}

impl fmt::Display for PortSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.protocol {
            Protocol::Unknown => "other protocols",
            Protocol::Tcp | Protocol::Udp | Protocol::Sctp | Protocol::Icmp => self.protocol.as_str(),
        };
        match (self.from, self.to) {
            _ if *self == Self::all_of(self.protocol) => f.write_str(word),
            (from, to) if from == to => write!(f, "{word}/{from}"),
            (from, to) => write!(f, "{word}/{from}-{to}"),
        }
    }
}

impl Ports {
    const PROTOCOLS: [Protocol; 5] =
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp, Protocol::Unknown];

    /// Every port of every protocol, those without ports too.
    pub fn all() -> Self {
        Self::new(Self::PROTOCOLS.map(PortSpan::all_of), Vec::new())
    }

    pub fn new(spans: impl IntoIterator<Item = PortSpan>, mut named: Vec<Text>) -> Self {
        let mut all: Vec<PortSpan> = spans.into_iter().filter(|span| span.from <= span.to).collect();
        all.sort_unstable();
        let mut spans: Vec<PortSpan> = Vec::with_capacity(all.len());
        for span in all {
            match spans.last_mut() {
                Some(last) if last.protocol == span.protocol && span.from <= last.to.saturating_add(1) => {
                    last.to = last.to.max(span.to);
                }
                Some(_) | None => spans.push(span),
            }
        }
        named.sort();
        named.dedup();
        Self { spans, named }
    }

    pub fn spans(&self) -> &[PortSpan] {
        &self.spans
    }

    pub fn named(&self) -> &[Text] {
        &self.named
    }

    /// Are all ports of the other in here? One that is only named never is.
    pub fn cover(&self, other: &Self) -> bool {
        let holds = |span: &PortSpan| {
            self.spans
                .iter()
                .any(|mine| mine.protocol == span.protocol && mine.from <= span.from && span.to <= mine.to)
        };
        other.named.is_empty() && other.spans.iter().all(holds)
    }

    /// May a flow to this port pass? A named port may be any; a protocol that the source did not
    /// tell may be any that has the port.
    pub fn may_hold(&self, protocol: Protocol, port: u16) -> bool {
        let holds = |span: &PortSpan| {
            (span.protocol == protocol || protocol == Protocol::Unknown)
                && (span.from..=span.to).contains(&port)
        };
        !self.named.is_empty() || self.spans.iter().any(holds)
    }

    /// Is this port of this protocol open, by number?
    pub fn hold(&self, protocol: Protocol, port: u16) -> bool {
        self.spans.iter().any(|span| span.protocol == protocol && (span.from..=span.to).contains(&port))
    }

    /// Is any of these port numbers open? Of none: any port.
    pub fn meet(&self, numbers: &[u16]) -> bool {
        let holds = |span: &PortSpan| numbers.iter().any(|port| (span.from..=span.to).contains(port));
        numbers.is_empty() || !self.named.is_empty() || self.spans.iter().any(holds)
    }

    /// Are these port numbers all that is open? Of none: whatever is open.
    pub fn lie_in(&self, numbers: &[u16]) -> bool {
        let only = |span: &PortSpan| {
            usize::from(span.to - span.from) < numbers.len()
                && (span.from..=span.to).all(|port| numbers.contains(&port))
        };
        numbers.is_empty() || (self.named.is_empty() && self.spans.iter().all(only))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::all() {
            return f.write_str("all ports");
        }
        let spans = self.spans.iter().map(ToString::to_string);
        let words: Vec<_> = spans.chain(self.named.iter().map(|name| format!("port {name}"))).collect();
        f.write_str(&if words.is_empty() { "no port".to_owned() } else { words.join(", ") })
    }
}

impl What {
    /// The addresses it opens as written; `None` for what is not told by address.
    pub fn addresses(&self) -> Option<Ranges> {
        match self {
            Self::Everything => Some(Ranges::everything()),
            Self::Block { network, except } => Some(Ranges::of([network]).minus(&Ranges::of(except))),
            Self::Name(_) | Self::Inside | Self::Unknown(_) => None,
        }
    }

    /// The same with nothing cut out.
    pub fn whole(&self) -> Ranges {
        match self {
            Self::Everything => Ranges::everything(),
            Self::Block { network, .. } => Ranges::of([network]),
            Self::Name(_) | Self::Inside | Self::Unknown(_) => Ranges::default(),
        }
    }

    /// Does it lead to where a destination outside can be?
    pub fn is_outside(&self) -> bool {
        match self {
            Self::Everything | Self::Block { .. } | Self::Name(_) => true,
            Self::Inside | Self::Unknown(_) => false,
        }
    }

    /// As a grant would name it; `None` where none can.
    pub fn opening(&self) -> Option<Opening> {
        match self {
            Self::Name(name) => Some(Opening::Name(name.clone())),
            Self::Everything | Self::Block { .. } => {
                self.addresses().map(|ranges| Opening::Networks(ranges.networks()))
            }
            Self::Inside | Self::Unknown(_) => None,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Block { network, except } if except.is_empty() => write!(f, "{network}"),
            Self::Block { network, except } => write!(f, "{network} except {}", list(except)),
            Self::Name(name) => write!(f, "{name}"),
            Self::Inside => f.write_str("the cluster"),
            Self::Unknown(why) => write!(f, "something that is not understood ({why})"),
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name}"),
            Self::Networks(networks) => f.write_str(&list(networks)),
        }
    }
}

/// The first few, and how many more.
fn list(networks: &[IpNet]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<_> = networks.iter().take(SHOWN).map(ToString::to_string).collect();
    match networks.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A selector as kubectl's `-l` writes it; `all pods` where it selects every one.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return f.write_str("all pods");
        }
        let words: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(","))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In { key, values } if values.len() == 1 => {
                write!(f, "{}={}", Text::new(key), Text::new(&values[0]))
            }
            Self::In { key, values } => write!(f, "{} in ({})", Text::new(key), Text::new(&values.join(","))),
            Self::NotIn { key, values } => {
                write!(f, "{} notin ({})", Text::new(key), Text::new(&values.join(",")))
            }
            Self::Exists { key } => write!(f, "{}", Text::new(key)),
            Self::DoesNotExist { key } => write!(f, "!{}", Text::new(key)),
        }
    }
}
