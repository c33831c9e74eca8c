//! What must hold whatever the cluster: how verdicts may change when the objects do.

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice::domain::eval::{isolation::Isolation, verdict::Verdict};

use super::generated::{cluster, model, rule, verdicts};

fn policies(objects: &mut [Value]) -> impl Iterator<Item = &mut Value> {
    objects.iter_mut().filter(|object| object["kind"] == "NetworkPolicy")
}

/// All rules of a policy, of both directions.
fn rules(policy: &mut Value) -> impl Iterator<Item = &mut Vec<Value>> {
    let spec = policy["spec"].as_object_mut().expect("a spec");
    spec.iter_mut()
        .filter(|(key, _)| *key == "egress" || *key == "ingress")
        .filter_map(|(_, rules)| rules.as_array_mut())
}

/// A network of the generated ones in its two halves; `None` for single addresses.
fn halves(cidr: &str) -> Option<[String; 2]> {
    let network: ipnet::IpNet = cidr.parse().expect("a network");
    let mut halves = network.subnets(network.prefix_len() + 1).ok()?.map(|half| half.to_string());
    Some([halves.next()?, halves.next()?])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_more_never_denies(objects in cluster(), extra in rule("to"), at in any::<prop::sample::Index>()) {
        let mut wider = objects.clone();
        let mut all: Vec<_> = policies(&mut wider)
            .filter(|policy| policy["spec"]["egress"].as_array().is_some_and(|rules| !rules.is_empty()))
            .collect();
        if !all.is_empty() {
            let at = at.index(all.len());
            all[at]["spec"]["egress"].as_array_mut().expect("a list").push(extra);
        }
        for (before, after) in verdicts(&objects).into_iter().zip(verdicts(&wider)) {
            prop_assert!(before == Verdict::Denied || after == Verdict::Allowed);
        }
    }

    #[test]
    fn a_policy_less_never_denies(objects in cluster(), at in any::<prop::sample::Index>()) {
        // Deleting the last policy opens; deleting one of several may close what only it allowed, so
        // the one that is deleted here is one that allows nothing.
        let namespace = ["shop", "pay", "web"][at.index(3)];
        let mut tight = objects.clone();
        tight.push(json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": "zz-deny", "namespace": namespace },
            "spec": { "podSelector": {}, "policyTypes": ["Egress", "Ingress"] } }));
        for (without, with) in verdicts(&objects).into_iter().zip(verdicts(&tight)) {
            prop_assert!(with == Verdict::Denied || without == Verdict::Allowed);
        }
        // And for pods that are isolated both ways already it changes nothing.
        let model = model(&objects);
        let is_closed = model.pods().all(|(id, ..)| {
            sluice::domain::flow::Direction::ALL
                .into_iter()
                .all(|direction| model.isolates(id, direction) == Isolation::Isolated)
        });
        if is_closed {
            prop_assert_eq!(verdicts(&objects), verdicts(&tight));
        }
    }

    #[test]
    fn a_policy_that_selects_nothing_changes_nothing(objects in cluster()) {
        let mut more = objects.clone();
        more.push(json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": "aa-nobody", "namespace": "shop" },
            "spec": { "podSelector": { "matchLabels": { "nobody": "has" } }, "policyTypes": ["Egress", "Ingress"],
                "egress": [{}] } }));
        prop_assert_eq!(verdicts(&objects), verdicts(&more));
        prop_assert_eq!(model(&objects).turned(&model(&more)), vec![]);
    }

    #[test]
    fn the_order_of_policies_rules_and_peers_is_nothing(objects in cluster()) {
        let mut turned = objects.clone();
        for policy in policies(&mut turned) {
            for rules in rules(policy) {
                rules.reverse();
                for rule in rules {
                    for field in ["to", "from", "ports"] {
                        if let Some(list) = rule.get_mut(field).and_then(Value::as_array_mut) {
                            list.reverse();
                        }
                    }
                }
            }
        }
        // Pods stay in their order, which is the order of the questions.
        let (mut kept, mut moved): (Vec<Value>, Vec<Value>) =
            turned.into_iter().partition(|object| object["kind"] != "NetworkPolicy");
        moved.reverse();
        kept.extend(moved);
        prop_assert_eq!(verdicts(&objects), verdicts(&kept));
    }

    #[test]
    fn a_network_in_halves_is_the_network(objects in cluster()) {
        let mut halved = objects.clone();
        for policy in policies(&mut halved) {
            for rule in rules(policy).flatten() {
                for field in ["to", "from"] {
                    let Some(peers) = rule.get_mut(field).and_then(Value::as_array_mut) else { continue };
                    let split = peers.drain(..).flat_map(|peer| {
                        let cidr = peer["ipBlock"]["cidr"].as_str().map(str::to_owned);
                        match cidr.as_deref().and_then(halves) {
                            None => vec![peer],
                            Some(halves) => halves
                                .map(|half| {
                                    let mut peer = peer.clone();
                                    peer["ipBlock"]["cidr"] = json!(half);
                                    peer
                                })
                                .into(),
                        }
                    });
                    *peers = split.collect::<Vec<_>>();
                }
            }
        }
        prop_assert_eq!(verdicts(&objects), verdicts(&halved));
    }

    #[test]
    fn peers_in_rules_of_their_own_are_the_rule(objects in cluster()) {
        let mut split = objects.clone();
        for policy in policies(&mut split) {
            for rules in rules(policy) {
                let apart = rules.drain(..).flat_map(|rule| {
                    let field = if rule.get("to").is_some() { "to" } else { "from" };
                    match rule.get(field).and_then(Value::as_array).cloned() {
                        None => vec![rule],
                        Some(peers) => peers
                            .into_iter()
                            .map(|peer| {
                                let mut one = rule.clone();
                                one[field] = json!([peer]);
                                one
                            })
                            .collect(),
                    }
                });
                *rules = apart.collect::<Vec<_>>();
            }
        }
        prop_assert_eq!(verdicts(&objects), verdicts(&split));
    }

    #[test]
    fn other_words_for_the_same_labels_change_nothing(objects in cluster()) {
        let text = serde_json::to_string(&objects).expect("JSON");
        let renamed = text
            .replace("\"app\"", "\"example.com/zz\"")
            .replace("\"tier\"", "\"AA\"")
            .replace("policy-", "other-");
        let renamed: Vec<Value> = serde_json::from_str(&renamed).expect("JSON");
        prop_assert_eq!(verdicts(&objects), verdicts(&renamed));
    }

    #[test]
    fn types_that_are_written_out_are_the_types(objects in cluster()) {
        let mut said = objects.clone();
        for policy in policies(&mut said) {
            let spec = &mut policy["spec"];
            if spec["policyTypes"].is_null() {
                let has_egress = spec["egress"].as_array().is_some_and(|rules| !rules.is_empty());
                spec["policyTypes"] = if has_egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            }
        }
        prop_assert_eq!(verdicts(&objects), verdicts(&said));
    }
}
