//! Which flows a request wants, as Hubble's filters decide it, and what a field mask leaves of
//! them. Pure. Filters of a list are alternatives; fields of one filter must all fit; values of one
//! field are alternatives.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    pb::flow::{Endpoint, EventTypeFilter, Flow, FlowFilter, Verdict, layer4},
    sim::fleet::{
        event::What,
        flows::{event_type, verdict},
    },
};

/// Flows that fit one of `white` (or all, if there is none) and none of `black`.
pub struct Filters {
    pub white: Vec<FlowFilter>,
    pub black: Vec<FlowFilter>,
}

impl Filters {
    /// A quick look before the flow is spelled out: false means it cannot fit.
    pub fn may_fit(&self, what: &What) -> bool {
        self.white.is_empty() || self.white.iter().any(|f| kind_fits(f, verdict(what), event_type(what)))
    }

    pub fn fits(&self, flow: &Flow) -> bool {
        (self.white.is_empty() || self.white.iter().any(|f| fits(f, flow)))
            && !self.black.iter().any(|f| fits(f, flow))
    }
}

fn kind_fits(filter: &FlowFilter, verdict: Verdict, event_type: i32) -> bool {
    let type_fits = |f: &EventTypeFilter| f.r#type == event_type;
    none_or(&filter.verdict, |v| *v == i32::from(verdict)) && none_or(&filter.event_type, type_fits)
}

fn fits(filter: &FlowFilter, flow: &Flow) -> bool {
    let none = Endpoint::default();
    let (source, destination) =
        (flow.source.as_ref().unwrap_or(&none), flow.destination.as_ref().unwrap_or(&none));
    let ip = flow.ip.clone().unwrap_or_default();
    let event = flow.event_type.unwrap_or_default();
    let (source_port, destination_port, protocol) = layer4(flow);
    let type_fits =
        |f: &EventTypeFilter| f.r#type == event.r#type && (!f.match_sub_type || f.sub_type == event.sub_type);
    none_or(&filter.verdict, |v| *v == flow.verdict)
        && none_or(&filter.event_type, type_fits)
        && none_or(&filter.source_ip, |raw| address_fits(raw, &ip.source))
        && none_or(&filter.destination_ip, |raw| address_fits(raw, &ip.destination))
        && none_or(&filter.source_pod, |raw| pod_fits(raw, source))
        && none_or(&filter.destination_pod, |raw| pod_fits(raw, destination))
        && none_or(&filter.source_label, |raw| labels_fit(raw, source))
        && none_or(&filter.destination_label, |raw| labels_fit(raw, destination))
        && none_or(&filter.protocol, |raw| protocol_fits(raw, protocol, flow))
        && none_or(&filter.source_port, |raw| Some(raw.as_str()) == source_port.as_deref())
        && none_or(&filter.destination_port, |raw| Some(raw.as_str()) == destination_port.as_deref())
        && none_or(&filter.reply, |wanted| reply_fits(*wanted, flow))
        && none_or(&filter.node_name, |raw| node_fits(raw, &flow.node_name))
        && none_or(&filter.uuid, |raw| *raw == flow.uuid)
        && none_or(&filter.traffic_direction, |d| *d == flow.traffic_direction)
}

fn none_or<T>(wanted: &[T], fits: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(fits)
}

fn address_fits(raw: &str, address: &str) -> bool {
    match (raw.parse::<IpNet>(), address.parse::<IpAddr>()) {
        (Ok(net), Ok(address)) => net.contains(&address),
        (Ok(_) | Err(_), _) => raw == address,
    }
}

/// `ns/prefix`, `ns/`, `/prefix`; without a slash, a prefix in the namespace default.
fn pod_fits(raw: &str, end: &Endpoint) -> bool {
    let (namespace, prefix) = raw.split_once('/').unwrap_or(("default", raw));
    let namespace_fits = namespace.is_empty() || namespace == end.namespace;
    namespace_fits && !end.pod_name.is_empty() && end.pod_name.starts_with(prefix)
}

