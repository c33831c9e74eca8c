//! Alerts over hours of domain time, as a person on call gets them: each line is the minute, then the message.
//! They are told once, again when it gets worse, and when it is over; and never of what cannot be seen.

use std::sync::Arc;

use chrono::TimeDelta;

use super::*;
use crate::{
    cockpit::{
        ports::{Change, ClusterFact, Fact, Link, Trouble},
        shared::{Observer, SharedFact},
    },
    documents::{
        fixture::{by, kept, live_digest, record, review, rolled_back, team_world, tell},
        tests::{cluster, denial, now, ns, pod, policy, source, target},
    },
    domain::{
        fleet::Pod,
        flow::{End, Flow},
        names::NodeName,
        policy::{PolicyKey, PolicyKind},
        preflight::{
            check::{Check, CheckId},
            report::Report,
        },
        rollout::{Applied, Record},
    },
};

/// A world, alerts, and what was said so far.
struct Night {
    world: World,
    alerts: Alerts,
    minute: i64,
    said: Vec<String>,
    denied: u32,
    /// The API server does not answer.
    away: bool,
}

impl Night {
    /// The small fleet with its set live and nothing wrong: the rollback recovered long ago, and the
    /// denials of the fixture are old news.
    fn new() -> Self {
        let mut world = team_world();
        let mut recovered = rolled_back(9);
        if let Some(back) = &mut recovered.rolled_back {
            back.recovered = Some(now());
        }
        tell(&mut world, SharedFact::Records(Change::Put(kept("pay", 14, recovered))));
        let mut night =
            Self { world, alerts: Alerts::default(), minute: 0, said: Vec::new(), denied: 0, away: false };
        night.to(30);
        night.said.clear();
        night
    }

    fn fact(&mut self, fact: Fact) {
        self.world.absorb(fact);
        self.world.settle();
    }

    fn cluster(&mut self, fact: ClusterFact) {
        self.fact(Fact::Cluster(cluster("prod-eu"), fact));
    }

    fn shared(&mut self, fact: SharedFact) {
        self.fact(Fact::Shared(fact));
    }

    /// Looks every minute; the observer renews its Lease.
    fn to(&mut self, minute: i64) {
        while self.minute < minute {
            self.minute += 1;
            let now = now() + TimeDelta::minutes(self.minute);
            self.fact(Fact::Tick(now));
            self.shared(SharedFact::Clock(now));
            if !self.away {
                self.cluster(ClusterFact::Answered);
            }
            if let Some(observer) = self.world.shared().observer(&cluster("prod-eu")).cloned() {
                let renewed = Observer { renewed: now, ..observer };
                self.shared(SharedFact::Observer(cluster("prod-eu"), Some(renewed)));
            }
            self.look();
        }
    }

    fn look(&mut self) {
        for alert in self.alerts.look(&self.world) {
            self.said.push(format!("{:>3}  {}  {}", self.minute, alert.state.as_str(), alert.line()));
        }
    }

    fn deny(&mut self, port: u16, times: u32) {
        self.deny_in("shop", port, times);
    }

    fn deny_in(&mut self, space: &str, port: u16, times: u32) {
        let at = self.world.now();
        let flow = |n: u32| {
            let flow = denial(n, [192, 0, 2, 9], at);
            // The workload is named, and none of its pods.
            let source = End { ns: Some(ns(space)), pod: None, ..flow.source };
            Flow { port, source, ..flow }
        };
        let flows = (self.denied..self.denied + times).map(flow).collect();
        self.denied += times;
        self.cluster(ClusterFact::Flows(flows));
    }

    fn source(&mut self, link: Link) {
        self.cluster(ClusterFact::Source(source(link)));
    }

    fn said(self) -> String {
        self.said.join("\n")
    }
}

fn broken() -> Link {
    Link::Broken(Trouble::new("relay", "connection refused", "Check it."))
}

#[test]
fn a_group_that_hurts_is_told_once_then_worse_then_over() {
    let mut night = Night::new();
    night.to(40);
    night.deny(5432, 1);
    night.to(42);
    night.deny(5432, 1);
    night.to(45);
    night.deny(5432, 40);
    night.to(90);
    insta::assert_snapshot!("hurting.txt", night.said());
}

