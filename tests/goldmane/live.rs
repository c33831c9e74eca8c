//! The simulated Goldmane, followed as the engine does it: the certificate from its Secret, the stream
//! through the API server's port-forward. What the nodes' rings hold is the truth to compare with.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use sluice::{
    cockpit::ports::{ClusterFact, Fact, Gap, Link, SourceState},
    domain::{
        flow::{Flow, Verdict},
        names::{ClusterName, NsName},
        source::SourceKind,
    },
    flows::{
        goldmane::{
            self,
            tls::{Pem, Shown},
        },
        source::Dial,
    },
    k8s::{self, connect::Access, goldmane::Identity},
    sim::fleet::{
        event::{Direction, Outcome, Place, What},
        faults::Fault,
        people::Person,
        running::{Fleet, Member, Options},
        scenario::Scenario,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::{Duration, sleep},
};

use crate::fleet::client;

const START: &str = "2026-03-02T09:00:00Z";
const FLEET: &str = "name = 'calico'\n[[cluster]]\nname = 'east'\nenvironment = 'staging'\n\
                     cni = 'calico-operator'\nnodes = 2\nnamespaces = ['shop', 'payments', 'data']\n";

fn fleet(seed: u64) -> Fleet {
    let scenario = Scenario::parse("calico", FLEET).expect("a scenario");
    Fleet::new(&scenario, Options { seed, speed: 1.0, start: START.parse().expect("a time") })
}

fn dial(fleet: &Fleet, person: Person) -> Dial {
    let access = Access::Client(client::kube_client(fleet, "east", person));
    Arc::new(move || {
        let access = access.clone();
        async move {
            let k8s::goldmane::Opened { stream, identity } = k8s::goldmane::open(&access).await?;
            let Identity { authorities, certificate, key } = identity;
            goldmane::tls::speak(
                stream,
                &Pem { authorities: Some(authorities), shown: Some(Shown { certificate, key }) },
            )
            .await
        }
        .boxed()
    })
}

fn isolate(fleet: &Fleet) -> Member {
    let member = fleet.cluster("east").expect("a cluster of the scenario").clone();
    member.server().seed(policy("networking.k8s.io/v1", "NetworkPolicy"));
    member
}

fn policy(api_version: &str, kind: &str) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": { "name": "default-deny-egress", "namespace": "shop" },
        "spec": { "podSelector": {}, "policyTypes": ["Egress"] },
    })
}

struct Told {
    facts: Arc<Mutex<Vec<Fact>>>,
    _wanted: watch::Sender<Vec<NsName>>,
}

fn follow(dial: Dial) -> Told {
    let (sender, mut receiver) = mpsc::channel(64);
    let (wanted, wanting) = watch::channel(Vec::new());
    tokio::spawn(goldmane::run(ClusterName::parse("east").expect("a name"), dial, wanting, sender));
    let facts = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&facts);
    tokio::spawn(async move {
        while let Some(fact) = receiver.recv().await {
            kept.lock().expect("no panic").push(fact);
        }
    });
    Told { facts, _wanted: wanted }
}

impl Told {
    fn all<T>(&self, pick: impl Fn(&ClusterFact) -> Option<T>) -> Vec<T> {
        let facts = self.facts.lock().expect("no panic");
        let of = |fact: &Fact| match fact {
            Fact::Cluster(_, fact) => pick(fact),
            _ => None,
        };
        facts.iter().filter_map(of).collect()
    }

    fn flows(&self) -> Vec<Flow> {
        let batches = self.all(|fact| match fact {
            ClusterFact::Flows(flows) => Some(flows.clone()),
            _ => None,
        });
        let flows: Vec<Flow> = batches.into_iter().flatten().collect();
        let ids: BTreeSet<_> = flows.iter().map(|flow| flow.id.clone()).collect();
        assert_eq!(ids.len(), flows.len(), "something came twice");
        flows
    }

    /// Denied workload, port and the end of its bucket, in seconds since the start.
    fn denied(&self) -> BTreeSet<(i64, String, u16)> {
        let denied = |flow: &Flow| {
            let Verdict::Denied { .. } = flow.verdict else { return None };
            assert!(flow.node.is_none() && flow.destination.address.is_none(), "it knows neither: {flow:?}");
            let workload = flow.source.workload.as_ref().expect("a workload");
            Some((since_start(flow.at), workload.name.to_string(), flow.port))
        };
        self.flows().iter().filter_map(denied).collect()
    }

    fn gaps(&self) -> Vec<String> {
        let told = self.all(|fact| match fact {
            ClusterFact::Gap(gap) => Some(gap.clone()),
            _ => None,
        });
        told.iter().map(gap_text).collect()
    }

    fn state(&self) -> SourceState {
        let states = self.all(|fact| match fact {
            ClusterFact::Source(state) => Some(state.clone()),
            _ => None,
        });
        states.last().expect("a state").clone()
    }
}

fn gap_text(gap: &Gap) -> String {
    let until = gap.until.map_or("open".into(), |until| since_start(until).to_string());
    format!("{}..{until} {}: {}", since_start(gap.from), gap.cause.as_str(), gap.why)
}

fn since_start(at: DateTime<Utc>) -> i64 {
    (at - START.parse::<DateTime<Utc>>().expect("a time")).num_seconds()
}

