//! The page of what the workspace's policies would do, and the narrowest rule for a denial: what they
//! show, what keys do there, and that nothing but text leaves.

use chrono::TimeDelta;

use super::predicted::{self, edge};
use crate::{
    cockpit::{
        decide::Command,
        foresights::{DryRun, Foretold, Teller},
        orders::Target,
        ports::{Change, ClusterFact, Document, Documented, Fact, Trouble},
        world::World,
    },
    domain::{
        edge::Window,
        eval::rule::{Network, Peer, PortMatch, Rule},
        fleet::{Pod, Rights},
        flow::{Direction, End, Flow, FlowId, Protocol, Verdict},
        grant::PortSpan,
        names::{NodeName, PodName, Text, Workload},
        policy::{Labels, PolicyDigest, Selector},
        predict::{
            families,
            replay::{Recorded, Wanted, predict},
        },
        time::Timestamp,
    },
    tui::{
        Ask,
        fixture::{Denied, Player, cluster, denied, now, ns, target, week, world},
        model::View,
        update::follow,
    },
};

const SIZES: [(u16, u16); 2] = [(80, 24), (120, 40)];

fn ingress() -> Target {
    target("prod-eu-1", "payments", Direction::Ingress)
}

/// Somebody who may read and nothing else.
fn viewer() -> World {
    let mut world = world();
    let (yes, no) = (Some(true), Some(false));
    let rights =
        Rights { read: yes, create: no, patch: no, delete: no, portforward: yes, ..Rights::default() };
    world.absorb(Fact::Cluster(cluster("prod-eu-1"), ClusterFact::Rights(rights)));
    world
}

fn window() -> Window {
    Window { from: now() - TimeDelta::days(7), to: now() - TimeDelta::minutes(2) }
}

fn collector() -> Teller {
    Teller::Collector { at: now() - TimeDelta::seconds(40) }
}

fn document() -> Teller {
    Teller::Document(Document {
        path: Text::new("network-policies/discovery/payments.edges.jsonl"),
        written: now() - TimeDelta::days(2),
        doubts: Vec::new(),
        ingress_doubts: Vec::new(),
        uncovered: Vec::new(),
    })
}

/// The workspace's ingress set with one rule, against a pod with both families of addresses.
fn foretold(world: &World, dry_run: DryRun, teller: Result<Teller, Text>) -> Foretold {
    let target = ingress();
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    let mut set = world.files().sets[&key].set.clone();
    let asked = PolicyDigest::of(set.values());
    for name in set.keys().copied().collect::<Vec<_>>() {
        let Some(policy) = set.get_mut(name) else { continue };
        let span = PortSpan { protocol: Protocol::Tcp, from: 8443, to: 8443 };
        let network = "198.51.100.0/24".parse().expect("a network");
        let rule = Rule {
            peers: vec![Peer::Block { network, except: Vec::new() }],
            ports: vec![PortMatch::Span(span)],
        };
        let rules = if name.starts_with("default-deny") { Vec::new() } else { vec![Ok(rule)] };
        let selector = Selector::default();
        policy.network = Some(Network { selector, egress: None, ingress: Some(rules) });
    }
    let mut seen = predicted::cluster();
    seen.uid = world.cluster(&target.cluster).and_then(|cluster| cluster.uid.clone());
    seen.pods[0].addresses =
        ["10.0.0.1", "fd00::1"].iter().map(|raw| raw.parse().expect("an address")).collect();
    let edges = [
        edge(now(), "ledger", "203.0.113.7", 443, Protocol::Tcp),
        edge(now(), "ledger", "2001:db8::7", 8443, Protocol::Tcp),
        edge(now(), "gone", "203.0.113.9", 8443, Protocol::Tcp),
    ];
    let edges = if teller.is_ok() { &edges[..] } else { &[] };
    let wanted = Wanted { ns: &target.ns, direction: target.direction, set: &set };
    let doubts = vec![Text::new("the recording is too short")];
    let mut told = predict(&seen, wanted, Recorded { window: window(), edges, doubts });
    if teller.is_err() {
        told.doubts.clear();
        told.unused.clear();
    }
    Foretold {
        target,
        asked,
        dry_run,
        teller,
        uncovered: vec![
            Text::new("CronJob month-end was not seen running, so what it needs is not recorded"),
            Text::new("1 gap in which nothing was recorded, 20m in all"),
        ],
        unread: vec![Trouble::new("Nodes of prod-eu-1", "forbidden (HTTP 403)", "Allow list on Nodes.")],
        closing: families::closing(&seen.pods, &told.turned),
        told: Ok(Box::new(told)),
    }
}

