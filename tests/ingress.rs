//! One namespace after another closed for callers, end to end, beside egress that is closed already:
//! records of a week become a discovery, the discovery an allowlist, the allowlist a prediction; wave 1
//! soaks for its own 48 hours under a paused clock; in wave 2 a caller is missing, and ingress alone is
//! taken back. Records, facts and every expected value are written by hand.

use std::{fmt::Write as _, fs, path::Path, sync::Arc, time::Duration};

use crate::support::{self, Paper};
use chrono::{FixedOffset, TimeDelta};
use clap::Parser as _;
use serde_json::{Value, json};
use sluice::{
    cli::{
        apply,
        args::{Cli, Command},
        ask::Asker,
        author,
        change::Changing,
        discover,
        exit::Exit,
        predict,
        print::Printer,
        rollback,
        session::Session,
    },
    cockpit::soaks::SoakRow,
    domain::{
        flow::Direction,
        names::{ClusterName, NsName},
        rollout::Target,
        soak::Verdict,
        wave,
    },
    engine::{Claims, Clock, Engine, Setup, Soaks},
    k8s::{connect::Access, lease::Role},
    sim::fleet::{
        people::Person,
        running::{Fleet, Options},
        scenario::Scenario,
        workspace as demo,
    },
    workspace::{
        self, evidence,
        root::{self, Place},
    },
};

/// Domain seconds a second: two days are 48 minutes of the runtime.
const SPEED: f64 = 60.0;
const HOUR: Duration = Duration::from_secs(60);

const COHORT: &str = r#"
name = "cohort"

[[cluster]]
name = "east"
environment = "staging"
cni = "cilium"
nodes = 2
namespaces = ["store", "finder", "front"]

[[cluster]]
name = "west"
environment = "production"
state = true
cni = "cilium"
nodes = 1
namespaces = ["store"]

[[past.row]]
cluster = "east"
namespaces = ["store"]
wave = 1
applied_hours_ago = 170

[[past.row]]
cluster = "east"
namespaces = ["finder"]
wave = 2
applied_hours_ago = 100

[[pattern]]
name = "store"
owner = "team-store"
contact = "store-oncall"
workloads = [{ name = "redis", replicas = 2, ports = ["redis 6379"], calls = ["redis:6379 6/m"] }]

[[pattern]]
name = "finder"
owner = "team-finder"
contact = "finder-oncall"
workloads = [{ name = "query", replicas = 2, ports = ["http 8080"], calls = ["store/redis:6379 6/m"] }]

[[pattern]]
name = "front"
owner = "team-front"
contact = "front-oncall"
workloads = [
  { name = "storefront", replicas = 2, ports = ["http 8080"], calls = ["finder/query 12/m"] },
  { name = "cart", replicas = 2, ports = ["http 8080"], calls = ["store/redis:6379 6/m", "finder/query 4/m"] },
]
"#;

/// What the cluster is, as `sluice author --save-facts` writes it.
const FACTS: &str = r#"schema: sluice.facts/1
clusters:
- cluster: east
  cni: {kind: Cilium, version: v1.19.4}
  blocksSelectNodes: false
  apiServer: {endpoints: ["192.0.2.10:6443"], service: ["10.128.0.1:443"]}
  callbacks: []
  nodes: ["192.0.2.10", "192.0.2.11"]
  podNetworks: [10.64.0.0/16]
  workloads:
  - {namespace: store, kind: Deployment, name: redis, labels: {app: redis}}
  - {namespace: finder, kind: Deployment, name: query, labels: {app: query}}
  - {namespace: front, kind: Deployment, name: cart, labels: {app: cart}}
  - {namespace: front, kind: Deployment, name: storefront, labels: {app: storefront}}
"#;

/// The storefront searches since this morning: the week has not seen it.
const WEEK: [(&str, &str, &str, &str, u16); 4] = [
    ("finder", "query", "store", "redis", 6379),
    ("front", "cart", "store", "redis", 6379),
    ("store", "redis", "store", "redis", 6379),
    ("front", "cart", "finder", "query", 8080),
];

