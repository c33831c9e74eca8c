//! A cluster that is followed: what the world knows of it, and what is said when something fails,
//! in memory, under a paused clock.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, TimeZone as _, Utc};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use serde_json::json;
use sluice::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        ports::{Change, ClusterFact, Fact},
        world::World,
    },
    domain::{
        coverage::CronJob,
        fleet::{Cluster as Row, Enforcement, Environment, Part},
        flow::Direction,
        names::{ClusterName, NsName, Text},
        policy::PolicyKind,
        preflight::check::{CheckId, Verdict},
    },
    k8s::{connect::Access, watch},
    sim::api::{
        clock::Clock,
        cluster::{CertName, Cluster, ClusterSetup, Peer, Stop},
        faults::{Faults, Reach},
        resources::Resource,
    },
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

/// What the wire adds to the server's own faults.
#[derive(Clone, Default)]
struct Wire {
    /// Requests turned away: those of a path, or all, with this code.
    refused: Arc<Mutex<Option<(&'static str, u16)>>>,
}

struct Followed {
    cluster: Cluster,
    wire: Wire,
    world: World,
    inbox: mpsc::Receiver<Fact>,
    again: Arc<Notify>,
    began: Instant,
    /// CronJobs and the way to the DNS server, in words.
    told: Vec<String>,
    /// Sessions that began.
    met: usize,
    /// Looks at what changes seldom: rights, Kyverno.
    reviews: usize,
}

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, 0).single().expect("a valid time")
}

fn cluster() -> Cluster {
    serving(Vec::new())
}

fn serving(extra_resources: Vec<Resource>) -> Cluster {
    let cluster = Cluster::new(ClusterSetup {
        accounts: Vec::new(),
        extra_resources,
        controllers: true,
        clock: Clock::new(start(), 1.0),
        seed: 7,
        address: "127.0.0.1:6443".to_owned(),
    });
    for ns in ["kube-system", "shop"] {
        cluster.seed_namespace(ns);
    }
    cluster.seed(json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": "kube-flannel-ds", "namespace": "kube-system" },
        "spec": { "template": { "spec": { "containers": [{ "name": "kube-flannel", "image": "flannel:v1" }] } } },
        "status": { "desiredNumberScheduled": 1, "numberReady": 1 },
    }));
    for n in 0..3 {
        cluster.seed(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": format!("api-{n}"), "namespace": "shop", "labels": { "app": "api" } },
            "spec": { "containers": [{ "name": "c", "image": "c:1" }] }, "status": { "phase": "Running" },
        }));
    }
    put_policy(&cluster, "default-deny-egress");
    cluster
}

fn put_policy(cluster: &Cluster, name: &str) {
    cluster.seed(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "podSelector": {}, "policyTypes": ["Egress"] },
    }));
}

impl Followed {
    fn new(cluster: Cluster) -> Self {
        let name = ClusterName::parse("one").expect("a name");
        let mut world = World::new(start());
        world.absorb(Fact::Fleet(FleetFile {
            clusters: vec![ClusterEntry {
                name: name.clone(),
                context: Text::new("one"),
                environment: Environment::Staging,
                relay: None,
                flows: Default::default(),
                collector: None,
            }],
            ..FleetFile::default()
        }));
        let (sender, inbox) = mpsc::channel(64);
        let again = Arc::new(Notify::new());
        let wire = Wire::default();
        let access = Access::Client(client(&cluster, &wire));
        let (_, asks) = tokio::sync::watch::channel(watch::Asks::default());
        let wishes = watch::Wishes { again: again.clone(), asks, bodies: watch::SharedBodies::default() };
        tokio::spawn(watch::run(name, access, sender, wishes));
        Self {
            cluster,
            wire,
            world,
            inbox,
            again,
            began: Instant::now(),
            told: Vec::new(),
            met: 0,
            reviews: 0,
        }
    }

    /// Lets time pass and takes in what is told.
    async fn run(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Ok(Some(fact)) = tokio::time::timeout_at(until, self.inbox.recv()).await {
            self.tick();
            self.note(&fact);
            self.world.absorb(fact);
        }
        self.tick();
    }

