//! What the team recorded as clean, and what takes it away: a rollback, other ground, a denial. Whoever
//! waits for that row waits again, at once and not with the next plan.

use chrono::TimeDelta;
use sluice::{
    cockpit::{
        gates::gates,
        planned::may_go,
        ports::{Change, ClusterFact, Fact},
        rows::{self, Phase},
        shared::SharedFact,
        waves::row_state,
    },
    domain::{
        denial::Class,
        fleet::{Cni, CniKind, Enforcement},
        flow::{Direction, End, Flow, FlowId, Protocol, Verdict},
        hold::{DenialKey, Subject, Waiver},
        names::{NodeName, PodName, Text, Workload},
        policy::PolicyKind,
        probe::Outcome,
        resolver::DnsPath,
        rollout::{Kept, Target},
        wave::RowState,
    },
};

use super::fixture::{Fleet, cluster, now, ns, row, settings, stamp};

const SOAKS: &str = "wave 1 still soaks: stg/job soaking";

fn job() -> Target {
    row("stg/job")
}

/// What stands against the row of the second wave.
fn waits_for(fleet: &Fleet) -> Vec<String> {
    gates(&fleet.world, &row("stg/shop")).iter().map(ToString::to_string).collect()
}

fn clean() -> Fleet {
    let mut fleet = Fleet::new(settings());
    fleet.clean(&job(), 1);
    assert_eq!(waits_for(&fleet), [""; 0]);
    assert_eq!((phase(&fleet), drift(&fleet)), (Phase::Steady, vec![]));
    fleet
}

fn phase(fleet: &Fleet) -> Phase {
    rollout(fleet).phase
}

fn drift(fleet: &Fleet) -> Vec<String> {
    rollout(fleet).drift.iter().map(ToString::to_string).collect()
}

fn rollout(fleet: &Fleet) -> rows::RolloutRow {
    let stg = fleet.world.cluster(&cluster("stg")).expect("it is there");
    rows::rollout_row(&fleet.world, stg, &stg.namespaces[&ns("job")], Direction::Egress)
}

fn cni(version: &str) -> ClusterFact {
    ClusterFact::Cni(Cni {
        kind: CniKind::Cilium,
        version: Some(Text::new(version)),
        enforcement: Enforcement::Enforces,
        evidence: Text::new("DaemonSet kube-system/cilium"),
    })
}

/// A pod of the job was denied.
fn denied() -> ClusterFact {
    ClusterFact::Flows(vec![Flow {
        id: FlowId("denied".into()),
        at: now(),
        node: NodeName::parse("node-1").ok(),
        direction: Direction::Egress,
        verdict: Verdict::Denied { said: Text::new("POLICY_DENIED"), by: Vec::new() },
        source: End {
            ns: Some(ns("job")),
            pod: PodName::parse("web-1").ok(),
            workload: Some(Workload::new("Deployment", "web")),
            ..End::default()
        },
        destination: End { address: "203.0.113.9".parse().ok(), ..End::default() },
        protocol: Protocol::Tcp,
        source_port: 40_000,
        port: 443,
        reply: None,
        closing: false,
    }])
}

#[test]
fn the_same_bytes_after_a_rollback_soak_anew_and_their_wave_with_them() {
    let mut fleet = clean();
    fleet.roll_back(&job());
    assert_eq!(row_state(&fleet.world, &job()).0, RowState::RolledBack);
    fleet.apply_again(&job());
    assert_eq!(waits_for(&fleet), [SOAKS]);
    assert_eq!(phase(&fleet), Phase::Soaking);
    // What was clean stays what a revert goes back to.
    let clean = |fleet: &Fleet| fleet.world.shared().record(&job()).expect("kept").value.clean.clone();
    let first = clean(&fleet).expect("it was").at;
    fleet.soak(&job(), 49);
    fleet.record_what_is_due(&job());
    assert!(clean(&fleet).expect("it is").at >= first + TimeDelta::hours(48));
    assert_eq!((waits_for(&fleet), phase(&fleet)), (vec![], Phase::Steady));
}

