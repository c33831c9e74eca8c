//! Starts a flow source for each cluster that has one, as `cockpit::sources` picks it, and tells it
//! which namespaces' allowed verdicts are wanted as signs of life. The only place where `k8s` meets
//! `flows`: a new kind of source is one arm in `start`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::FutureExt;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::Duration,
};

use super::{Reach, guard, logs::Reading, own_fault, week};
use crate::{
    cockpit::{
        plan::{ClusterEntry, RelayWay},
        ports::{ClusterFact, Fact, Link, SourceState, Trouble},
        sources::{Picked, pick},
        world::World,
    },
    domain::{
        fleet::{Cluster, Presence},
        flow::Direction,
        names::{ClusterName, NsName, Text},
        preflight::report::Report,
        source::SourceKind,
    },
    flows::{
        dial::{dial_address, dial_inside},
        goldmane::{
            self,
            tls::{Pem, Shown},
        },
        hubble,
        source::{BoxIo, Dial},
    },
    k8s::{
        self,
        connect::Access,
        forward::{self, Said},
        goldmane::Identity,
    },
};

/// A week is asked for beside everything else that a cluster tells at its start.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Sources {
    sender: mpsc::Sender<Fact>,
    following: BTreeMap<ClusterName, Following>,
    /// Clusters whose CNI, pre-flight or policies changed since the last look.
    touched: BTreeSet<ClusterName>,
    /// Clusters with a new pre-flight: how far back do the sources reach that it found?
    unmeasured: Vec<(ClusterName, Report)>,
}

/// What was picked of a cluster, by which line of sluice.yaml, and the task that reads it.
struct Following {
    entry: ClusterEntry,
    picked: Picked,
    wanted: watch::Sender<Vec<NsName>>,
    /// `None`: nothing is read.
    task: Option<AbortHandle>,
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Sources {
    pub(super) fn new(sender: mpsc::Sender<Fact>) -> Self {
        Self { sender, following: BTreeMap::new(), touched: BTreeSet::new(), unmeasured: Vec::new() }
    }

    /// Something was told by which a cluster's source is chosen.
    pub(super) fn note(&mut self, cluster: &ClusterName, fact: &ClusterFact) {
        self.touched.insert(cluster.clone());
        if let ClusterFact::Preflight(report) = fact {
            self.unmeasured.push((cluster.clone(), report.as_ref().clone()));
        }
    }

    /// sluice.yaml was read anew: what it says of any cluster may have changed.
    pub(super) fn touch_all(&mut self) {
        self.touched.extend(self.following.keys().cloned());
    }

    pub(super) fn follow(&mut self, world: &World, reach: &Reach) {
        for (name, report) in std::mem::take(&mut self.unmeasured) {
            self.ask_week(world, (&name, report), reach);
        }
        for name in std::mem::take(&mut self.touched) {
            let entry = world.plan().clusters.iter().find(|entry| entry.name == name);
            let (Some(cluster), Some(entry)) = (world.cluster(&name), entry) else {
                self.following.remove(&name);
                continue;
            };
            let picked = pick(entry, cluster);
            if let Some(following) = self.following.get(&name) {
                // A pre-flight that could not be read takes no source away.
                if picked == Picked::NotYet || (following.picked == picked && following.leads_to(entry)) {
                    following.want(wanted(cluster));
                    continue;
                }
            }
            self.following.remove(&name);
            let (wanting, wants) = watch::channel(wanted(cluster));
            let task = match &picked {
                Picked::NotYet => continue,
                Picked::Read(kind) => Some(self.start(*kind, entry, wants, reach)),
                Picked::None(why) => {
                    self.say_none(&name, why);
                    None
                }
            };
            self.following.insert(name, Following { entry: entry.clone(), picked, wanted: wanting, task });
        }
    }

    /// Where a collector gathers, its window is told with its state.
    fn ask_week(&self, world: &World, (name, report): (&ClusterName, Report), reach: &Reach) {
        let entry = world.plan().clusters.iter().find(|entry| entry.name == *name);
        let Some(entry) = entry.filter(|entry| entry.collector.is_none()).cloned() else { return };
        if world.cluster(name).is_some_and(|cluster| cluster.looked.week.is_some()) {
            return;
        }
        let (access, name, facts) = (reach(&entry), name.clone(), self.sender.clone());
        tokio::spawn(async move {
            if let Some(week) = week::source(&entry, &access, &report, PATIENCE).await {
                let _ = facts.send(Fact::Cluster(name, ClusterFact::Week(week))).await;
            }
        });
    }

    /// One arm a kind.
    fn start(
        &self,
        kind: SourceKind,
        entry: &ClusterEntry,
        wanted: watch::Receiver<Vec<NsName>>,
        reach: &Reach,
    ) -> AbortHandle {
        let (name, facts) = (entry.name.clone(), self.sender.clone());
        match kind {
            SourceKind::Hubble => {
                let dial = relay_of(entry.relay.as_ref(), reach(entry));
                self.spawn(&entry.name, hubble::run(name, dial, wanted, facts))
            }
            SourceKind::Goldmane => {
                self.spawn(&entry.name, goldmane::run(name, goldmane_of(reach(entry)), wanted, facts))
            }
            SourceKind::CalicoLog
            | SourceKind::CalicoFiles
            | SourceKind::AntreaFlows
            | SourceKind::AntreaLog
            | SourceKind::KernelLog => {
                let reading = Reading { cluster: name, kind, access: reach(entry), wanted, facts };
                self.spawn(&entry.name, reading.read())
            }
            SourceKind::Unknown => {
                let why = format!("this version does not follow it: {}", kind.as_str());
                let fact = Fact::Cluster(name, bare("none", Link::None(Text::from(why))));
                self.spawn(&entry.name, async move { drop(facts.send(fact).await) })
            }
        }
    }

    fn spawn(&self, cluster: &ClusterName, run: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        guard(run, cluster.clone(), last_words(cluster), self.sender.clone())
    }

    /// Law: unknown is never drawn as zero. A cluster without a source says so.
    fn say_none(&self, cluster: &ClusterName, why: &Text) {
        let fact = Fact::Cluster(cluster.clone(), bare("none", Link::None(why.clone())));
        // The engine itself reads the inbox, so it must not wait here.
        let sender = self.sender.clone();
        tokio::spawn(async move { sender.send(fact).await });
    }
}

impl Following {
    /// Is what this line of sluice.yaml says of the way the same?
    fn leads_to(&self, entry: &ClusterEntry) -> bool {
        (&self.entry.context, &self.entry.relay) == (&entry.context, &entry.relay)
    }

