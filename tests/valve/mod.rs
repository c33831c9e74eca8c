//! Law 1: whatever happens after any single request of an apply or a rollback, the namespace is
//! never more closed than it was, save by the last, single tightening write.

mod forbidden;
mod naive;
mod wire;

use std::collections::BTreeMap;

use chrono::{TimeZone as _, Utc};
use naive::{Allowed, allowed};
use serde_json::{Value, json};
use sluice::{
    cockpit::{
        orders::{ApplyOrder, OrderId, Origin, Outcome, Preview, PreviewOrder, RollbackOrder, Target},
        ports::{Fact, OrderFact},
    },
    domain::{
        flow::Direction,
        names::{ClusterName, NsName},
        policy::Pinned,
        valve::Set,
    },
    k8s::{connect::Access, write},
    manifest,
    sim::api::{
        clock::Clock,
        cluster::{Cluster, ClusterSetup},
        resources::Resource,
    },
};
use tokio::sync::{mpsc, watch};
use wire::{Fault, Person, Wire};

fn cluster() -> Cluster {
    cluster_serving(Vec::new())
}

fn cluster_serving(extra_resources: Vec<Resource>) -> Cluster {
    let start = Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, 0).single().expect("a valid time");
    let cluster = Cluster::new(ClusterSetup {
        accounts: Vec::new(),
        extra_resources,
        controllers: true,
        clock: Clock::new(start, 1.0),
        seed: 7,
        address: "127.0.0.1:6443".to_owned(),
    });
    cluster.seed_namespace("shop");
    for (name, app) in [("api-1", "api"), ("api-2", "api"), ("db-1", "db")] {
        cluster.seed(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "shop", "labels": { "app": app } },
            "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "c:1" }] },
            "status": { "phase": "Running" },
        }));
    }
    cluster
}

fn target(direction: Direction) -> Target {
    Target {
        cluster: ClusterName::parse("one").expect("a name"),
        ns: NsName::parse("shop").expect("a name"),
        direction,
    }
}

/// The workspace's policies; `port` tells one edition from another.
fn files(direction: Direction, port: u16) -> BTreeMap<&'static str, Value> {
    let policy = |name: &'static str, selector: Value, rules: Value| {
        let (field, types) = match direction {
            Direction::Egress => ("egress", "Egress"),
            Direction::Ingress => ("ingress", "Ingress"),
        };
        let mut manifest = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "podSelector": selector, "policyTypes": [types] },
        });
        if rules != json!([]) {
            manifest["spec"][field] = rules;
        }
        (name, manifest)
    };
    let peers = match direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    };
    let list = json!([{ peers: [{ "ipBlock": { "cidr": "192.0.2.0/24" } }], "ports": [{ "port": port }] }]);
    match direction {
        Direction::Egress => BTreeMap::from([
            policy("default-deny-egress", json!({}), json!([])),
            policy(
                "egress-baseline-allow",
                json!({}),
                json!([{ "ports": [{ "port": 53, "protocol": "TCP" }] }]),
            ),
            policy("egress-allowlist", json!({ "matchLabels": { "app": "api" } }), list),
        ]),
        Direction::Ingress => BTreeMap::from([
            policy("default-deny-ingress", json!({}), json!([])),
            policy("ingress-allowlist", json!({ "matchLabels": { "app": "api" } }), list),
        ]),
    }
}

fn preview_order(direction: Direction, port: u16) -> PreviewOrder {
    let files = files(direction, port);
    let wanted: Set =
        files.iter().map(|(name, file)| (*name, manifest::policy(file).expect("a valid file"))).collect();
    let manifests = files.iter().map(|(name, file)| (*name, file.to_string().into())).collect();
    PreviewOrder { id: OrderId(1), target: target(direction), origin: Origin::Workspace, wanted, manifests }
}

async fn preview(cluster: &Cluster, direction: Direction, port: u16) -> Preview {
    let wire = Wire::new(cluster, Person::Lead, None);
    let access = Access::Client(wire.client());
    write::preview(&access, &preview_order(direction, port), "one").await.expect("a preview")
}

