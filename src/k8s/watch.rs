//! One cluster, for ever: connect, who is it, who am I, what may I do, which CNI, then its lists.
//! Whatever fails is a fact; the task itself never ends and never waits for another cluster.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep},
};

use crate::{
    cockpit::ports::{ClusterFact, Fact, Trouble},
    domain::{
        fleet::Part,
        names::{ClusterName, Text},
        policy::{Bodies, PolicyKind},
        preflight::{cni, report},
    },
};

use super::{
    connect::Access,
    cronjobs::{self, CronJobs},
    decode::MetaOnly,
    failure::Failure,
    follow::{Backoff, Namespaces, Out, Pods, Policies, follow},
    identity, kyverno,
    preflight::look,
    staged::{self, StagedPolicies},
    wire::{Call, Server},
};

/// Time between signs of life, so that ages on screen are true.
const LIVENESS: Duration = Duration::from_secs(15);
/// An answer later than this is late.
const LATE: Duration = Duration::from_secs(2);
/// Rights, CNI and served kinds are looked at again after this.
const REFRESH: Duration = Duration::from_secs(300);
/// A pre-flight reads whole lists: seldom.
const PREFLIGHT: Duration = Duration::from_secs(1800);
/// A session that lived this long was a good one: waiting times start anew.
const GOOD: Duration = Duration::from_secs(60);

/// Follows a cluster until nobody listens to `inbox`. `again` skips a waiting time; `bodies` are those of
/// all clusters.
pub async fn run(
    cluster: ClusterName,
    access: Access,
    inbox: mpsc::Sender<Fact>,
    again: Arc<Notify>,
    bodies: Bodies,
) {
    let out = Out { cluster, inbox: inbox.clone() };
    tokio::select! {
        () = inbox.closed() => {}
        () = for_ever(&out, &access, &again, &bodies) => {}
    }
}

async fn for_ever(out: &Out, access: &Access, again: &Notify, bodies: &Bodies) {
    let mut backoff = Backoff::new(out.cluster.as_str());
    loop {
        let began = Instant::now();
        let over = session(out, access, again, bodies).await;
        if began.elapsed() > GOOD {
            backoff.reset();
        }
        match over {
            Over::Anew => {}
            Over::Away(trouble) => {
                out.tell(ClusterFact::Away(trouble)).await;
                tokio::select! {
                    () = sleep(backoff.next()) => {}
                    () = again.notified() => backoff.reset(),
                }
            }
        }
    }
}

/// Why a session is over.
enum Over {
    Away(Trouble),
    /// Start again at once: somebody asked, or the server is not what it was.
    Anew,
}

async fn session(out: &Out, access: &Access, again: &Notify, bodies: &Bodies) -> Over {
    let server = match access.server().await {
        Ok(server) => server,
        Err(trouble) => return Over::Away(trouble),
    };
    let began = Instant::now();
    let version = match version(&server).await {
        Ok(version) => version,
        Err(failure) => return away(out, &failure),
    };
    let took = began.elapsed();
    let (uid, kinds, stages) = tokio::join!(uid(&server), kinds(&server), staged::is_served(&server));
    let met = ClusterFact::Met {
        uid,
        version: version.clone().unwrap_or_else(|| Text::new("unknown")),
        kinds: kinds.clone(),
    };
    out.tell(met).await;
    let mut all: Vec<BoxFuture<'_, ()>> = vec![
        Box::pin(follow(Namespaces, server.clone(), out.clone())),
        Box::pin(follow(Policies(PolicyKind::NetworkPolicy, bodies.clone()), server.clone(), out.clone())),
        Box::pin(follow(Pods, server.clone(), out.clone())),
    ];
    all.push(Box::pin(async {
        sleep(cronjobs::LATER).await;
        follow(CronJobs, server.clone(), out.clone()).await;
    }));
    if stages {
        all.push(Box::pin(follow(StagedPolicies, server.clone(), out.clone())));
    } else {
        out.tell(ClusterFact::Staged(None)).await;
    }
    for kind in &kinds {
        all.push(Box::pin(follow(Policies(*kind, bodies.clone()), server.clone(), out.clone())));
    }
    let alive = Alive { server: &server, out, knows_version: version.is_some(), late: false };
    tokio::select! {
        over = alive.watch(took, again) => over,
        over = refresh(&server, out, (&kinds, stages)) => over,
        _ = futures::future::join_all(all) => Over::Anew,
    }
}

fn away(out: &Out, failure: &Failure) -> Over {
    Over::Away(failure.trouble(out.cluster.as_str()))
}

/// Signs of life of one session.
struct Alive<'a> {
    server: &'a Server,
    out: &'a Out,
    knows_version: bool,
    late: bool,
}