/// A label selector of equalities and existences, joined by commas.
fn labels_fit(selector: &str, end: &Endpoint) -> bool {
    let value = |key: &str| {
        end.labels.iter().find_map(|label| {
            let (source, rest) = label.split_once(':').unwrap_or(("", label));
            let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
            let same = name == key || key.strip_prefix(source).is_some_and(|k| k == format!(":{name}"));
            same.then_some(value)
        })
    };
    selector.split(',').map(str::trim).all(|part| match part.split_once("!=") {
        Some((key, unwanted)) => value(key) != Some(unwanted),
        None => match part.split_once('=') {
            Some((key, wanted)) => value(key) == Some(wanted.trim_start_matches('=')),
            None => value(part).is_some(),
        },
    })
}

fn protocol_fits(raw: &str, protocol: &str, flow: &Flow) -> bool {
    let raw = raw.to_lowercase();
    raw == protocol || (raw == "icmp" && protocol.starts_with("icmp")) || (raw == "dns" && flow.l7.is_some())
}

/// A dropped packet is not known to be an answer, and counts as none.
fn reply_fits(wanted: bool, flow: &Flow) -> bool {
    match flow.is_reply {
        Some(reply) => reply == wanted,
        None => flow.verdict == i32::from(Verdict::Dropped) && !wanted,
    }
}

/// `cluster/node` with `*` for any text; without a slash the node of any cluster; `cluster/` all
/// nodes of it.
fn node_fits(raw: &str, name: &str) -> bool {
    let (cluster, node) = name.split_once('/').unwrap_or(("default", name));
    match raw.split_once('/') {
        Some((c, n)) => (c.is_empty() || glob(c, cluster)) && (n.is_empty() || glob(n, node)),
        None => glob(raw, node),
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
pub fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            let Some(rest) = text.strip_prefix(head) else { return false };
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| glob(tail, &rest[at..]))
        }
    }
}

fn layer4(flow: &Flow) -> (Option<String>, Option<String>, &'static str) {
    let ports = |source: u32, destination: u32| (Some(source.to_string()), Some(destination.to_string()));
    let Some(protocol) = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) else {
        return (None, None, "");
    };
    let ((source, destination), name) = match protocol {
        layer4::Protocol::Tcp(tcp) => (ports(tcp.source_port, tcp.destination_port), "tcp"),
        layer4::Protocol::Udp(udp) => (ports(udp.source_port, udp.destination_port), "udp"),
        layer4::Protocol::Sctp(sctp) => (ports(sctp.source_port, sctp.destination_port), "sctp"),
        layer4::Protocol::IcmPv4(_) => ((None, None), "icmpv4"),
        layer4::Protocol::IcmPv6(_) => ((None, None), "icmpv6"),
    };
    (source, destination, name)
}

/// What a field mask leaves of a flow. Fields that this simulation does not have are ignored.
pub fn mask(flow: Flow, paths: &[String]) -> Flow {
    let has = |field: &str| {
        paths.iter().any(|p| p == field || p.strip_prefix(field).is_some_and(|r| r.starts_with('.')))
    };
    let all = |field: &str| paths.iter().any(|p| p == field);
    let mut left = Flow::default();
    macro_rules! keep {
        ($($field:ident $name:literal),* $(,)?) => { $( if has($name) { left.$field = flow.$field; } )* };
    }
    keep!(
        time "time", uuid "uuid", verdict "verdict", drop_reason "drop_reason", ip "IP", l4 "l4", r#type "Type",
        node_name "node_name", source_names "source_names", destination_names "destination_names", l7 "l7",
        event_type "event_type", source_service "source_service", destination_service "destination_service",
        traffic_direction "traffic_direction", policy_match_type "policy_match_type",
        drop_reason_desc "drop_reason_desc", is_reply "is_reply", egress_allowed_by "egress_allowed_by",
        ingress_allowed_by "ingress_allowed_by", egress_denied_by "egress_denied_by",
        ingress_denied_by "ingress_denied_by",
    );
    let end = |end: Option<Endpoint>, field: &str| match end {
        Some(end) if all(field) => Some(end),
        Some(end) if has(field) => Some(mask_endpoint(end, |part| all(&format!("{field}.{part}")))),
        Some(_) | None => None,
    };
    left.source = end(flow.source, "source");
    left.destination = end(flow.destination, "destination");
    left
}

