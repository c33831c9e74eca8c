//! A watch that stood still (a frozen machine, a stopped process) wakes up and believes what it believed:
//! that the Lease is its own. It writes no evidence, and takes nothing back from whoever took over.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use serde_json::Value;
use sluice::{
    cockpit::{
        ports::Fact,
        shared::{Share, ShareId, SharedFact},
        world::World,
    },
    domain::{flow::Direction, rollout::Target},
    k8s::{
        lease::{Claims, Role},
        shared::session::{self, Asks, Place},
    },
    sim::api::cluster::Cluster,
};
use tokio::sync::{mpsc, watch};

use super::{LEAD, ONCALL, access, installed, name, ns, observing, people, start};

/// Stops and continues a program, as SIGSTOP and SIGCONT do.
#[derive(Default)]
struct Gate {
    closed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().expect("not poisoned").take() {
            waker.wake();
        }
    }

    async fn around(self: Arc<Self>, inner: impl Future<Output = ()>) {
        let mut inner = Box::pin(inner);
        std::future::poll_fn(move |context| {
            if self.closed.load(Ordering::SeqCst) {
                *self.waker.lock().expect("not poisoned") = Some(context.waker().clone());
                return Poll::Pending;
            }
            Pin::new(&mut inner).poll(context)
        })
        .await;
    }
}

/// A `sluice watch`, as far as the state cluster sees it.
struct Watcher {
    gate: Arc<Gate>,
    evidence: mpsc::Sender<(ShareId, Share)>,
    inbox: mpsc::Receiver<Fact>,
    holds: bool,
    answers: Vec<String>,
    _claims: watch::Sender<Claims>,
}

impl Watcher {
    fn start(cluster: &Cluster, user: &str, groups: &[&str]) -> Self {
        let (sender, inbox) = mpsc::channel(1024);
        let (evidence, for_evidence) = mpsc::channel(8);
        let claims = watch::Sender::new(Claims {
            role: Some(Role::Watch),
            host: user.into(),
            nonce: user.into(),
            wanted: [name("east")].into(),
            alerted: Default::default(),
            leaving: false,
        });
        let asks = Asks {
            shares: mpsc::channel(1).1,
            evidence: for_evidence,
            again: Default::default(),
            claims: claims.subscribe(),
        };
        let place = Place { cluster: name("mgmt"), ns: ns("sluice"), people: people() };
        let gate = Arc::new(Gate::default());
        let run = session::run(place, access(cluster, user, groups), sender, asks);
        tokio::spawn(gate.clone().around(run));
        Self { gate, evidence, inbox, holds: false, answers: Vec::new(), _claims: claims }
    }

    async fn pass(&mut self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        while let Ok(fact) = self.inbox.try_recv() {
            match fact {
                Fact::Shared(SharedFact::Observer(_, observer)) => {
                    self.holds = observer.is_some_and(|observer| observer.is_us);
                }
                Fact::Shared(SharedFact::Wrote { result, .. }) => {
                    self.answers
                        .push(result.map_or_else(|trouble| trouble.to_string(), |()| "written".to_owned()));
                }
                _ => {}
            }
        }
    }

    /// Hands evidence in, over this version of what is stored.
    fn hand_in(&self, id: u64, version: Option<&Value>) {
        let target = Target { cluster: name("east"), ns: ns("shop"), direction: Direction::Egress };
        let evidence = observing::evidence(&World::new(start()), &target).expect("some");
        let version = version.map(|version| version.as_str().expect("text").into());
        let share = Share::Evidence { evidence: Box::new(evidence), version };
        self.evidence.try_send((ShareId(id), share)).expect("there is room");
    }
}

fn stored(cluster: &Cluster) -> Value {
    let all = cluster.objects("sluice.dev/v1alpha1", "Evidence");
    assert_eq!(all.len(), 1);
    Value::clone(&all[0])
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_stood_still_writes_nothing_for_a_cluster_that_another_took_over() {
    let cluster = installed().await;
    let mut first = Watcher::start(&cluster, "ann", LEAD);
    first.pass(5).await;
    assert!(first.holds);
    first.hand_in(1, None);
    first.pass(2).await;
    assert_eq!(first.answers, ["written"]);

    let before = stored(&cluster);
    first.gate.close();
    let mut standby = Watcher::start(&cluster, "tom", ONCALL);
    standby.pass(60).await;
    assert!(standby.holds, "after 30 s without a renewal");

    // What it hands in is over the version that is stored: only the Lease is against it.
    first.hand_in(2, Some(&before["metadata"]["resourceVersion"]));
    first.gate.open();
    first.pass(5).await;
    assert_eq!(
        first.answers[1..],
        [
            "evidence of east: its Lease is no longer ours. Whoever holds it now writes what it saw; what nobody wrote is a gap."
        ]
    );
    assert_eq!(stored(&cluster), before);
    first.pass(120).await;
    standby.pass(0).await;
    assert!(!first.holds && standby.holds, "a watch takes nothing from a watch that renews");
    let lease = &cluster.objects("coordination.k8s.io/v1", "Lease")[0];
    assert_eq!(lease["spec"]["holderIdentity"], "watch on tom [tom]");

    // The other way round: who holds it writes.
    standby.hand_in(3, Some(&before["metadata"]["resourceVersion"]));
    standby.pass(2).await;
    assert_eq!(standby.answers, ["written"]);
}
