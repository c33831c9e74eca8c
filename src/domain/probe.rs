//! The probe: a pod that tries what must be denied. What it aims at, whether the policies in force
//! surely deny that, which flows are its own, and what its outcome proves. A pod's own word that
//! nothing answered proves nothing: silence is never safety. No clock, no I/O.

use std::{fmt, net::IpAddr};

use chrono::TimeDelta;

use super::{
    flow::{Direction, End, Flow, Protocol, Verdict},
    names::{NodeName, NsName, PodName, Text, Workload},
    opened::What,
    policy::{Labels, Policy},
    time::Timestamp,
};

/// Its pods are called so, with what tells them apart behind it, and carry it as this label.
pub const NAME: &str = "sluice-probe";
pub const LABEL: &str = "app.kubernetes.io/name";
/// From each node, for each row.
pub const EVERY: TimeDelta = TimeDelta::minutes(5);

/// Where one probe goes, and for whom it proves something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// The row's.
    pub ns: NsName,
    pub direction: Direction,
    /// The node that must deny: it runs pods of the namespace.
    pub node: NodeName,
    /// Where the probe's pod runs: in the namespace for egress, outside of it for ingress.
    pub from: NsName,
    pub to: To,
    /// TCP.
    pub port: u16,
}

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    Address(IpAddr),
    /// A pod of the row's namespace on the node.
    Pod(PodName),
}

/// What the probe's pod said, or why it said nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing answered in time.
    Silent,
    Connected,
    /// Somebody said no: the far end, or a policy that rejects.
    Refused,
    /// A router or a policy said that there is no way.
    Unreachable,
    /// Not created, not scheduled, not started, not ended: why.
    CouldNotRun(Text),
}

impl Exit {
    const WORDS: [(Self, &'static str); 4] = [
        (Self::Silent, "silent"),
        (Self::Connected, "connected"),
        (Self::Refused, "refused"),
        (Self::Unreachable, "unreachable"),
    ];

    /// As the pod leaves it in its termination message.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(_, word)| *word == raw.trim()).map(|(exit, _)| exit)
    }

    pub fn as_str(&self) -> &'static str {
        Self::WORDS.into_iter().find(|(exit, _)| exit == self).map_or("did not run", |(_, word)| word)
    }
}

/// What the cluster's flow source told of the probe's own packets, at the node that must deny.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub denied: Option<Timestamp>,
    pub allowed: Option<Timestamp>,
}

/// What one probe proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The data plane denied it, and its flow source told so.
    Denied,
    GotThrough,
    /// Neither was shown: why.
    Unknown(Text),
}

/// What the pod said and what the source told, together. Harm goes first.
pub fn conclude(exit: &Exit, seen: Seen) -> Outcome {
    match (exit, seen) {
        (Exit::Connected, _) | (_, Seen { allowed: Some(_), .. }) => Outcome::GotThrough,
        (_, Seen { denied: Some(_), .. }) => Outcome::Denied,
        (Exit::CouldNotRun(why), _) => Outcome::Unknown(why.clone()),
        (Exit::Silent | Exit::Refused | Exit::Unreachable, _) => Outcome::Unknown(Text::from(format!(
            "the probe was {}, and no source told a denial: it may be denied, or nothing answers there",
            match exit {
                Exit::Refused => "refused",
                Exit::Unreachable => "told that there is no way",
                Exit::Silent | Exit::Connected | Exit::CouldNotRun(_) => "not answered",
            }
        ))),
    }
}