async fn wait(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// Denials of egress that the rings hold, up to this second, in the form of [`Told::denied`].
fn held(member: &Member, before: i64) -> BTreeSet<(i64, String, u16)> {
    let agents = member.agents();
    let plan = agents.plan().clone();
    let start = START.parse::<DateTime<Utc>>().expect("a time").timestamp();
    let mut out = BTreeSet::new();
    for node in 0..plan.nodes.len() {
        let ring = agents.ring(node);
        for event in (ring.first()..ring.end()).filter_map(|number| ring.get(number)) {
            let What::Verdict { direction: Direction::Egress, outcome: Outcome::Dropped, .. } = event.what
            else {
                continue;
            };
            let Place::Pod(pod) = event.packet.source else { continue };
            let second = event.at / 1_000_000_000 - start;
            if (0..before).contains(&second) {
                let name = plan.pod_workload(pod).name.clone();
                out.insert(((second / 15 + 1) * 15, name, event.packet.port));
            }
        }
    }
    out
}

#[tokio::test(start_paused = true)]
async fn denials_of_the_simulated_goldmane_come_once_each() {
    let fleet = fleet(1);
    let member = isolate(&fleet);
    let told = follow(dial(&fleet, Person::Lead));
    wait(150).await;
    let (truth, got) = (held(&member, 105), told.denied());
    assert!(truth.len() > 10, "{}", truth.len());
    assert!(truth.is_subset(&got), "missing: {:?}", truth.difference(&got).collect::<Vec<_>>());
    let state = told.state();
    assert_eq!((state.kind, state.link, state.malformed), (SourceKind::Goldmane, Link::Live, 0));
    assert_eq!((state.history_from, state.nodes_connected), (None, None), "it says neither");
    assert_eq!(told.gaps(), [""; 0]);
    let by = |flow: &Flow| match &flow.verdict {
        Verdict::Denied { by, .. } => by.first().map(|by| by.name.to_string()),
        Verdict::Allowed { .. } | Verdict::Audit { .. } => None,
    };
    let named: BTreeSet<_> = told.flows().iter().filter_map(by).collect();
    assert_eq!(named, BTreeSet::from(["default-deny-egress".to_owned()]), "the policy is named");
}

/// Late flows are never streamed; those that Goldmane lost are nowhere, and it says so nowhere.
#[tokio::test(start_paused = true)]
async fn what_comes_late_is_read_again_and_what_is_lost_is_not_told() {
    let fleet = fleet(2);
    let member = isolate(&fleet);
    fleet.fault("east", Fault::LateFlows { one_in: 3 });
    let told = follow(dial(&fleet, Person::Lead));
    wait(240).await;
    let (truth, got) = (held(&member, 120), told.denied());
    assert!(truth.len() > 10 && truth.is_subset(&got), "{:?}", truth.difference(&got).collect::<Vec<_>>());
    fleet.heal("east");
    fleet.fault("east", Fault::SilentLoss { one_in: 2 });
    wait(120).await;
    let (before, got) = (held(&member, 240), told.denied());
    let all = held(&member, 300);
    let missing: Vec<_> = all.difference(&before).filter(|one| !got.contains(one)).collect();
    assert!(!missing.is_empty(), "half of them are lost");
    assert_eq!(told.gaps(), [""; 0], "and nobody says so: only a heartbeat can tell");
    assert_eq!(told.state().link, Link::Live);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_emptied_it_is_a_gap() {
    let fleet = fleet(3);
    isolate(&fleet);
    let told = follow(dial(&fleet, Person::Lead));
    wait(120).await;
    fleet.fault("east", Fault::RelayAway);
    wait(60).await;
    assert!(matches!(told.state().link, Link::Broken(_)), "{:?}", told.state().link);
    fleet.heal("east");
    wait(120).await;
    assert_eq!(told.state().link, Link::Live);
    let gaps = told.gaps();
    assert_eq!(gaps.len(), 2, "{gaps:#?}");
    // It streams two buckets behind the one that fills: those of 90 and 105 were forgotten untold.
    assert!(gaps[0].starts_with("90..open source silent: no connection: "), "{gaps:#?}");
    assert!(gaps[1].starts_with("90..120 agent restart: "), "{gaps:#?}");
    assert!(gaps[1].ends_with("what it had is forgotten"), "{gaps:#?}");
}

/// Without a certificate nobody reads, and what is missing is said; no key is in any word.
#[tokio::test(start_paused = true)]
async fn without_a_certificate_it_says_what_is_missing() {
    let fleet = fleet(4);
    let member = fleet.cluster("east").expect("a cluster").clone();
    member.server().seed(serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": "sluice-target-goldmane" },
        "rules": [
            { "apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"] },
            { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"] },
        ],
    }));
    let told = follow(dial(&fleet, Person::Viewer));
    wait(10).await;
    let Link::Broken(trouble) = told.state().link else { panic!("{:?}", told.state()) };
    insta::assert_snapshot!(trouble.to_string());
    assert!(told.flows().is_empty());
}

/// A policy that is only staged denies nothing, and what it would deny is told as that.
#[tokio::test(start_paused = true)]
async fn staged_policies_say_what_they_would_deny() {
    let fleet = fleet(5);
    let member = fleet.cluster("east").expect("a cluster").clone();
    member.server().seed(policy("projectcalico.org/v3", "StagedKubernetesNetworkPolicy"));
    let told = follow(dial(&fleet, Person::Lead));
    wait(150).await;
    let flows = told.flows();
    assert!(!flows.is_empty(), "denials that would be");
    for flow in flows {
        let Verdict::Audit { said, by } = &flow.verdict else { panic!("{flow:?}") };
        assert_eq!(said.as_str(), "staged: end of tier default");
        assert_eq!(by[0].name.as_str(), "default-deny-egress");
        assert_eq!(flow.source.ns.as_ref().map(NsName::as_str), Some("shop"));
    }
}