/// A drop must never read as allowed: what the data plane denies and the live policies allow is told as such,
/// if it lasts; what both deny is not.
#[test]
fn a_data_plane_that_denies_what_the_live_policies_allow_is_told() {
    let mut night = Night::new();
    let checks = vec![Check::pass(CheckId::Foreign, "no other kind of policy is there")];
    night.cluster(ClusterFact::Preflight(Box::new(Report {
        checks,
        engine: None,
        dns_mode: None,
        offers: Vec::new(),
        printing: None,
    })));
    night.to(40);
    night.deny(53, 1);
    night.deny(5432, 1);
    night.to(70);
    night.said.retain(|said| said.contains("verdicts disagree"));
    insta::assert_snapshot!("disagreement.txt", night.said());
}

/// It comes and goes every twenty minutes: that is one message an hour, not one each time.
#[test]
fn what_comes_and_goes_does_not_page_each_time() {
    let mut night = Night::new();
    for minute in (40..170).step_by(25) {
        night.to(minute);
        night.deny(5432, 1);
    }
    night.to(250);
    insta::assert_snapshot!("flapping.txt", night.said());
}

/// Law: silence is never safety. A source that broke does not make denials stop.
#[test]
fn what_cannot_be_seen_is_neither_raised_nor_over() {
    let mut night = Night::new();
    night.deny(5432, 1);
    night.to(31);
    night.source(broken());
    night.to(120);
    assert_eq!(night.said.len(), 1, "{:?}", night.said);
    night.source(Link::Live);
    night.to(130);
    insta::assert_snapshot!("unseen.txt", night.said());
}

#[test]
fn a_set_that_is_not_as_applied_is_told_at_once_and_when_it_grew() {
    let mut night = Night::new();
    let key = |name: &str| PolicyKey {
        ns: Some(ns("shop")),
        kind: PolicyKind::NetworkPolicy,
        name: crate::domain::names::PolicyName::parse(name).expect("valid"),
    };
    let gone = |name: &str| ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Gone(key(name)));
    night.cluster(gone("egress-allowlist"));
    night.to(33);
    night.cluster(gone("egress-baseline-allow"));
    night.to(35);
    // A cluster that went away says nothing.
    let away = Trouble::new("prod-eu", "connection refused", "Check it.");
    night.cluster(ClusterFact::Away(away));
    night.away = true;
    night.to(60);
    night.away = false;
    let back = ["egress-allowlist", "egress-baseline-allow", "default-deny-egress"].map(policy);
    night.cluster(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(back.to_vec())));
    night.to(70);
    let mut foreign = policy("egress-allowlist");
    foreign.canonical = "{\"other\":1}".into();
    Arc::make_mut(&mut foreign.marks).managers = vec![Text::new("kubectl-edit")];
    night.cluster(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(foreign)));
    night.to(140);
    insta::assert_snapshot!("incident.txt", night.said());
}

#[test]
fn a_rollback_after_which_it_is_not_well_is_told_after_ten_minutes() {
    let mut night = Night::new();
    let mut back = rolled_back(9);
    let stamp = crate::domain::rollout::Stamp { at: night.world.now(), ..by("oncall@example.net", 0) };
    back.rolled_back.as_mut().expect("it was").stamp = stamp;
    night.shared(SharedFact::Records(Change::Put(kept("pay", 14, back.clone()))));
    for minute in 31..=60 {
        night.deny_in("pay", 5432, 1);
        night.to(minute);
    }
    back.rolled_back.as_mut().expect("it was").recovered = Some(night.world.now());
    night.shared(SharedFact::Records(Change::Put(kept("pay", 14, back))));
    night.to(70);
    insta::assert_snapshot!("not-recovered.txt", night.said());
}

#[test]
fn nobody_observing_is_told_only_if_it_lasts_and_only_where_a_set_is_live() {
    let mut night = Night::new();
    let observer = night.world.shared().observer(&cluster("prod-eu")).cloned().expect("one");
    night.shared(SharedFact::Observer(cluster("prod-eu"), None));
    night.to(33);
    night.shared(SharedFact::Observer(cluster("prod-eu"), Some(observer.clone())));
    night.to(50);
    assert_eq!(night.said, Vec::<String>::new());
    night.shared(SharedFact::Observer(cluster("prod-eu"), None));
    night.to(60);
    // While the state cluster is away nobody knows.
    night.shared(SharedFact::Link(broken()));
    night.to(100);
    night.shared(SharedFact::Link(Link::Live));
    night.shared(SharedFact::Observer(cluster("prod-eu"), Some(observer)));
    night.to(110);
    insta::assert_snapshot!("observer.txt", night.said());
}