    fn want(&self, wanted: Vec<NsName>) {
        self.wanted.send_if_modified(|have| {
            let changed = *have != wanted;
            *have = wanted;
            changed
        });
    }
}

/// Namespaces with something of ours live.
fn wanted(cluster: &Cluster) -> Vec<NsName> {
    let ours =
        |direction| move |ns: &crate::domain::fleet::Namespace| ns.presence(direction) != Presence::None;
    cluster
        .namespaces
        .iter()
        .filter(|(_, ns)| ours(Direction::Egress)(ns) || ours(Direction::Ingress)(ns))
        .map(|(name, _)| name.clone())
        .collect()
}

/// A way through the API server, opened anew for each attempt.
fn dial<F>(access: Access, open: impl Fn(Access) -> F + Send + Sync + 'static) -> Dial
where
    F: Future<Output = Result<BoxIo, Trouble>> + Send + 'static,
{
    Arc::new(move || open(access.clone()).boxed())
}

/// Hubble Relay, as the plan tells the way; `None`: it tells nothing.
pub fn relay_of(way: Option<&RelayWay>, access: Access) -> Dial {
    let through = |access: Access, said: Said| {
        dial(access, move |access| async move {
            forward::relay(&access, said).await.map(|stream| Box::pin(stream) as BoxIo)
        })
    };
    match way {
        Some(RelayWay::Address(address)) => dial_address(address.clone()),
        Some(RelayWay::Forward(Some(files))) => dial_inside(through(access, Said::Something), files.clone()),
        Some(RelayWay::Forward(None)) => through(access, Said::Something),
        None => through(access, Said::Nothing),
    }
}

/// Goldmane, with a certificate out of the cluster.
pub fn goldmane_of(access: Access) -> Dial {
    dial(access, |access| async move {
        let k8s::goldmane::Opened { stream, identity } = k8s::goldmane::open(&access).await?;
        let Identity { authorities, certificate, key } = identity;
        let pem = Pem { authorities: Some(authorities), shown: Some(Shown { certificate, key }) };
        goldmane::tls::speak(stream, &pem).await
    })
}

fn last_words(cluster: &ClusterName) -> ClusterFact {
    bare("flow source", Link::Broken(own_fault(cluster, "its flow source")))
}

/// A source of which nothing is known but its link.
pub(super) fn bare(name: &str, link: Link) -> ClusterFact {
    ClusterFact::Source(SourceState {
        kind: SourceKind::Unknown,
        name: Text::new(name),
        link,
        history_from: None,
        lag: None,
        nodes_connected: None,
        nodes_unavailable: None,
        malformed: 0,
        repeats: 0,
    })
}