#[tokio::test(start_paused = true)]
async fn an_aborted_apply_stops_before_its_next_write_and_leaves_all_open() {
    let cluster = cluster();
    let open = allowed(&cluster);
    let shown = preview(&cluster, Direction::Egress, 443).await;
    let order = ApplyOrder { id: OrderId(2), preview: Box::new(shown), after: None };
    let wire = Wire::new(&cluster, Person::Lead, None);
    let access = Access::Client(wire.client());
    let (abort, aborted) = watch::channel(false);
    let (report, mut reports) = mpsc::channel::<Fact>(64);
    let watching = tokio::spawn(async move {
        // The second receipt is that of the first allow's draft.
        for _ in 0..2 {
            reports.recv().await;
        }
        let _ = abort.send(true);
        while reports.recv().await.is_some() {}
    });
    let outcome = write::apply(&access, &order, "one", aborted, &report).await;
    watching.abort();
    assert!(
        matches!(&outcome, Outcome::Aborted { isolation: Some(now) } if now.isolated == 0),
        "{outcome:?}"
    );
    assert_eq!(allowed(&cluster), open);
    assert!(left(&cluster, Direction::Egress).len() < 3);
}

/// An apply, as far as it gets. `None`: sluice died.
async fn apply(wire: &Wire, preview: &Preview) -> Option<Outcome> {
    let order = ApplyOrder { id: OrderId(2), preview: Box::new(preview.clone()), after: None };
    let access = Access::Client(wire.client());
    let (report, mut reports) = mpsc::channel::<Fact>(64);
    let (_abort, aborted) = watch::channel(false);
    let reading = tokio::spawn(async move { while reports.recv().await.is_some() {} });
    let outcome = tokio::select! {
        outcome = write::apply(&access, &order, "one", aborted, &report) => Some(outcome),
        () = wire.died() => None,
    };
    reading.abort();
    outcome
}

async fn rollback(wire: &Wire, direction: Direction) -> Option<Outcome> {
    let order = RollbackOrder { id: OrderId(3), target: target(direction), aborts: None };
    let access = Access::Client(wire.client());
    let (report, mut reports) = mpsc::channel::<Fact>(64);
    let reading = tokio::spawn(async move { while reports.recv().await.is_some() {} });
    let outcome = tokio::select! {
        outcome = write::rollback(&access, &order, "one", &report) => Some(outcome),
        () = wire.died() => None,
    };
    reading.abort();
    outcome
}

/// A cluster on which the policies are applied and closed.
async fn applied(direction: Direction, port: u16) -> Cluster {
    let cluster = cluster();
    let preview = preview(&cluster, direction, port).await;
    let outcome = apply(&Wire::new(&cluster, Person::Lead, None), &preview).await;
    assert!(matches!(outcome, Some(Outcome::Done { .. })), "{outcome:?}");
    cluster
}

fn left(cluster: &Cluster, direction: Direction) -> Vec<String> {
    let names: Vec<_> = Pinned::of(direction).map(|pinned| pinned.name).collect();
    let policies = cluster.policies();
    let found = policies.iter().filter_map(|policy| policy["metadata"]["name"].as_str());
    found.filter(|name| names.contains(name)).map(str::to_owned).collect()
}