/// Pods on a node of which nothing is heard: the clock stands still, and says so once.
#[test]
fn a_soak_that_stands_still_for_half_an_hour_is_told() {
    let mut night = Night::new();
    let node = NodeName::parse("node-1").expect("valid");
    let pods = ["web-1", "web-2"].map(|name| Pod { node: Some(node.clone()), ..pod(name) });
    night.cluster(ClusterFact::Pods(Change::Reset(pods.to_vec())));
    night.to(100);
    let until = night.world.now();
    night.cluster(ClusterFact::Heard { node: node.clone(), from: until, until });
    for minute in 101..112 {
        night.to(minute);
        let until = night.world.now();
        let from = until - TimeDelta::minutes(1);
        night.cluster(ClusterFact::Heard { node: node.clone(), from, until });
    }
    insta::assert_snapshot!("paused.txt", night.said());
}

/// The grant of a live policy runs out: nothing changes in the cluster, and somebody is told.
#[test]
fn a_grant_that_runs_out_while_its_policy_is_live_is_told() {
    let mut night = Night::new();
    let (rules, troubles) = crate::workspace::rules_of(&Default::default(), None);
    assert_eq!(troubles, []);
    night.fact(Fact::Rules(std::sync::Arc::new(rules)));
    let metadata = serde_json::json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "egress-allowlist", "namespace": "shop", "resourceVersion": "9"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{
            "to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 80, "protocol": "TCP"}]
        }]},
    });
    let mut review = review();
    review.grant.destination =
        crate::domain::grant::Opening::Networks(vec!["169.254.169.254/32".parse().expect("a network")]);
    review.grant.ports[0] = crate::domain::grant::PortSpan { from: 80, to: 80, ..review.grant.ports[0] };
    review.decisions[0].expires = Some(now() + TimeDelta::minutes(60));
    night.shared(SharedFact::Reviews(Change::Reset(vec![kept("review-1", 60, review)])));
    let policy = crate::manifest::policy(&metadata).expect("a policy");
    night.cluster(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(policy)));
    let applied = Applied { digest: live_digest(&night.world), stamp: by("lead@example.net", 1) };
    let record = Record { applied: Some(applied), ..record(&night.world) };
    night.shared(SharedFact::Records(Change::Put(kept("shop", 30, record))));
    night.to(59);
    let expired = |said: &String| said.contains("grant expired");
    assert!(!night.said.iter().any(expired));
    night.to(70);
    // The other policies of the small fleet open more than any grant: those are told as incidents.
    night.said.retain(expired);
    insta::assert_snapshot!("grant-expired.txt", night.said());
}

#[test]
fn a_fleet_that_breaks_at_once_is_a_few_messages() {
    let mut night = Night::new();
    for port in 1..=40 {
        night.deny(port, 1);
    }
    night.to(31);
    assert_eq!(night.said.len(), Alerts::AT_ONCE);
    assert!(night.said[9].ends_with("(and 30 more at the same time)"), "{}", night.said[9]);
    night.to(34);
    assert_eq!(night.said.len(), Alerts::AT_ONCE, "the rest was counted, not kept for later");
}

/// Before the first apply, and after a rollback, denials are of somebody else's policies.
#[test]
fn denials_of_a_row_that_is_not_live_wake_nobody() {
    let mut night = Night::new();
    let mut taken_back = record(&night.world);
    taken_back.applied = None::<Applied>;
    night.shared(SharedFact::Records(Change::Put(kept("shop", 30, taken_back))));
    night.cluster(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new())));
    night.deny(5432, 100);
    night.to(60);
    assert_eq!(night.said, Vec::<String>::new());
}

#[test]
fn a_message_opens_its_row_and_carries_nothing_that_moves_a_cursor() {
    let mut night = Night::new();
    night.deny(5432, 1);
    night.fact(Fact::Tick(now() + TimeDelta::minutes(31)));
    let alert = night.alerts.look(&night.world).remove(0);
    assert_eq!(alert.command(), "sluice --open prod-eu/shop/egress");
    assert_eq!(alert.key.spot, (&target()).into());
    assert!(!alert.line().chars().any(crate::domain::names::is_hostile));
}
