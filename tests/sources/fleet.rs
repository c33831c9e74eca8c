//! The sources on the simulated fleet, followed as the engine does it. What the nodes' rings hold is the
//! truth to compare with.

use std::{collections::BTreeSet, time::Duration};

use sluice::{
    cockpit::{
        plan::PolicyFiles,
        ports::{Link, SourceState},
        rows,
        world::World,
    },
    domain::{
        denial::Peer,
        flow::Verdict,
        names::{ClusterName, NsName},
        source::SourceKind,
    },
    engine::logs,
    flows::{antrea, logs as follow},
    k8s::connect::Access,
    sim::fleet::{
        event::{Direction, Outcome, What},
        faults::Fault,
        people::Person,
        running::{Fleet, Member},
        scenario::Scenario,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use crate::support::{client, engine, fleet_file, fleet_of, run_for, run_until};

use super::told::Told;

const SECOND: Duration = Duration::from_secs(1);

fn fleet(cni: &str) -> Fleet {
    let text = format!(
        "name = 'one'\n[[cluster]]\nname = 'east'\nenvironment = 'staging'\ncni = {cni}\nnodes = 2\n\
         namespaces = ['shop', 'payments', 'data']\n"
    );
    let fleet = fleet_of(&Scenario::parse("one", &text).expect("a scenario"), 1);
    let east = fleet.cluster("east").expect("a cluster of the scenario");
    for (namespace, way) in [("shop", "Egress"), ("data", "Ingress")] {
        east.server().seed(serde_json::json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": format!("default-deny-{}", way.to_lowercase()), "namespace": namespace },
            "spec": { "podSelector": {}, "policyTypes": [way] },
        }));
    }
    fleet
}

fn east(fleet: &Fleet) -> &Member {
    fleet.cluster("east").expect("a cluster of the scenario")
}

/// Denied packets by node, source port and way, as the nodes still know them.
fn truth(fleet: &Fleet) -> BTreeSet<(String, u16, bool)> {
    let agents = east(fleet).agents();
    let plan = agents.plan().clone();
    let mut all = BTreeSet::new();
    for node in 0..plan.nodes.len() {
        let ring = agents.ring(node);
        for event in (ring.first()..ring.end()).filter_map(|number| ring.get(number)) {
            if let What::Verdict { direction, outcome: Outcome::Dropped, .. } = &event.what
                && event.packet.protocol != sluice::sim::fleet::plan::Protocol::Icmp
            {
                let port = event.packet.source_port;
                all.insert((plan.nodes[node].name.clone(), port, *direction == Direction::Egress));
            }
        }
    }
    all
}

fn denied(told: &Told) -> BTreeSet<(String, u16, bool)> {
    let flows = told.flows();
    let denied = flows.iter().filter(|flow| {
        matches!(flow.verdict, Verdict::Denied { .. })
            && flow.protocol != sluice::domain::flow::Protocol::Icmp
    });
    let all: Vec<_> = denied
        .map(|flow| {
            let way = flow.direction == sluice::domain::flow::Direction::Egress;
            (flow.node.as_ref().expect("its node").to_string(), flow.source_port, way)
        })
        .collect();
    let set: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "something came twice");
    set
}

/// All that was denied up to now was told, once, and nothing else.
async fn agree(told: &Told, fleet: &Fleet) {
    let early = truth(fleet);
    sleep(2 * SECOND).await;
    let (told, late) = (denied(told), truth(fleet));
    let missing: Vec<_> = early.difference(&told).collect();
    let made_up: Vec<_> = told.difference(&late).collect();
    assert!(!early.is_empty() && missing.is_empty() && made_up.is_empty(), "{missing:?}, {made_up:?}");
}

fn access(fleet: &Fleet) -> Access {
    Access::Client(client(east(fleet), Person::Lead))
}

fn follow_logs(fleet: &Fleet, kind: SourceKind) -> (Told, watch::Sender<Vec<NsName>>) {
    let (told, facts) = Told::channel();
    let (wanted, wants) = watch::channel(Vec::new());
    let (_, owners) = mpsc::channel(1);
    let cluster = ClusterName::parse("east").expect("a name");
    tokio::spawn(follow::run(cluster, logs::logs(&access(fleet), kind), wants, owners, facts));
    (told, wanted)
}

#[tokio::test(start_paused = true)]
async fn np_log_is_followed_through_a_kubelet_that_goes_and_a_log_that_is_rotated() {
    let fleet = fleet("{ kind = 'antrea', records = 'antrea-log' }");
    let (told, _wanted) = follow_logs(&fleet, SourceKind::AntreaLog);
    sleep(30 * SECOND).await;
    assert!(!denied(&told).is_empty());
    fleet.fault("east", Fault::LogAway { node: "worker-1".to_owned() });
    sleep(20 * SECOND).await;
    let state = told.state();
    let plan = east(&fleet).plan().clone();
    let printer = plan.workload("sluice-printers", "sluice-printer").expect("it prints");
    let others = plan.workloads[printer].pods.len() as u32 - 1;
    let seen = (state.nodes_connected, state.nodes_unavailable, state.link);
    assert_eq!(seen, (Some(others), Some(1), Link::Live));
    fleet.heal("east");
    sleep(35 * SECOND).await;
    let gaps = told.gaps();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!(gaps[1].ends_with("; read again, nothing is missing"), "{gaps:?}");
    agree(&told, &fleet).await;

    // Away, and rotated meanwhile.
    fleet.fault("east", Fault::LogAway { node: "worker-1".to_owned() });
    sleep(20 * SECOND).await;
    fleet.fault("east", Fault::LogRotated { node: "worker-1".to_owned() });
    fleet.heal("east");
    sleep(40 * SECOND).await;
    let gaps = told.gaps();
    let last = gaps.last().expect("a gap");
    assert!(
        last.starts_with("worker-1 loss ") && last.ends_with("what was told meanwhile is gone"),
        "{gaps:?}"
    );
    let (told, truth) = (denied(&told), truth(&fleet));
    assert!(told.is_subset(&truth) && told.len() < truth.len(), "{} of {}", told.len(), truth.len());
}

