//! What the naive evaluator says, as a table: a set of policies, a connection, the expected answer.

use std::net::Ipv4Addr;

use super::{
    plan::{Labels, Port, Protocol},
    scenario::Cni,
    verdict::{Enforcement, Peer, PodPeer, PolicyRef, Side, View},
};

const DENY: &str = "default-deny {podSelector: {}, policyTypes: [Egress]}";
const VALVE: &str = "default-deny {podSelector: {}, policyTypes: [Egress], egress: [{}]}";
const DNS: &str =
    "dns {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{protocol: UDP, port: 53}]}]}";

/// Policies of namespace shop, then `from to port` and what the two ends say.
const CASES: &[(&[&str], &str, &str)] = &[
    (&[], "cart api 8080", "open, open"),
    (&[DENY], "cart api 8080", "denied by default-deny, open"),
    (&[DENY], "api cart 8080", "open, open"),
    (&[VALVE], "cart api 8080", "allowed by default-deny, open"),
    (&[DNS], "cart api 8080", "denied by dns, open"),
    (&[DENY, DNS], "cart api udp:53", "allowed by dns, open"),
    (&[VALVE, DNS], "cart vendor 443", "allowed by default-deny, open"),
    (&["a {podSelector: {matchLabels: {app: other}}, policyTypes: [Egress]}"], "cart api 8080", "open, open"),
    (&["a {podSelector: {}}"], "api cart 8080", "open, denied by a"),
    (&["a {podSelector: {}}"], "cart api 8080", "open, open"),
    (&["a {podSelector: {}, egress: [{}]}"], "api cart 8080", "open, denied by a"),
    (&["a {podSelector: {}, egress: [], policyTypes: [Ingress]}"], "cart api 8080", "open, open"),
    (&["a {podSelector: {}, ingress: [{}]}"], "api cart 8080", "open, allowed by a"),
    (&["a {ingress: [{from: [{podSelector: {}}]}]}"], "api cart 8080", "open, denied by a"),
    (&["a {ingress: [{from: [{podSelector: {}}]}]}"], "cart cart 8080", "open, allowed by a"),
    (&["a {ingress: [{from: [{namespaceSelector: {}}]}]}"], "api cart 8080", "open, allowed by a"),
    (&["a {ingress: [{from: [{namespaceSelector: {}}]}]}"], "vendor cart 8080", "open, denied by a"),
    (&["a {ingress: [{from: [{namespaceSelector: {}}]}]}"], "host cart 8080", "open, denied by a"),
    (
        &[
            "a {ingress: [{from: [{namespaceSelector: {matchLabels: {team: web}}, podSelector: {matchLabels: {app: api}}}]}]}",
        ],
        "api cart 8080",
        "open, allowed by a",
    ),
    (
        &[
            "a {ingress: [{from: [{namespaceSelector: {matchLabels: {team: web}}, podSelector: {matchLabels: {app: x}}}]}]}",
        ],
        "api cart 8080",
        "open, denied by a",
    ),
    (
        &[
            "a {ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [x]}]}, namespaceSelector: {}}]}]}",
        ],
        "api cart 8080",
        "open, allowed by a",
    ),
    (&["a {ingress: [{ports: [{port: http}]}]}"], "api cart 8080", "open, allowed by a"),
    (&["a {ingress: [{ports: [{port: http}]}]}"], "api cart 9090", "open, denied by a"),
    (&["a {ingress: [{ports: [{port: 8000, endPort: 8080}]}]}"], "api cart 8080", "open, allowed by a"),
    (&["a {ingress: [{ports: [{port: 8080}]}]}"], "api cart udp:8080", "open, denied by a"),
    (&["a {ingress: [{ports: [{port: 8080}]}]}"], "api cart icmp:0", "open, denied by a"),
    (&["a {ingress: [{}]}"], "api cart icmp:0", "open, allowed by a"),
    (&["a {podSelector: {}}"], "own-node cart 8080", "open, open"),
    (&["a {podSelector: {}}"], "other-node cart 8080", "open, denied by a"),
    (
        &["a {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}"],
        "cart vendor 443",
        "allowed by a, open",
    ),
    (
        &[
            "a {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.9/32]}}]}]}",
        ],
        "cart vendor 443",
        "denied by a, open",
    ),
    (
        &["a {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}"],
        "cart api 8080",
        "denied by a, open",
    ),
    (
        &["a {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: https}]}]}"],
        "cart vendor 443",
        "denied by a, open",
    ),
];

#[test]
fn connections_are_judged_as_the_api_documents_it() {
    for (policies, connection, expected) in CASES {
        assert_eq!(judge(Cni::Cilium, policies, connection), *expected, "{policies:?} {connection}");
    }
}