/// Whatever was left behind, a rollback brings everything back, and what arrives late changes nothing.
async fn check_taken_back(cluster: &Cluster, wire: &Wire, direction: Direction, open: &Allowed, case: &str) {
    let outcome = rollback(&Wire::new(cluster, Person::Lead, None), direction).await;
    assert!(matches!(outcome, Some(Outcome::Done { .. })), "{case}: {outcome:?}");
    assert_eq!(left(cluster, direction), Vec::<String>::new(), "{case}");
    assert_eq!(allowed(cluster), *open, "{case}");
    if wire.arrive_late().await {
        assert_eq!(allowed(cluster), *open, "{case}: a late write closed the namespace");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_apply_closes_by_its_last_write_only() {
    for direction in Direction::ALL {
        let quiet = cluster();
        let open = allowed(&quiet);
        let shown = preview(&quiet, direction, 443).await;
        assert_eq!((shown.refusals.len(), shown.before.isolated, shown.after.isolated), (0, 0, 3));
        let wire = Wire::new(&quiet, Person::Lead, None);
        let outcome = apply(&wire, &shown).await;
        assert!(
            matches!(&outcome, Some(Outcome::Done { isolation }) if isolation.isolated == 3),
            "{outcome:?}"
        );
        let closed = allowed(&quiet);
        assert!(closed.len() < open.len());
        let last = wire.history().iter().position(|(_, now)| *now != open).expect("it closed");
        let (tightening, _) = &wire.history()[last];
        assert!(tightening.starts_with("PATCH") && tightening.contains("default-deny"), "{tightening}");
        let more: Vec<_> = wire.history()[last..].iter().map(|(_, now)| now.clone()).collect();
        assert!(more.iter().all(|now| *now == closed));
        for at in 1..=wire.requests() {
            let faults = wire.faults(at);
            for fault in faults.iter().copied() {
                let case = format!("{direction}, request {at}, {fault:?}");
                let cluster = cluster();
                let shown = preview(&cluster, direction, 443).await;
                let wire = Wire::new(&cluster, Person::Lead, Some((at, fault)));
                let outcome = apply(&wire, &shown).await;
                for (request, now) in wire.history() {
                    let tight = request.starts_with("PATCH") && request.contains("default-deny");
                    assert!(now == open || now == closed, "{case}: {request} left it half closed");
                    assert!(
                        now == open || tight || allowed(&cluster) == closed,
                        "{case}: {request} closed it"
                    );
                }
                if matches!(outcome, Some(Outcome::Done { .. })) {
                    assert_eq!(allowed(&cluster), closed, "{case}");
                }
                if fault == Fault::AnswerLost && faults.contains(&Fault::Late) {
                    // Settled by reading back.
                    assert!(matches!(outcome, Some(Outcome::Done { .. })), "{case}: {outcome:?}");
                }
                check_taken_back(&cluster, &wire, direction, &open, &case).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_only_ever_opens() {
    for direction in Direction::ALL {
        let open = allowed(&cluster());
        for person in [Person::Lead, Person::OnCall] {
            let quiet = applied(direction, 443).await;
            let closed = allowed(&quiet);
            let wire = Wire::new(&quiet, person, None);
            let outcome = rollback(&wire, direction).await;
            assert!(
                matches!(&outcome, Some(Outcome::Done { isolation }) if isolation.isolated == 0),
                "{outcome:?}"
            );
            assert_eq!(left(&quiet, direction), Vec::<String>::new());
            for at in 1..=wire.requests() {
                for fault in wire.faults(at) {
                    let case = format!("{direction}, {person:?}, request {at}, {fault:?}");
                    let cluster = applied(direction, 443).await;
                    let wire = Wire::new(&cluster, person, Some((at, fault)));
                    let outcome = rollback(&wire, direction).await;
                    let mut before = closed.clone();
                    // What a rollback does that could not begin with the open write is another test.
                    let history = wire.history();
                    let first = history.iter().position(|(request, _)| request.starts_with("DELETE"));
                    let opened =
                        history[..first.unwrap_or(history.len())].iter().any(|(_, now)| *now == open);
                    for (request, now) in history.into_iter().filter(|_| opened) {
                        assert!(now.is_superset(&before), "{case}: {request} closed something");
                        before = now;
                    }
                    if let Some(Outcome::Done { .. }) = outcome {
                        assert_eq!(left(&cluster, direction), Vec::<String>::new(), "{case}");
                    }
                    check_taken_back(&cluster, &wire, direction, &open, &case).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_arrives_after_a_later_apply_deletes_nothing_of_it() {
    let direction = Direction::Egress;
    let quiet = applied(direction, 443).await;
    let closed = allowed(&quiet);
    let wire = Wire::new(&quiet, Person::Lead, None);
    rollback(&wire, direction).await;
    let mut late = 0;
    for at in 1..=wire.requests() {
        let cluster = applied(direction, 443).await;
        let wire = Wire::new(&cluster, Person::Lead, Some((at, Fault::Late)));
        rollback(&wire, direction).await;
        let shown = preview(&cluster, direction, 443).await;
        let outcome = apply(&Wire::new(&cluster, Person::Lead, None), &shown).await;
        assert!(matches!(outcome, Some(Outcome::Done { .. })), "request {at}: {outcome:?}");
        late += usize::from(wire.arrive_late().await);
        assert!(allowed(&cluster).is_superset(&closed), "request {at}: a late write closed the namespace");
    }
    assert!(late > 5);
}

#[tokio::test(start_paused = true)]
async fn a_tightening_on_its_way_is_refused_once_a_rollback_has_opened() {
    for direction in Direction::ALL {
        let quiet = cluster();
        let open = allowed(&quiet);
        let wire = Wire::new(&quiet, Person::Lead, None);
        apply(&wire, &preview(&quiet, direction, 443).await).await;
        let tightening = 1 + wire.history().iter().position(|(_, now)| *now != open).expect("it closed");
        let mut half_way = 0;
        for at in 1.. {
            let case = format!("{direction}, rollback dies at request {at}");
            let cluster = cluster();
            let shown = preview(&cluster, direction, 443).await;
            let late = Wire::new(&cluster, Person::Lead, Some((tightening, Fault::Late)));
            apply(&late, &shown).await;
            let wire = Wire::new(&cluster, Person::Lead, Some((at, Fault::DiesAfter)));
            let outcome = rollback(&wire, direction).await;
            // A rollback that died before it opened anything cannot hold the tightening up.
            if wire.history().iter().any(|(request, _)| request.contains("force=true")) {
                half_way += 1;
                assert!(late.arrive_late().await, "{case}");
                assert_eq!(allowed(&cluster), open, "{case}: the tightening closed a half-taken-back set");
            }
            if outcome.is_some() {
                break;
            }
        }
        assert!(half_way > 2, "{direction}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_never_denies_what_both_editions_allow() {
    let direction = Direction::Egress;
    let open = allowed(&cluster());
    let quiet = applied(direction, 443).await;
    let old = allowed(&quiet);
    let shown = preview(&quiet, direction, 8443).await;
    let wire = Wire::new(&quiet, Person::Lead, None);
    let outcome = apply(&wire, &shown).await;
    assert!(matches!(outcome, Some(Outcome::Done { .. })), "{outcome:?}");
    let new = allowed(&quiet);
    let both: Allowed = old.intersection(&new).cloned().collect();
    for at in 1..=wire.requests() {
        for fault in wire.faults(at) {
            let case = format!("request {at}, {fault:?}");
            let cluster = applied(direction, 443).await;
            let shown = preview(&cluster, direction, 8443).await;
            let wire = Wire::new(&cluster, Person::Lead, Some((at, fault)));
            apply(&wire, &shown).await;
            for (request, now) in wire.history() {
                assert!(now.is_superset(&both), "{case}: {request} denies what both editions allow");
            }
            check_taken_back(&cluster, &wire, direction, &open, &case).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_may_not_open_deletes_and_says_what_is_left() {
    for direction in Direction::ALL {
        let open = allowed(&cluster());
        let quiet = applied(direction, 443).await;
        let wire = Wire::new(&quiet, Person::Deleter, None);
        let outcome = rollback(&wire, direction).await;
        assert!(matches!(outcome, Some(Outcome::Done { .. })), "{outcome:?}");
        assert_eq!(allowed(&quiet), open);
        for at in 1..=wire.requests() {
            let cluster = applied(direction, 443).await;
            let wire = Wire::new(&cluster, Person::Deleter, Some((at, Fault::Refused)));
            let outcome = rollback(&wire, direction).await;
            let left = left(&cluster, direction);
            match outcome {
                Some(Outcome::Done { .. }) => assert_eq!(left, Vec::<String>::new(), "request {at}"),
                Some(Outcome::Stopped { trouble, .. }) => {
                    assert!(!left.is_empty(), "request {at}: {trouble}");
                    for name in left {
                        assert!(trouble.fact.as_str().contains(&name), "request {at}: {trouble}");
                    }
                }
                other => panic!("request {at}: {other:?}"),
            }
        }
    }
}

/// Another sluice rolls back while this one applies: it deletes what it saw, and knows nothing of the
/// allow that comes after.
#[tokio::test(start_paused = true)]
async fn an_apply_closes_nothing_once_somebody_else_took_its_valve_away() {
    let cluster = cluster();
    let open = allowed(&cluster);
    let shown = preview(&cluster, Direction::Egress, 443).await;
    let wire = Wire::new(&cluster, Person::Lead, None);
    let access = Access::Client(wire.client());
    let order = ApplyOrder { id: OrderId(1), preview: Box::new(shown), after: None };
    let (report, mut told) = mpsc::channel(1);
    let (_go_on, abort) = watch::channel(false);
    let applying = async {
        let outcome = write::apply(&access, &order, "one", abort, &report).await;
        drop(report);
        outcome
    };
    let somebody = async {
        while let Some(fact) = told.recv().await {
            let Fact::Order(_, OrderFact::Wrote(receipt)) = fact else { continue };
            if receipt.step.verb() == "open" && receipt.step.pinned().name == "egress-allowlist" {
                for name in ["egress-baseline-allow", "default-deny-egress"] {
                    cluster.unseed("networking.k8s.io/v1", "NetworkPolicy", "shop", name);
                }
            }
        }
    };
    let (outcome, ()) = tokio::join!(applying, somebody);
    let Outcome::Stopped { trouble, .. } = outcome else { panic!("{outcome:?}") };
    assert!(trouble.fact.as_str().contains("taken away while this apply was under way"), "{trouble}");
    assert_eq!(allowed(&cluster), open);
}

/// A cluster on which the set is applied and closed, and the first of its allows was deleted by hand.
async fn torn(direction: Direction) -> Cluster {
    let cluster = applied(direction, 443).await;
    let allow = Pinned::of(direction).find(|pinned| pinned.name != Pinned::valve(direction).name);
    let name = allow.expect("a set has allows").name;
    cluster.unseed("networking.k8s.io/v1", "NetworkPolicy", "shop", name);
    cluster
}

/// A repair on its way, while somebody rolls the row back from another machine.
#[tokio::test(start_paused = true)]
async fn a_repair_that_lands_after_a_rollback_closes_nothing() {
    for direction in Direction::ALL {
        let open = allowed(&cluster());
        let quiet = torn(direction).await;
        let before = allowed(&quiet);
        let shown = preview(&quiet, direction, 443).await;
        let wire = Wire::new(&quiet, Person::Lead, None);
        let outcome = apply(&wire, &shown).await;
        assert!(matches!(outcome, Some(Outcome::Done { .. })), "{outcome:?}");
        let repaired = allowed(&quiet);
        assert!(repaired.is_superset(&before) && repaired.len() < open.len());
        let mut late = 0;
        for at in 1..=wire.requests() {
            for fault in wire.faults(at) {
                let case = format!("{direction}, request {at}, {fault:?}");
                let cluster = torn(direction).await;
                let shown = preview(&cluster, direction, 443).await;
                let wire = Wire::new(&cluster, Person::Lead, Some((at, fault)));
                apply(&wire, &shown).await;
                for (request, now) in wire.history() {
                    assert!(now.is_superset(&before), "{case}: {request} closed something");
                }
                late += usize::from(fault == Fault::Late);
                check_taken_back(&cluster, &wire, direction, &open, &case).await;
            }
        }
        // Open the valve, draft and put what is missing, tighten.
        assert_eq!(late, 4, "{direction}");
    }
}

/// The same with both at work at once: the other one deletes what it saw, and the draft is not among it.
#[tokio::test(start_paused = true)]
async fn a_repair_closes_nothing_once_somebody_else_took_its_valve_away() {
    let open = allowed(&cluster());
    let cluster = torn(Direction::Egress).await;
    let shown = preview(&cluster, Direction::Egress, 443).await;
    let wire = Wire::new(&cluster, Person::Lead, None);
    let access = Access::Client(wire.client());
    let order = ApplyOrder { id: OrderId(1), preview: Box::new(shown), after: None };
    let (report, mut told) = mpsc::channel(1);
    let (_go_on, abort) = watch::channel(false);
    let applying = async {
        let outcome = write::apply(&access, &order, "one", abort, &report).await;
        drop(report);
        outcome
    };
    let somebody = async {
        while let Some(fact) = told.recv().await {
            let Fact::Order(_, OrderFact::Wrote(receipt)) = fact else { continue };
            if receipt.step.pinned().name == "egress-baseline-allow" {
                for name in ["egress-allowlist", "default-deny-egress"] {
                    cluster.unseed("networking.k8s.io/v1", "NetworkPolicy", "shop", name);
                }
            }
        }
    };
    let (outcome, ()) = tokio::join!(applying, somebody);
    let Outcome::Stopped { trouble, .. } = outcome else { panic!("{outcome:?}") };
    assert!(trouble.fact.as_str().contains("taken away while this apply was under way"), "{trouble}");
    assert_eq!(allowed(&cluster), open);
}
