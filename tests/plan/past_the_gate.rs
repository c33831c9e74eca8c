//! Every way past the gate that `decide` alone can see: bytes that open a flagged destination, under a
//! grant that no longer counts or never did here, or on evidence that is not of them. What admission
//! sees (a forged author, one's own approval, an edited decision) is in `tests/shared/gate.rs`.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use sluice::{
    cockpit::{
        decide::{Command, decide},
        orders::{OrderId, Preview, PreviewOrder},
        plan::FleetFile,
        ports::{Change, ClusterFact, Effect, Fact, OrderFact},
        settings::Settings,
        shared::SharedFact,
    },
    domain::{
        destination::{Finding, Severity},
        edge::Window,
        flagged::Flagged,
        fleet::Isolation,
        flow::{Direction, Protocol},
        grant::{Decision, DecisionVerdict, Grant, Opening, PortSpan, Review},
        hold::{Covers, Override},
        names::{Text, Workload},
        policy::{PolicyDigest, Requirement, Selector},
        predict::{
            prediction::{Bound, Prediction},
            stories::{Checked, Mark, Said, Weight},
        },
        rollout::{Kept, Stamp, Target},
        valve,
    },
    manifest,
};

use super::fixture::{Fleet, at, nothing_open, ns, row, settings};

const TUNNEL: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 66));

fn target() -> Target {
    row("stg/job")
}

fn uid(cluster: &str) -> Text {
    Text::from(format!("uid-{cluster}"))
}

/// Nothing else stands against its first row, whose allowlist opens a destination that is flagged.
fn fleet(settings: Settings) -> Fleet {
    let mut fleet = Fleet::new(settings);
    let mut files = fleet.world.files().clone();
    let flagged = Flagged {
        workload: Workload::new("Deployment", "web"),
        names: Vec::new(),
        addresses: vec![TUNNEL],
        protocol: Protocol::Tcp,
        port: 4444,
        findings: vec![Finding {
            severity: Severity::High,
            class: Text::new("tunnel"),
            reason: Text::new("it is a tunnel"),
            source: Text::new("a feed"),
            party: None,
        }],
    };
    let documents = files.flagged.as_mut().expect("documents");
    documents.insert((target().cluster, target().ns), vec![flagged]);
    let key = (target().cluster, target().ns, Direction::Egress);
    let authored = files.sets.get_mut(&key).expect("it is authored");
    authored.set.insert("egress-allowlist", allowing("198.51.100.66/32"));
    authored.manifests.insert("egress-allowlist", "198.51.100.66".into());
    fleet.tell(Fact::Files(files));
    fleet
}

fn allowing(network: &str) -> sluice::domain::policy::Policy {
    let rule = json!({"to": [{"ipBlock": {"cidr": network}}], "ports": [{"port": 4444, "protocol": "TCP"}]});
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "egress-allowlist", "namespace": "job"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]},
    });
    manifest::policy(&object).expect("a policy")
}

fn grant() -> Grant {
    Grant {
        clusters: [uid("stg")].into(),
        ns: ns("job"),
        selector: Selector::default(),
        direction: Direction::Egress,
        destination: Opening::Networks(vec![TUNNEL.into()]),
        ports: vec![PortSpan { protocol: Protocol::Tcp, from: 4444, to: 4444 }],
        expires: at("2026-11-23T13:00:00Z"),
    }
}

fn approved(grant: Grant) -> Kept<Review> {
    let decision = Decision {
        verdict: DecisionVerdict::Approved,
        stamp: Stamp { by: Text::new("sam"), at: at("2026-11-20T12:00:00Z") },
        reason: Text::new("looked at it"),
        ticket: None,
        clusters: grant.clusters.clone(),
        expires: None,
    };
    let review = Review {
        requested_by: Text::new("ann"),
        aliases: Vec::new(),
        grant,
        findings: Vec::new(),
        purpose: Text::new("the job needs it"),
        decisions: vec![decision],
    };
    let created = at("2026-11-20T11:00:00Z");
    Kept { name: Text::new("review-1"), version: Text::new("1"), created, value: review }
}

fn review(fleet: &mut Fleet, review: Kept<Review>) {
    fleet.share(SharedFact::Reviews(Change::Put(review)));
}

/// Asks for a preview, which the API server takes as it is. `bound`: what its prediction was made for;
/// `None`: for this, and nobody told a week.
fn preview(fleet: &mut Fleet, bound: Option<Bound>) -> OrderId {
    let untold = bound.is_none().then(|| Text::new("before discovery"));
    previewed(fleet, bound, untold, Vec::new())
}

