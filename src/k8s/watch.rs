//! One cluster, for ever: connect, who is it, who am I, what may I do, which CNI, then its lists.
//! Whatever fails is a fact; the task itself never ends and never waits for another cluster.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    cockpit::ports::{ClusterFact, Fact, Trouble},
    domain::{
        fleet::Part,
        names::{ClusterName, NsName, Text},
        policy::PolicyKind,
        preflight::{
            check::{Reach, Stops},
            cni,
            reading::Said,
            report::{self, Report},
        },
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
    served::Served,
    staged::StagedPolicies,
    wire::{Call, Server},
};

pub use super::follow::SharedBodies;

/// Time between signs of life, so that ages on screen are true.
const LIVENESS: Duration = Duration::from_secs(15);
/// An answer later than this is late.
const LATE: Duration = Duration::from_secs(2);
/// Rights, CNI and served kinds are looked at again after this.
const REFRESH: Duration = Duration::from_secs(300);
/// A pre-flight reads whole lists: seldom.
const PREFLIGHT: Duration = Duration::from_secs(1800);
/// While it keeps the whole cluster from being applied to, so that what was put right counts soon.
const HURRIED: Duration = Duration::from_secs(60);
/// Hurried pre-flights in a row; a cluster that stays as it is costs one every [`REFRESH`] after them.
const HURRIES: u32 = 30;
/// A session that lived this long was a good one: waiting times start anew.
const GOOD: Duration = Duration::from_secs(60);

/// What is asked of a watch while it runs.
pub struct Wishes {
    /// Skips a waiting time.
    pub again: Arc<Notify>,
    pub asks: watch::Receiver<Asks>,
    /// Those of all clusters.
    pub bodies: SharedBodies,
}

/// What it asks the server for, as the workspace has it by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// What sluice.yaml says that a pre-flight asks for.
    pub said: Said,
    /// Where policies were written for: the rights there are asked for one by one where we have none to
    /// all namespaces.
    pub namespaces: BTreeSet<NsName>,
}

impl Asks {
    /// Namespaces that are asked one by one, at most. Of the others nothing is known then.
    pub const NAMESPACES: usize = 100;
}

/// Follows a cluster until nobody listens to `inbox`.
pub async fn run(cluster: ClusterName, access: Access, inbox: mpsc::Sender<Fact>, wishes: Wishes) {
    let out = Out { cluster, inbox: inbox.clone() };
    tokio::select! {
        () = inbox.closed() => {}
        () = for_ever(&out, &access, &wishes) => {}
    }
}