    fn note(&mut self, fact: &Fact) {
        self.met += usize::from(matches!(fact, Fact::Cluster(_, ClusterFact::Met { .. })));
        let name = |job: &CronJob| {
            let pause = job.longest_pause.map_or(-1, |pause| pause.num_hours());
            format!(
                "{}/{} {pause}h {}",
                job.ns,
                job.name,
                job.last_run.map_or("-".into(), |at| at.to_rfc3339())
            )
        };
        let Fact::Cluster(_, fact) = fact else { return };
        match fact {
            ClusterFact::CronJobs(Change::Reset(jobs)) => {
                let jobs: Vec<_> = jobs.iter().map(name).collect();
                self.told.push(format!("all: {}", jobs.join(", ")));
            }
            ClusterFact::CronJobs(Change::Put(job)) => self.told.push(format!("put: {}", name(job))),
            ClusterFact::CronJobs(Change::Gone((ns, job))) => self.told.push(format!("gone: {ns}/{job}")),
            ClusterFact::Kyverno(_) => self.reviews += 1,
            ClusterFact::Dns(path) => self.told.push(format!("{path:?}")),
            _ => {}
        }
    }

    fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn tick(&mut self) {
        let passed = chrono::TimeDelta::from_std(self.began.elapsed()).expect("a short while");
        self.world.absorb(Fact::Tick(start() + passed));
    }

    fn row(&self) -> &Row {
        self.world.clusters().next().expect("the cluster")
    }

    fn health(&self) -> String {
        let health = &self.row().health;
        format!("{}: {}", health.word(), health.reason().map_or("", |reason| reason.as_str()))
    }

    fn age_secs(&self) -> i64 {
        (self.world.now() - self.row().last_good.expect("it answered once")).num_seconds()
    }