fn previewed(fleet: &mut Fleet, bound: Option<Bound>, untold: Option<Text>, checks: Vec<Checked>) -> OrderId {
    let asked = decide(&fleet.world, &Command::Preview(vec![target()])).expect("a preview may be asked for");
    let [(id, kind, _)] = asked.started.as_slice() else { panic!("{:?}", asked.started) };
    let [Effect::Preview(order)] = asked.effects.as_slice() else { panic!("{:?}", asked.effects) };
    fleet.tell(Fact::Order(*id, OrderFact::Started { kind: *kind, target: target() }));
    let PreviewOrder { id, target, origin, wanted, manifests } = order.clone();
    let uid = fleet.world.cluster(&target.cluster).and_then(|cluster| cluster.uid.clone());
    let window = Window { from: at("2026-11-16T12:00:00Z"), to: at("2026-11-23T12:00:00Z") };
    let here = Bound { digest: PolicyDigest::of(wanted.values()), cluster: uid, window };
    let prediction = Prediction {
        ns: target.ns.clone(),
        direction: target.direction,
        bound: bound.unwrap_or(here),
        edges: 3,
        icmp: 0,
        denied: Vec::new(),
        unknown: Vec::new(),
        doubts: Vec::new(),
        unused: Vec::new(),
        turned: Vec::new(),
        changes: Vec::new(),
        checks,
    };
    let found = fleet.world.namespace(&target.cluster, &target.ns).expect("it is there");
    let live = valve::live_set(found, target.direction);
    let previewed = Preview {
        digest: PolicyDigest::of(wanted.values()),
        steps: valve::apply_steps(&live, &wanted, target.direction),
        target,
        origin,
        set: wanted,
        manifests,
        live,
        before: Isolation::default(),
        after: Isolation::default(),
        diff: Vec::new(),
        commands: Vec::new(),
        warnings: Vec::new(),
        refusals: Vec::new(),
        prediction: Ok(Box::new(prediction)),
        untold,
    };
    fleet.tell(Fact::Order(id, OrderFact::Previewed(Box::new(previewed))));
    id
}

/// What the preview of a minute ago comes to: `applied`, or every reason against it.
fn apply(fleet: &Fleet, id: OrderId) -> String {
    match decide(&fleet.world, &Command::Apply(vec![id])) {
        Ok(orders) => {
            assert!(matches!(orders.effects.as_slice(), [Effect::Apply(_)]), "{:?}", orders.effects);
            "applied".to_owned()
        }
        Err(refusal) => refusal.to_string(),
    }
}

fn under(grant: Grant) -> String {
    let mut fleet = fleet(settings());
    review(&mut fleet, approved(grant));
    let id = preview(&mut fleet, None);
    apply(&fleet, id)
}

#[track_caller]
fn refused(said: &str, why: &str) {
    assert!(said.starts_with("apply ") && said.contains(" refused: ") && said.contains(why), "{said}");
}

#[test]
fn a_valid_grant_of_somebody_else_for_exactly_this_passes() {
    assert_eq!(under(grant()), "applied");
}

#[test]
fn a_grant_that_ran_out_is_refused() {
    let mut fleet = fleet(settings());
    review(&mut fleet, approved(grant()));
    let id = preview(&mut fleet, None);
    fleet.tell(Fact::Tick(at("2026-11-23T12:59:59Z")));
    assert_eq!(apply(&fleet, id), "applied");
    fleet.tell(Fact::Tick(at("2026-11-23T13:00:00Z")));
    refused(&apply(&fleet, id), "the grant of review review-1 expired at 2026-11-23 13:00 UTC");
}

/// The time is the API server's, and the latest that it ever said.
#[test]
fn a_clock_that_is_set_back_makes_no_grant_valid_again() {
    let over = "the grant of review review-1 expired at 2026-11-23 13:00 UTC";
    let mut old = fleet(settings());
    review(&mut old, approved(grant()));
    let id = preview(&mut old, None);
    // Ours still says noon.
    old.share(SharedFact::Clock(at("2026-11-23T13:00:00Z")));
    refused(&apply(&old, id), over);
    old.share(SharedFact::Clock(at("2026-11-23T12:00:00Z")));
    refused(&apply(&old, id), over);
    // Who was not there when it said so sees what it stamped then.
    let mut new = fleet(settings());
    review(&mut new, approved(grant()));
    let stamped = Kept {
        name: Text::new("review-2"),
        created: at("2026-11-23T13:00:00Z"),
        ..approved(Grant { ns: ns("shop"), ..grant() })
    };
    review(&mut new, stamped);
    let id = preview(&mut new, None);
    refused(&apply(&new, id), over);
}