impl Aim {
    /// Is this flow the packet of that probe, judged by the row's own end on the row's node?
    pub fn is_met(&self, pod: &PodName, flow: &Flow) -> bool {
        let prober = End { ns: Some(self.from.clone()), pod: Some(pod.clone()), ..End::default() };
        let is_prober = |end: &End| end.ns == prober.ns && end.pod == prober.pod;
        let end = &flow.destination;
        // A source that knows no node gives no address either: the prober's name must do there. It was
        // drawn at random, and goes nowhere else.
        let is_vague = flow.node.is_none() && end.address.is_none() && end.pod.is_none();
        let goes_there = is_vague
            || match &self.to {
                To::Address(address) => end.address == Some(*address),
                To::Pod(to) => end.pod.as_ref() == Some(to),
            };
        flow.direction == self.direction
            && flow.protocol == Protocol::Tcp
            && flow.port == self.port
            && flow.reply != Some(true)
            && flow.judged().ns.as_ref() == Some(&self.ns)
            && flow.node.as_ref().is_none_or(|node| *node == self.node)
            && is_prober(&flow.source)
            && goes_there
    }

    /// Takes note of a flow that is its own.
    pub fn note(&self, pod: &PodName, flow: &Flow, seen: &mut Seen) {
        if !self.is_met(pod, flow) {
            return;
        }
        match flow.verdict {
            Verdict::Denied { .. } => seen.denied = Some(flow.at),
            // What is only audited passes.
            Verdict::Allowed { .. } | Verdict::Audit { .. } => seen.allowed = Some(flow.at),
        }
    }

