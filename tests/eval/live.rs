//! One look at a simulated cluster over its API: all pods, policies and plugin are there, and verdicts
//! are those of the second opinion on the objects that the server has.

use serde_json::{Value, json};
use sluice::{
    domain::{
        eval::{
            judge::Question,
            model::Model,
            plugin::{Holds, Plugin},
            verdict::Verdict,
        },
        flow::Protocol,
    },
    k8s::{connect::Access, snapshot},
    sim::fleet::people::Person,
};

use crate::support;

use super::{
    generated::id,
    naive::{self, End},
};

/// Lets the namespace out to its own pods and to port 53, and lets only its own in on port 80.
fn policies(ns: &str) -> [Value; 2] {
    let policy = |name: &str, spec: Value| {
        json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": name, "namespace": ns }, "spec": spec })
    };
    [
        policy(
            "out",
            json!({ "podSelector": {}, "policyTypes": ["Egress"],
                "egress": [{ "to": [{ "podSelector": {} }] }, { "ports": [{ "port": 53, "protocol": "UDP" }] }] }),
        ),
        policy(
            "in",
            json!({ "podSelector": {}, "policyTypes": ["Ingress"],
                "ingress": [{ "from": [{ "podSelector": {} }], "ports": [{ "port": 80 }] }] }),
        ),
    ]
}

fn is_plain(pod: &Value) -> bool {
    pod["spec"]["hostNetwork"] != true && pod["status"]["phase"] == "Running"
}

#[tokio::test(start_paused = true)]
async fn a_live_cluster_is_judged_as_its_objects_say() {
    let fleet = support::fleet("two", 1);
    let member = fleet.clusters().first().expect("a cluster").clone();
    let server = member.server();
    let all = server.objects("v1", "Pod");
    let plain = all.iter().find(|pod| is_plain(pod)).expect("a pod");
    let ns = plain["metadata"]["namespace"].as_str().expect("text").to_owned();
    policies(&ns).into_iter().for_each(|policy| server.seed(policy));

    let access = Access::Client(support::client(&member, Person::Lead));
    let seen = snapshot::look(&access, member.name(), snapshot::Need::Checks)
        .await
        .unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(seen.complaints, []);
    assert_eq!(seen.cluster.traits.plugin, Plugin::Cilium);
    // Of cilium-config: no match mode, and nothing of SCTP.
    let traits = seen.cluster.traits;
    assert_eq!((traits.block_matches_nodes, traits.sctp), (Holds::No, Holds::No));
    let around = &seen.cluster.around;
    let resolver = around.resolver.map(|at| seen.cluster.services[at].name.as_str());
    assert_eq!((resolver, around.api.len(), &around.hooks), (Some("kube-dns"), 1, &Some(Vec::new())));
    let objects: Vec<Value> = [("v1", "Namespace"), ("v1", "Pod"), ("networking.k8s.io/v1", "NetworkPolicy")]
        .into_iter()
        .flat_map(|(version, kind)| {
            // The server's lists name no kind.
            server.objects(version, kind).into_iter().map(move |object| {
                let mut object = Value::clone(&object);
                object["kind"] = json!(kind);
                object
            })
        })
        .collect();
    assert_eq!(seen.cluster.pods.len(), all.len());
    let model = Model::new(&seen.cluster);
    let pods: Vec<&Value> = objects.iter().filter(|one| one["kind"] == "Pod" && is_plain(one)).collect();
    let mut counts = [0; 2];
    for from in &pods {
        for to in &pods {
            let ends = [from, to].map(|pod| End {
                pod: Some(pod),
                address: pod["status"]["podIP"].as_str().expect("text").parse().expect("an address"),
            });
            for (word, protocol, port) in [("TCP", Protocol::Tcp, 80), ("UDP", Protocol::Udp, 53)] {
                let [from, to] = [from, to].map(|pod| {
                    let id = id(&model, pod);
                    model.party_of(id, model.addresses(id).first().copied())
                });
                let question = Question { from, to, protocol, port, through: None };
                let wanted = naive::allowed(&objects, ends[0], ends[1], word, port);
                let wanted = if wanted { Verdict::Allowed } else { Verdict::Denied };
                assert_eq!(model.judge(&question).verdict(), wanted, "{from:?} {to:?} {word}/{port}");
                counts[usize::from(wanted == Verdict::Denied)] += 1;
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
}