#[tokio::test(start_paused = true)]
async fn the_aggregators_stream_goes_on_after_a_break_and_says_what_a_restart_lost() {
    let fleet = fleet("{ kind = 'antrea', records = 'flow-stream' }");
    let (told, facts) = Told::channel();
    let (_wanted, wants) = watch::channel(Vec::new());
    let cluster = ClusterName::parse("east").expect("a name");
    tokio::spawn(antrea::run(cluster, logs::stream(access(&fleet)), wants, facts));
    sleep(60 * SECOND).await;
    let state = told.state();
    assert_eq!((state.kind, &state.link), (SourceKind::AntreaFlows, &Link::Live));
    assert!(state.history_from.is_some() && state.lag.is_some());
    agree(&told, &fleet).await;

    // The way there breaks; the buffer keeps what happens meanwhile.
    fleet.fault("east", Fault::Dead);
    sleep(20 * SECOND).await;
    assert!(matches!(told.state().link, Link::Broken(_)));
    fleet.heal("east");
    sleep(40 * SECOND).await;
    agree(&told, &fleet).await;
    let gaps = told.gaps();
    assert!(gaps.len() == 2 && gaps[1].ends_with("read again, nothing is missing"), "{gaps:?}");

    east(&fleet).aggregator().expect("it runs").restart();
    sleep(60 * SECOND).await;
    let gaps = told.gaps();
    assert!(
        gaps.iter().any(|gap| gap.starts_with("all agent restart ") && gap.ends_with("is gone")),
        "{gaps:?}"
    );
}

fn source(world: &World) -> Option<&SourceState> {
    world.source(&ClusterName::parse("east").expect("a name"))?.state.as_ref()
}

/// In the cockpit: the pre-flight finds it, denials come with the workloads of both ends, which the
/// records know by addresses at most, and the row says what the source is.
#[tokio::test(start_paused = true)]
async fn each_source_is_found_and_its_denials_have_workloads() {
    for (cni, kind) in [
        ("{ kind = 'antrea', records = 'flow-stream' }", SourceKind::AntreaFlows),
        ("{ kind = 'antrea', records = 'antrea-log' }", SourceKind::AntreaLog),
        ("{ kind = 'calico', records = 'kernel-log' }", SourceKind::CalicoLog),
        ("{ kind = 'calico', records = 'calico-json' }", SourceKind::CalicoFiles),
    ] {
        let fleet = fleet(cni);
        let mut engine = engine(&fleet, Person::Lead, fleet_file(&fleet), PolicyFiles::default());
        run_until(&mut engine, kind.as_str(), 120 * SECOND, |world| {
            source(world).is_some_and(|state| state.kind == kind && state.link == Link::Live)
        })
        .await;
        run_for(&mut engine, 60 * SECOND).await;
        let world = engine.world();
        let groups: Vec<_> = world.denials().groups().collect();
        let of = |ns: &str, way: &str| {
            let found =
                groups.iter().filter(|it| it.key.ns.as_str() == ns && it.key.direction.as_str() == way);
            found.map(|it| it.key.clone()).collect::<Vec<_>>()
        };
        let (out, into) = (of("shop", "egress"), of("data", "ingress"));
        assert!(!out.is_empty() && !into.is_empty(), "{kind:?}: {} groups", groups.len());
        let is_owned = |key: &sluice::domain::denial::GroupKey| {
            key.workload.as_ref().is_some_and(|it| it.kind.as_str() == "Deployment")
        };
        assert!(out.iter().any(is_owned) && into.iter().any(is_owned), "{kind:?}: {out:?} {into:?}");
        assert!(into.iter().any(|key| matches!(key.peer, Peer::Workload { .. })), "{kind:?}: {into:?}");
        assert!(groups.iter().all(|group| group.node.is_some()), "each has its node");
        assert_eq!(rows::clusters(world).next().expect("a row").source.link, "live");
    }
}

/// A right that is missing is a sentence with the object and the command.
#[tokio::test(start_paused = true)]
async fn a_forbidden_log_says_which_right_is_missing() {
    let fleet = fleet("{ kind = 'antrea', records = 'antrea-log' }");
    fleet.fault("east", Fault::MissingRights);
    let (told, _wanted) = follow_logs(&fleet, SourceKind::AntreaLog);
    sleep(5 * SECOND).await;
    let Link::Broken(trouble) = told.state().link else { panic!("{:?}", told.state()) };
    let said = trouble.to_string();
    assert!(said.starts_with("log of pod sluice-printers/sluice-printer-"), "{said}");
    assert!(said.contains("HTTP 403") && said.contains("pods/log"), "{said}");
    assert!(said.contains("kubectl -n sluice-printers create rolebinding"), "{said}");
}

/// Antrea without a stream and without printers: nothing is read, and what is needed is said.
#[tokio::test(start_paused = true)]
async fn where_nothing_is_there_to_read_the_row_says_what_is_needed() {
    let fleet = fleet("'antrea'");
    let mut plan = fleet_file(&fleet);
    plan.clusters[0].flows = sluice::domain::source::Wanted::Antrea;
    let mut engine = engine(&fleet, Person::Lead, plan, PolicyFiles::default());
    run_until(&mut engine, "the reason", 60 * SECOND, |world| {
        source(world).is_some_and(
            |state| matches!(&state.link, Link::None(why) if why.as_str().contains("sluice-printers.yaml")),
        )
    })
    .await;
}
