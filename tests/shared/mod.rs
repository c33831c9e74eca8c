//! What the team shares, over a simulated API server that has definitions, rules and admission: every
//! way past them is refused, no write is lost, one process at a time writes evidence.

mod gate;
mod hostile;
mod installing;
mod leases;
mod observing;
mod state;
mod writers;
mod zombie;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sluice::{
    cockpit::{
        plan::{ClusterEntry, FleetFile, PolicyFiles},
        ports::{Link, Trouble},
        settings::StatePlace,
        shared::{Share, ShareId},
    },
    domain::{
        fleet::Environment,
        flow::{Direction, Protocol},
        grant::{Decision, DecisionVerdict, Grant, Opening, PortSpan},
        names::{ClusterName, NsName, Text},
        policy::Selector,
        rollout::{Stamp, Target},
    },
    engine::{Clock, Engine, Setup},
    k8s::{connect::Access, shared::install},
    sim::api::{
        clock::Clock as SimClock,
        cluster::{CertName, Cluster, ClusterSetup, Peer},
    },
};

pub use crate::support::{run_for, run_until, start};

use crate::support;

/// A state cluster with nothing in it.
pub fn bare() -> Cluster {
    let cluster = Cluster::new(ClusterSetup {
        accounts: Vec::new(),
        extra_resources: Vec::new(),
        controllers: true,
        clock: SimClock::new(start(), 1.0),
        seed: 7,
        address: "127.0.0.1:6443".to_owned(),
    });
    cluster.seed_namespace("kube-system");
    cluster
}

/// A kube client of somebody, in groups named by the roles that `bind` binds.
pub fn access(cluster: &Cluster, user: &str, groups: &[&str]) -> Access {
    let name =
        CertName { user: user.to_owned(), groups: groups.iter().map(|group| (*group).to_owned()).collect() };
    let cluster = cluster.clone();
    let connect = move || {
        let (near, far) = tokio::io::duplex(1 << 16);
        let service = cluster.service(Peer { certificate: Some(name.clone()) });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(far), service).await;
        });
        Ok(near)
    };
    Access::Client(support::client_with(String::new(), connect))
}

pub fn admin(cluster: &Cluster) -> Access {
    access(cluster, "root", &["system:masters"])
}

pub const LEAD: &[&str] = &["sluice:team", "sluice:lead"];
pub const ONCALL: &[&str] = &["sluice:team", "sluice:oncall"];
pub const SECURITY: &[&str] = &["sluice:team", "sluice:security"];

pub fn place() -> install::Target {
    install::Target { cluster: name("mgmt"), context: "mgmt".into(), ns: ns("sluice"), people: people() }
}

/// Ann has a second name.
pub fn people() -> Vec<Vec<Text>> {
    vec![vec!["ann".into(), "ann@corp".into()]]
}

/// A state cluster as `sluice install` leaves it, with the example's bindings.
pub async fn installed() -> Cluster {
    let cluster = bare();
    let plan = install::plan(&admin(&cluster), &place()).await.expect("it can be asked");
    assert_eq!(plan.refusals().collect::<Vec<_>>(), Vec::<&Trouble>::new());
    install::install(&admin(&cluster), &plan, start()).await.expect("it installs");
    bind(&cluster);
    cluster
}

pub fn bind(cluster: &Cluster) {
    let text = std::fs::read_to_string("assets/crds/bindings.example.yaml").expect("the example");
    let bindings: Vec<Value> = serde_yaml::from_multiple(&text).expect("it is YAML");
    bindings.into_iter().for_each(|binding| cluster.seed(binding));
}

/// A cockpit of somebody on the state cluster.
pub fn cockpit(cluster: &Cluster, user: &str, groups: &[&str]) -> Engine {
    let door = access(cluster, user, groups);
    let entry = ClusterEntry {
        name: name("mgmt"),
        context: "mgmt".into(),
        environment: Environment::Production,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    let mut fleet =
        FleetFile { path: Some("sluice.yaml".into()), clusters: vec![entry], ..FleetFile::default() };
    fleet.settings.state = Some(StatePlace { cluster: name("mgmt"), ns: ns("sluice") });
    fleet.settings.people = people();
    Engine::start(Setup {
        fleet,
        files: PolicyFiles::default(),
        notices: Vec::new(),
        reach: Arc::new(move |_| door.clone()),
        clock: Clock::simulated(start(), 1.0),
        zone: FixedOffset::east_opt(0).expect("in range"),
        read_only: false,
        follow_flows: false,
        workspace: None,
        records: None,
        notify: None,
    })
}

/// A cockpit that has read everything.
pub async fn live(cluster: &Cluster, user: &str, groups: &[&str]) -> Engine {
    let mut engine = cockpit(cluster, user, groups);
    let is_live = |world: &sluice::cockpit::world::World| world.shared().is_live();
    run_until(&mut engine, "the state cluster is live", Duration::from_secs(20), is_live).await;
    engine
}

/// Writes, and waits for the answer and for what the watch shows of it.
pub async fn write(engine: &mut Engine, id: u64, share: Share) -> Result<(), Trouble> {
    engine.share(ShareId(id), share);
    let answered = |world: &sluice::cockpit::world::World| {
        world.shared().wrote().iter().any(|written| written.id == ShareId(id))
    };
    run_until(engine, "the write is answered", Duration::from_secs(30), answered).await;
    run_for(engine, Duration::from_secs(1)).await;
    let written = engine.world().shared().wrote().iter().find(|written| written.id == ShareId(id));
    written.expect("it was answered").result.clone()
}

pub fn said(result: Result<(), Trouble>) -> String {
    result.map_or_else(|trouble| trouble.to_string(), |()| "written".to_owned())
}

pub fn link(engine: &Engine) -> String {
    match engine.world().shared().link() {
        None => "none".to_owned(),
        Some(Link::None(why)) => format!("none: {why}"),
        Some(Link::Connecting) => "connecting".to_owned(),
        Some(Link::Live) => "live".to_owned(),
        Some(Link::Broken(trouble)) => format!("broken: {trouble}"),
    }
}

pub fn name(raw: &str) -> ClusterName {
    ClusterName::parse(raw).expect("a name")
}

pub fn ns(raw: &str) -> NsName {
    NsName::parse(raw).expect("a name")
}

pub fn target() -> Target {
    Target { cluster: name("prod-eu"), ns: ns("shop"), direction: Direction::Egress }
}

pub fn grant() -> Grant {
    Grant {
        clusters: ["uid-1".into(), "uid-2".into()].into(),
        ns: ns("shop"),
        selector: Selector::default(),
        direction: Direction::Egress,
        destination: Opening::Networks(vec!["203.0.113.0/24".parse().expect("a network")]),
        ports: vec![PortSpan { protocol: Protocol::Tcp, from: 443, to: 443 }],
        expires: start() + TimeDelta::days(90),
    }
}

pub fn ask() -> Share {
    Share::AskReview {
        grant: Box::new(grant()),
        findings: vec!["a webhook receiver".into()],
        purpose: "order confirmations".into(),
    }
}

pub fn decision(verdict: DecisionVerdict) -> Decision {
    Decision {
        verdict,
        // Whatever stands here is not what is stored: the server says who and when.
        stamp: Stamp { by: "nobody".into(), at: DateTime::<Utc>::default() },
        reason: "known partner".into(),
        ticket: Some("SEC-1".into()),
        clusters: ["uid-1".into()].into(),
        expires: None,
    }
}
