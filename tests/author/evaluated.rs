//! The evaluator's opinion of what was authored: whatever evidence shows and no line leaves out is
//! allowed, and what was left out as flagged stays closed.

use std::net::IpAddr;

use proptest::prelude::*;
use sluice::{
    domain::{
        author::draft::{Cause, Draft},
        edge::{Edge, EdgeKey, Peer},
        eval::{
            answer::{Ask, Endpoint},
            cluster::{Cluster, NAME_LABEL, Namespace, NetworkPolicy, Node, Pod},
            model::Model,
            plugin::Plugin,
            verdict::Verdict,
        },
        flow::Direction,
        names::{NodeName, NsName, PodName},
        policy::Labels,
        range,
        sighting::Outcome,
    },
    manifest::{self, written},
};

use super::{
    laws,
    story::{Story, ns},
};

/// Of both families, as pods of a dual-stack cluster have them.
fn addresses(v4: &str) -> Vec<IpAddr> {
    [v4.to_owned(), format!("fd00::{}", v4.rsplit('.').next().expect("a part"))]
        .iter()
        .map(|raw| raw.parse().expect("an address"))
        .collect()
}

fn pod(ns_name: &NsName, name: &str, labels: &[(&str, &str)], address: &str, host: bool) -> Pod {
    Pod {
        ns: ns_name.clone(),
        name: PodName::parse(name).expect("a name"),
        labels: Labels::new(labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()),
        // A pod on the host's network has its node's, and the nodes have one family here.
        addresses: addresses(address).into_iter().filter(|it| it.is_ipv4() || !host).collect(),
        node: NodeName::parse("node-1").ok(),
        host_network: host,
        finished: false,
        ports: None,
    }
}

/// The cluster of the generated stories on Calico, with these policies.
fn model(draft: &Draft) -> Model {
    let namespace = |name: &str| Namespace {
        name: ns(name),
        labels: Labels::new(vec![(NAME_LABEL.into(), name.into())]),
    };
    let node = |name: &str, address: &str| Node {
        name: NodeName::parse(name).expect("a name"),
        addresses: vec![address.parse().expect("an address")],
    };
    let policies = draft.policies.iter().filter_map(|drafted| {
        NetworkPolicy::of(&manifest::policy(&written::value(draft, drafted)).expect("a policy"))
    });
    Model::new(&Cluster {
        traits: Plugin::Calico.traits(),
        namespaces: ["shop", "pay", "monitoring"].map(namespace).into(),
        pods: vec![
            pod(&ns("shop"), "cart", &[("app", "cart")], "10.244.0.1", false),
            pod(&ns("shop"), "web", &[("app", "web")], "10.244.0.2", false),
            pod(&ns("pay"), "gw", &[("app", "gw")], "10.244.0.3", false),
            pod(&ns("monitoring"), "exporter", &[("app", "exporter")], "10.0.0.2", true),
        ],
        nodes: vec![node("node-1", "10.0.0.1"), node("node-2", "10.0.0.2")],
        services: Vec::new(),
        policies: policies.collect(),
        foreign: Vec::new(),
    })
}

fn verdict(model: &Model, key: &EdgeKey, to: Endpoint) -> Verdict {
    let from = Endpoint::Pod(key.ns.clone(), PodName::parse(key.workload.name.as_str()).expect("a name"));
    model.answer(&Ask { from, to, protocol: key.protocol, port: key.port }).expect("known pods").verdict
}

/// What stands before `, of cart`.
fn place(key: &EdgeKey, far: &str) -> String {
    format!("{far} {}/{}, of ", key.protocol, key.port)
}

fn passed(edges: &[(EdgeKey, Edge)]) -> impl Iterator<Item = &EdgeKey> {
    let ours = |key: &&EdgeKey| key.direction == Direction::Egress && key.outcome != Outcome::Denied;
    edges.iter().map(|(key, _)| key).filter(ours)
}

fn is_own(address: IpAddr) -> bool {
    address.is_loopback()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_evidence_shows_and_no_line_leaves_out_is_allowed(edges in laws::edges(), by_evidence in any::<bool>()) {
        let mut story = Story::told(
            "cni Calico v3.30\napi 10.0.0.1:6443 10.96.0.1:443\nnodes 10.0.0.1 10.0.0.2\n\
             runs pay/gw app=gw\nruns monitoring/exporter app=exporter host\n",
        );
        story.settings.pod_to_pod = !by_evidence;
        story.edges = edges;
        let draft = story.draft(Direction::Egress);
        let model = model(&draft);
        for key in passed(&story.edges) {
            let (to, far) = match &key.peer {
                Peer::Address(address) if is_own(*address) => continue,
                Peer::Address(address) => {
                    let folded = range::fold(*address);
                    (Endpoint::Address(folded), key.name.as_ref().map_or(folded.to_string(), ToString::to_string))
                }
                Peer::Pods { ns, workload } => {
                    let name = PodName::parse(workload.name.as_str()).expect("a name");
                    (Endpoint::Pod(ns.clone(), name), format!("{ns}/{workload}"))
                }
                Peer::Entity(_) | Peer::Unsaid(_) => continue,
            };
            let place = place(key, &far);
            let mut left_out = draft.left_out.iter().filter(|one| one.what.as_str().starts_with(&place)).peekable();
            let said = verdict(&model, key, to);
            if left_out.peek().is_none() {
                prop_assert_eq!(said, Verdict::Allowed, "{:?}\n{:#?}", key, draft);
            } else if left_out.all(|one| one.cause == Cause::Flagged) && key.name.is_none() {
                prop_assert_eq!(said, Verdict::Denied, "{:?}\n{:#?}", key, draft);
            }
        }
    }
}
