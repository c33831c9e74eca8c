//! The members of Hubble's JSON lines that are read, as they stand in the line. No meaning here.

use crate::domain::{flow::Entity, sighting::Sighting};

use super::{
    Malformed,
    json::{Code, Few, Flag, Many, Num, Reader, Skip, Str, Value, object},
    known::{Meant, Span, Spans, sign_of},
    meaning,
};

object! {
    /// One line. Which member is set says what it is.
    Line {
        "flow" => flow: Option<Flow<'a>>,
        "lost_events" => lost: Option<LostEvents<'a>>,
        "node_status" => status: Option<NodeStatus<'a>>,
        "agent_event" | "debug_event" => event: Option<Skip>,
        "node_name" => node: Str<'a>,
        "time" => time: Str<'a>,
    }
}

object! {
    Flow {
        "time" => time: Str<'a>,
        "verdict" => verdict: Code<'a>,
        // The deprecated number comes first; where the name follows, it wins.
        "drop_reason" | "drop_reason_desc" => reason: Code<'a>,
        "IP" => ip: Addresses<'a>,
        "l4" => l4: Layer4<'a>,
        "source" => source: End<'a, 0>,
        "destination" => destination: End<'a, 1>,
        "node_name" => node: Str<'a>,
        "destination_names" => names: Few<Str<'a>, { Sighting::NAMES }>,
        "l7" => l7: Option<Box<Layer7<'a>>>,
        "reply" => legacy_reply: Flag,
        "is_reply" => reply: Flag,
        "event_type" => event: EventType<'a>,
        "destination_service" => service: Service<'a>,
        "traffic_direction" => direction: Code<'a>,
        "aggregate" => aggregate: Aggregate<'a>,
    }
}

object! {
    Ip { "source" => source: Str<'a>, "destination" => destination: Str<'a>, }
}

object! {
    Layer4 {
        "TCP" => tcp: Option<Ports<'a>>,
        "UDP" => udp: Option<Ports<'a>>,
        "SCTP" => sctp: Option<Ports<'a>>,
        "ICMPv4" | "ICMPv6" => icmp: Option<Skip>,
    }
}

object! {
    Ports {
        "source_port" => source: Num,
        "destination_port" => destination: Num,
        "flags" => flags: Option<Flags<'a>>,
    }
}

object! {
    Flags { "SYN" => syn: Flag, "ACK" => ack: Flag, }
}

object! {
    Endpoint {
        "identity" => identity: Num,
        "namespace" => ns: Str<'a>,
        "labels" => reserved: Reserved,
        "pod_name" => pod: Str<'a>,
        "workloads" => workloads: Few<Workload<'a>, 1>,
    }
}

/// The addresses, noted by the reader: they tell where the ends may be known from.
#[derive(Debug, Default)]
pub(super) struct Addresses<'a>(pub Ip<'a>);

impl<'a> Value<'a> for Addresses<'a> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        self.0.fill(from)?;
        from.addresses = [&self.0.source, &self.0.destination].map(|raw| sign_of(raw.as_str().as_bytes()));
        Ok(())
    }
}

/// The source (0) or the destination (1); read only once where it comes again.
#[derive(Debug, Default)]
pub(super) struct End<'a, const SIDE: usize>(pub Endpoint<'a>);

impl<'a, const SIDE: usize> Value<'a> for End<'a, SIDE> {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        // A second object for one end adds to the first: it is not what its own bytes say.
        let (text, Some(known)) = from.rest() else { return self.0.fill(from) };
        if !self.0.is_blank() {
            return self.0.fill(from);
        }
        let address = from.addresses[SIDE];
        let found = known.borrow().find(text.as_bytes(), address);
        if let Some((length, end)) = found {
            self.0 = Endpoint::known(&text[..length], end);
            from.advance(length);
            return Ok(());
        }
        self.0.fill(from)?;
        let raw = &text[..text.len() - from.rest().0.len()];
        if let Some(end) = self.0.spans(raw).filter(|_| raw.starts_with('{')) {
            known.borrow_mut().keep(raw, address, end);
        }
        Ok(())
    }
}

impl<'a> Endpoint<'a> {
    fn known(raw: &'a str, end: Spans) -> Self {
        let text = |(from, to): Span| Str::borrowed(&raw[usize::from(from)..usize::from(to)]);
        let mut workloads = Few::default();
        if let Some((name, kind)) = end.workload {
            workloads.push(Workload { name: text(name), kind: text(kind), ..Workload::default() });
        }
        Self {
            identity: Num(end.identity),
            ns: text(end.ns),
            reserved: Reserved(end.reserved),
            pod: text(end.pod),
            workloads,
            ..Self::default()
        }
    }

