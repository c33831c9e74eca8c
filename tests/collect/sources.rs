//! Gathering from what is no Hubble on the simulated fleet: Goldmane, Antrea's stream, records that pods
//! print. As the ServiceAccount that `assets/collect` installs, with the rights that it gives and no
//! others. What the nodes' rings hold is the truth to compare with.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use serde_json::Value;
use sluice::{
    cockpit::ports::{CollectorState, Link, Trouble},
    domain::{
        edge::{EdgeKey, Peer},
        flow::Direction,
        names::{ClusterName, Text},
        sighting,
        source::SourceKind,
        time::Timestamp,
    },
    engine,
    flows::{
        Gathering, antrea,
        baseline::{
            gather::{self, INPUTS, Input, Now},
            read,
            store::{Limits, Position, Store},
        },
        goldmane, logs,
        records::Format,
    },
    k8s::{connect::Access, owners},
    sim::{
        api::access::Asked,
        fleet::{
            event::{self, Outcome, Place, What},
            faults::Fault,
            running::{Fleet, Options},
            scenario::Scenario,
        },
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Duration, Instant, sleep},
};

use crate::fleet::client::account_client;

use super::process;

const ACCOUNT: &str = "system:serviceaccount:sluice:sluice-collect";
const COLLECT: &str = include_str!("../../assets/collect/sluice-collect.yaml");
const RIGHTS: &str = include_str!("../../assets/collect/sluice-collect-rights.yaml");

fn start() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().expect("a time")
}

/// What is read, and the label of the rights that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Goldmane,
    Antrea,
    Printed(Format, SourceKind),
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Goldmane => "goldmane",
            Self::Antrea => "antrea",
            Self::Printed(..) => "logs",
        }
    }
}

const NP_LOG: Source = Source::Printed(Format::AntreaLog, SourceKind::AntreaLog);
const FILES: Source = Source::Printed(Format::CalicoJson, SourceKind::CalicoFiles);
const KERNEL: Source = Source::Printed(Format::KernelLog, SourceKind::KernelLog);

/// One cluster with this CNI, a policy in `shop`, and the collector's account with its rights.
fn fleet(cni: &str, source: Source) -> Fleet {
    let text = format!(
        "name = 'one'\n[[cluster]]\nname = 'east'\nenvironment = 'staging'\ncni = {cni}\nnodes = 2\n\
         namespaces = ['shop', 'payments', 'data']\n"
    );
    let scenario = Scenario::parse("one", &text).expect("a scenario");
    let fleet = Fleet::new(&scenario, Options { seed: 1, speed: 1.0, start: start() });
    let server = fleet.cluster("east").expect("a cluster").server();
    server.seed(serde_json::json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "default-deny-egress", "namespace": "shop" },
        "spec": { "podSelector": {}, "policyTypes": ["Egress"] },
    }));
    let objects = [COLLECT, RIGHTS].map(|text| serde_yaml::from_multiple::<Value>(text).expect("YAML"));
    for object in objects.into_iter().flatten() {
        let reads = object["metadata"]["labels"]["sluice.dev/reads"].as_str();
        let is_right = object["apiVersion"] == "rbac.authorization.k8s.io/v1";
        if is_right && reads.is_none_or(|reads| reads == source.name()) {
            server.seed(object);
        }
    }
    fleet
}

struct Collector {
    tasks: Vec<JoinHandle<()>>,
    gathering: JoinHandle<Result<(), Trouble>>,
    state: watch::Receiver<Arc<CollectorState>>,
    stop: watch::Sender<bool>,
}

/// As `sluice collect` puts it together.
fn collect(fleet: &Fleet, source: Source, folder: &Path, begun: Instant) -> Collector {
    let (store, resume) = Store::open(folder, Limits::new(TimeDelta::days(35))).expect("opened");
    let now: Now = Arc::new(move || start() + TimeDelta::from_std(begun.elapsed()).expect("in range"));
    let (inputs, taken) = mpsc::channel(INPUTS);
    let (state, states) = watch::channel(Arc::new(read::bare(Link::Connecting)));
    let (stop, stopped) = watch::channel(false);
    let access = Access::Client(account_client(fleet, "east", ACCOUNT));
    let name = Text::new(source.name());
    let position = resume.positions.get(&name).and_then(Position::time);
    let known = resume.ids.get(&name).cloned().unwrap_or_default();
    let cluster = ClusterName::parse("east").expect("a name");
    let told = inputs.clone();
    let reading = match source {
        Source::Goldmane => {
            let dial = engine::goldmane_of(access.clone());
            let it = Gathering { cluster, source: name, dial, position, known };
            tokio::spawn(goldmane::gather(it, told))
        }
        Source::Antrea => {
            let dial = engine::logs::stream(access.clone());
            let it = Gathering { cluster, source: name, dial, position, known };
            tokio::spawn(antrea::gather(it, told))
        }
        Source::Printed(format, kind) => {
            let mut ways = engine::logs::logs(&access, SourceKind::Unknown);
            ways.formats = vec![(format, kind)];
            let it = logs::Gathering { cluster, source: name, logs: ways, position, known };
            tokio::spawn(async move { assert_eq!(logs::gather(it, told).await, logs::Ended::Closed) })
        }
    };
    let (said, heard) = mpsc::channel(256);
    let tasks = vec![reading, tokio::spawn(owners::run(access, said)), tokio::spawn(own(heard, inputs))];
    let setup = gather::Setup { store, resume, now, version: "test", inputs: taken, state, stop: stopped };
    Collector { tasks, gathering: tokio::spawn(gather::run(setup)), state: states, stop }
}