#[test]
fn another_grant_is_refused() {
    let network = |text: &str| Opening::Networks(vec![text.parse().expect("a network")]);
    let span = |protocol, port| vec![PortSpan { protocol, from: port, to: port }];
    let named = Requirement::In { key: "app".into(), values: vec!["other".into()] };
    for other in [
        Grant { ns: ns("shop"), ..grant() },
        Grant { destination: network("198.51.100.67/32"), ..grant() },
        Grant { ports: span(Protocol::Tcp, 4443), ..grant() },
        Grant { ports: span(Protocol::Udp, 4444), ..grant() },
        Grant { direction: Direction::Ingress, ..grant() },
        Grant { selector: Selector(vec![named]), ..grant() },
    ] {
        refused(&under(other), "flagged as tunnel (high)");
    }
}

#[test]
fn a_grant_for_another_cluster_is_refused() {
    let other = Grant { clusters: [uid("eu")].into(), ..grant() };
    refused(&under(other), "review-1 grants it for other clusters only");
    // Of the same name, and built anew.
    let mut fleet = fleet(settings());
    review(&mut fleet, approved(grant()));
    let id = preview(&mut fleet, None);
    let met = ClusterFact::Met { uid: Some(uid("new")), version: Text::new("v1.33.1"), kinds: Vec::new() };
    fleet.cluster("stg", met);
    refused(&apply(&fleet, id), "review-1 grants it for other clusters only");
}

/// A session that could not read which cluster it talks to proves nothing by what an earlier one read.
#[test]
fn a_grant_counts_while_it_is_known_which_cluster_this_is() {
    let mut fleet = fleet(settings());
    review(&mut fleet, approved(grant()));
    let id = preview(&mut fleet, None);
    let met = |uid| ClusterFact::Met { uid, version: Text::new("v1.33.1"), kinds: Vec::new() };
    fleet.cluster("stg", met(None));
    refused(&apply(&fleet, id), "which cluster stg is, is not known");
    fleet.cluster("stg", met(Some(uid("stg"))));
    assert_eq!(apply(&fleet, id), "applied");
}

#[test]
fn evidence_that_is_not_read_any_more_is_refused() {
    let mut fleet = fleet(settings());
    review(&mut fleet, approved(grant()));
    let id = preview(&mut fleet, None);
    let mut files = fleet.world.files().clone();
    files.flagged = Some(Default::default());
    fleet.tell(Fact::Files(files));
    refused(&apply(&fleet, id), "no evidence of stg/job is read");
}

#[test]
fn a_preview_of_other_bytes_than_by_now_is_refused() {
    let granted = || {
        let mut fleet = fleet(settings());
        review(
            &mut fleet,
            approved(Grant { destination: Opening::Networks(vec![TUNNEL.into()]), ..grant() }),
        );
        let id = preview(&mut fleet, None);
        (fleet, id)
    };
    // The workspace wants something else by now.
    let (mut fleet, id) = granted();
    let mut files = fleet.world.files().clone();
    let key = (target().cluster, target().ns, Direction::Egress);
    let authored = files.sets.get_mut(&key).expect("it is authored");
    authored.manifests.insert("egress-allowlist", "203.0.113.1".into());
    fleet.tell(Fact::Files(files));
    refused(&apply(&fleet, id), "the workspace's policy changed since the preview");
    // Somebody wrote in the cluster.
    let (mut fleet, id) = granted();
    let kind = sluice::domain::policy::PolicyKind::NetworkPolicy;
    fleet.cluster("stg", ClusterFact::Policies(kind, Change::Put(allowing("203.0.113.1/32"))));
    refused(&apply(&fleet, id), "a live policy changed since the preview");
}