    fn refuse(&self, what: Option<(&'static str, u16)>) {
        *self.wire.refused.lock().expect("no test panics with it") = what;
    }

    fn pods(&self) -> usize {
        let ns = NsName::parse("shop").expect("a name");
        self.row().namespaces.get(&ns).map_or(0, |ns| ns.pods.len())
    }
}

fn client(cluster: &Cluster, wire: &Wire) -> kube::Client {
    let (cluster, wire) = (cluster.clone(), wire.clone());
    kube::Client::new(
        tower::service_fn(move |request| {
            let (cluster, wire) = (cluster.clone(), wire.clone());
            async move { carry(&cluster, &wire, request).await }
        }),
        "default",
    )
}

async fn carry(
    cluster: &Cluster,
    wire: &Wire,
    request: Request<Body>,
) -> io::Result<Response<http_body_util::Either<Incoming, Full<Bytes>>>> {
    let refused = *wire.refused.lock().expect("no test panics with it");
    if let Some((_, code)) = refused.filter(|(path, _)| path.is_empty() || request.uri().path() == *path) {
        let status = format!(r#"{{"kind":"Status","message":"not now","code":{code}}}"#);
        let response = Response::builder().status(code).header("content-type", "application/json");
        let body = http_body_util::Either::Right(Full::new(Bytes::from(status)));
        return Ok(response.body(body).expect("a response"));
    }
    let groups = vec!["system:masters".to_owned()];
    let peer = Peer { certificate: Some(CertName { user: "lead".to_owned(), groups }) };
    let (near, far) = tokio::io::duplex(1 << 16);
    let service = cluster.service(peer);
    tokio::spawn(async move {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service).await;
    });
    let broken = |error: hyper::Error| io::Error::new(io::ErrorKind::ConnectionReset, error);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(near)).await.map_err(broken)?;
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    parts.headers.insert("host", "127.0.0.1:6443".parse().expect("a header value"));
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await.map_err(broken)?;
    Ok(answer.map(http_body_util::Either::Left))
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_cluster_is_known_within_a_second() {
    let mut it = Followed::new(cluster());
    it.run(SECOND).await;
    let row = it.row();
    assert_eq!(it.health(), "up: ");
    assert!(row.is_complete() && row.uid.is_some());
    assert_eq!(row.version.as_ref().map(Text::as_str), Some("v1.36.2"));
    assert_eq!(row.identity.as_ref().map(|identity| identity.user.as_str()), Some("lead"));
    assert_eq!(row.rights.everywhere().may_apply(), Some(true));
    assert_eq!(row.enforcement(), Enforcement::DoesNot);
    let ns = &row.namespaces[&NsName::parse("shop").expect("a name")];
    assert_eq!((ns.pods.len(), ns.isolation(Direction::Egress).isolated), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_seen_and_ages_stay_true() {
    let mut it = Followed::new(cluster());
    it.run(SECOND).await;
    put_policy(&it.cluster, "egress-allowlist");
    it.cluster.unseed("v1", "Pod", "shop", "api-0");
    it.run(SECOND).await;
    let ns = &it.row().namespaces[&NsName::parse("shop").expect("a name")];
    assert_eq!((ns.pods.len(), ns.policies.len()), (2, 2));
    it.run(Duration::from_secs(3600)).await;
    assert_eq!(it.health(), "up: ");
    assert!(it.age_secs() <= 16, "{}", it.age_secs());
}

#[tokio::test(start_paused = true)]
async fn a_silent_cluster_is_away_with_its_reason_and_comes_back_by_itself() {
    let mut it = Followed::new(cluster());
    it.run(SECOND).await;
    it.cluster.set_faults(Faults { reach: Reach::Silent, ..Faults::default() });
    it.run(Duration::from_secs(40)).await;
    assert_eq!(
        it.health(),
        "down: one: no answer within 10 s. Check the cluster's load and the network; sluice tries again by itself."
    );
    assert!(it.age_secs() >= 30);
    it.cluster.unseed("v1", "Pod", "shop", "api-0");
    it.cluster.set_faults(Faults::default());
    it.again.notify_one();
    it.run(Duration::from_secs(15)).await;
    assert_eq!((it.health().as_str(), it.pods()), ("up: ", 2));
}

#[tokio::test(start_paused = true)]
async fn each_way_to_be_away_has_its_sentence() {
    let broken = "down: one: the connection broke. Check that the API server runs and that its address and port are right.";
    let html = "down: one: HTTP 200 with text/html, not a Kubernetes answer. Check the server address of this context: a proxy or login page may stand in between.";
    let expired = "down: one: refused with HTTP 401: Unauthorized. The credentials are not accepted: sign in again or renew the token of this context.";
    for (faults, said) in [
        (Faults { reach: Reach::Breaks, ..Faults::default() }, broken),
        (Faults { garbage: true, ..Faults::default() }, html),
        (Faults { expired_certificates: true, ..Faults::default() }, expired),
    ] {
        let cluster = cluster();
        cluster.set_faults(faults);
        let mut it = Followed::new(cluster);
        it.run(SECOND).await;
        assert_eq!(it.health(), said);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_list_is_one_missing_part_and_the_rest_goes_on() {
    let cluster = cluster();
    let mut it = Followed::new(cluster);
    it.refuse(Some(("/api/v1/pods", 403)));
    it.run(SECOND).await;
    assert_eq!(
        it.health(),
        "degraded: pods of one: refused with HTTP 403: not now. Ask the cluster's admin for this right, or choose a context that has it."
    );
    assert!(it.row().is_complete());
    it.refuse(None);
    it.run(Duration::from_secs(60)).await;
    assert_eq!((it.health().as_str(), it.pods()), ("up: ", 3));
}

/// One failure at the start of a session is not for as long as it lasts.
#[tokio::test(start_paused = true)]
async fn which_cluster_it_is_is_asked_for_until_it_is_known() {
    let mut it = Followed::new(cluster());
    it.refuse(Some(("/api/v1/namespaces/kube-system", 503)));
    it.run(SECOND).await;
    assert_eq!(it.row().uid, None);
    let why = "degraded: namespace kube-system of one: ";
    assert!(it.health().starts_with(why), "{}", it.health());
    it.refuse(None);
    it.run(Duration::from_secs(35)).await;
    assert!(it.row().uid.is_some() && it.row().is_complete());
    assert_eq!((it.health().as_str(), it.met), ("up: ", 2));
}

/// What is served decides what is followed, so an answer that does not come is not one that says nothing.
#[tokio::test(start_paused = true)]
async fn kinds_that_could_not_be_asked_for_are_unknown_and_not_absent() {
    for (path, what, called) in [
        (
            "/apis/cilium.io/v2",
            Part::Policies(PolicyKind::CiliumNetworkPolicy),
            "kinds of Cilium network policies of one",
        ),
        ("/apis/projectcalico.org/v3", Part::Staged, "kinds of staged policies of one"),
    ] {
        let mut it = Followed::new(cluster());
        it.refuse(Some((path, 503)));
        it.run(SECOND).await;
        let why = it.row().troubles.get(&what).map_or("", Text::as_str);
        assert!(why.starts_with(called), "{path}: {why:?}");
        assert_eq!(it.row().looked.stages, (what != Part::Staged).then_some(false), "{path}");
        it.refuse(None);
        it.run(Duration::from_secs(60)).await;
        assert_eq!((it.health().as_str(), it.row().looked.stages), ("up: ", Some(false)), "{path}");
    }
}

/// One API of many that does not answer costs a question about it, not a look at everything.
#[tokio::test(start_paused = true)]
async fn only_what_did_not_answer_is_asked_again_soon() {
    let mut it = Followed::new(cluster());
    it.refuse(Some(("/apis/projectcalico.org/v3", 503)));
    it.run(Duration::from_secs(290)).await;
    assert_eq!(it.reviews, 1);
    it.run(Duration::from_secs(300)).await;
    assert_eq!(it.reviews, 2);
}

/// A session that begins anew reads every list anew, which is a gap for every soak.
#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_once_is_no_other_server() {
    let cilium = Resource::custom("cilium.io", "v2", "ciliumnetworkpolicies", "CiliumNetworkPolicy");
    let mut it = Followed::new(serving(vec![cilium]));
    it.run(SECOND).await;
    assert_eq!((it.met, it.row().kinds.len()), (1, 1));
    it.refuse(Some(("/apis/cilium.io/v2", 503)));
    it.run(Duration::from_secs(700)).await;
    it.refuse(None);
    it.run(Duration::from_secs(700)).await;
    assert_eq!((it.met, it.row().kinds.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_429_degrades_the_row_and_passes() {
    let mut it = Followed::new(cluster());
    it.run(SECOND).await;
    it.refuse(Some(("", 429)));
    it.run(Duration::from_secs(60)).await;
    assert!(
        it.health().starts_with("degraded: one: turns requests away (HTTP 429 or 503)"),
        "{}",
        it.health()
    );
    it.refuse(None);
    it.run(Duration::from_secs(60)).await;
    assert_eq!((it.health().as_str(), it.pods()), ("up: ", 3));
    // From the beginning, too: what answers with 429 is there.
    let mut it = Followed::new(cluster());
    it.refuse(Some(("", 429)));
    it.run(Duration::from_secs(60)).await;
    assert!(it.health().starts_with("degraded: "), "{}", it.health());
    it.refuse(None);
    it.run(Duration::from_secs(60)).await;
    assert_eq!((it.health().as_str(), it.pods()), ("up: ", 3));
    assert_eq!(it.row().version.as_ref().map(Text::as_str), Some("v1.36.2"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_cluster_is_degraded_and_shown_all_the_same() {
    let cluster = cluster();
    cluster.set_faults(Faults { latency: Duration::from_secs(5), ..Faults::default() });
    let mut it = Followed::new(cluster);
    it.run(Duration::from_secs(30)).await;
    assert_eq!(
        it.health(),
        "degraded: one: answers late: 5.0 s for GET /version. Check the API server's load and the network in between."
    );
    assert_eq!(it.pods(), 3);
    it.cluster.set_faults(Faults::default());
    it.run(Duration::from_secs(30)).await;
    assert_eq!(it.health(), "up: ");
}

#[tokio::test(start_paused = true)]
async fn watches_survive_expiry_and_restarts() {
    let mut it = Followed::new(cluster());
    it.run(SECOND).await;
    for stop in [Stop::Clean, Stop::Killed] {
        it.cluster.restart(stop);
        it.run(Duration::from_secs(5)).await;
        it.cluster.unseed("v1", "Pod", "shop", if stop == Stop::Clean { "api-0" } else { "api-1" });
        it.run(Duration::from_secs(5)).await;
    }
    assert_eq!((it.health().as_str(), it.pods()), ("up: ", 1));
    it.cluster.set_faults(Faults { expire_watches: true, ..Faults::default() });
    it.cluster.restart(Stop::Clean);
    it.run(Duration::from_secs(120)).await;
    it.cluster.unseed("v1", "Pod", "shop", "api-2");
    it.cluster.set_faults(Faults::default());
    it.run(Duration::from_secs(60)).await;
    assert_eq!((it.health().as_str(), it.pods()), ("up: ", 0));
}

#[tokio::test(start_paused = true)]
async fn one_hostile_or_huge_object_costs_only_itself() {
    let cluster = cluster();
    cluster.seed(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "odd", "namespace": "shop" },
        "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": "\u{1b}[2J" },
    }));
    cluster.seed(json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": "big", "annotations": { "x/owner": "\u{202e}evil\u{1b}]0;", "blob": "x".repeat(2 << 20) } },
        "spec": {}, "status": { "phase": "Active" },
    }));
    let mut it = Followed::new(cluster);
    it.run(SECOND).await;
    assert_eq!(
        it.health(),
        "degraded: network policies of one: one cannot be read: NetworkPolicy shop/odd: spec.egress is not a list. Look at it with kubectl."
    );
    let owner = it.row().namespaces[&NsName::parse("big").expect("a name")].seen.owner.clone();
    assert_eq!(owner.expect("an owner").as_str(), "\u{fffd}evil\u{fffd}]0;");
    let shop = &it.row().namespaces[&NsName::parse("shop").expect("a name")];
    assert_eq!((shop.policies.len(), shop.pods.len()), (1, 3));
    // Corrected, it is seen, and nothing is complained of any more.
    put_policy(&it.cluster, "odd");
    it.run(SECOND).await;
    let shop = &it.row().namespaces[&NsName::parse("shop").expect("a name")];
    assert_eq!((shop.policies.len(), it.health().as_str()), (2, "up: "));
}

fn put_job(cluster: &Cluster, name: &str, schedule: &str, last: Option<&str>) {
    cluster.seed(json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": name, "namespace": "shop" },
        "spec": { "schedule": schedule, "jobTemplate": { "spec": { "template": { "spec": {} } } } },
        "status": last.map_or(json!({}), |last| json!({ "lastScheduleTime": last })),
    }));
}

#[tokio::test(start_paused = true)]
async fn cron_jobs_are_followed_behind_what_decisions_need() {
    let cluster = cluster();
    put_job(&cluster, "report", "0 3 * * 1", Some("2026-03-02T03:00:00Z"));
    put_job(&cluster, "odd", "whenever", None);
    let mut it = Followed::new(cluster);
    it.run(SECOND).await;
    assert!(it.row().is_complete(), "nothing waits for them");
    let direct = "Direct { evidence: \"no node-local-dns among 1 DaemonSets\" }";
    assert_eq!(it.take_told(), [direct]);
    it.run(Duration::from_secs(6)).await;
    assert_eq!(it.take_told(), ["all: shop/odd -1h -, shop/report 168h 2026-03-02T03:00:00+00:00"]);
    put_job(&it.cluster, "report", "0 3 * * 1", Some("2026-03-09T03:00:00Z"));
    it.cluster.unseed("batch/v1", "CronJob", "shop", "odd");
    it.run(SECOND).await;
    assert_eq!(it.take_told(), ["put: shop/report 168h 2026-03-09T03:00:00+00:00", "gone: shop/odd"]);
    assert_eq!(it.health(), "up: ");
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_cron_jobs_the_rest_goes_on() {
    for code in [403, 404] {
        let mut it = Followed::new(cluster());
        it.refuse(Some(("/apis/batch/v1/cronjobs", code)));
        it.run(Duration::from_secs(7)).await;
        assert!(it.row().is_complete());
        assert_eq!(it.pods(), 3);
        let said = it.health();
        assert!(said.starts_with(&format!("degraded: cron jobs of one: refused with HTTP {code}")), "{said}");
        it.refuse(None);
        it.run(Duration::from_secs(60)).await;
        assert_eq!(it.health(), "up: ");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_on_the_nodes_is_told_with_its_evidence() {
    let cluster = cluster();
    cluster.seed(json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": "node-local-dns", "namespace": "kube-system" },
        "spec": { "template": { "spec": { "containers": [
            { "name": "node-cache", "image": "k8s-dns-node-cache:1.26", "args": ["-localip", "169.254.20.10"] }
        ] } } },
        "status": { "desiredNumberScheduled": 3, "numberReady": 3 },
    }));
    let mut it = Followed::new(cluster);
    it.run(SECOND).await;
    let cache = "NodeCache { evidence: \"DaemonSet kube-system/node-local-dns: container node-cache, -localip=169.254.20.10\" }";
    assert_eq!(it.take_told(), [cache]);
}

/// Pre-flights that were told within this time.
async fn looks(inbox: &mut mpsc::Receiver<Fact>, time: Duration) -> Vec<Verdict> {
    let until = Instant::now() + time;
    let mut all = Vec::new();
    while let Ok(Some(fact)) = tokio::time::timeout_at(until, inbox.recv()).await {
        if let Fact::Cluster(_, ClusterFact::Preflight(report)) = fact {
            all.push(report.check(CheckId::Agents).expect("each check is told").verdict);
        }
    }
    all
}

/// While an agent is not ready, it is looked for every minute, for half an hour; then every five. A node
/// for which no agent is made hurries nobody.
#[tokio::test(start_paused = true)]
async fn what_stops_the_rollout_is_looked_at_again_soon() {
    let cluster = cluster();
    let agents = |cluster: &Cluster, ready: u32| {
        cluster.seed(json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": { "name": "antrea-agent", "namespace": "kube-system" },
            "spec": { "template": { "spec": { "containers": [
                { "name": "antrea-agent", "image": "antrea/antrea-agent-ubuntu:v2.5.0" }] } } },
            "status": { "desiredNumberScheduled": 2, "numberReady": ready },
        }));
    };
    agents(&cluster, 1);
    let node = |name: &str, labels: serde_json::Value| {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels },
        })
    };
    for name in ["a", "b"] {
        cluster.seed(node(name, json!({})));
    }
    let mut followed = Followed::new(cluster);
    let inbox = &mut followed.inbox;
    assert_eq!(looks(inbox, Duration::from_secs(30)).await, [Verdict::Fail]);
    assert_eq!(looks(inbox, Duration::from_secs(300)).await, [Verdict::Fail; 5], "one a minute");
    agents(&followed.cluster, 2);
    assert_eq!(looks(inbox, Duration::from_secs(60)).await, [Verdict::Pass], "within a minute");
    assert_eq!(looks(inbox, Duration::from_secs(1_700)).await, [], "then seldom, as ever");
    assert_eq!(looks(inbox, Duration::from_secs(200)).await, [Verdict::Pass]);
    followed.cluster.seed(node("aci", json!({ "type": "virtual-kubelet" })));
    assert_eq!(looks(inbox, Duration::from_secs(3_600)).await, [Verdict::Fail; 2]);
    agents(&followed.cluster, 0);
    let first = looks(inbox, Duration::from_secs(1_800)).await;
    assert_eq!(first.first(), Some(&Verdict::Fail));
    let later = looks(inbox, Duration::from_secs(3_600)).await;
    assert!((12..=60).contains(&later.len()), "{}", later.len());
    assert_eq!(looks(inbox, Duration::from_secs(3_000)).await, [Verdict::Fail; 10], "every five minutes");
}
