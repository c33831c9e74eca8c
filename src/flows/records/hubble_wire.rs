//! The members of Hubble's JSON lines that are read, as they stand in the line. No meaning here.

use crate::domain::{flow::Entity, sighting::Sighting};

use super::{
    Malformed,
    json::{Code, Few, Flag, Num, Reader, Skip, Str, Value, object},
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
        "IP" => ip: Ip<'a>,
        "l4" => l4: Layer4<'a>,
        "source" => source: Endpoint<'a>,
        "destination" => destination: Endpoint<'a>,
        "node_name" => node: Str<'a>,
        "destination_names" => names: Few<Str<'a>, { Sighting::NAMES }>,
        "l7" => l7: Option<Layer7<'a>>,
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
        "ips" => ips: Few<Str<'a>, 64>,
        "ttl" => ttl: Num,
        "cnames" => cnames: Few<Str<'a>, 16>,
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
    NodeStatus { "state_change" => state: Code<'a>, "node_names" => nodes: Few<Str<'a>, 64>, }
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
