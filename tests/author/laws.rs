//! What holds for every draft: equal input in any order gives equal bytes, nothing is opened that
//! evidence, a published range or a fact of the cluster does not hold, nothing flagged without a grant,
//! and what is written reads back as what was meant.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use proptest::prelude::*;
use sluice::{
    domain::{
        author::{METADATA, draft::Draft},
        edge::{Edge, EdgeKey, Peer},
        flow::Direction,
        gate,
        opened::{Opened, What},
        policy::{Policy, Role},
        range,
        ranges::Ranges,
        sighting::Outcome,
    },
    manifest::{self, written},
};

use super::story::{Story, edge, granted};

const PEERS: [&str; 12] = [
    "pods:pay/gw",
    "pods:monitoring/exporter",
    "entity:kube-apiserver",
    "entity:host",
    "entity:remote-node",
    "entity:world",
    "unsaid:pub",
    "10.0.0.1",
    "10.0.0.2",
    "10.244.0.9",
    "169.254.169.254",
    "127.0.0.1",
];
const NAMES: [&str; 7] = [
    "",
    "api.payments.example",
    "cdn.assets.example",
    "img.assets.example",
    "ghcr.io",
    "hooks.webhook.site",
    "abc.ngrok.io",
];
const PORTS: [&str; 9] =
    ["TCP/443", "TCP/444", "TCP/445", "TCP/6443", "UDP/53", "UDP/123", "SCTP/99", "ICMP/0", "TCP/80"];

fn one() -> impl Strategy<Value = (EdgeKey, Edge)> {
    let far = prop_oneof![
        3 => (0_u8..24).prop_map(|low| format!("203.0.113.{low}")),
        1 => (0_u8..4).prop_map(|low| format!("2001:db8::{low}")),
        2 => prop::sample::select(PEERS.to_vec()).prop_map(str::to_owned),
    ];
    let word = prop::sample::select(vec!["grade=fresh", "grade=stale", "grade=ambiguous", "denied"]);
    let direction = prop::sample::select(Direction::ALL.to_vec());
    let who = prop::sample::select(vec!["cart", "web"]);
    let (port, name) = (prop::sample::select(PORTS.to_vec()), prop::sample::select(NAMES.to_vec()));
    (direction, who, far, port, name, word, 0_u32..160).prop_map(
        |(direction, who, far, port, name, word, hour)| {
            let hour = format!("hours={hour}");
            edge(direction, who, &far, port, &[name, word, &hour])
        },
    )
}

/// Each edge once: two with the same key are one edge of a ledger.
pub fn edges() -> impl Strategy<Value = Vec<(EdgeKey, Edge)>> {
    let all = prop::collection::vec(one(), 0..40);
    all.prop_map(|all| all.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect())
}

