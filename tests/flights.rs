//! Pre-flights of the simulated fleet, in memory, under a paused clock: thirteen clusters side by side
//! as the command prints them, and what they stop in a running cockpit.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use crate::support::{self, Paper};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser as _;
use serde_json::{Value, json};
use sluice::{
    cli::{
        args::{Cli, Command},
        exit::Exit,
        preflight,
        print::Printer,
    },
    cockpit::{
        decide,
        plan::{ClusterEntry, PolicyFiles},
        preflight as flown,
        timeline::{self, MarkKind},
    },
    domain::{
        evidence::Cause,
        flow::Direction,
        names::{ClusterName, NsName, Text},
        rollout::Target,
    },
    engine::Engine,
    k8s::connect::Access,
    sim::{
        api::faults::{Denial, Faults},
        fleet::{
            people::Person,
            running::{Fleet, Listener, Member},
        },
    },
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn run(fleet: &Fleet, words: &str) -> (Exit, String) {
    let cli = Cli::try_parse_from(["sluice", "preflight"].into_iter().chain(words.split_whitespace()));
    let Some(Command::Preflight(args)) = cli.expect("a valid command line").command else {
        panic!("another command")
    };
    let out = Paper::default();
    let mut printer = Printer::new(out.clone(), io::sink());
    let members = fleet.clone();
    let reach = move |entry: &ClusterEntry| {
        let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
        Access::Client(support::client(member, Person::Lead))
    };
    let exit = preflight::run(&support::fleet_file(fleet), &reach, &args, &mut printer).await;
    drop(printer);
    (exit, out.text())
}

#[tokio::test(start_paused = true)]
async fn thirteen_clusters_are_looked_at_side_by_side() {
    let fleet = support::fleet("demo", 1);
    let began = tokio::time::Instant::now();
    let (exit, text) = run(&fleet, "").await;
    assert_eq!(fleet.clusters().len(), 13);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    // The demo's flannel cluster enforces nothing.
    assert_eq!(exit, Exit::Refused);
    let heads: Vec<&str> = text.lines().filter(|line| !line.starts_with(' ') && !line.is_empty()).collect();
    assert_eq!(heads.len(), 13);
    let first = text.split("\n\n").next().unwrap_or_default();
    insta::assert_snapshot!("demo", format!("{}\n\n{first}", heads.join("\n")));
    let (again, json) = run(&fleet, "-o json").await;
    assert_eq!(again, exit);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["clusters"].as_array().map(Vec::len), Some(13));
    assert_eq!(json["clusters"][0]["checks"].as_array().map(Vec::len), Some(21));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_enforced_is_blocked_in_the_cockpit_and_nothing_else_is() {
    let fleet = support::fleet("demo", 1);
    let plan = support::fleet_file(&fleet);
    let mut engine = support::engine(&fleet, Person::Lead, plan, PolicyFiles::default());
    support::run_until(&mut engine, "each cluster has its pre-flight", Duration::from_secs(60), |world| {
        world.clusters().all(|cluster| cluster.looked.preflight.is_some())
    })
    .await;
    let world = engine.world();
    let stopped: Vec<String> = world
        .clusters()
        .filter(|cluster| flown::stops_rollout(cluster).next().is_some())
        .map(|cluster| cluster.name.to_string())
        .collect();
    let flannel: Vec<String> = world
        .clusters()
        .filter(|cluster| cluster.enforcement() == sluice::domain::fleet::Enforcement::DoesNot)
        .map(|cluster| cluster.name.to_string())
        .collect();
    assert_eq!(stopped, flannel);
    assert!(!stopped.is_empty());
    let cluster = world.clusters().find(|cluster| cluster.name.as_str() == stopped[0]).expect("it is there");
    let target = Target {
        cluster: cluster.name.clone(),
        ns: NsName::parse("default").expect("a name"),
        direction: Direction::Egress,
    };
    let said: Vec<String> = decide::apply_reasons(world, &target).iter().map(ToString::to_string).collect();
    let name = &cluster.name;
    let wanted = format!(
        "pre-flight of {name}, engine fail: flannel connects pods and nothing beside it enforces: NetworkPolicies are accepted and ignored. See `sluice preflight --cluster {name}`"
    );
    assert!(said.contains(&wanted), "{said:#?}");
}

/// A collector as its HTTP answers, each written by hand: the state of `days` days until the fleet's
/// start, of which no node saw the first `missed` hours, and one nothing of the day after.
fn collector(member: &Member, days: i64, missed: i64) {
    let to = support::start();
    let from = to - TimeDelta::days(days);
    let hour = |at: DateTime<Utc>| at.timestamp() / 3_600;
    let state = json!({
        "schema": 1, "version": "0.1.0",
        "window": { "from": from.to_rfc3339(), "to": to.to_rfc3339() },
        "coverage": { "credited": [
            { "node": "worker-1", "hours": [[hour(from) + missed, hour(to)]] },
            { "node": "worker-2", "hours": [[hour(from) + missed + 24, hour(to)]] },
        ] },
    })
    .to_string();
    let listener: Listener = Arc::new(move || {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let state = state.clone();
        tokio::spawn(async move {
            let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
            while !seen.ends_with(b"\r\n\r\n") {
                match far.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => seen.extend_from_slice(&buffer[..count]),
                }
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", state.len());
            drop(far.write_all((head + &state).as_bytes()).await);
            // The other end closes.
            drop(far.read(&mut buffer).await);
        });
        Some(near)
    });
    member.listen("sluice", "sluice-collect", 7117, &listener);
}

#[tokio::test(start_paused = true)]
async fn how_far_back_records_reach_is_measured_on_the_records() {
    let fleet = support::fleet("demo", 1);
    for (cluster, days, missed) in
        [("staging-eu", 8, 0), ("prod-eu-west", 3, 0), ("prod-eu-central", 7, 5), ("prod-us-east", 8, 5)]
    {
        collector(fleet.cluster(cluster).expect("it is there"), days, missed);
    }
    let (_, text) = run(&fleet, "").await;
    let week = |cluster: &str| {
        let part = text.split("\n\n").find(|part| part.starts_with(&format!("{cluster}:"))).expect(cluster);
        let line = part.lines().find(|line| line.contains(" week ")).expect("the check is there");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let stops = "Stops discovery.";
    assert_eq!(week("staging-eu"), "pass week Records reach back 8d00h.");
    assert_eq!(
        week("prod-eu-west"),
        format!("FAIL week Records reach back 3d00h. Seven days are needed. {stops}")
    );
    let holed = "Of these, 5 hours have no record of any node.";
    assert_eq!(
        week("prod-eu-central"),
        format!("FAIL week Records reach back 7d00h. {holed} Seven days are needed. {stops}")
    );
    assert_eq!(week("prod-us-east"), format!("pass week Records reach back 8d00h. {holed}"));
    // A collector that does not answer proves nothing.
    let unasked = week("prod-us-west");
    assert!(
        unasked.starts_with("UNKNOWN week How far back records reach could not be measured: "),
        "{unasked}"
    );
    // Without one, the agents' own memory is asked: the node that forgets first decides.
    let hubble = week("staging-us");
    assert!(hubble.starts_with("FAIL week Records reach back "), "{hubble}");
    assert!(text.contains("source Hubble, node "), "{text}");
}

/// Words of the last change that the timeline of a cluster's rows tells, by kind.
fn changes(engine: &Engine, cluster: &ClusterName) -> Vec<String> {
    let target = Target {
        cluster: cluster.clone(),
        ns: NsName::parse("shop").expect("a name"),
        direction: Direction::Egress,
    };
    let row = timeline::row(engine.world(), &target, TimeDelta::hours(24));
    let told = row
        .marks
        .iter()
        .filter(|mark| matches!(mark.kind, MarkKind::Cni | MarkKind::Dns | MarkKind::Preflight));
    let told = told.filter(|mark| !mark.words.as_str().ends_with("started"));
    told.map(|mark| format!("{}: {}", mark.kind.as_str(), mark.words)).collect()
}

/// What soaks here: why its credit was voided, and why it is paused now.
fn clock(engine: &Engine, cluster: &ClusterName) -> (Vec<String>, Vec<String>) {
    let target = Target {
        cluster: cluster.clone(),
        ns: NsName::parse("shop").expect("a name"),
        direction: Direction::Egress,
    };
    let row = engine.world().soaks().row(&target, engine.world()).expect("its set is live and closed");
    let restarts = row.restarts.iter().map(|restart| format!("{}: {}", restart.cause.as_str(), restart.why));
    let pauses = row.judged.pauses.iter().filter(|pause| pause.cause == Cause::JudgeGone);
    (restarts.collect(), pauses.map(|pause| pause.why.to_string()).collect())
}

/// An object of a cluster, changed by a merge.
fn change(member: &Member, kind: (&str, &str), name: &str, patch: &Value) {
    let found = member.server().objects(kind.0, kind.1);
    let found = found.into_iter().find(|it| it["metadata"]["name"] == name).expect("it is there");
    let mut object = Value::clone(&found);
    json_patch::merge(&mut object, patch);
    member.server().seed(object);
}

/// The egress set of a namespace, closed and with everything opened.
fn closed(member: &Member) {
    let all = json!([{ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0" } }, { "namespaceSelector": {} }] }]);
    for (name, egress) in [
        ("default-deny-egress", json!([])),
        ("egress-baseline-allow", all.clone()),
        ("egress-allowlist", all),
    ] {
        member.server().seed(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": egress },
        }));
    }
}

/// Each change between two looks is an event, and pauses or restarts what soaks.
#[tokio::test(start_paused = true)]
async fn changes_between_two_looks_are_events_that_pause_or_restart_soaks() {
    const LOOK: Duration = Duration::from_secs(305);
    const PREFLIGHT: Duration = Duration::from_secs(1_900);
    let fleet = support::fleet("two", 1);
    let member = fleet.cluster("east").expect("it is there").clone();
    closed(&member);
    let east = ClusterName::parse("east").expect("a name");
    let plan = support::fleet_file(&fleet);
    let mut engine = support::engine(&fleet, Person::Lead, plan, PolicyFiles::default());
    support::run_for(&mut engine, LOOK).await;
    assert_eq!((changes(&engine, &east), clock(&engine, &east)), (Vec::new(), (Vec::new(), Vec::new())));

    // Another version of the agent.
    let agent = ("apps/v1", "DaemonSet");
    let image = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "cilium-agent", "image": "quay.io/cilium/cilium:v1.20.0" },
    ] } } } });
    change(&member, agent, "cilium", &image);
    support::run_for(&mut engine, LOOK).await;
    let version = "Cilium v1.19.4 became Cilium v1.20.0";
    assert_eq!(changes(&engine, &east), [format!("cni: {version}")]);
    assert_eq!(clock(&engine, &east), (vec![format!("CNI changed: {version}")], Vec::new()));

    // A cache appears on each node: lookups travel by another way.
    member.server().seed(json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": "node-local-dns", "namespace": "kube-system" },
        "spec": { "template": { "spec": { "containers": [{ "name": "node-cache", "args": ["-localip", "169.254.20.10"] }] } } },
        "status": { "desiredNumberScheduled": 3, "numberReady": 3 },
    }));
    support::run_for(&mut engine, LOOK).await;
    assert_eq!(
        changes(&engine, &east).last().map(String::as_str),
        Some("dns: lookups: direct became node cache")
    );
    let (restarts, _) = clock(&engine, &east);
    assert_eq!(restarts.last().map(String::as_str), Some("DNS mode changed: direct became node cache"));
    assert_eq!(restarts.len(), 2);

    // Enforcement is switched off: nobody judges, and the clock stops.
    let off = json!({ "data": { "policy-audit-mode": "true" } });
    change(&member, ("v1", "ConfigMap"), "cilium-config", &off);
    support::run_for(&mut engine, LOOK).await;
    let told = changes(&engine, &east);
    let last = told.last().expect("an event");
    assert!(
        last.starts_with("cni: policies are judged and take effect no more (DaemonSet kube-system/cilium: "),
        "{last}"
    );
    assert!(last.ends_with("ConfigMap kube-system/cilium-config: policy-audit-mode=true)"), "{last}");
    let (restarts, pauses) = clock(&engine, &east);
    assert_eq!((restarts.len(), pauses.len()), (2, 1), "{restarts:?} {pauses:?}");

    // The pre-flight itself finds each of them at its next run.
    support::run_for(&mut engine, PREFLIGHT).await;
    let told = changes(&engine, &east);
    for check in ["switches was pass, is fail", "dns-cache was pass, is fail"] {
        assert!(told.contains(&format!("preflight: {check}")), "{told:#?}");
    }
    assert_eq!(clock(&engine, &east).0.len(), 2, "a look that finds the same again changes nothing");
}

