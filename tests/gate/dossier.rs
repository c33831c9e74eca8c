//! What people read of reviews: the queue, dossiers, grants that are drafted, and how asking and
//! deciding ended. Goldens of text and JSON from one small world.

use std::sync::Arc;

use sluice::{
    cockpit::{
        decide::{Command, Deciding, Shown, decide},
        gate,
        plan::{Authored, PolicyFiles},
        ports::{Baseline, Change, ClusterFact, CollectorState, Fact, Link, Trouble},
        reviews::{self, Wanted, Wish},
        shared::SharedFact,
        world::World,
    },
    documents::reviews as documents,
    domain::{
        coverage::Coverage,
        edge::Window,
        flow::Direction,
        grant::{Decision, DecisionVerdict, Grant, Review},
        names::Text,
        policy::Selector,
        rollout::{Kept, Stamp},
    },
    workspace,
};

use super::story::{at, cluster, edge, ns, opening, pod, policy, span, world as bare};

const FQDN: &str = "  endpointSelector: {matchLabels: {app: cart}}
  egress:
  - toFQDNs: [{matchName: hooks.webhook.site}]
    toPorts: [{ports: [{port: \"443\", protocol: TCP}]}]
  - toFQDNs: [{matchName: '*.ngrok.io'}]
    toPorts: [{ports: [{port: \"443\", protocol: TCP}]}]";
const ALLOW: &str = "  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to: [{ipBlock: {cidr: 91.108.4.0/22, except: [91.108.5.0/24]}}]
    ports: [{port: 443}]
  - ports: [{port: 6443}]";

fn review(name: &str, destination: &str, until: &str, in_clusters: &[&str]) -> Kept<Review> {
    let grant = Grant {
        clusters: in_clusters.iter().map(|name| Text::from(format!("uid-{name}"))).collect(),
        ns: ns("shop"),
        selector: Selector::default(),
        direction: Direction::Egress,
        destination: opening(destination),
        ports: vec![span("TCP/443")],
        expires: at(until),
    };
    let value = Review {
        requested_by: Text::new("ann"),
        aliases: vec![Text::new("ann@corp")],
        grant,
        findings: vec![Text::new("hooks.webhook.site (Webhook.site): it can receive data.")],
        purpose: Text::new("orders are \u{1b}[31mmirrored there"),
        decisions: Vec::new(),
    };
    Kept { name: Text::new(name), version: Text::new("7"), created: at("2026-02-01"), value }
}

fn decided(mut kept: Kept<Review>, verdict: DecisionVerdict, of: &[&str]) -> Kept<Review> {
    kept.value.decisions.push(Decision {
        verdict,
        stamp: Stamp { by: Text::new("kim"), at: at("2026-02-02T09:30:00") },
        reason: Text::new("asked the team"),
        ticket: Some(Text::new("SEC-7")),
        clusters: of.iter().map(|name| Text::from(format!("uid-{name}"))).collect(),
        expires: Some(at("2026-05-01")),
    });
    kept
}

/// East is read whole, west has no collector; both run cart and web.
fn world() -> World {
    let rules = Arc::new(workspace::rules(None).0);
    let mut world = bare(at("2026-03-02"), &[&["ann", "ann-admin"]], Some(&rules));
    let authored = |name: &str| {
        let set = [("egress-allowlist-fqdn", FQDN), ("egress-allowlist", ALLOW)];
        let set = set.into_iter().map(|(name, spec)| (name, policy(name, spec))).collect();
        let (manifests, folder, complaints) = (Default::default(), Text::new("network-policies"), Vec::new());
        (
            (cluster(name), ns("shop"), Direction::Egress),
            Authored { set, manifests, folder, complaints, left_out: Vec::new() },
        )
    };
    let sets = ["east", "west"].map(authored).into();
    let flagged = ["east", "west"].map(|name| ((cluster(name), ns("shop")), Vec::new())).into();
    world.absorb(Fact::Files(PolicyFiles { sets, flagged: Some(flagged), pending: false }));
    for name in ["east", "west"] {
        let pods = vec![pod("cart-1", "cart", &["app=cart"]), pod("web-1", "web", &["app=web"])];
        world.absorb(Fact::Cluster(cluster(name), ClusterFact::Pods(Change::Reset(pods))));
    }
    let window = Window { from: at("2026-02-20"), to: at("2026-02-27") };
    let state = CollectorState {
        link: Link::Live,
        version: None,
        sources: Vec::new(),
        window: Some(window),
        coverage: Coverage::default(),
        edges: Vec::new(),
        troubles: Vec::new(),
    };
    let edges = vec![
        edge("cart", "203.0.113.80", "TCP/443", &["hooks.webhook.site"]),
        edge("cart", "203.0.113.81", "TCP/443", &["hooks.webhook.site"]),
        edge("cart", "203.0.113.82", "TCP/80", &["hooks.webhook.site"]),
    ];
    let answer = Baseline { ns: ns("shop"), window, edges, left_out: 0, trouble: None };
    world.absorb(Fact::Cluster(cluster("east"), ClusterFact::Collector(Box::new(state))));
    world.absorb(Fact::Cluster(cluster("east"), ClusterFact::Baseline(Box::new(answer))));
    let reviews = vec![
        review("r-1", "hooks.webhook.site", "2026-06-01", &["east", "west"]),
        decided(
            review("r-2", "*.ngrok.io", "2026-03-12", &["east", "west"]),
            DecisionVerdict::Approved,
            &["east", "west"],
        ),
        decided(
            review("r-3", "hooks.webhook.site", "2026-06-01", &["east"]),
            DecisionVerdict::Approved,
            &["east"],
        ),
        decided(
            review("r-4", "198.51.100.7/32", "2026-06-01", &["east", "north"]),
            DecisionVerdict::Rejected,
            &["north", "east"],
        ),
    ];
    for fact in [
        SharedFact::Link(Link::Live),
        SharedFact::Clock(at("2026-03-02")),
        SharedFact::Reviews(Change::Reset(reviews)),
    ] {
        world.absorb(Fact::Shared(fact));
    }
    world.settle();
    world
}

#[test]
fn the_queue() {
    let rows = reviews::queue(&world());
    insta::assert_snapshot!("list.txt", documents::list_text(&rows));
    insta::assert_snapshot!("list.json", documents::list_json(&rows[..1]));
    assert_eq!(documents::list_text(&[]), "No review.\n");
}

#[test]
fn dossiers() {
    let world = world();
    let dossier =
        |name: &str| reviews::dossier(&world, world.shared().review(&Text::new(name)).expect("a review"));
    let all: Vec<_> =
        ["r-1", "r-2", "r-3", "r-4"].map(|name| documents::show_text(&world, &dossier(name))).into();
    insta::assert_snapshot!("show.txt", all.join("\n"));
    insta::assert_snapshot!("show.json", documents::show_json(&dossier("r-3")));
}

#[test]
fn how_writes_ended() {
    let world = world();
    let shown = Shown { name: Text::new("r-9"), version: Text::default() };
    let deciding = Deciding {
        reviews: vec![shown],
        verdict: DecisionVerdict::Approved,
        reason: Text::default(),
        ticket: None,
        expires: None,
        clusters: None,
    };
    let refusal = decide(&world, &Command::DecideReview(Box::new(deciding))).expect_err("refused");
    let trouble = Trouble::new("review r-2", "it changed meanwhile (HTTP 409)", "Look at it again.");
    let mut report = documents::Report {
        command: "review approve",
        result: "done in part",
        dry_run: false,
        reviews: reviews::queue(&world).into_iter().take(1).collect(),
        grants: vec![world.shared().review(&Text::new("r-2")).expect("there").value.grant.clone()],
        written: vec![(Text::new("decide a review"), None), (Text::new("decide a review"), Some(&trouble))],
        refusals: Vec::new(),
        troubles: Vec::new(),
    };
    let written = documents::report_text(&report);
    insta::assert_snapshot!("report.json", documents::report_json(&report));
    (report.written, report.refusals) = (Vec::new(), vec![refusal]);
    insta::assert_snapshot!("report.txt", format!("{written}\n{}", documents::report_text(&report)));
}

/// What is drafted is what lets the policy pass, no more: approved as it is, nothing is left.
#[test]
fn drafts_are_what_the_policies_need() {
    let mut world = world();
    let wish = Wish {
        ns: ns("shop"),
        direction: Direction::Egress,
        clusters: None,
        destination: None,
        ports: None,
        expires: at("2026-09-01"),
    };
    let texts = |world: &World, wish: &Wish| -> Vec<String> {
        reviews::draft(world, wish).iter().map(|grant| documents::grant_text(world, grant)).collect()
    };
    assert_eq!(
        texts(&world, &wish),
        [
            "app=cart of shop in west to hooks.webhook.site on TCP/443, until 2026-09-01 00:00 UTC",
            "all pods of shop in east, west to 0.0.0.0/0, ::/0 on TCP/6443, until 2026-09-01 00:00 UTC",
            "all pods of shop in east, west to 91.108.4.0/24, 91.108.6.0/23 on TCP/443, until 2026-09-01 00:00 UTC",
        ]
    );
    let by_name = |destination| Wish { destination: Some(destination), ..wish.clone() };
    let network = Wanted::One(opening("91.108.4.0/22"));
    assert_eq!(texts(&world, &by_name(network)).len(), 1);
    assert_eq!(texts(&world, &by_name(Wanted::Everything)).len(), 1);
    assert_eq!(texts(&world, &by_name(Wanted::One(opening("new.example.com")))), [""; 0]);
    let ahead = Wish {
        clusters: Some(vec![cluster("west")]),
        ports: Some(vec![span("TCP/443")]),
        ..by_name(Wanted::One(opening("new.example.com")))
    };
    assert_eq!(
        texts(&world, &ahead),
        ["all pods of shop in west to new.example.com on TCP/443, until 2026-09-01 00:00 UTC"]
    );
    let target = |name: &str| sluice::cockpit::orders::Target {
        cluster: cluster(name),
        ns: ns("shop"),
        direction: Direction::Egress,
    };
    for (grant, nth) in reviews::draft(&world, &wish).into_iter().zip(10..) {
        let mut kept = review(&format!("r-{nth}"), "a.example", "2026-06-01", &[]);
        kept.value.grant = grant;
        let kept = decided(kept, DecisionVerdict::Approved, &["east", "west"]);
        world.absorb(Fact::Shared(SharedFact::Reviews(Change::Put(kept))));
    }
    for name in ["east", "west"] {
        let gate = gate::authored(&world, &target(name)).expect("authored");
        assert!(gate.passes(), "{gate:?}");
    }
    assert_eq!(texts(&world, &wish), [""; 0]);
}