#[test]
fn plugins_differ_in_what_they_enforce() {
    let everywhere =
        "a {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}";
    assert_eq!(judge(Cni::Calico, &[everywhere], "cart api 8080"), "allowed by a, open");
    assert_eq!(judge(Cni::Antrea, &[everywhere], "cart other-node 8080"), "allowed by a, open");
    assert_eq!(judge(Cni::Cilium, &[everywhere], "cart other-node 8080"), "denied by a, open");
    assert_eq!(judge(Cni::Flannel, &[DENY], "cart api 8080"), "open, open");
}

#[test]
fn ciliums_own_policies_count_where_they_are() {
    let dns = "a {endpointSelector: {}, egress: [{toEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': web, 'k8s:app': api}}], toPorts: [{ports: [{port: '53', protocol: ANY}], rules: {dns: [{matchPattern: '*'}]}}]}]}";
    let names = "b {endpointSelector: {}, egress: [{toFQDNs: [{matchPattern: '*.vendor.example'}], toPorts: [{ports: [{port: '443', protocol: TCP}]}]}]}";
    let api = "c {endpointSelector: {matchLabels: {app: cart}}, egress: [{toEntities: [kube-apiserver]}]}";
    for (policies, connection, expected) in [
        (&[dns][..], "cart api udp:53", "allowed by a, open"),
        (&[dns], "cart api 8080", "denied by a, open"),
        (&[dns, names], "cart vendor 443", "allowed by b, open"),
        (&[dns, names], "cart vendor 80", "denied by a and b, open"),
        (&[names, DNS], "cart api udp:53", "allowed by dns, open"),
        (&[api], "cart own-node 6443", "denied by c, open"),
        (&[names], "api cart 8080", "open, open"),
    ] {
        assert_eq!(judge(Cni::Cilium, policies, connection), expected, "{policies:?} {connection}");
    }
}

#[test]
fn deleting_only_the_deny_leaves_what_the_allows_isolate() {
    assert_eq!(judge(Cni::Cilium, &[DENY, DNS], "cart vendor 443"), "denied by default-deny and dns, open");
    assert_eq!(judge(Cni::Cilium, &[DNS], "cart vendor 443"), "denied by dns, open");
    assert_eq!(judge(Cni::Cilium, &[], "cart vendor 443"), "open, open");
}

fn judge(cni: Cni, policies: &[&str], connection: &str) -> String {
    let label = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
    let mut view = View::new(Enforcement::of(cni));
    for namespace in ["shop", "web"] {
        let mut labels = label("team", namespace);
        labels.extend(label("kubernetes.io/metadata.name", namespace));
        view.namespaces.insert(namespace.to_owned(), labels.into());
    }
    let objects: Vec<_> = policies.iter().map(|text| object(text).into()).collect();
    view.set_policies("shop", &objects);

    let (cart, api) = (label("app", "cart"), label("app", "api"));
    let ports = [Port { name: "http".to_owned(), number: 8080, protocol: Protocol::Tcp }];
    let peer = |name: &str| {
        let pod = |namespace, labels, host_network| {
            let address = Ipv4Addr::new(10, 64, 0, 9).into();
            Peer::Pod(PodPeer { namespace, labels, ports: &ports, address, node: "worker-1", host_network })
        };
        match name {
            "cart" => pod("shop", &cart, false),
            "api" => pod("web", &api, false),
            "host" => pod("web", &api, true),
            "own-node" => Peer::Node { name: "worker-1", address: Ipv4Addr::new(172, 20, 0, 11).into() },
            "other-node" => Peer::Node { name: "worker-2", address: Ipv4Addr::new(172, 20, 0, 12).into() },
            _ => Peer::External {
                address: Ipv4Addr::new(203, 0, 113, 9).into(),
                host: Some("api.vendor.example"),
            },
        }
    };
    let words: Vec<&str> = connection.split(' ').collect();
    let (protocol, port) = match words[2].split_once(':') {
        Some(("udp", port)) => (Protocol::Udp, port),
        Some((_, port)) => (Protocol::Icmp, port),
        None => (Protocol::Tcp, words[2]),
    };
    let ruling = view.judge(&peer(words[0]), &peer(words[1]), port.parse().expect("a port"), protocol);
    format!("{}, {}", words_of(&ruling.egress), words_of(&ruling.ingress))
}

fn words_of(side: &Side) -> String {
    match side {
        Side::Open => "open".to_owned(),
        Side::Allowed(by) => format!("allowed by {}", names(by)),
        Side::Denied(by) => format!("denied by {}", names(by)),
    }
}

fn names(policies: &[PolicyRef]) -> String {
    policies.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(" and ")
}

/// `name {spec in flow-style YAML}`
fn object(text: &str) -> serde_json::Value {
    let (name, spec) = text.split_once(' ').expect("a name and a spec");
    let spec: serde_json::Value = serde_yaml::from_str(spec).expect("YAML");
    let kind = if spec.get("endpointSelector").is_some() { "CiliumNetworkPolicy" } else { "NetworkPolicy" };
    serde_json::json!({ "kind": kind, "metadata": { "name": name, "namespace": "shop" }, "spec": spec })
}
