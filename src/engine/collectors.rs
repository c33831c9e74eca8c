//! Reads the collector of each cluster that has one: a pod with its label was seen, or sluice.yaml
//! gives an address. No request is made to find out, so a cluster without one costs nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::FutureExt;
use tokio::{sync::mpsc, task::AbortHandle};

use super::{Reach, guard, own_fault};
use crate::{
    cockpit::{
        plan::{ClusterEntry, FleetFile, RelayAddress},
        ports::{Baseline, Change, ClusterFact, Fact, Link, Trouble},
    },
    domain::{
        edge::Window,
        fleet::Pod,
        names::{ClusterName, NsName, PodName, Text},
        time::Timestamp,
    },
    flows::{
        baseline::{read, serve},
        source::{BoxIo, Dial, dial_address},
    },
    k8s::{
        connect::Access,
        forward::{self, Labelled},
    },
};

const NAME: &str = "sluice-collect";
/// What to do where there is none.
const INSTALL: &str = "no collector runs in this cluster; install assets/collect/sluice-collect.yaml, or give \
                       `collector: host:port` in sluice.yaml";

pub(super) struct Collectors {
    sender: mpsc::Sender<Fact>,
    reading: BTreeMap<ClusterName, Reading>,
    /// Clusters in which a pod of a collector was seen.
    seen: BTreeSet<ClusterName>,
    /// Clusters whose pods are all known, without one of a collector.
    none: BTreeSet<ClusterName>,
    changed: bool,
}

struct Reading {
    /// Of sluice.yaml; `None`: by port-forward.
    address: Option<RelayAddress>,
    asks: mpsc::Sender<NsName>,
    task: AbortHandle,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collectors {
    pub(super) fn new(sender: mpsc::Sender<Fact>) -> Self {
        let (reading, seen, none) = Default::default();
        Self { sender, reading, seen, none, changed: false }
    }

    /// Pods changed.
    pub(super) fn see(&mut self, cluster: &ClusterName, change: &Change<Pod, (NsName, PodName)>) {
        let found = match change {
            Change::Reset(pods) => pods.iter().any(is_collector),
            Change::Put(pod) => is_collector(pod),
            Change::Gone(_) => false,
        };
        let whole = matches!(change, Change::Reset(_));
        if found {
            self.changed |= self.seen.insert(cluster.clone());
            self.none.remove(cluster);
        } else if whole && !self.seen.contains(cluster) && self.none.insert(cluster.clone()) {
            self.changed = true;
        }
    }

    /// Starts a reader where there is something to read, and says where there is not.
    pub(super) fn follow(&mut self, plan: &FleetFile, replanned: bool, reach: &Reach) {
        if !replanned && !std::mem::take(&mut self.changed) {
            return;
        }
        let planned = |name: &ClusterName| plan.clusters.iter().any(|entry| entry.name == *name);
        self.reading.retain(|name, _| planned(name));
        for entry in &plan.clusters {
            if self.reading.get(&entry.name).is_some_and(|reading| reading.address == entry.collector) {
                continue;
            }
            // At another address is another collector.
            let replaced = self.reading.remove(&entry.name).is_some();
            if entry.collector.is_some() || self.seen.contains(&entry.name) {
                self.start(entry, reach);
            } else if self.none.contains(&entry.name) {
                self.say_none(entry);
            } else if replaced {
                self.tell(entry.name.clone(), state(Link::Connecting));
            }
        }
    }

    /// Asks a cluster's collector for the edges of a namespace. Never waits.
    pub(super) fn ask(&self, cluster: &ClusterName, ns: NsName) {
        let unheard = match self.reading.get(cluster) {
            Some(reading) => match reading.asks.try_send(ns) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(ns) | mpsc::error::TrySendError::Closed(ns)) => {
                    let next = "Ask again in a moment.";
                    (
                        ns,
                        Trouble::new(
                            &format!("collector of {cluster}"),
                            "it is busy with other questions",
                            next,
                        ),
                    )
                }
            },
            None => {
                let next = "Install assets/collect/sluice-collect.yaml, or give `collector: host:port` in sluice.yaml.";
                (ns, Trouble::new(cluster.as_str(), "no collector is known for this cluster", next))
            }
        };
        let (ns, trouble) = unheard;
        let window = Window { from: Timestamp::UNIX_EPOCH, to: Timestamp::UNIX_EPOCH };
        let baseline = Baseline { ns, window, edges: Vec::new(), left_out: 0, trouble: Some(trouble) };
        self.tell(cluster.clone(), ClusterFact::Baseline(Box::new(baseline)));
    }

    fn start(&mut self, entry: &ClusterEntry, reach: &Reach) {
        let (cluster, address) = (&entry.name, entry.collector.clone());
        let dial = match &address {
            Some(address) => dial_address(address.clone()),
            None => through_port_forward(reach(entry)),
        };
        let (asks, asked) = mpsc::channel(read::ASKS);
        let run = read::run(cluster.clone(), dial, asked, self.sender.clone());
        let last_words = state(Link::Broken(own_fault(cluster, "the reader of its collector")));
        let task = guard(run, cluster.clone(), last_words, self.sender.clone());
        self.reading.insert(cluster.clone(), Reading { address, asks, task });
    }

    /// Law: unknown is never drawn as zero.
    fn say_none(&self, entry: &ClusterEntry) {
        self.tell(entry.name.clone(), state(Link::None(Text::new(INSTALL))));
    }

    /// The engine itself reads the inbox, so it must not wait here.
    fn tell(&self, cluster: ClusterName, fact: ClusterFact) {
        let sender = self.sender.clone();
        tokio::spawn(async move { sender.send(Fact::Cluster(cluster, fact)).await });
    }
}

fn state(link: Link) -> ClusterFact {
    ClusterFact::Collector(Box::new(read::bare(link)))
}

fn is_collector(pod: &Pod) -> bool {
    serve::LABEL.split_once('=').is_some_and(|(key, value)| pod.labels.get(key) == Some(value))
        && !pod.finished
}

fn through_port_forward(access: Access) -> Dial {
    let wanted = Labelled { label: serve::LABEL, port: serve::PORT, name: NAME, ns: "sluice" };
    Arc::new(move || {
        let access = access.clone();
        async move { forward::labelled(&access, wanted).await.map(|stream| Box::pin(stream) as BoxIo) }
            .boxed()
    })
}
