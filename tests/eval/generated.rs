//! Clusters made up at random, small enough that rules, labels and networks meet often: objects as
//! JSON, as a person would write them. And the product's verdict against the second opinion's.

use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice::{
    domain::{
        eval::{
            isolation::Isolation,
            judge::Question,
            model::{Model, PodId},
            plugin::Plugin,
            verdict::Verdict,
        },
        flow::{Direction, Protocol},
        names::{NsName, PodName},
    },
    manifest::cluster::Gathering,
};

use super::naive::{self, End};

const NAMESPACES: [&str; 3] = ["shop", "pay", "web"];
const PROTOCOLS: [(&str, Protocol); 3] =
    [("TCP", Protocol::Tcp), ("UDP", Protocol::Udp), ("SCTP", Protocol::Sctp)];
/// Ports at the edges of those in rules.
pub const PORTS: [u16; 8] = [1, 79, 80, 81, 443, 8000, 8005, 65535];

fn maybe<T: Clone + std::fmt::Debug + 'static>(
    some: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.5, some)
}

fn labels() -> impl Strategy<Value = Value> {
    let one = prop::sample::select(vec!["a", "b", "c"]);
    (maybe(one.clone()), maybe(one)).prop_map(|(app, tier)| {
        let mut out = json!({});
        app.into_iter().for_each(|app| out["app"] = json!(app));
        tier.into_iter().for_each(|tier| out["tier"] = json!(tier));
        out
    })
}

fn requirement() -> impl Strategy<Value = Value> {
    let values = prop::sample::subsequence(vec!["a", "b", "c"], 1..=2);
    let key = prop::sample::select(vec!["app", "tier", "kubernetes.io/metadata.name"]);
    (key, 0..4, values).prop_map(|(key, operator, values)| match operator {
        0 => json!({ "key": key, "operator": "In", "values": values }),
        1 => json!({ "key": key, "operator": "NotIn", "values": values }),
        2 => json!({ "key": key, "operator": "Exists" }),
        _ => json!({ "key": key, "operator": "DoesNotExist" }),
    })
}

fn selector() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(json!({})),
        3 => labels().prop_map(|labels| json!({ "matchLabels": labels })),
        3 => prop::collection::vec(requirement(), 1..=2).prop_map(|all| json!({ "matchExpressions": all })),
        1 => (labels(), requirement())
            .prop_map(|(labels, one)| json!({ "matchLabels": labels, "matchExpressions": [one] })),
    ]
}

fn namespace_selector() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => selector(),
        1 => prop::sample::select(NAMESPACES.to_vec())
            .prop_map(|name| json!({ "matchLabels": { "kubernetes.io/metadata.name": name } })),
    ]
}

/// Networks of 10.0.0.0/26 and fd00::/122, where all pods are, with a few addresses outside.
fn block() -> impl Strategy<Value = Value> {
    (any::<bool>(), 0_u8..64, 0_u8..=6, prop::collection::vec((0_u8..64, 0_u8..=2), 0..=2)).prop_map(
        |(is_v4, low, left, cuts)| {
            let net = |low: u8, left: u8| {
                let low = low >> left << left;
                if is_v4 {
                    format!("10.0.0.{low}/{}", 32 - left)
                } else {
                    format!("fd00::{low:x}/{}", 128 - left)
                }
            };
            // The API wants what is cut out to lie inside.
            let size = 1_u8 << left;
            let cuts: Vec<String> = cuts
                .into_iter()
                .filter(|(_, cut)| *cut < left)
                .map(|(at, cut)| net((low >> left << left) + at % size, cut))
                .collect();
            let mut out = json!({ "cidr": net(low, left) });
            if !cuts.is_empty() {
                out["except"] = json!(cuts);
            }
            json!({ "ipBlock": out })
        },
    )
}