    /// Why the policies in force may allow it: then being let through would prove nothing.
    pub fn may_be_allowed<'p>(&self, policies: impl Iterator<Item = &'p Policy>) -> Option<Text> {
        let labels = labels();
        policies
            .filter(|policy| self.direction == Direction::Ingress || policy.selects(&labels) != Some(false))
            .flat_map(|policy| policy.opens.iter().map(move |opened| (policy, opened)))
            .filter(|(_, opened)| opened.direction == self.direction)
            .filter(|(_, opened)| opened.ports.may_hold(Protocol::Tcp, self.port))
            .find(|(_, opened)| self.may_lead(&opened.what))
            .map(|(policy, opened)| {
                Text::from(format!(
                    "{} opens {} on {}, so that a probe of {self} may be allowed",
                    policy.key, opened.what, opened.ports
                ))
            })
    }

    fn may_lead(&self, what: &What) -> bool {
        match (&self.to, what) {
            (_, What::Everything | What::Unknown(_)) => true,
            (To::Address(address), What::Block { .. }) => {
                what.addresses().is_none_or(|ranges| ranges.contains(*address))
            }
            // Pods and nodes have addresses that are nobody's outside.
            (To::Address(address), What::Inside) => is_private(*address),
            (To::Address(_), What::Name(_)) => false,
            // Which pods a rule lets in is not looked at here, nor which address the probe will have.
            (To::Pod(_), What::Inside | What::Block { .. }) => true,
            (To::Pod(_), What::Name(_)) => false,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            To::Address(address) => write!(f, "{address} port {}", self.port),
            To::Pod(pod) => write!(f, "{}/{pod} port {} from {}", self.ns, self.port, self.from),
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        // 100.64.0.0/10 is where some clusters have their pods.
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// What its pods carry.
pub fn labels() -> Labels {
    let pairs =
        [(LABEL, NAME), ("app.kubernetes.io/managed-by", "sluice"), ("app.kubernetes.io/part-of", "sluice")];
    Labels::new(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
}

/// A pod that is called as probes are. Anybody can call one so: it is only ever left out of what it
/// could hide nothing of.
pub fn is_named(pod: &PodName) -> bool {
    pod.as_str().strip_prefix(NAME).is_some_and(|rest| rest.starts_with('-'))
}

/// All probes are one workload, however their pods are called.
pub fn workload() -> Workload {
    Workload::new("Pod", NAME)
}

/// Does a probe have to do with this flow?
pub fn is_at_an_end_of(flow: &Flow) -> bool {
    [&flow.source, &flow.destination].into_iter().any(|end| end.pod.as_ref().is_some_and(is_named))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{
        flow::FlowId,
        grant::PortSpan,
        names::PolicyName,
        opened::{Opened, Ports},
        policy::{Body, PolicyKey, PolicyKind, Selector, Spec},
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_timestamp(secs, 0).expect("in range")
    }

    #[test]
    fn only_what_the_source_told_proves_and_harm_goes_first() {
        let nothing = Seen::default();
        let denied = Seen { denied: Some(at(1)), allowed: None };
        let allowed = Seen { denied: None, allowed: Some(at(1)) };
        let both = Seen { denied: Some(at(1)), allowed: Some(at(1)) };
        let stuck = || Exit::CouldNotRun("no room".into());
        for (exit, seen, expected) in [
            (Exit::Silent, denied, "denied"),
            (Exit::Refused, denied, "denied"),
            (Exit::Unreachable, denied, "denied"),
            // Its end was not read, but its packet was judged.
            (stuck(), denied, "denied"),
            (Exit::Silent, nothing, "unknown"),
            (Exit::Refused, nothing, "unknown"),
            (Exit::Unreachable, nothing, "unknown"),
            (stuck(), nothing, "no room"),
            (Exit::Connected, nothing, "through"),
            (Exit::Connected, denied, "through"),
            (Exit::Silent, allowed, "through"),
            (Exit::Refused, allowed, "through"),
            (Exit::Silent, both, "through"),
        ] {
            let said = match conclude(&exit, seen) {
                Outcome::Denied => "denied".to_owned(),
                Outcome::GotThrough => "through".to_owned(),
                Outcome::Unknown(why) if exit == stuck() => why.to_string(),
                Outcome::Unknown(_) => "unknown".to_owned(),
            };
            assert_eq!(said, expected, "{exit:?} {seen:?}");
        }
    }

    #[test]
    fn a_word_of_the_pod_is_exactly_one_of_four() {
        for word in ["silent", "connected", "refused", "unreachable"] {
            assert_eq!(Exit::parse(word).expect(word).as_str(), word);
        }
        for word in ["", "Silent", "connected ok", "did not run", "\u{1b}[31msilent"] {
            assert_eq!(Exit::parse(word), None, "{word:?}");
        }
    }

    fn name<T, E: std::fmt::Debug>(parsed: Result<T, E>) -> T {
        parsed.expect("a name")
    }

    fn out() -> Aim {
        Aim {
            ns: name(NsName::parse("shop")),
            direction: Direction::Egress,
            node: name(NodeName::parse("a")),
            from: name(NsName::parse("shop")),
            to: To::Address("192.0.2.1".parse().expect("an address")),
            port: 9,
        }
    }

    fn inwards() -> Aim {
        Aim {
            direction: Direction::Ingress,
            from: name(NsName::parse("sluice")),
            to: To::Pod(name(PodName::parse("cart-0"))),
            ..out()
        }
    }

    fn flow(aim: &Aim, pod: &str) -> Flow {
        let end = |ns: &str, pod: &str| End {
            ns: NsName::parse(ns).ok(),
            pod: PodName::parse(pod).ok(),
            ..End::default()
        };
        let destination = match &aim.to {
            To::Address(address) => End { address: Some(*address), ..End::default() },
            To::Pod(to) => end("shop", to.as_str()),
        };
        Flow {
            id: FlowId("1".into()),
            at: at(5),
            node: NodeName::parse("a").ok(),
            direction: aim.direction,
            verdict: Verdict::Denied { said: Text::default(), by: Vec::new() },
            source: end(aim.from.as_str(), pod),
            destination,
            protocol: Protocol::Tcp,
            source_port: 40_000,
            port: 9,
            reply: None,
            closing: false,
        }
    }

    #[test]
    fn its_own_packet_at_the_node_that_must_deny_counts_and_no_other() {
        let pod = name(PodName::parse("sluice-probe-1"));
        for aim in [out(), inwards()] {
            let own = flow(&aim, "sluice-probe-1");
            let mut seen = Seen::default();
            aim.note(&pod, &own, &mut seen);
            assert_eq!(seen, Seen { denied: Some(at(5)), allowed: None });
            let audited =
                Flow { verdict: Verdict::Audit { said: Text::default(), by: Vec::new() }, ..own.clone() };
            aim.note(&pod, &audited, &mut seen);
            assert_eq!(seen.allowed, Some(at(5)), "what is only audited passes");
            // As Goldmane tells it: neither node nor address, of pods the workload's name at most.
            let workload = Workload::new("", "cart");
            let far = End { workload: Some(workload), ..own.destination.clone() };
            let vague =
                Flow { node: None, destination: End { address: None, pod: None, ..far }, ..own.clone() };
            assert!(aim.is_met(&pod, &vague), "{vague:?}");
            assert!(!aim.is_met(&pod, &Flow { port: 10, ..vague }), "the port is its own all the same");
            let others = [
                flow(&aim, "sluice-probe-2"),
                Flow { node: NodeName::parse("b").ok(), ..own.clone() },
                Flow { direction: aim.direction.other(), ..own.clone() },
                Flow { port: 10, ..own.clone() },
                Flow { protocol: Protocol::Udp, ..own.clone() },
                Flow { reply: Some(true), ..own.clone() },
                Flow { destination: End::default(), ..own.clone() },
                Flow { source: End { ns: NsName::parse("pay").ok(), ..own.source.clone() }, ..own.clone() },
            ];
            for other in others {
                assert!(!aim.is_met(&pod, &other), "{other:?}");
            }
        }
    }

    fn policy(direction: Direction, what: What, ports: Ports) -> Policy {
        let selector = Selector::default();
        Policy {
            key: PolicyKey {
                ns: NsName::parse("shop").ok(),
                kind: PolicyKind::NetworkPolicy,
                name: name(PolicyName::parse("x")),
            },
            body: Arc::new(Body {
                spec: Spec::Network { selector: selector.clone(), egress: None, ingress: None },
                canonical: "".into(),
                opens: vec![Opened { direction, rule: 1, selector, what, entity: None, ports }],
                network: None,
            }),
            version: None,
            marks: Arc::default(),
        }
    }

    #[test]
    fn what_a_policy_may_open_is_never_called_denied() {
        let port = |from, to| Ports::new([PortSpan { protocol: Protocol::Tcp, from, to }], Vec::new());
        let block = |net: &str, except: &[&str]| What::Block {
            network: net.parse().expect("a network"),
            except: except.iter().map(|net| net.parse().expect("a network")).collect(),
        };
        let (egress, ingress) = (Direction::Egress, Direction::Ingress);
        let near = Aim { to: To::Address("10.0.0.9".parse().expect("an address")), ..out() };
        for (aim, direction, what, ports, may) in [
            (out(), egress, What::Everything, Ports::all(), true),
            (out(), egress, What::Everything, port(443, 443), false),
            (out(), egress, What::Everything, Ports::new([], vec!["http".into()]), true),
            (out(), ingress, What::Everything, Ports::all(), false),
            (out(), egress, block("192.0.2.0/24", &[]), port(1, 9), true),
            (out(), egress, block("0.0.0.0/0", &["192.0.2.0/24"]), Ports::all(), false),
            (out(), egress, block("198.51.100.0/24", &[]), Ports::all(), false),
            (out(), egress, What::Unknown("?".into()), Ports::all(), true),
            (out(), egress, What::Inside, Ports::all(), false),
            (near, egress, What::Inside, Ports::all(), true),
            (inwards(), ingress, What::Inside, port(8080, 8080), false),
            (inwards(), ingress, What::Inside, Ports::all(), true),
            (inwards(), ingress, block("10.0.0.0/8", &[]), port(9, 9), true),
            (inwards(), egress, What::Everything, Ports::all(), false),
        ] {
            let policies = [policy(direction, what.clone(), ports.clone())];
            let said = aim.may_be_allowed(policies.iter());
            assert_eq!(said.is_some(), may, "{aim} {what} {ports}: {said:?}");
        }
    }

    #[test]
    fn probes_are_known_by_a_whole_word() {
        for (pod, is) in
            [("sluice-probe-egress-1", true), ("sluice-probe", false), ("sluice-prober-1", false)]
        {
            assert_eq!(is_named(&name(PodName::parse(pod))), is, "{pod}");
        }
    }
}