/// Two of its checks stand in the way of discovery's end, whatever the collector has gathered.
#[tokio::test(start_paused = true)]
async fn dns_capture_stops_discovery_whatever_was_gathered_and_retention_until_a_week_was() {
    let fleet = support::fleet("demo", 1);
    for member in fleet.clusters().iter().filter(|member| member.spec().collector.is_some()) {
        let days = if member.name() == "prod-us-west" { 3 } else { 8 };
        collector(member, days, 0);
    }
    let plan = support::fleet_file(&fleet);
    let mut engine = support::engine(&fleet, Person::Lead, plan, PolicyFiles::default());
    support::run_until(&mut engine, "each cluster has its pre-flight", Duration::from_secs(60), |world| {
        world.clusters().all(|cluster| cluster.looked.preflight.is_some())
    })
    .await;
    let of = |direction, cluster: &str, credited: Option<TimeDelta>| {
        let cluster = ClusterName::parse(cluster).expect("a name");
        let said = flown::stops_discovery(engine.world(), &cluster, direction, credited);
        let id = |text: &Text| text.as_str().split([',', ':']).nth(1).unwrap_or_default().trim().to_owned();
        said.iter().map(id).collect::<Vec<_>>()
    };
    let why = |cluster, credited| of(Direction::Egress, cluster, credited);
    let (week, less) = (Some(TimeDelta::days(7)), Some(TimeDelta::days(3)));
    // dnstap with `full`, and records that reach back a week: how much of it counts is another question.
    assert_eq!(why("staging-eu", less), [""; 0]);
    assert_eq!(why("staging-eu", week), [""; 0]);
    assert_eq!(why("prod-us-west", less), ["week"]);
    // Answers behind NodeLocal DNSCache belong to no pod, however much was gathered.
    assert_eq!(why("prod-ap-south", week), ["dns-cache"]);
    // No dnstap anywhere, no flows, no week.
    assert_eq!(why("prod-ap-east", week), ["dns-answers"]);
    assert_eq!(why("prod-ap-east", None), ["flows", "allowed-flows", "week", "dns-answers"]);
    // Who calls has no name: no answer is missing for ingress.
    assert_eq!(of(Direction::Ingress, "prod-ap-south", week), [""; 0]);
    assert_eq!(of(Direction::Ingress, "prod-ap-east", None), ["flows", "allowed-flows", "week"]);
}