async fn for_ever(out: &Out, access: &Access, wishes: &Wishes) {
    let mut backoff = Backoff::new(out.cluster.as_str());
    loop {
        let began = Instant::now();
        let over = Box::pin(session(out, access, wishes)).await;
        if began.elapsed() > GOOD {
            backoff.reset();
        }
        match over {
            Over::Anew => {}
            Over::Away(trouble) => {
                out.tell(ClusterFact::Away(trouble)).await;
                tokio::select! {
                    () = sleep(backoff.next()) => {}
                    () = wishes.again.notified() => backoff.reset(),
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

async fn session(out: &Out, access: &Access, wishes: &Wishes) -> Over {
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
    let (uid, served) = tokio::join!(uid(&server), Served::by(&server));
    let kinds = served.kinds.as_ref().map_or(&[][..], Vec::as_slice);
    let (uid, unknown) = match uid {
        Ok(uid) => (Some(uid), None),
        Err(failure) => (None, Some(failure)),
    };
    let is_known = uid.is_some();
    let met = ClusterFact::Met {
        uid,
        version: version.clone().unwrap_or_else(|| Text::new("unknown")),
        kinds: kinds.to_vec(),
    };
    out.tell(met).await;
    if let Some(failure) = unknown {
        let trouble = failure.trouble(&format!("namespace kube-system of {}", out.cluster));
        out.part(Part::Uid, Some(trouble)).await;
    }
    for (what, called, failure) in served.unasked() {
        let trouble = Some(failure.trouble(&format!("{called} of {}", out.cluster)));
        out.tell(ClusterFact::Partial { what, trouble }).await;
    }
    let mut all: Vec<BoxFuture<'_, ()>> = vec![
        Box::pin(follow(Namespaces, server.clone(), out.clone())),
        Box::pin(follow(
            Policies(PolicyKind::NetworkPolicy, wishes.bodies.clone()),
            server.clone(),
            out.clone(),
        )),
        Box::pin(follow(Pods, server.clone(), out.clone())),
    ];
    all.push(Box::pin(async {
        sleep(cronjobs::LATER).await;
        follow(CronJobs, server.clone(), out.clone()).await;
    }));
    match served.stages {
        Ok(true) => all.push(Box::pin(follow(StagedPolicies, server.clone(), out.clone()))),
        Ok(false) => out.tell(ClusterFact::Staged(None)).await,
        Err(_) => {}
    }
    for kind in kinds {
        all.push(Box::pin(follow(Policies(*kind, wishes.bodies.clone()), server.clone(), out.clone())));
    }
    let alive = Alive { server: &server, out, knows_version: version.is_some(), late: false };
    tokio::select! {
        over = alive.watch(took, &wishes.again) => over,
        over = refresh(&server, out, &served, wishes) => over,
        () = identified(&server), if !is_known => Over::Anew,
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

/// UID of kube-system, which tells clusters apart for good.
async fn uid(server: &Server) -> Result<Text, Failure> {
    let meta: MetaOnly = server.ask(Call::metadata("/api/v1/namespaces/kube-system")).await?;
    if meta.metadata.uid.is_empty() {
        return Err(Failure::Foreign(Text::new("kube-system has no UID")));
    }
    Ok(Text::new(&meta.metadata.uid))
}

/// Until the server says which cluster it is; a session that did not know begins anew then.
async fn identified(server: &Server) {
    loop {
        sleep(REFRESH / 10).await;
        if uid(server).await.is_ok() {
            return;
        }
    }
}

async fn refresh(server: &Server, out: &Out, known: &Served, wishes: &Wishes) -> Over {
    let (mut review_at, mut look_at, mut hurries) = (Instant::now(), Instant::now(), 0);
    let (mut asks, mut said) = (wishes.asks.clone(), None);
    loop {
        let wanted = asks.borrow_and_update().clone();
        let reviewing = Instant::now() >= review_at;
        if reviewing {
            let (failed, (), kyverno) = tokio::join!(
                review(server, out, &wanted.namespaces),
                find_cni(server, out),
                kyverno::read(server)
            );
            out.tell(ClusterFact::Kyverno(Box::new(kyverno))).await;
            // What failed is tried again sooner than what has answered, and alone.
            review_at = Instant::now() + if failed { REFRESH / 10 } else { REFRESH };
        }
        if said.as_ref() != Some(&wanted.said) || Instant::now() >= look_at {
            if !reviewing {
                find_cni(server, out).await;
            }
            let report = report::run(&look::look(server, wanted.said.clone()).await);
            said = Some(wanted.said);
            hurries = if changes_by_itself(&report) { hurries + 1 } else { 0 };
            out.tell(ClusterFact::Preflight(Box::new(report))).await;
            look_at = Instant::now() + pause(hurries);
        }
        let next = review_at.min(look_at);
        while Instant::now() < next {
            let soon = Instant::now() + REFRESH / 10;
            let soon = if known.unasked().next().is_some() { soon.min(next) } else { next };
            tokio::select! {
                () = sleep_until(soon) => {}
                Ok(()) = asks.changed() => {
                    review_at = Instant::now();
                    break;
                }
            }
            if known.differs(&Served::by(server).await) {
                return Over::Anew;
            }
        }
    }
}

/// Until the next pre-flight, after so many in a row that stopped the cluster.
fn pause(hurries: u32) -> Duration {
    match hurries {
        0 => PREFLIGHT,
        1..=HURRIES => HURRIED,
        _ => REFRESH,
    }
}

/// Something stops its rollout that may be put right at any time: no node is that only lacks an agent
/// because no agent is made for it.
fn changes_by_itself(report: &Report) -> bool {
    report.open(Stops::Rollout).any(|check| !matches!(check.reach, Reach::Nodes(_)))
}

async fn review(server: &Server, out: &Out, namespaces: &BTreeSet<NsName>) -> bool {
    let (who, (rights, mut failure)) =
        tokio::join!(identity::who(server), identity::rights(server, namespaces));
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