fn story() -> impl Strategy<Value = Story> {
    let kind = prop::sample::select(vec!["Calico v3.30", "Cilium v1.19", "Cilium v1.12", "other 1", ""]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (edges(), kind, flags).prop_map(|(edges, kind, (facts, local, by_evidence, landed, grants))| {
        let mut told = String::new();
        if let Some((kind, version)) = kind.split_once(' ') {
            told.push_str(&format!("cni {kind} {version}\n"));
        }
        if facts {
            told.push_str(
                "api 10.0.0.1:6443 10.96.0.1:443\nnodes 10.0.0.1 10.0.0.2\npods in 10.244.0.0/16\n\
                 runs monitoring/exporter app=exporter host\nruns pay/gw app=gw\n",
            );
            let local = if local { " local=169.254.20.10" } else { "" };
            told.push_str(&format!("resolver kube-system k8s-app=kube-dns 53 service=10.96.0.10{local}\n"));
            told.push_str("published *.assets.example 203.0.113.0/27,169.254.0.0/16 a list\n");
        }
        if by_evidence {
            told.push_str("pods by evidence\n");
        }
        if landed {
            told.push_str("harbor landed harbor.corp.example 10.20.0.10/32\n");
        }
        let mut story = Story::told(&told);
        if grants {
            story.reviews.push(granted("r-1", "203.0.113.4/30", "TCP/443", None));
            story.reviews.push(granted("r-2", "hooks.webhook.site", "TCP/443", None));
        }
        Story { edges, ..story }
    })
}

fn texts(draft: &Draft) -> Vec<String> {
    draft.policies.iter().map(|drafted| written::text(draft, drafted)).collect()
}

fn policies(draft: &Draft) -> Vec<Policy> {
    let one = |drafted| manifest::policy(&written::value(draft, drafted)).expect("a policy");
    draft.policies.iter().map(one).collect()
}

/// All that may be opened on a port, whatever rule does it.
fn known(story: &Story, direction: Direction, opened: &Opened) -> Ranges {
    let mut all: Vec<IpNet> = Vec::new();
    let passed = |key: &EdgeKey| key.direction == direction && key.outcome != Outcome::Denied;
    for (key, _) in story.edges.iter().filter(|(key, _)| passed(key)) {
        if let Peer::Address(address) = key.peer
            && opened.ports.hold(key.protocol, key.port)
        {
            all.push(range::fold(address).into());
        }
    }
    let facts = &story.facts;
    let mut add = |address: IpAddr| all.push(address.into());
    facts.nodes.iter().flatten().for_each(|address| add(*address));
    facts.api.iter().flat_map(|api| api.endpoints.iter().chain(&api.service)).for_each(|(it, _)| add(*it));
    facts.resolver.iter().flat_map(|it| it.service.iter().chain(&it.node_local)).for_each(|it| add(*it));
    all.extend(story.settings.published.iter().flat_map(|it| it.networks.iter().copied()));
    all.extend(story.settings.harbor.iter().flat_map(|it| it.networks.iter().copied()));
    Ranges::of(&all)
}

fn is_clock(policy: &Policy, opened: &Opened) -> bool {
    policy.pinned().is_some_and(|it| it.role == Role::Baseline) && opened.ports.to_string() == "UDP/123"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn equal_evidence_in_any_order_gives_equal_bytes(story in story(), seed in any::<u64>()) {
        let mut turned = story.clone();
        let mut random = fastrand::Rng::with_seed(seed);
        random.shuffle(&mut turned.edges);
        for direction in Direction::ALL {
            let draft = story.draft(direction);
            prop_assert_eq!(&draft, &turned.draft(direction));
            prop_assert_eq!(texts(&draft), texts(&turned.draft(direction)));
        }
    }

    #[test]
    fn nothing_is_opened_that_nobody_saw_published_or_told(story in story()) {
        for direction in Direction::ALL {
            for policy in policies(&story.draft(direction)) {
                for opened in policy.opens.iter().filter(|opened| !is_clock(&policy, opened)) {
                    prop_assert!(!matches!(opened.what, What::Everything | What::Unknown(_)), "{opened:?}");
                    let Some(addresses) = opened.what.addresses() else { continue };
                    let known = known(&story, direction, opened);
                    prop_assert!(known.covers(&addresses), "{opened:?} is not within {known:?}");
                }
            }
        }
    }

    #[test]
    fn no_metadata_address_lies_in_a_rule_that_was_not_meant_for_it(story in story()) {
        for policy in policies(&story.draft(Direction::Egress)) {
            for opened in &policy.opens {
                let addresses = opened.what.addresses().unwrap_or_default();
                for raw in METADATA {
                    let network: IpNet = raw.parse().expect("a network");
                    let meant = matches!(&opened.what, What::Block { network: mine, .. } if *mine == network);
                    prop_assert!(meant || !addresses.contains(network.addr()), "{opened:?} holds {raw}");
                }
            }
        }
    }

    #[test]
    fn nothing_flagged_is_opened_without_a_grant(story in story(), away in any::<bool>()) {
        let story = Story { without_reviews: away, ..story };
        let gate = story.with_input(Direction::Egress, |input| {
            let policies = policies(&sluice::domain::author::draft(input));
            gate::judge(policies.iter(), &input.known)
        });
        prop_assert!(gate.passes(), "{gate:#?}");
    }

    #[test]
    fn what_is_written_reads_back_as_what_was_meant_and_is_known_as_ours(story in story()) {
        for direction in Direction::ALL {
            let draft = story.draft(direction);
            for drafted in &draft.policies {
                let text = written::text(&draft, drafted);
                let read: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
                prop_assert_eq!(&read, &written::value(&draft, drafted), "{}", text);
                prop_assert_eq!(written::origin(&text), written::Origin::Ours);
                prop_assert_eq!(written::origin(&text.replacen("spec:", "spec: ", 1)), written::Origin::Edited);
            }
        }
    }

    #[test]
    fn every_seen_destination_is_opened_covered_or_left_out_with_a_reason(story in story()) {
        let draft = story.draft(Direction::Egress);
        let policies = policies(&draft);
        for (key, _) in &story.edges {
            let (Peer::Address(address), Direction::Egress) = (&key.peer, key.direction) else { continue };
            if key.outcome == Outcome::Denied {
                continue;
            }
            let place = format!("{}/{}", key.protocol, key.port);
            let opens = policies.iter().flat_map(|policy| &policy.opens).any(|opened| {
                let named = matches!((&opened.what, &key.name), (What::Name(a), Some(b)) if a == b);
                let holds = opened.what.addresses().is_some_and(|it| it.contains(range::fold(*address)));
                (named || holds) && opened.ports.hold(key.protocol, key.port)
            });
            let told = draft.left_out.iter().any(|one| {
                let what = key.name.as_ref().map_or(address.to_string(), ToString::to_string);
                one.what.as_str().starts_with(&format!("{what} {place}"))
            });
            prop_assert!(opens || told || is_of_the_cluster(&story, *address), "{key:?}\n{draft:#?}");
        }
    }
}

/// By a rule that names no address: pods, entities.
fn is_of_the_cluster(story: &Story, address: IpAddr) -> bool {
    story.facts.is_node(address)
        || story.facts.is_pod(address)
        || story.facts.api.is_some() && address.is_loopback()
}

/// Somebody has to be left out for these laws to say something.
#[test]
fn the_generated_stories_have_both_kinds() {
    let story = Story::told(
        "cni Calico v3.30\nedge egress cart 203.0.113.1 TCP/443 hooks.webhook.site\nedge egress cart 203.0.113.9 TCP/443 api.payments.example\n",
    );
    let draft = story.draft(Direction::Egress);
    assert_eq!((draft.left_out.len(), draft.find("egress-allowlist").map(|it| it.rules.len())), (1, Some(1)));
}