    /// `None` where a text of it is not of these bytes.
    fn spans(&self, raw: &str) -> Option<Spans> {
        let span = |text: &Str<'_>| {
            let text = text.in_line()?;
            if text.is_empty() {
                return Some((0, 0));
            }
            let from = (text.as_ptr() as usize).checked_sub(raw.as_ptr() as usize)?;
            let to = from + text.len();
            (raw.get(from..to)? == text).then_some((u16::try_from(from).ok()?, u16::try_from(to).ok()?))
        };
        let workload = match self.workloads.as_slice().first() {
            Some(owner) => Some((span(&owner.name)?, span(&owner.kind)?)),
            None => None,
        };
        Some(Spans {
            identity: self.identity.0,
            reserved: self.reserved.0,
            ns: span(&self.ns)?,
            pod: span(&self.pod)?,
            workload,
        })
    }

    pub fn meant(&self) -> Meant<'_> {
        let owner = self.workloads.as_slice().first();
        Meant {
            ns: self.ns.said(),
            pod: self.pod.said(),
            workload: owner.and_then(|owner| Some((owner.kind.as_str(), owner.name.said()?))),
            entity: meaning::entity(self.identity.0).or(self.reserved.0),
        }
    }

    fn is_blank(&self) -> bool {
        let texts = [&self.ns, &self.pod];
        self.identity.0.is_none()
            && self.reserved.0.is_none()
            && texts.into_iter().all(|text| text.said().is_none())
            && self.workloads.as_slice().is_empty()
    }
}

object! {
    Workload { "name" => name: Str<'a>, "kind" => kind: Str<'a>, }
}

object! {
    Service { "name" => name: Str<'a>, "namespace" => ns: Str<'a>, }
}

object! {
    EventType { "type" => kind: Num, "sub_type" => sub: Num, }
}

object! {
    Aggregate { "ingress_flow_count" => ingress: Num, "egress_flow_count" => egress: Num, }
}

object! {
    Layer7 { "type" => kind: Code<'a>, "dns" => dns: Option<Dns<'a>>, }
}

object! {
    Dns {
        "query" => query: Str<'a>,
        "ips" => ips: Many<Str<'a>, 64>,
        "ttl" => ttl: Num,
        "cnames" => cnames: Many<Str<'a>, 16>,
    }
}

object! {
    LostEvents {
        "source" => source: Code<'a>,
        "num_events_lost" => count: Num,
        "first" => first: Str<'a>,
        "last" => last: Str<'a>,
    }
}

object! {
    NodeStatus { "state_change" => state: Code<'a>, "node_names" => nodes: Many<Str<'a>, 64>, }
}

/// What the `reserved:` labels of an end say, if there are any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserved(pub Option<Entity>);

impl Reserved {
    /// An address may have several; the one that says most stands first.
    const RANKED: [(&'static str, Entity); 9] = [
        ("kube-apiserver", Entity::KubeApiserver),
        ("host", Entity::Host),
        ("ingress", Entity::Ingress),
        ("health", Entity::Health),
        ("remote-node", Entity::RemoteNode),
        ("unmanaged", Entity::Unmanaged),
        ("world", Entity::World),
        ("world-ipv4", Entity::World),
        ("world-ipv6", Entity::World),
    ];

    fn rank(entity: Entity) -> usize {
        Self::RANKED.iter().position(|(_, other)| *other == entity).unwrap_or(usize::MAX)
    }

    fn note(&mut self, label: &str) {
        let Some(word) = label.strip_prefix("reserved:") else { return };
        let Some((_, entity)) = Self::RANKED.iter().find(|(name, _)| *name == word) else { return };
        if self.0.is_none_or(|known| Self::rank(*entity) < Self::rank(known)) {
            self.0 = Some(*entity);
        }
    }
}

impl<'a> Value<'a> for Reserved {
    fn fill(&mut self, from: &mut Reader<'a>) -> Result<(), Malformed> {
        from.list(|from| {
            let mut label = Str::default();
            label.fill(from)?;
            self.note(label.as_str());
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::flows::records::{json, known::Known};

    /// What a flow says of its two ends.
    fn ends(line: &str, known: Option<&RefCell<Known>>) -> Vec<String> {
        let mut flow = Flow::default();
        json::fill(&mut flow, line.as_bytes(), known).expect("whole");
        [&flow.source.0, &flow.destination.0].map(|end| format!("{end:?}")).into()
    }

    #[test]
    fn an_end_that_was_met_before_says_what_it_said_when_it_was_read() {
        let pod = |name: &str| {
            format!(
                r#"{{"ID":9,"identity":77,"namespace":"shop","labels":["k8s:app={name}","reserved:host"],"pod_name":"{name}-0","workloads":[{{"name":"{name}","kind":"StatefulSet"}},{{"name":"no"}}]}}"#
            )
        };
        let world = r#"{"identity":2,"labels":["reserved:world"]}"#.to_owned();
        let (cart, escaped) = (pod("cart"), pod("c\\u0061rt"));
        let empty = "{}".to_owned();
        let objects = [&cart, &world, &escaped, &pod("web"), &empty, &"null".to_owned(), &cart, &world];
        let known = RefCell::new(Known::new());
        for _ in 0..3 {
            for pair in objects.windows(2) {
                let line = format!(
                    r#"{{"IP":{{"source":"10.0.0.1","destination":"10.0.0.2"}},"source":{},"destination":{}}}"#,
                    pair[0], pair[1]
                );
                assert_eq!(ends(&line, Some(&known)), ends(&line, None), "{line}");
            }
        }
        let twice =
            format!(r#"{{"source":{world},"source":{cart},"destination":{cart},"destination":{world}}}"#);
        for _ in 0..2 {
            assert_eq!(ends(&twice, Some(&known)), ends(&twice, None), "the second adds to the first");
        }
        let half = format!(r#"{{"source":{}"#, &cart[..cart.len() - 1]);
        assert!(json::fill(&mut Flow::default(), half.as_bytes(), Some(&known)).is_err());
    }
}