/// Verdicts by check of one cluster, as `sluice preflight -o json` tells them.
async fn verdicts(fleet: &Fleet, cluster: &str) -> BTreeMap<String, (String, String)> {
    let (_, text) = run(fleet, "-o json").await;
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let clusters = json["clusters"].as_array().expect("a list");
    let one = clusters.iter().find(|one| one["name"] == cluster).expect("it is there");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = one["checks"].as_array().expect("a list").iter();
    checks.map(|check| (text(&check["id"]), (text(&check["verdict"]), text(&check["why"])))).collect()
}

/// Something that goes wrong with a cluster, the checks that it makes unknown, and part of why.
struct Broken {
    bring: Box<dyn Fn(&Fleet)>,
    unknown: &'static [&'static str],
    why: &'static str,
}

fn case(bring: impl Fn(&Fleet) + 'static, unknown: &'static [&'static str], why: &'static str) -> Broken {
    Broken { bring: Box::new(bring), unknown, why }
}

/// What is broken or may not be read makes unknown what needs it, with the reason, and nothing else.
#[tokio::test(start_paused = true)]
async fn one_bad_object_or_missing_right_costs_only_the_checks_that_need_it() {
    let corefile = |fleet: &Fleet| {
        let broken =
            json!({ "data": { "Corefile": ".:53 {\n    errors\n    forward . /etc/resolv.conf\n" } });
        change(fleet.cluster("east").expect("it is there"), ("v1", "ConfigMap"), "coredns", &broken);
    };
    let half = |fleet: &Fleet| {
        fleet.cluster("east").expect("it is there").server().seed(json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": { "name": "calico-node", "namespace": "kube-system" },
            "spec": { "template": { "spec": { "containers": [{ "name": "calico-node", "image": "quay.io/calico/node:v3.31.2" }] } } },
            "status": { "desiredNumberScheduled": 3, "numberReady": 1 },
        }));
    };
    let deny = |resource: &str| {
        let resource = resource.to_owned();
        move |fleet: &Fleet| {
            let (user, verb) = ("lead".to_owned(), String::new());
            let denial = Denial { user, verb, resource: resource.clone(), namespace: String::new() };
            let faults = Faults { denials: vec![denial], ..Faults::default() };
            fleet.cluster("east").expect("it is there").server().set_faults(faults);
        }
    };
    let cases = [
        case(corefile, &["dns-answers"], "The Corefile in ConfigMap kube-system/coredns cannot be read:"),
        case(half, &["gaps", "own-node", "flows", "allowed-flows"], "Several components enforce"),
        case(deny("services"), &["resolver", "dns-answers"], "cannot be read: forbidden (HTTP 403)"),
        case(
            deny("configmaps"),
            &["switches", "own-node", "flows", "allowed-flows", "dns-answers"],
            "forbidden (HTTP 403)",
        ),
        case(deny("serviceaccounts"), &[], ""),
        case(deny("apiservices"), &["api-callbacks"], "forbidden (HTTP 403)"),
    ];
    for (at, Broken { bring, unknown, why }) in cases.into_iter().enumerate() {
        let fleet = support::fleet("two", 1);
        let before = verdicts(&fleet, "east").await;
        bring(&fleet);
        let after = verdicts(&fleet, "east").await;
        let became: BTreeSet<&str> = after
            .iter()
            .filter(|(id, (verdict, _))| verdict == "unknown" && before[*id].0 != "unknown")
            .map(|(id, _)| id.as_str())
            .collect();
        let wanted: BTreeSet<&str> = unknown.iter().copied().collect();
        assert_eq!(became, wanted, "case {at}: {after:#?}");
        for id in unknown {
            assert!(after[*id].1.contains(why), "case {at}: {id}: {}", after[*id].1);
        }
        let is_lost = |id: &str| unknown.contains(&id) || (at == 1 && matches!(id, "engine" | "agents"));
        let kept = |id: &str| !is_lost(id);
        for (id, (verdict, _)) in after.iter().filter(|(id, _)| kept(id)) {
            assert_eq!(verdict, &before[id].0, "case {at}: {id}");
        }
    }
}