#[test]
fn a_prediction_for_other_bytes_or_another_cluster_is_refused() {
    let stale = "it was made for other bytes or another cluster; preview again";
    let asks_for_a_week = || Settings { baseline: chrono::TimeDelta::days(7), ..settings() };
    let with = |bound: &dyn Fn(PolicyDigest) -> Bound| {
        let mut fleet = fleet(asks_for_a_week());
        review(&mut fleet, approved(grant()));
        let key = (target().cluster, target().ns, Direction::Egress);
        let digest = PolicyDigest::of(fleet.world.files().sets[&key].set.values());
        let id = preview(&mut fleet, Some(bound(digest)));
        apply(&fleet, id)
    };
    let window = || Window { from: at("2026-11-16T12:00:00Z"), to: at("2026-11-23T12:00:00Z") };
    let bound = |digest, on: Option<&str>| Bound { digest, cluster: on.map(uid), window: window() };
    // No collector was heard of, which is another reason; of the prediction itself there is none.
    let mine = with(&|digest| bound(digest, Some("stg")));
    assert_eq!(mine, "apply #1 refused: evidence is not ready: unknown");
    refused(&with(&|_| bound(PolicyDigest::of([]), Some("stg"))), stale);
    refused(&with(&|digest| bound(digest, Some("eu"))), stale);
    refused(&with(&|digest| bound(digest, None)), stale);
}

/// Unknown is no yes: who is faster than the first look at the cluster waits for it.
#[test]
fn an_apply_before_the_first_pre_flight_is_refused_as_unknown_with_its_age() {
    let mut fleet = Fleet::new(settings());
    let file = fleet.world.plan().clone();
    let away: Vec<_> = file.clusters.iter().filter(|one| one.name != target().cluster).cloned().collect();
    // Taken out of the fleet and in again: nothing is known of it.
    fleet.tell(Fact::Fleet(FleetFile { clusters: away, ..file.clone() }));
    fleet.tell(Fact::Fleet(file));
    fleet.read_before_its_pre_flight("stg", &["job", "shop"]);
    let id = preview(&mut fleet, None);
    fleet.tell(Fact::Tick(at("2026-11-23T12:00:09Z")));
    let said = "apply #1 refused: pre-flight of stg is unknown: no report in the 9s since the cluster first answered; \
                look with `sluice preflight --cluster stg`";
    assert_eq!(apply(&fleet, id), said);
    fleet.cluster("stg", ClusterFact::Preflight(Box::new(nothing_open())));
    assert_eq!(apply(&fleet, id), "applied");
}

/// An override covers soak, coverage and order (law 2), and a check that blocks is none of them.
#[test]
fn a_check_that_blocks_is_asked_without_a_recording_and_no_override_of_coverage_opens_it() {
    let dns = || {
        let said = Said {
            object: Text::new("web of job"),
            fact: Text::new("lookups by UDP to kube-system/kube-dns (10.96.0.10:53) would be denied"),
            next: Text::new("Allow it in egress-baseline-allow."),
        };
        let (name, weight, mark) = ("dns-reachable", Weight::Blocks, Mark::Fail);
        vec![Checked { name, number: 1, weight, mark, said: vec![said], more: 0 }]
    };
    let why = "stg/job egress: dns-reachable: web of job: lookups by UDP to kube-system/kube-dns";
    for baseline in [chrono::TimeDelta::zero(), chrono::TimeDelta::days(7)] {
        // No collector tells a week: the first apply, and one of other bytes after it.
        for was_applied in [false, true] {
            let mut fleet = fleet(Settings { baseline, ..settings() });
            review(&mut fleet, approved(grant()));
            if was_applied {
                fleet.apply(&target(), 1);
            }
            let id = previewed(&mut fleet, None, Some(Text::new("before discovery")), dns());
            refused(&apply(&fleet, id), why);
            over_coverage(&mut fleet);
            let told = apply(&fleet, id);
            refused(&told, why);
            assert!(!told.contains("evidence is not ready"), "which it covers: {told}");
        }
    }
}

/// Confirmed by a second person, for exactly the workspace's bytes.
fn over_coverage(fleet: &mut Fleet) {
    let key = (target().cluster, target().ns, Direction::Egress);
    let over = Override {
        target: target(),
        uid: Some(uid("stg")),
        digest: PolicyDigest::of(fleet.world.files().sets[&key].set.values()),
        covers: vec![Covers::Coverage],
        reason: Text::new("the release cannot wait"),
        stamp: Stamp { by: Text::new("lead"), at: at("2026-11-23T09:00:00Z") },
        confirmed: Some(Stamp { by: Text::new("oncall"), at: at("2026-11-23T10:00:00Z") }),
        expires: at("2026-11-24T12:00:00Z"),
    };
    let created = at("2026-11-23T09:00:00Z");
    let kept = Kept { name: Text::new("o1"), version: Text::new("1"), created, value: over };
    fleet.share(SharedFact::Overrides(Change::Reset(vec![kept])));
}