async fn own(mut heard: mpsc::Receiver<owners::Said>, inputs: mpsc::Sender<Input>) {
    while let Some(said) = heard.recv().await {
        let input = match said {
            owners::Said::Pod { address, ns, pod, from, until } => {
                Input::Owns { address, owner: gather::Owner::Pod { ns, pod, from, until } }
            }
            owners::Said::Node(address) => Input::Owns { address, owner: gather::Owner::Node },
            owners::Said::Trouble(about, trouble) => Input::Trouble(Text::new(about), trouble),
        };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
}

impl Collector {
    /// As SIGTERM does.
    async fn end(self) -> CollectorState {
        self.stop.send_replace(true);
        self.gathering.await.expect("no panic").expect("committed");
        self.tasks.iter().for_each(JoinHandle::abort);
        let state = self.state.borrow().clone();
        CollectorState::clone(&state)
    }

    /// As SIGKILL does.
    async fn kill(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.gathering.abort();
        let _ = self.gathering.await;
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// Edges and their flows.
fn edges(folder: &Path) -> BTreeMap<EdgeKey, u64> {
    let (store, _) = Store::open(folder, Limits::new(TimeDelta::days(35))).expect("opened");
    let mut out = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.reader().page(None, None, after.as_deref()).expect("readable");
        out.extend(page.edges.iter().map(|(key, edge)| (key.clone(), edge.flows)));
        after = page.next;
        if after.is_none() {
            return out;
        }
    }
}

/// Workload and port of what `shop` was denied, by the edges.
fn denied(edges: &BTreeMap<EdgeKey, u64>) -> BTreeSet<(String, u16)> {
    let denied = edges.keys().filter(|key| {
        key.outcome == sighting::Outcome::Denied
            && key.direction == Direction::Egress
            && key.ns.as_str() == "shop"
            && key.protocol != sluice::domain::flow::Protocol::Icmp
    });
    denied.map(|key| (key.workload.name.to_string(), key.port)).collect()
}

/// The same by the nodes' rings, of what happened before this second.
fn truth(fleet: &Fleet, before: i64) -> BTreeSet<(String, u16)> {
    let agents = fleet.cluster("east").expect("a cluster").agents();
    let plan = agents.plan().clone();
    let mut all = BTreeSet::new();
    for node in 0..plan.nodes.len() {
        let ring = agents.ring(node);
        for event in (ring.first()..ring.end()).filter_map(|number| ring.get(number)) {
            let What::Verdict { direction: event::Direction::Egress, outcome: Outcome::Dropped, .. } =
                event.what
            else {
                continue;
            };
            let Place::Pod(pod) = event.packet.source else { continue };
            let second = event.at / 1_000_000_000 - start().timestamp();
            let is_icmp = event.packet.protocol == sluice::sim::fleet::plan::Protocol::Icmp;
            if second < before && !is_icmp {
                all.insert((plan.pod_workload(pod).name.clone(), event.packet.port));
            }
        }
    }
    all
}

async fn wait(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

const ALL: [(&str, Source); 5] = [
    ("'calico-operator'", Source::Goldmane),
    ("{ kind = 'antrea', records = 'flow-stream' }", Source::Antrea),
    ("{ kind = 'antrea', records = 'antrea-log' }", NP_LOG),
    ("{ kind = 'calico', records = 'kernel-log' }", KERNEL),
    ("{ kind = 'calico', records = 'calico-json' }", FILES),
];

#[tokio::test(start_paused = true)]
async fn what_was_denied_becomes_edges_of_the_workloads_that_were_denied_it() {
    for (cni, source) in ALL {
        let (fleet, begun) = (fleet(cni, source), Instant::now());
        let folder = tempfile::tempdir().expect("a folder");
        let collector = collect(&fleet, source, folder.path(), begun);
        wait(300).await;
        let truth = truth(&fleet, 200);
        let state = collector.end().await;
        assert_eq!(state.troubles, [], "{source:?}");
        assert_eq!(state.sources[0].link, Link::Live, "{source:?}");
        let edges = edges(folder.path());
        let denied = denied(&edges);
        let missing: Vec<_> = truth.difference(&denied).collect();
        assert!(!truth.is_empty() && missing.is_empty(), "{source:?}: {missing:?} of {truth:?}");
        assert!(state.coverage.gaps.iter().all(|hole| hole.lost.is_none()), "{source:?}: {state:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_killed_counts_nothing_twice_and_misses_nothing() {
    for (cni, source) in ALL {
        let (fleet, begun) = (fleet(cni, source), Instant::now());
        let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
        let steady = collect(&fleet, source, folders[0].path(), begun);
        let mut broken = collect(&fleet, source, folders[1].path(), begun);
        for pause in [45, 62, 51] {
            wait(pause).await;
            broken.kill().await;
            wait(7).await;
            broken = collect(&fleet, source, folders[1].path(), begun);
        }
        wait(120).await;
        let (whole, other) = tokio::join!(steady.end(), broken.end());
        assert_eq!((whole.coverage.gaps, other.coverage.gaps), (vec![], vec![]), "{source:?}");
        let [whole, other] = [0, 1].map(|n| edges(folders[n].path()));
        assert!(whole.values().sum::<u64>() > 50, "{source:?}: {whole:?}");
        let differ = |key: &&EdgeKey| whole.get(*key) != other.get(*key);
        let odd: Vec<_> = whole.keys().chain(other.keys()).filter(differ).collect();
        let counts: Vec<_> = odd.iter().map(|key| (key, whole.get(*key), other.get(*key))).collect();
        assert!(odd.is_empty(), "{source:?}: {counts:#?}");
    }
}

/// No address, no name, no node, no word of what is lost: each stands in what is served.
#[tokio::test(start_paused = true)]
async fn the_limits_of_goldmane_stand_in_the_edges_and_in_what_they_cover() {
    let (fleet, begun) = (fleet("'calico-operator'", Source::Goldmane), Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let collector = collect(&fleet, Source::Goldmane, folder.path(), begun);
    wait(300).await;
    let state = collector.end().await;
    let all = edges(folder.path());
    assert!(all.keys().all(|key| !matches!(key.peer, Peer::Address(_)) && key.name.is_none()));
    let outside: BTreeSet<_> = all
        .keys()
        .filter_map(|key| match &key.peer {
            Peer::Unsaid(class) => Some(class.to_string()),
            Peer::Pods { .. } | Peer::Entity(_) | Peer::Address(_) => None,
        })
        .collect();
    assert_eq!(outside, BTreeSet::from(["pub".to_owned()]));
    assert!(state.coverage.credited.keys().all(Option::is_none), "{:?}", state.coverage.credited);
    let doubts: Vec<_> = state.coverage.doubts.iter().map(Text::as_str).collect();
    assert_eq!(
        doubts,
        ["Goldmane names no node and does not tell what it loses, so a flow may be missing without a word; \
          a probe shows that it lives, not that every flow came. Gather from a source that tells its losses, \
          or count what Goldmane dropped (metric goldmane_aggr_dropped_flows_total of its pod) and let a \
          second person confirm an override of coverage."]
    );
    assert_eq!(state.sources[0].kind, SourceKind::Goldmane);
}

#[tokio::test(start_paused = true)]
async fn what_goldmane_forgot_while_nobody_read_is_a_hole() {
    let (fleet, begun) = (fleet("'calico-operator'", Source::Goldmane), Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let collector = collect(&fleet, Source::Goldmane, folder.path(), begun);
    wait(120).await;
    collector.kill().await;
    fleet.fault("east", Fault::RelayAway);
    wait(60).await;
    fleet.heal("east");
    let collector = collect(&fleet, Source::Goldmane, folder.path(), begun);
    wait(120).await;
    let state = collector.end().await;
    let holes: Vec<String> = state
        .coverage
        .gaps
        .iter()
        .map(|hole| {
            let since = |at: Timestamp| (at - start()).num_seconds();
            format!("{}..{} {}", since(hole.from), since(hole.to), hole.why)
        })
        .collect();
    // The bucket that ended at 90 was the last that was read. What the nodes saw while it was away, they
    // told it when it was back.
    assert_eq!(
        holes,
        ["90..120 nobody read it; it restarted, or more than its hour passed: what it had is forgotten"]
    );
}

/// Verb, group, resource.
type Right = (String, String, String);

fn rights(source: Source) -> BTreeSet<Right> {
    let objects = [COLLECT, RIGHTS].map(|text| serde_yaml::from_multiple::<Value>(text).expect("YAML"));
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let all = rule[key].as_array().into_iter().flatten();
        all.map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let mut out = BTreeSet::new();
    for object in objects.into_iter().flatten() {
        let reads = object["metadata"]["labels"]["sluice.dev/reads"].as_str();
        if reads.is_some_and(|reads| reads != source.name()) {
            continue;
        }
        for rule in object["rules"].as_array().into_iter().flatten() {
            for (group, resource) in words(rule, "apiGroups")
                .iter()
                .flat_map(|group| words(rule, "resources").into_iter().map(move |it| (group.clone(), it)))
            {
                out.extend(
                    words(rule, "verbs").into_iter().map(|verb| (verb, group.clone(), resource.clone())),
                );
            }
        }
    }
    out
}

/// Rights of the collector's own role that reading these sources does not need: Hubble's nodes and the
/// coverage of jobs are read by whoever judges the edges.
fn is_common(right: &Right) -> bool {
    ["pods", "nodes", "namespaces", "cronjobs"].contains(&right.2.as_str())
}

#[tokio::test(start_paused = true)]
async fn the_collector_asks_for_no_more_and_no_less_than_its_roles_allow() {
    for (cni, source) in ALL {
        let (fleet, begun) = (fleet(cni, source), Instant::now());
        let folder = tempfile::tempdir().expect("a folder");
        let collector = collect(&fleet, source, folder.path(), begun);
        wait(60).await;
        collector.end().await;
        let asked = fleet.cluster("east").expect("a cluster").server().asked();
        let ours: Vec<&Asked> = asked.iter().filter(|one| one.user == ACCOUNT).collect();
        let refused: Vec<_> = ours.iter().filter(|one| !one.allowed).collect();
        assert!(refused.is_empty(), "{source:?}: asked for, and not in the roles: {refused:#?}");
        let used: BTreeSet<Right> =
            ours.iter().map(|one| (one.verb.clone(), one.group.clone(), one.resource.clone())).collect();
        let unused: Vec<_> =
            rights(source).into_iter().filter(|one| !used.contains(one) && !is_common(one)).collect();
        assert_eq!(unused, [], "{source:?}: in the roles, and never asked for");
    }
}

#[expect(clippy::disallowed_methods, reason = "a collector believes no record of another time than now")]
fn now() -> Timestamp {
    chrono::Utc::now()
}

/// The whole program, with a certificate as a Secret is mounted, and no API server at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goldmane_at_an_address_takes_the_certificate_of_a_folder() {
    let text = "name = 'one'\n[[cluster]]\nname = 'east'\nenvironment = 'staging'\ncni = 'calico-operator'\nnodes = 2\n\
                namespaces = ['shop', 'payments', 'data']\n";
    let scenario = Scenario::parse("one", text).expect("a scenario");
    let begun = now() - TimeDelta::minutes(40);
    let fleet = Fleet::new(&scenario, Options { seed: 1, speed: 20.0, start: begun });
    let east = fleet.cluster("east").expect("a cluster");
    let goldmane = east.goldmane().expect("the operator runs it").clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let Some(mut far) = goldmane.connect() else { continue };
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });

    let home = tempfile::tempdir().expect("a folder");
    let tls = home.path().join("tls");
    std::fs::create_dir(&tls).expect("made");
    let put = |name: &str, text: &[u8]| std::fs::write(tls.join(name), text).expect("written");
    let of = |kind: &str, name: &str, key: &str| {
        let all = east.server().objects("v1", kind);
        let one = all.iter().find(|one| one["metadata"]["name"] == name).expect("it is there");
        one["data"][key].as_str().expect("text").to_owned()
    };
    put("ca.crt", of("ConfigMap", "goldmane-ca-bundle", "tigera-ca-bundle.crt").as_bytes());
    for part in ["tls.crt", "tls.key"] {
        put(part, &STANDARD.decode(of("Secret", "whisker-backend-key-pair", part)).expect("base64"));
    }
    let read = move || {
        let folder = tls.to_string_lossy().into_owned();
        let args = ["--goldmane", address.as_str(), "--goldmane-tls", folder.as_str()];
        let collector = process::Collector::start(home.path(), &args);
        let edges = |edges: &str| edges.contains(r#""pub""#);
        collector.until("edges without addresses", "/v1/edges?namespace=shop", edges);
        collector.get("/v1/state")
    };
    let state = tokio::task::spawn_blocking(read).await.expect("it was read");
    assert!(state.contains("Goldmane names no node"), "{state}");
}
