//! One process at a time writes a cluster's evidence: by its Lease, over the API server, with a
//! killed holder and a watch that asks.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use sluice::{
    cockpit::{
        ports::Fact,
        shared::{Observer, SharedFact},
    },
    domain::names::ClusterName,
    k8s::{
        lease::{Claims, Role},
        shared::session::{self, Asks, Place},
    },
    sim::api::cluster::Cluster,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

use super::{LEAD, ONCALL, access, installed, name, ns, people};

/// A program that watches clusters, as far as the state cluster sees it.
struct Process {
    claims: watch::Sender<Claims>,
    inbox: mpsc::Receiver<Fact>,
    observers: BTreeMap<ClusterName, Observer>,
    task: JoinHandle<()>,
}

impl Process {
    fn start(cluster: &Cluster, user: &str, groups: &[&str], role: Role) -> Self {
        let (sender, inbox) = mpsc::channel(1024);
        let claims = watch::Sender::new(Claims {
            role: Some(role),
            host: "host".into(),
            nonce: user.into(),
            wanted: [name("east"), name("west")].into(),
            alerted: Default::default(),
            leaving: false,
        });
        let asks = Asks {
            shares: mpsc::channel(1).1,
            evidence: mpsc::channel(1).1,
            again: Default::default(),
            claims: claims.subscribe(),
        };
        let place = Place { cluster: name("mgmt"), ns: ns("sluice"), people: people() };
        let task = tokio::spawn(session::run(place, access(cluster, user, groups), sender, asks));
        Self { claims, inbox, observers: BTreeMap::new(), task }
    }

    fn take(&mut self) {
        while let Ok(fact) = self.inbox.try_recv() {
            match fact {
                Fact::Shared(SharedFact::Observer(cluster, Some(observer))) => {
                    self.observers.insert(cluster, observer);
                }
                Fact::Shared(SharedFact::Observer(cluster, None)) => {
                    self.observers.remove(&cluster);
                }
                _ => {}
            }
        }
    }

    /// `east ann on host, west -`, ours with a star.
    fn sees(&mut self) -> String {
        self.take();
        let word = |cluster: &str| match self.observers.get(&name(cluster)) {
            Some(observer) => {
                format!("{cluster} {}{}", observer.holder, if observer.is_us { "*" } else { "" })
            }
            None => format!("{cluster} -"),
        };
        format!("{}, {}", word("east"), word("west"))
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_holder_is_replaced_after_half_a_minute_and_never_two_hold_at_once() {
    let cluster = installed().await;
    let mut ann = Process::start(&cluster, "ann", LEAD, Role::Cockpit);
    pass(5).await;
    assert_eq!(ann.sees(), "east ann on host*, west ann on host*");
    let mut tom = Process::start(&cluster, "tom", ONCALL, Role::Cockpit);
    pass(120).await;
    assert_eq!(ann.sees(), "east ann on host*, west ann on host*");
    assert_eq!(tom.sees(), "east ann on host, west ann on host");
    let lease = cluster.objects("coordination.k8s.io/v1", "Lease");
    assert_eq!(lease[0]["metadata"]["name"], "sluice-observer-east");
    assert_eq!(lease[0]["spec"]["holderIdentity"], "ann on host [ann]");
    assert_eq!(lease[0]["spec"]["leaseDurationSeconds"], json!(30));
    ann.task.abort();
    let killed = Instant::now();
    let taken = loop {
        pass(1).await;
        if tom.sees().contains('*') {
            break killed.elapsed().as_secs();
        }
    };
    // It was renewed at most ten seconds before it died.
    assert!((19..=33).contains(&taken), "{taken} s");
    pass(2).await;
    assert_eq!(tom.sees(), "east tom on host*, west tom on host*");
}

#[tokio::test(start_paused = true)]
async fn a_watch_gets_the_lease_of_a_cockpit_and_keeps_it() {
    let cluster = installed().await;
    let mut ann = Process::start(&cluster, "ann", LEAD, Role::Cockpit);
    pass(5).await;
    let mut watch = Process::start(&cluster, "tom", ONCALL, Role::Watch);
    pass(15).await;
    assert_eq!(watch.sees(), "east watch on host*, west watch on host*");
    assert_eq!(ann.sees(), "east watch on host, west watch on host");
    pass(300).await;
    assert_eq!(ann.sees(), "east watch on host, west watch on host");
    // It ends well: what it held is free at once.
    watch.claims.send_modify(|claims| claims.leaving = true);
    pass(3).await;
    assert_eq!(watch.sees().matches('*').count(), 0);
    assert_eq!(ann.sees(), "east ann on host*, west ann on host*");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_away_gives_its_cluster_to_another() {
    let cluster = installed().await;
    let mut ann = Process::start(&cluster, "ann", LEAD, Role::Cockpit);
    pass(5).await;
    let mut tom = Process::start(&cluster, "tom", ONCALL, Role::Cockpit);
    ann.claims.send_modify(|claims| claims.wanted = [name("west")].into());
    pass(20).await;
    assert_eq!(tom.sees(), "east ann on host, west ann on host");
    pass(25).await;
    assert_eq!(tom.sees(), "east tom on host*, west ann on host");
    assert_eq!(ann.sees(), "east tom on host, west ann on host*");
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_reach_the_state_cluster_knows_of_no_observer() {
    let cluster = installed().await;
    let mut ann = Process::start(&cluster, "ann", LEAD, Role::Cockpit);
    pass(5).await;
    assert!(ann.sees().contains('*'));
    let broken = sluice::sim::api::faults::Faults {
        reach: sluice::sim::api::faults::Reach::Breaks,
        ..Default::default()
    };
    cluster.set_faults(broken);
    pass(31).await;
    assert_eq!(ann.sees(), "east -, west -");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_only_looks() {
    let cluster = installed().await;
    let mut vic = Process::start(&cluster, "vic", &["sluice:team"], Role::Cockpit);
    pass(20).await;
    assert_eq!(vic.sees(), "east -, west -");
    let _ann = Process::start(&cluster, "ann", LEAD, Role::Cockpit);
    pass(5).await;
    assert_eq!(vic.sees(), "east ann on host, west ann on host");
}