/// One connection an hour of each pair, as Hubble's exporter on the callee's node writes it; and the
/// kubelet, which probes every pod of its node.
fn week() -> String {
    let mut out = String::new();
    let mut line = |hour: i64, source: &str, (ns, app, port): (&str, &str, u16)| {
        let at = support::start() - TimeDelta::hours(168 - hour) + TimeDelta::minutes(7);
        let at = at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        writeln!(
            out,
            r#"{{"flow":{{"time":"{at}","verdict":"FORWARDED","IP":{{"source":"10.64.1.7","destination":"10.64.0.9","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":40112,"destination_port":{port},"flags":{{"SYN":true}}}}}},"source":{source},"destination":{{"identity":4712,"namespace":"{ns}","pod_name":"{app}-0","workloads":[{{"name":"{app}","kind":"Deployment"}}]}},"Type":"L3_L4","node_name":"worker-1","event_type":{{"type":4}},"traffic_direction":"INGRESS","trace_observation_point":"TO_ENDPOINT","is_reply":false}},"node_name":"worker-1","time":"{at}"}}"#
        )
        .expect("memory");
    };
    for hour in 0..168 {
        for (from_ns, from, ns, app, port) in WEEK {
            let source = format!(
                r#"{{"identity":4711,"namespace":"{from_ns}","pod_name":"{from}-0","workloads":[{{"name":"{from}","kind":"Deployment"}}]}}"#
            );
            line(hour, &source, (ns, app, port));
        }
        line(hour, r#"{"identity":1,"labels":["reserved:host"]}"#, ("store", "redis", 6379));
    }
    out
}

fn target(ns: &str, direction: Direction) -> Target {
    let cluster = ClusterName::parse("east").expect("a name");
    Target { cluster, ns: NsName::parse(ns).expect("a name"), direction }
}

/// Runs a command that needs files only.
fn offline(words: &str, folder: &Path) -> (Exit, String) {
    let words = words.replace("DIR", &folder.display().to_string());
    let cli = Cli::try_parse_from(["sluice"].into_iter().chain(words.split(' '))).expect("a command line");
    let (out, said) = (Paper::default(), Paper::default());
    let mut printer = Printer::new(out.clone(), said.clone());
    let exit = match cli.command.as_ref().expect("a subcommand") {
        Command::Discover(args) => discover::run(&cli.global, args, &mut printer),
        Command::Author(args) => author::offline(&cli.global, args, &mut printer),
        Command::Predict(args) => predict::main(&cli.global, args, &mut printer),
        other => panic!("{other:?} needs a cluster"),
    };
    drop(printer);
    (exit, out.text() + &said.text())
}

/// What a command on the running program left behind.
async fn sluice(session: &mut Session, words: &str) -> (Exit, Value) {
    let cli = Cli::try_parse_from(["sluice"].into_iter().chain(words.split(' '))).expect("a command line");
    let (out, said) = (Paper::default(), Paper::default());
    let mut printer = Printer::new(out.clone(), said.clone());
    let mut asker = Asker::Yes;
    let exit = match cli.command.as_ref().expect("a subcommand") {
        Command::Apply(args) => {
            let (change, printer, asker) = (&args.change, &mut printer, &mut asker);
            let only = vec![target("store", Direction::Ingress).cluster];
            apply::run(Changing { session, change, asker, printer, is_named: true, only }, args).await
        }
        Command::Rollback(args) => {
            let (change, printer, asker) = (&args.change, &mut printer, &mut asker);
            let only = vec![target("store", Direction::Ingress).cluster];
            rollback::run(Changing { session, change, asker, printer, is_named: true, only }, args).await
        }
        other => panic!("{other:?} changes nothing"),
    };
    drop(printer);
    let report = serde_json::from_str(&out.text());
    (exit, report.unwrap_or_else(|error| panic!("{error}: {}{}", out.text(), said.text())))
}

fn codes(report: &Value) -> Vec<&str> {
    let reasons = report["refusals"][0]["reasons"].as_array().expect("reasons");
    reasons.iter().filter_map(|reason| reason["code"].as_str()).collect()
}

/// The team's checkout: the fleet file, and the week's records.
fn checkout(fleet: &Fleet, folder: &Path) {
    let rules = "\nbaseline: 0d\nrisks:\n  - {namespaces: [store], risk: 1}\n  - {namespaces: [finder], risk: 2}\n  \
                 - {namespaces: [front], risk: 3}\n";
    fs::write(folder.join("sluice.yaml"), demo::sluice_yaml(fleet) + rules).expect("written");
    fs::write(folder.join("facts.yaml"), FACTS).expect("written");
    fs::write(folder.join("flows.json"), week()).expect("written");
    let east = fleet.cluster("east").expect("it is there").server();
    let kinds = [("v1", "Namespace"), ("v1", "Pod"), ("networking.k8s.io/v1", "NetworkPolicy")];
    let objects = kinds.into_iter().flat_map(|(version, kind)| east.objects(version, kind));
    let live: String = objects.map(|object| format!("---\n{object}\n")).collect();
    // Nobody calls the front: only its own pods are let in.
    let front = folder.join("network-policies/east/front");
    fs::create_dir_all(&front).expect("a folder");
    for (name, rules) in
        [("default-deny-ingress", "[]"), ("ingress-allowlist", "[{from: [{podSelector: {}}]}]")]
    {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: front}}\n\
             spec: {{podSelector: {{}}, policyTypes: [Ingress], ingress: {rules}}}\n"
        );
        fs::write(front.join(format!("{name}.yaml")), text).expect("written");
    }
    fs::create_dir(folder.join("live")).expect("a folder");
    fs::write(folder.join("live/objects.yaml"), live).expect("written");
}