impl Alive<'_> {
    async fn watch(mut self, first: Duration, again: &Notify) -> Over {
        self.note(first).await;
        loop {
            tokio::select! {
                () = sleep(LIVENESS) => {}
                () = again.notified() => return Over::Anew,
            }
            let began = Instant::now();
            match version(self.server).await {
                Ok(Some(_)) if !self.knows_version => return Over::Anew,
                Ok(Some(_)) => {
                    self.out.tell(ClusterFact::Answered).await;
                    self.note(began.elapsed()).await;
                }
                Ok(None) => self.busy().await,
                Err(failure) => return away(self.out, &failure),
            }
        }
    }

    /// Tells once that answers are late, and once that they are not any more.
    async fn note(&mut self, took: Duration) {
        if !self.knows_version {
            return self.busy().await;
        }
        if took >= LATE {
            let fact = format!("answers late: {:.1} s for GET /version", took.as_secs_f64());
            let next = "Check the API server's load and the network in between.";
            self.tell(Some(Trouble::new(self.out.cluster.as_str(), &fact, next))).await;
        } else if self.late {
            self.tell(None).await;
        }
    }

    async fn busy(&mut self) {
        let fact = "turns requests away (HTTP 429 or 503)";
        let next =
            "The server is overloaded or limits this user; sluice slows down and tries again by itself.";
        self.tell(Some(Trouble::new(self.out.cluster.as_str(), fact, next))).await;
    }

    async fn tell(&mut self, trouble: Option<Trouble>) {
        self.late = trouble.is_some();
        self.out.part(Part::Answers, trouble).await;
    }
}

/// The server's version. `None`: it is there, but turns us away for now or does not let us ask.
async fn version(server: &Server) -> Result<Option<Text>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        git_version: String,
    }
    match server.ask::<Version>(Call::get("/version")).await {
        Ok(version) => Ok(Some(Text::new(&version.git_version))),
        Err(failure) if failure.is_busy() => Ok(None),
        Err(failure) if failure.code() == Some(403) => Ok(Some(Text::new("unknown"))),
        Err(failure) => Err(failure),
    }
}

/// UID of kube-system, which tells clusters apart for good; `None` where we may not look.
async fn uid(server: &Server) -> Option<Text> {
    let meta: MetaOnly = server.ask(Call::metadata("/api/v1/namespaces/kube-system")).await.ok()?;
    (!meta.metadata.uid.is_empty()).then(|| Text::new(&meta.metadata.uid))
}

/// Kinds of policy served beside NetworkPolicy.
pub(super) async fn kinds(server: &Server) -> Vec<PolicyKind> {
    #[derive(Deserialize)]
    struct Resources {
        resources: Vec<Resource>,
    }
    #[derive(Deserialize)]
    struct Resource {
        #[serde(default)]
        kind: String,
    }
    let Ok(served) = server.ask::<Resources>(Call::get("/apis/cilium.io/v2")).await else {
        return Vec::new();
    };
    [PolicyKind::CiliumNetworkPolicy, PolicyKind::CiliumClusterwideNetworkPolicy]
        .into_iter()
        .filter(|kind| served.resources.iter().any(|resource| resource.kind == kind.as_str()))
        .collect()
}

async fn refresh(server: &Server, out: &Out, known: (&[PolicyKind], bool)) -> Over {
    let mut looked: Option<Instant> = None;
    loop {
        let (failed, (), kyverno) =
            tokio::join!(review(server, out), find_cni(server, out), kyverno::read(server));
        out.tell(ClusterFact::Kyverno(Box::new(kyverno))).await;
        if looked.is_none_or(|at| at.elapsed() >= PREFLIGHT) {
            looked = Some(Instant::now());
            let report = report::run(&look::look(server).await);
            out.tell(ClusterFact::Preflight(Box::new(report))).await;
        }
        // A review that failed is tried again sooner than one that has answered.
        sleep(if failed { REFRESH / 10 } else { REFRESH }).await;
        let (kinds, stages) = tokio::join!(kinds(server), staged::is_served(server));
        if (&*kinds, stages) != known {
            return Over::Anew;
        }
    }
}

async fn review(server: &Server, out: &Out) -> bool {
    let (who, (rights, mut failure)) = tokio::join!(identity::who(server), identity::rights(server));
    match who {
        Ok(Some(identity)) => out.tell(ClusterFact::Identity(identity)).await,
        Ok(None) => {}
        Err(error) => failure = failure.or(Some(error)),
    }
    out.tell(ClusterFact::Rights(rights)).await;
    let object = format!("rights in {}", out.cluster);
    let failed = failure.is_some();
    out.part(Part::Rights, failure.map(|failure| failure.trouble(&object))).await;
    failed
}

async fn find_cni(server: &Server, out: &Out) {
    let reading = look::agents(server).await;
    out.tell(ClusterFact::Cni(cni::cni(&reading))).await;
    out.tell(ClusterFact::Dns(cni::dns_path(&reading))).await;
}