fn peer() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => block(),
        1 => prop::sample::select(vec!["0.0.0.0/0", "::/0", "128.0.0.0/1", "255.255.255.255/32"])
            .prop_map(|cidr| json!({ "ipBlock": { "cidr": cidr } })),
        2 => selector().prop_map(|pods| json!({ "podSelector": pods })),
        2 => namespace_selector().prop_map(|all| json!({ "namespaceSelector": all })),
        2 => (selector(), namespace_selector())
            .prop_map(|(pods, all)| json!({ "podSelector": pods, "namespaceSelector": all })),
    ]
}

fn port() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        4 => prop::sample::select(vec![80, 443, 8000]).prop_map(|port| json!({ "port": port })),
        1 => Just(json!({})),
        1 => Just(json!({ "port": 79, "endPort": 81 })),
        1 => Just(json!({ "port": 8000, "endPort": 65535 })),
        2 => prop::sample::select(vec!["http", "alt"]).prop_map(|name| json!({ "port": name })),
    ];
    (number, maybe(prop::sample::select(vec!["TCP", "UDP", "SCTP"]))).prop_map(|(mut port, protocol)| {
        protocol.into_iter().for_each(|protocol| port["protocol"] = json!(protocol));
        port
    })
}

pub fn rule(peers: &'static str) -> impl Strategy<Value = Value> {
    let lists = (prop::collection::vec(peer(), 0..=3), prop::collection::vec(port(), 0..=3));
    lists.prop_map(move |(to, ports)| {
        let mut out = json!({});
        if !to.is_empty() {
            out[peers] = json!(to);
        }
        if !ports.is_empty() {
            out["ports"] = json!(ports);
        }
        out
    })
}

fn policy() -> impl Strategy<Value = Value> {
    let types = maybe(prop::sample::subsequence(vec!["Egress", "Ingress"], 1..=2));
    let rules =
        (maybe(prop::collection::vec(rule("to"), 0..=3)), maybe(prop::collection::vec(rule("from"), 0..=3)));
    (prop::sample::select(NAMESPACES.to_vec()), selector(), types, rules).prop_map(
        |(ns, selector, types, (egress, ingress))| {
            let mut spec = json!({ "podSelector": selector });
            types.into_iter().for_each(|types| spec["policyTypes"] = json!(types));
            egress.into_iter().for_each(|rules| spec["egress"] = json!(rules));
            ingress.into_iter().for_each(|rules| spec["ingress"] = json!(rules));
            json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": { "namespace": ns }, "spec": spec })
        },
    )
}

/// A cluster's objects: every namespace, up to eight pods, up to six policies.
pub fn cluster() -> impl Strategy<Value = Vec<Value>> {
    let ports =
        prop::collection::vec(prop::sample::select(vec![("http", 80), ("http", 8000), ("alt", 443)]), 0..=1);
    let pod = (prop::sample::select(NAMESPACES.to_vec()), labels(), ports, any::<bool>());
    let pods = prop::collection::vec(pod, 2..=8);
    (prop::collection::vec(labels(), 3), pods, prop::collection::vec(policy(), 0..=6)).prop_map(
        |(of_ns, pods, policies)| {
            let namespaces = NAMESPACES.iter().zip(of_ns).map(|(name, labels)| {
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
            });
            let pods = pods.into_iter().zip(1..).map(|((ns, labels, ports, is_dual), at)| {
                let ports: Vec<_> =
                    ports.iter().map(|(name, port)| json!({ "name": name, "containerPort": port })).collect();
                let mut ips = vec![json!({ "ip": format!("10.0.0.{}", at * 5) })];
                if is_dual {
                    ips.push(json!({ "ip": format!("fd00::{:x}", at * 5) }));
                }
                json!({ "apiVersion": "v1", "kind": "Pod",
                    "metadata": { "name": format!("p{at}"), "namespace": ns, "labels": labels },
                    "spec": { "containers": [{ "name": "c", "ports": ports }] },
                    "status": { "phase": "Running", "podIPs": ips } })
            });
            let policies = policies.into_iter().zip(0..).map(|(mut policy, at)| {
                policy["metadata"]["name"] = json!(format!("policy-{at}"));
                policy
            });
            namespaces.chain(pods).chain(policies).collect()
        },
    )
}