/// The program on the fleet, as `sluice watch` runs it and with what the checkout says.
fn program(fleet: &Fleet, folder: &Path) -> Session {
    const SOAKS: Soaks = Soaks {
        targets: |world, cluster| {
            world.soaks().targets().filter(|target| target.cluster == *cluster).collect()
        },
        evidence: |world, target| world.soaks().evidence(target, world),
    };
    let place = Place { root: folder.to_owned(), only: Vec::new() };
    let mut read = root::read(&place).expect("it is valid");
    assert_eq!(read.notices, [], "nothing to complain of");
    let (rules, _) = workspace::rules(Some(&place));
    read.files.flagged = Some(evidence::read(folder, &read.fleet, &rules).0);
    let members = fleet.clone();
    let mut engine = Engine::start(Setup {
        fleet: read.fleet,
        files: read.files,
        notices: Vec::new(),
        reach: Arc::new(move |entry| {
            let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
            Access::Client(support::client(member, Person::Lead))
        }),
        clock: Clock::simulated(support::start(), SPEED),
        zone: FixedOffset::east_opt(0).expect("in range"),
        read_only: false,
        follow_flows: true,
        workspace: None,
        records: None,
        notify: None,
    });
    let claims =
        Claims { role: Some(Role::Watch), host: "host".into(), nonce: "0".into(), ..Claims::default() };
    engine.observe(claims, SOAKS);
    Session::new(engine)
}

fn row(session: &Session, ns: &str, direction: Direction) -> SoakRow {
    let world = session.world();
    world.soaks().row(&target(ns, direction), world).expect("its set is live and closed")
}

fn is_clean(session: &Session, ns: &str, direction: Direction) -> bool {
    matches!(row(session, ns, direction).judged.verdict, Verdict::Clean { .. })
}