#[test]
fn other_ground_than_it_was_clean_on_lets_the_wave_wait_and_says_why() {
    let dns = |is_cache: bool| {
        let evidence = Text::new("the resolver of a pod");
        ClusterFact::Dns(if is_cache {
            DnsPath::NodeCache { evidence }
        } else {
            DnsPath::Direct { evidence }
        })
    };
    for (first, then, why) in [
        (cni("1.16.0"), cni("1.17.0"), "CNI changed (Cilium 1.16.0 became Cilium 1.17.0)"),
        (dns(false), dns(true), "DNS mode changed (direct became node cache)"),
    ] {
        let mut fleet = Fleet::new(settings());
        fleet.cluster("stg", first);
        fleet.clean(&job(), 1);
        assert_eq!(waits_for(&fleet), [""; 0]);
        fleet.cluster("stg", then);
        assert_eq!(waits_for(&fleet), [SOAKS], "{why}");
        assert_eq!(phase(&fleet), Phase::Soaking);
        let said = format!("it was clean, and soaks again since 2026-11-23 12:00 UTC: {why}");
        assert_eq!(drift(&fleet), [said]);
    }
}

/// Also where it is there for a moment only: what it let through nobody saw.
#[test]
fn a_foreign_policy_that_came_and_went_voids_what_was_clean() {
    let mut fleet = clean();
    let object = serde_json::json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "theirs", "namespace": "job", "resourceVersion": "9"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    });
    let theirs = sluice::manifest::policy(&object).expect("a policy");
    let key = theirs.key.clone();
    let told = |change| ClusterFact::Policies(PolicyKind::NetworkPolicy, change);
    fleet.cluster("stg", told(Change::Put(theirs)));
    fleet.cluster("stg", told(Change::Gone(key)));
    assert_eq!(waits_for(&fleet), [SOAKS]);
}

/// Its cluster went away after that: nobody can look, and it does not count as clean all the same.
#[test]
fn a_row_that_lost_its_clean_does_not_get_it_back_by_its_cluster_going_away() {
    let mut fleet = Fleet::new(settings());
    fleet.cluster("stg", cni("1.16.0"));
    fleet.clean(&job(), 1);
    fleet.cluster("stg", cni("1.17.0"));
    let lost = sluice::cockpit::ports::Trouble::new("stg", "connection refused", "Check the VPN.");
    fleet.cluster("stg", ClusterFact::Away(lost));
    assert_eq!(row_state(&fleet.world, &job()).0.word(), "unreachable");
}

#[test]
fn a_denial_is_not_mended_by_its_pods_going_away() {
    let mut fleet = Fleet::new(settings());
    fleet.apply(&job(), 1);
    fleet.cluster("stg", denied());
    fleet.pods("stg", &["shop"]);
    assert_eq!(waits_for(&fleet), [SOAKS]);
}

/// The plan was made a moment ago, and no minute passed.
#[test]
fn what_comes_after_the_plan_is_in_it_before_anybody_applies() {
    let mut fleet = clean();
    assert_eq!(may_go(&fleet.world, Direction::Egress), [row("stg/shop")]);
    let planned = fleet.world.waves().at;
    fleet.cluster("stg", denied());
    assert_eq!(fleet.world.waves().at, planned, "of a flow no new plan is made");
    assert_eq!(waits_for(&fleet), [SOAKS]);
    assert_eq!(may_go(&fleet.world, Direction::Egress), []);

    let mut fleet = clean();
    fleet.cluster(
        "stg",
        ClusterFact::Probed {
            ns: ns("job"),
            direction: Direction::Egress,
            node: NodeName::parse("node-1").expect("a name"),
            at: now(),
            outcome: Outcome::GotThrough,
        },
    );
    assert_eq!(waits_for(&fleet), [SOAKS]);
}

/// A waiver ends in the middle of a minute.
#[test]
fn a_denial_that_is_waived_no_longer_lets_the_wave_wait_at_once() {
    let mut fleet = clean();
    let key = DenialKey {
        workload: Some(Workload::new("Deployment", "web")),
        destination: Text::new("203.0.113.9"),
        port: 443,
        protocol: Protocol::Tcp,
    };
    let waiver = Waiver {
        target: job(),
        uid: Some(Text::new("uid-stg")),
        subject: Subject::Denial(key),
        reason: Text::new("known"),
        stamp: stamp("2026-11-23T11:00:00Z"),
        expires: now() + TimeDelta::seconds(20),
    };
    let kept = Kept { name: "w1".into(), version: "1".into(), created: now(), value: waiver };
    fleet.share(SharedFact::Waivers(Change::Reset(vec![kept])));
    fleet.cluster("stg", denied());
    let class = |fleet: &Fleet| fleet.world.denials().groups().next().expect("one").class;
    fleet.tell(Fact::Tick(now() + TimeDelta::seconds(19)));
    assert_eq!((waits_for(&fleet), class(&fleet)), (vec![], Class::Expected));
    fleet.tell(Fact::Tick(now() + TimeDelta::seconds(20)));
    assert_eq!((waits_for(&fleet), class(&fleet)), (vec![SOAKS.to_owned()], Class::Hurting));
}