fn mask_endpoint(end: Endpoint, has: impl Fn(&str) -> bool) -> Endpoint {
    let mut left = Endpoint::default();
    macro_rules! keep {
        ($($field:ident $name:literal),*) => { $( if has($name) { left.$field = end.$field; } )* };
    }
    keep!(id "ID", identity "identity", namespace "namespace", labels "labels", pod_name "pod_name",
        workloads "workloads", cluster_name "cluster_name");
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::flow::{CiliumEventType, Ip, Layer4, Tcp};

    fn denied() -> Flow {
        let tcp = layer4::Protocol::Tcp(Tcp { source_port: 40_000, destination_port: 443, flags: None });
        Flow {
            verdict: Verdict::Dropped.into(),
            ip: Some(Ip { source: "10.64.1.7".into(), destination: "203.0.113.9".into(), ip_version: 1 }),
            l4: Some(Layer4 { protocol: Some(tcp) }),
            source: Some(Endpoint {
                namespace: "shop".into(),
                pod_name: "cart-1".into(),
                labels: vec!["k8s:app=cart".into()],
                ..Endpoint::default()
            }),
            event_type: Some(CiliumEventType { r#type: 5, sub_type: 0 }),
            node_name: "east/worker-1".into(),
            ..Flow::default()
        }
    }

    #[test]
    fn a_filter_wants_all_of_its_fields_and_one_value_of_each() {
        let text = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let base = FlowFilter::default;
        let event = |r#type| EventTypeFilter { r#type, match_sub_type: false, sub_type: 0 };
        let cases = [
            (base(), true),
            (FlowFilter { verdict: vec![2, 4], event_type: vec![event(5)], ..base() }, true),
            (FlowFilter { verdict: vec![2], event_type: vec![event(1)], ..base() }, false),
            (FlowFilter { source_pod: text(&["shop/"]), ..base() }, true),
            (FlowFilter { source_pod: text(&["shop/car"]), ..base() }, true),
            (FlowFilter { source_pod: text(&["/cart"]), ..base() }, true),
            (FlowFilter { source_pod: text(&["pay/"]), ..base() }, false),
            (FlowFilter { destination_pod: text(&["shop/"]), ..base() }, false),
            (FlowFilter { destination_ip: text(&["203.0.113.0/24"]), ..base() }, true),
            (FlowFilter { destination_ip: text(&["203.0.113.8"]), ..base() }, false),
            (FlowFilter { source_label: text(&["k8s:app=cart"]), ..base() }, true),
            (FlowFilter { source_label: text(&["app=cart,app!=x"]), ..base() }, true),
            (FlowFilter { source_label: text(&["app=x"]), ..base() }, false),
            (FlowFilter { protocol: text(&["tcp"]), destination_port: text(&["443"]), ..base() }, true),
            (FlowFilter { protocol: text(&["udp"]), ..base() }, false),
            (FlowFilter { reply: vec![false], ..base() }, true),
            (FlowFilter { reply: vec![true], ..base() }, false),
            (FlowFilter { node_name: text(&["*/worker-*"]), ..base() }, true),
            (FlowFilter { node_name: text(&["west/"]), ..base() }, false),
        ];
        for (filter, expected) in cases {
            assert_eq!(fits(&filter, &denied()), expected, "{filter:?}");
        }
        let filters = Filters { white: Vec::new(), black: vec![FlowFilter { verdict: vec![2], ..base() }] };
        assert!(!filters.fits(&denied()));
    }

    #[test]
    fn a_mask_keeps_what_it_names_and_no_more() {
        let paths = ["verdict".to_owned(), "source.namespace".to_owned()];
        let left = mask(denied(), &paths);
        let source = left.source.expect("a source");
        assert_eq!((left.verdict, source.namespace.as_str(), source.pod_name.as_str()), (2, "shop", ""));
        assert_eq!((left.time, left.node_name.as_str()), (None, ""));
    }
}