fn live(fleet: &Fleet, ns: &str) -> Vec<String> {
    let all = fleet.cluster("east").expect("it is there").server().policies();
    let ours = all.iter().filter(|policy| policy["metadata"]["namespace"] == ns);
    ours.filter_map(|policy| policy["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

/// Number and verdict of the first waves of a direction.
fn waves(session: &Session, direction: Direction) -> Vec<(u32, &'static str)> {
    let plan = session.world().waves().plan(direction);
    let staging = plan.waves.iter().filter(|wave| wave.number <= 2);
    staging.map(|wave: &wave::Wave| (wave.number, wave.verdict.as_str())).collect()
}

const EGRESS: [&str; 3] = ["default-deny-egress", "egress-allowlist", "egress-baseline-allow"];
const BOTH: [&str; 5] = [
    "default-deny-egress",
    "default-deny-ingress",
    "egress-allowlist",
    "egress-baseline-allow",
    "ingress-allowlist",
];

/// From records to files, and what these files would have denied of the records.
fn authored(folder: &Path) {
    let (exit, said) = offline(
        "discover --workspace DIR --cluster east --flows hubble-json:DIR/flows.json --from \
         2026-02-23T09:00:00Z --to 2026-03-02T09:00:00Z -n store",
        folder,
    );
    assert_eq!(exit, Exit::Done, "{said}");
    let table: Vec<Vec<&str>> = said
        .lines()
        .skip_while(|line| *line != "Callers (ingress)")
        .skip(2)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().take(4).collect())
        .collect();
    let redis = |caller| vec!["Deployment", "redis", caller, "6379/TCP"];
    let callers = ["finder/query", "front/cart", "store/redis", "host"];
    assert_eq!(table, callers.map(redis), "{said}");
    assert!(said.contains("0 destinations, 4 callers, 0 suspects"), "{said}");

    for ns in ["store", "finder"] {
        let (exit, said) = offline(
            &format!(
                "discover --workspace DIR --cluster east --flows hubble-json:DIR/flows.json --from \
                 2026-02-23T09:00:00Z --to 2026-03-02T09:00:00Z -n {ns} --write"
            ),
            folder,
        );
        assert_eq!(exit, Exit::Done, "{said}");
        let (exit, said) = offline(
            &format!(
                "author --workspace DIR --cluster east -n {ns} --direction ingress --offline --facts \
                 DIR/facts.yaml"
            ),
            folder,
        );
        assert_eq!(exit, Exit::Done, "{said}");
    }
    let spec = |ns: &str| {
        let path = folder.join(format!("network-policies/east/{ns}/ingress-allowlist.yaml"));
        let text = fs::read_to_string(path).expect("it was written");
        serde_yaml::from_str::<Value>(&text).expect("YAML")["spec"].clone()
    };
    let pods = |ns: &str, app: &str| {
        json!({
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": ns } },
            "podSelector": { "matchLabels": { "app": app } },
        })
    };
    let rules = |from: Value, port: u16| {
        json!({
            "podSelector": {}, "policyTypes": ["Ingress"],
            "ingress": [{ "from": from, "ports": [{ "port": port, "protocol": "TCP" }] }],
        })
    };
    // The kubelet of a pod's own node gets in anyway, and has no rule.
    let callers = json!([pods("finder", "query"), pods("front", "cart"), pods("store", "redis")]);
    assert_eq!(spec("store"), rules(callers, 6379));
    assert_eq!(spec("finder"), rules(json!([pods("front", "cart")]), 8080));

    let (exit, said) = offline(
        "predict --workspace DIR --cluster east -n store --direction ingress --cni cilium --manifests DIR/live",
        folder,
    );
    // Files of flows do not say which CronJobs there are, so the prediction is not the last word.
    assert_eq!(exit, Exit::Partial, "{said}");
    let headline = "nothing of 4 recorded callers would be denied, and they do not suffice";
    assert!(said.contains(headline), "{said}");
    assert!(said.contains("2 pods go from open to isolated (IPv4 2, IPv6 0)"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn callers_are_found_allowed_soaked_and_ingress_alone_is_taken_back() {
    let scenario = Scenario::parse("cohort", COHORT).expect("a scenario");
    let fleet = Fleet::new(&scenario, Options { seed: 1, speed: SPEED, start: support::start() });
    let folder = tempfile::tempdir().expect("a folder");
    checkout(&fleet, folder.path());
    authored(folder.path());

    let mut session = program(&fleet, folder.path());
    support::run_for(session.engine(), HOUR * 3).await;
    assert_eq!(live(&fleet, "store"), EGRESS);
    assert!(is_clean(&session, "store", Direction::Egress));
    assert_eq!(waves(&session, Direction::Egress), [(1, "done"), (2, "open")]);
    assert_eq!(waves(&session, Direction::Ingress), [(1, "ahead"), (2, "ahead")]);
    let began = row(&session, "store", Direction::Egress).judged.begins;

    // Wave 1 of ingress is one namespace of staging, whatever wave egress is in.
    let finder = "apply --context east -n finder --direction ingress --yes -o json";
    let (exit, report) = sluice(&mut session, finder).await;
    assert_eq!((exit, codes(&report)), (Exit::Refused, vec!["wave-before"]), "{report}");
    let (exit, report) =
        sluice(&mut session, "apply --context east -n store --direction ingress --yes -o json").await;
    assert_eq!(exit, Exit::Done, "{report}");
    assert_eq!(live(&fleet, "store"), BOTH);

    // Its clock is its own: at nothing, while that of egress goes on where it was.
    support::run_for(session.engine(), HOUR).await;
    let fresh = row(&session, "store", Direction::Ingress).judged;
    assert!((20..=90).contains(&fresh.credited), "{fresh:?}");
    assert_eq!((fresh.open.len(), fresh.in_force), (0, fresh.nodes), "{fresh:?}");
    let egress = row(&session, "store", Direction::Egress).judged;
    assert_eq!(egress.begins, began);
    assert!(egress.credited >= 169 * 60, "{egress:?}");
    let (exit, report) = sluice(&mut session, finder).await;
    assert_eq!((exit, codes(&report)), (Exit::Refused, vec!["wave-soaks"]), "{report}");

    support::run_for(session.engine(), HOUR * 45).await;
    assert!(!is_clean(&session, "store", Direction::Ingress), "46 of 48 hours");
    support::run_for(session.engine(), HOUR * 6).await;
    let soaked = row(&session, "store", Direction::Ingress).judged;
    assert!(soaked.verdict.is_clean(), "{soaked:?}");
    assert_eq!(waves(&session, Direction::Ingress), [(1, "done"), (2, "ahead")]);

    // Front is of that wave, and its egress was never applied.
    let (exit, report) =
        sluice(&mut session, "apply --context east -n front --direction ingress --yes -o json").await;
    assert_eq!((exit, codes(&report)), (Exit::Refused, vec!["egress-first"]), "{report}");

    // Wave 2, and a caller that the week had not seen.
    let (exit, report) = sluice(&mut session, finder).await;
    assert_eq!(exit, Exit::Done, "{report}");
    support::run_for(session.engine(), HOUR).await;
    let broken = row(&session, "finder", Direction::Ingress).judged;
    let open: Vec<_> =
        broken.open.iter().map(|group| (group.key.destination.to_string(), group.key.port)).collect();
    assert_eq!(open, [("front/storefront".to_owned(), 8080)], "{broken:?}");
    // The endpoint that dropped decides; what finder sends is as clean as before.
    assert!(is_clean(&session, "finder", Direction::Egress));
    assert_eq!(waves(&session, Direction::Ingress), [(1, "done"), (2, "open")]);

    let (exit, report) =
        sluice(&mut session, "rollback --context east -n finder --direction ingress --yes -o json").await;
    assert_eq!(exit, Exit::Done, "{report}");
    assert_eq!(report["orders"][0]["outcome"]["isolation"]["isolated"], 0, "{report}");
    assert_eq!(
        (live(&fleet, "finder"), live(&fleet, "store")),
        (EGRESS.map(str::to_owned).into(), BOTH.map(str::to_owned).into())
    );
    support::run_for(session.engine(), HOUR).await;
    assert!(session.world().soaks().row(&target("finder", Direction::Ingress), session.world()).is_none());
    assert!(is_clean(&session, "finder", Direction::Egress), "egress stays enforced, and clean");
    assert!(is_clean(&session, "store", Direction::Ingress));
    assert_eq!(waves(&session, Direction::Ingress), [(1, "done"), (2, "held")]);
    assert_eq!(waves(&session, Direction::Egress), [(1, "done"), (2, "open")], "held is ingress alone");
}