fn tell(player: &mut Player, told: Foretold) {
    let fact = ClusterFact::Foretold(Box::new(told));
    player.world.absorb(Fact::Cluster(cluster("prod-eu-1"), fact));
    player.settle();
}

/// The page of the ingress row.
fn opened(world: World, size: (u16, u16)) -> Player {
    let mut player = Player::new(world, size);
    player.keys("enter j j j l j j b");
    assert_eq!(*player.model.view(), View::Prediction(ingress()));
    player
}

fn not_asked() -> DryRun {
    DryRun::NotAsked(Text::new("mara@example.org may not create network policies in prod-eu-1 (RBAC)"))
}

#[test]
fn a_reader_sees_what_it_would_do_and_what_that_rests_on() {
    for size in SIZES {
        let mut player = opened(viewer(), size);
        let name = |what: &str| format!("prediction_{what}_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name("asked"), player.screen());
        let told = foretold(&player.world, not_asked(), Ok(collector()));
        tell(&mut player, told);
        insta::assert_snapshot!(name("of_a_reader"), player.screen());
        player.keys("G");
        insta::assert_snapshot!(name("scrolled"), player.screen());
        player.keys("esc enter");
        insta::assert_snapshot!(name("on_the_namespace"), player.screen());
    }
}

#[test]
fn without_a_collector_the_document_stands_in_and_says_so() {
    for size in SIZES {
        let name = |what: &str| format!("prediction_{what}_{}x{}", size.0, size.1);
        let mut player = opened(world(), size);
        let told = foretold(&player.world, DryRun::Passed, Ok(document()));
        tell(&mut player, told);
        player.keys("G");
        insta::assert_snapshot!(name("of_a_document"), player.screen());
        let told = foretold(&player.world, DryRun::Passed, Err(Text::new("before discovery")));
        tell(&mut player, told);
        player.keys("g");
        insta::assert_snapshot!(name("without_evidence"), player.screen());
    }
}

#[test]
fn the_page_asks_once_turns_to_the_other_direction_and_copies_itself() {
    let asked = |direction| Ask::Command(Command::Foresee(target("prod-eu-1", "payments", direction)));
    let mut player = opened(viewer(), (80, 24));
    assert_eq!(player.asks, [asked(Direction::Ingress)], "without a right to write, too");
    assert_eq!(follow(&player.model, &player.world), None);
    let told = foretold(&player.world, not_asked(), Ok(collector()));
    tell(&mut player, told);
    assert_eq!(follow(&player.model, &player.world), None);
    player.keys("r");
    assert_eq!(player.asks.len(), 2);
    player.keys("tab");
    assert_eq!(player.asks.last(), Some(&asked(Direction::Egress)));
    player.keys("tab y");
    let Some(Ask::Copy(text)) = player.asks.last() else { panic!("{:?}", player.asks) };
    insta::assert_snapshot!("copied_prediction", text);
    player.world.absorb(Fact::Tick(now() + TimeDelta::seconds(301)));
    assert_eq!(
        follow(&player.model, &player.world),
        Some(Command::Foresee(ingress())),
        "what is old is looked at anew"
    );
}

#[test]
fn where_the_workspace_has_no_policies_there_is_nothing_to_foretell() {
    let mut player = Player::new(world(), (80, 24));
    player.keys("enter j j b");
    assert_eq!(*player.model.view(), View::Prediction(target("prod-eu-1", "ledger", Direction::Egress)));
    assert!(player.asks.iter().all(|ask| !matches!(ask, Ask::Command(Command::Foresee(_)))));
    assert!(player.screen().contains("nothing to foretell: no policy files"), "{}", player.screen());
}

#[test]
fn destinations_of_a_document_say_so() {
    for size in SIZES {
        let mut world = world();
        let api = (cluster("stage-1"), ns("api"));
        world.absorb(Fact::Flagged([(api.clone(), Vec::new())].into()));
        let mut player = Player::new(world, size);
        player.keys("j j j enter j d");
        let read = Command::ReadEdges(api.0.clone(), api.1);
        assert_eq!(player.asks, [Ask::Command(read)], "no collector runs there");
        let went = week::Went {
            workload: "checkout",
            direction: Direction::Egress,
            peer: week::address("192.0.2.1"),
            name: Some("api.vendor.example"),
            port: 443,
            protocol: Protocol::Tcp,
            outcome: crate::domain::sighting::Outcome::Allowed,
            flows: 5,
            hours: vec![1],
            grades: [5, 0, 0],
            also: &[],
            chain: &[],
        };
        let ClusterFact::Baseline(baseline) = week::baseline("api", &[went]) else { panic!("edges") };
        let document = Document {
            path: Text::new("network-policies/discovery/api.edges.jsonl"),
            written: now() - TimeDelta::days(2),
            doubts: Vec::new(),
            ingress_doubts: Vec::new(),
            uncovered: Vec::new(),
        };
        let told = ClusterFact::Documented(Box::new(Documented { baseline: *baseline, document }));
        player.world.absorb(Fact::Cluster(api.0, told));
        player.settle();
        let name = format!("destinations_of_a_document_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name, player.screen());
    }
}

#[test]
fn what_authoring_left_out_is_on_the_page() {
    let mut world = world();
    let mut files = world.files().clone();
    let key = (cluster("prod-eu-1"), ns("payments"), Direction::Ingress);
    let authored = files.sets.get_mut(&key).expect("a set");
    authored.left_out = vec![Text::new("hooks.example TCP/443 by checkout: no review grants it")];
    world.absorb(Fact::Files(files));
    for size in SIZES {
        let player = opened(world.clone(), size);
        insta::assert_snapshot!(format!("prediction_left_out_{}x{}", size.0, size.1), player.screen());
    }
}

/// One flow of a pod of checkout to a workload of the cluster, denied.
fn denied_inside(world: &mut World, at: Timestamp, pod: &str) {
    let end = |ns_: &str, pod: &str, workload: &str| End {
        ns: Some(ns(ns_)),
        pod: PodName::parse(pod).ok(),
        workload: Some(Workload::new("Deployment", workload)),
        ..End::default()
    };
    let flow = Flow {
        id: FlowId("y".into()),
        at,
        node: NodeName::parse("node-1").ok(),
        direction: Direction::Egress,
        verdict: Verdict::Denied { said: Text::new("POLICY_DENIED"), by: Vec::new() },
        source: end("shop", pod, "checkout"),
        destination: end("ledger", "checkout-7d9f-1", "checkout"),
        protocol: Protocol::Tcp,
        source_port: 40_000,
        port: 5432,
        reply: None,
        closing: false,
    };
    world.absorb(Fact::Cluster(cluster("prod-eu-1"), ClusterFact::Flows(vec![flow])));
}

/// The proposal for the group of this peer.
fn proposed(world: World, size: (u16, u16), peer: &str) -> Player {
    let mut player = Player::new(world, size);
    player.keys(&format!("2 / \"peer:{peer}\" enter n"));
    assert!(player.screen().contains("nothing is applied here"), "{}", player.screen());
    player
}

#[test]
fn a_denial_proposes_its_narrowest_rule_with_what_else_that_opens() {
    for size in SIZES {
        let name = |what: &str| format!("proposal_{what}_{}x{}", size.0, size.1);
        let mut player = proposed(world(), size, "stripe");
        insta::assert_snapshot!(name("of_an_address"), player.screen());
        player.keys("G");
        insta::assert_snapshot!(name("scrolled"), player.screen());
        let player = proposed(world(), size, "slack");
        insta::assert_snapshot!(name("that_needs_a_grant"), player.screen());
        let mut world = world();
        denied_inside(&mut world, now() - TimeDelta::minutes(3), "checkout-7d9f-0");
        let player = proposed(world, size, "ledger/checkout");
        insta::assert_snapshot!(name("of_pods"), player.screen());
    }
}

#[test]
fn a_start_up_denial_proposes_none_and_says_so() {
    let mut world = world();
    let pod = |ready: Option<i64>| Pod {
        ns: ns("shop"),
        name: PodName::parse("checkout-7d9f-9").expect("a name"),
        labels: Labels::new(vec![("app".into(), "checkout".into())]),
        workload: Workload::new("Deployment", "checkout"),
        node: NodeName::parse("node-1").ok(),
        host_network: false,
        finished: false,
        started: Some(now() - TimeDelta::seconds(30)),
        ready: ready.map(|secs| now() - TimeDelta::seconds(secs)),
    };
    let see = |world: &mut World, pod| {
        world.absorb(Fact::Cluster(cluster("prod-eu-1"), ClusterFact::Pods(Change::Put(pod))));
    };
    see(&mut world, pod(None));
    denied_inside(&mut world, now() - TimeDelta::seconds(28), "checkout-7d9f-9");
    see(&mut world, pod(Some(5)));
    world.settle();
    for size in SIZES {
        let mut player = proposed(world.clone(), size, "ledger/checkout");
        insta::assert_snapshot!(format!("proposal_none_{}x{}", size.0, size.1), player.screen());
        player.keys("y");
        assert!(player.asks.iter().all(|ask| !matches!(ask, Ask::Copy(_))), "there is nothing to copy");
    }
}

#[test]
fn nothing_but_the_text_leaves_a_proposal() {
    let mut player = proposed(world(), (80, 24), "stripe");
    player.asks.clear();
    player.keys("j k pgdn a w y tab enter");
    let [Ask::Copy(yaml)] = &player.asks[..] else { panic!("{:?}", player.asks) };
    insta::assert_snapshot!("copied_proposal", yaml);
    assert!(player.model.overlay.is_none(), "enter closes");
    for keys in ["1 n", "6 n", "enter j j j enter n"] {
        let mut elsewhere = Player::new(world(), (80, 24));
        elsewhere.keys(keys);
        assert!(elsewhere.model.overlay.is_none(), "{keys}");
    }
    let mut pane = Player::new(world(), (80, 24));
    pane.keys("enter j j j enter tab tab tab n");
    assert!(pane.model.overlay.is_some(), "on the denials of a namespace, too");
    // A group's page has the key as well.
    let mut page = Player::new(world(), (80, 24));
    page.keys("2 enter n");
    assert!(page.model.overlay.is_some());
}

#[test]
fn denied_flows_that_the_rule_would_let_pass_are_named() {
    let mut world = world();
    let denied_by = |world: &mut World, workload| {
        let direction = Direction::Egress;
        let flow = Denied {
            cluster: "prod-eu-1",
            ns: "payments",
            workload,
            direction,
            peer: "api.stripe.com.",
            port: 443,
            secs_ago: 60,
        };
        denied(world, &flow);
    };
    denied_by(&mut world, "reconcile");
    let player = proposed(world, (200, 60), "stripe");
    assert!(player.screen().contains("reconcile with api.stripe.com, once"), "{}", player.screen());
}

#[test]
fn what_was_recorded_is_asked_for_and_taken_in_when_it_comes() {
    let mut world = world();
    world.absorb(Fact::Tick(now() + TimeDelta::seconds(3600)));
    let mut player = proposed(world, (200, 60), "stripe");
    let read = Command::ReadEdges(cluster("prod-eu-1"), ns("payments"));
    assert_eq!(player.asks.last(), Some(&Ask::Command(read)), "what is old is asked for again");
    // A namespace that nobody has looked at yet.
    let mut world = crate::tui::fixture::world();
    let flow = Denied {
        cluster: "prod-eu-1",
        ns: "ledger",
        workload: "checkout",
        direction: Direction::Egress,
        peer: "api.vendor.example.",
        port: 443,
        secs_ago: 5,
    };
    denied(&mut world, &flow);
    world.settle();
    player = proposed(world, (200, 60), "vendor");
    let read = Command::ReadEdges(cluster("prod-eu-1"), ns("ledger"));
    assert_eq!(player.asks.last(), Some(&Ask::Command(read)));
    assert!(player.screen().contains("is not read here"), "{}", player.screen());
    player.world.absorb(Fact::Cluster(cluster("prod-eu-1"), week::baseline("ledger", &[])));
    player.settle();
    assert!(player.screen().contains("recorded edges of it that passed: 0"), "{}", player.screen());
}
