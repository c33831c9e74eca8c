//! The confirmation of an apply with what it would have denied in the recorded week.

use chrono::{DateTime, TimeDelta};

use crate::{
    cockpit::{
        orders::OrderKind,
        ports::{Fact, OrderFact},
    },
    domain::{
        edge::{DnsName, Edge, EdgeKey, Peer, Window},
        eval::{around::Around, cluster::Cluster, plugin::Plugin, rule::Network},
        flow::{Direction, Protocol},
        names::{NsName, PodName, Text, Workload},
        policy::{Labels, PolicyDigest, Selector},
        predict::replay::{Recorded, Wanted, predict},
        sighting::Outcome,
        time::Timestamp,
    },
    tui::fixture::{Player, preview, world},
};

pub(super) fn edge(
    now: Timestamp,
    workload: &str,
    address: &str,
    port: u16,
    protocol: Protocol,
) -> (EdgeKey, Edge) {
    let last = now - TimeDelta::hours(2);
    let key = EdgeKey {
        ns: NsName::parse("payments").expect("valid"),
        workload: Workload::new("Deployment", workload),
        direction: Direction::Ingress,
        peer: Peer::Address(address.parse().expect("an address")),
        name: (port == 443).then(|| DnsName::parse("api.psp.example").expect("a name")),
        protocol,
        port,
        outcome: Outcome::Allowed,
    };
    let edge = Edge {
        flows: 42,
        first: last,
        last,
        hours: [crate::domain::edge::hour_of(last)].into_iter().collect(),
        fresh: 0,
        stale: 0,
        ambiguous: 0,
        also: Vec::new(),
        chain: Vec::new(),
        ttl_secs: None,
    };
    (key, edge)
}

/// One pod of the workload that runs, and none of the other.
pub(super) fn cluster() -> Cluster {
    Cluster {
        uid: Some(Text::new("uid")),
        traits: Plugin::Calico.traits(),
        namespaces: Vec::new(),
        pods: vec![crate::domain::eval::cluster::Pod {
            ns: NsName::parse("payments").expect("valid"),
            name: PodName::parse("ledger-0").expect("valid"),
            labels: Labels::default(),
            workload: Some(Workload::new("Deployment", "ledger")),
            addresses: Vec::new(),
            node: None,
            host_network: false,
            finished: false,
            ports: None,
        }],
        nodes: Vec::new(),
        services: Vec::new(),
        policies: Vec::new(),
        foreign: Vec::new(),
        around: Around::default(),
    }
}

#[test]
fn the_confirmation_says_what_would_have_been_denied() {
    for size in [(80, 24), (120, 40)] {
        let mut player = Player::new(world(), size);
        player.keys("enter j j j l j j a");
        let waiting: Vec<_> = player
            .world
            .orders()
            .iter()
            .filter(|order| order.kind == OrderKind::Preview && order.is_running())
            .map(|order| (order.id, order.target.clone()))
            .collect();
        for (id, target) in waiting {
            let mut shown = preview(&player.world, &target);
            for policy in shown.set.values_mut() {
                let (selector, ingress) = (Selector::default(), Some(Vec::new()));
                policy.network = Some(Network { selector, egress: None, ingress });
            }
            shown.digest = PolicyDigest::of(shown.set.values());
            let now = player.world.now();
            let edges = [
                edge(now, "ledger", "203.0.113.7", 443, Protocol::Tcp),
                edge(now, "ledger", "10.96.0.10", 53, Protocol::Udp),
            ];
            let end = DateTime::from_timestamp(now.timestamp() / 86_400 * 86_400, 0).expect("a time");
            let window = Window { from: end - TimeDelta::days(7), to: end };
            let wanted = Wanted { ns: &target.ns, direction: target.direction, set: &shown.set };
            let doubts = vec![Text::new("the recording is too short")];
            let uid = player.world.cluster(&target.cluster).and_then(|one| one.uid.clone());
            let looked = Cluster { uid, ..cluster() };
            let it = predict(&looked, wanted, Recorded { window, edges: &edges, doubts });
            (shown.prediction, shown.untold) = (Ok(Box::new(it)), None);
            player.world.absorb(Fact::Order(id, OrderFact::Previewed(Box::new(shown))));
        }
        player.settle();
        insta::assert_snapshot!(format!("apply_predicted_{}x{}", size.0, size.1), player.screen());
    }
}