pub fn model(objects: &[Value]) -> Model {
    let mut gathering = Gathering::new(Plugin::KubeNetworkPolicies.traits());
    objects.iter().for_each(|object| gathering.object("generated", object));
    let (cluster, complaints) = gathering.done();
    assert_eq!(complaints, [], "generated objects are valid");
    Model::new(&cluster)
}

pub fn pods(objects: &[Value]) -> Vec<&Value> {
    objects.iter().filter(|object| object["kind"] == "Pod").collect()
}

pub fn id(model: &Model, pod: &Value) -> PodId {
    let text = |field: &str| pod["metadata"][field].as_str().expect("it has one");
    let ns = NsName::parse(text("namespace")).expect("valid");
    model.pod(&ns, &PodName::parse(text("name")).expect("valid")).expect("it is there")
}

/// Every end: pods with each of their addresses, and some outside.
pub fn ends(objects: &[Value]) -> Vec<End<'_>> {
    let address = |raw: &str| raw.parse::<IpAddr>().expect("an address");
    let of_pod = |pod| -> Vec<End<'_>> {
        let pod: &Value = pod;
        let ips = pod["status"]["podIPs"].as_array().expect("a list");
        ips.iter()
            .map(|ip| End { pod: Some(pod), address: address(ip["ip"].as_str().expect("text")) })
            .collect()
    };
    let outside =
        ["10.0.0.63", "203.0.113.7", "fd00::3f"].map(|raw| End { pod: None, address: address(raw) });
    pods(objects).into_iter().flat_map(of_pod).chain(outside).collect()
}

/// Every verdict, in a fixed order.
pub fn verdicts(objects: &[Value]) -> Vec<Verdict> {
    let model = model(objects);
    let ends = ends(objects);
    let mut out = Vec::new();
    for (from, to) in pairs(&ends) {
        let [a, b] = [from, to].map(|end| model.party(end.address));
        for (_, protocol) in PROTOCOLS {
            for port in PORTS {
                let question = Question { from: a, to: b, protocol, port, through: None };
                out.push(model.judge(&question).verdict());
            }
        }
    }
    out
}

/// Ends that can talk: of one family, not both outside.
fn pairs<'e>(ends: &'e [End<'e>]) -> impl Iterator<Item = (End<'e>, End<'e>)> {
    let all = ends.iter().flat_map(|from| ends.iter().map(|to| (*from, *to)));
    all.filter(|(from, to)| {
        from.address.is_ipv4() == to.address.is_ipv4() && (from.pod.is_some() || to.pod.is_some())
    })
}

/// The same by the second opinion.
fn opinions(objects: &[Value]) -> Vec<Verdict> {
    let ends = ends(objects);
    let mut out = Vec::new();
    for (from, to) in pairs(&ends) {
        for (protocol, _) in PROTOCOLS {
            for port in PORTS {
                let is_allowed = naive::allowed(objects, from, to, protocol, port);
                out.push(if is_allowed { Verdict::Allowed } else { Verdict::Denied });
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn two_opinions_agree(objects in cluster()) {
        prop_assert_eq!(verdicts(&objects), opinions(&objects));
    }

    #[test]
    fn two_opinions_agree_on_isolation(objects in cluster()) {
        let model = model(&objects);
        for pod in pods(&objects) {
            for (direction, word) in [(Direction::Egress, "Egress"), (Direction::Ingress, "Ingress")] {
                let is = model.isolates(id(&model, pod), direction) == Isolation::Isolated;
                prop_assert_eq!(is, naive::isolated(&objects, word, pod), "{} {:?}", direction, pod);
            }
        }
    }
}

/// A generator that only makes open clusters would prove nothing.
#[test]
fn generated_clusters_allow_and_deny() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let (mut allowed, mut denied) = (0, 0);
    for _ in 0..40 {
        let objects = cluster().new_tree(&mut runner).expect("a cluster").current();
        for verdict in opinions(&objects) {
            if verdict == Verdict::Allowed { allowed += 1 } else { denied += 1 }
        }
    }
    assert!(allowed > 10_000 && denied > 10_000, "{allowed} allowed, {denied} denied");
}
