//! Starts a flow source for each cluster whose CNI has one, and tells it which namespaces' allowed
//! verdicts are wanted as signs of life. The only place where `k8s::forward` meets `flows`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::FutureExt;
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};

use super::{Reach, guard, own_fault};
use crate::{
    cockpit::{
        plan::ClusterEntry,
        ports::{ClusterFact, Fact, Link, SourceState},
        world::World,
    },
    domain::{
        fleet::{Cluster, CniKind, Presence},
        flow::Direction,
        names::{ClusterName, NsName, Text},
        source::SourceKind,
    },
    flows::{
        hubble,
        source::{BoxIo, Dial},
    },
    k8s::forward,
};

pub(super) struct Sources {
    sender: mpsc::Sender<Fact>,
    following: BTreeMap<ClusterName, Following>,
    /// Clusters whose CNI or policies changed since the last look.
    touched: BTreeSet<ClusterName>,
}

struct Following {
    wanted: watch::Sender<Vec<NsName>>,
    task: AbortHandle,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sources {
    pub(super) fn new(sender: mpsc::Sender<Fact>) -> Self {
        Self { sender, following: BTreeMap::new(), touched: BTreeSet::new() }
    }

    pub(super) fn touch(&mut self, cluster: &ClusterName) {
        self.touched.insert(cluster.clone());
    }

    pub(super) fn follow(&mut self, world: &World, reach: &Reach) {
        for name in std::mem::take(&mut self.touched) {
            let Some(cluster) = world.cluster(&name) else {
                self.following.remove(&name);
                continue;
            };
            let Some(entry) = world.plan().clusters.iter().find(|entry| entry.name == name) else { continue };
            match self.following.get(&name) {
                Some(following) => {
                    let wanted = wanted(cluster);
                    following.wanted.send_if_modified(|have| {
                        let changed = *have != wanted;
                        *have = wanted;
                        changed
                    });
                }
                None => self.start(cluster, entry, reach),
            }
        }
    }

    fn start(&mut self, cluster: &Cluster, entry: &ClusterEntry, reach: &Reach) {
        let Some(cni) = &cluster.cni else { return };
        let dial = match (cni.kind, &entry.relay) {
            (_, Some(relay)) => crate::flows::source::dial_address(relay.clone()),
            (CniKind::Cilium, None) => through_port_forward(reach(entry)),
            (_, None) => {
                self.say_none(cluster, cni.kind);
                return;
            }
        };
        let (wanting, wanted) = watch::channel(wanted(cluster));
        let run = hubble::run(cluster.name.clone(), dial, wanted, self.sender.clone());
        let task = guard(run, cluster.name.clone(), last_words(&cluster.name), self.sender.clone());
        self.following.insert(cluster.name.clone(), Following { wanted: wanting, task });
    }

    /// Law: unknown is never drawn as zero. A cluster without a source says so.
    fn say_none(&self, cluster: &Cluster, kind: CniKind) {
        let why = match kind {
            CniKind::Calico => {
                "denials on Calico need Goldmane or flow logs, which this version does not read"
            }
            CniKind::Antrea => "denials on Antrea need its FlowExporter, which this version does not read",
            CniKind::Flannel => "flannel enforces nothing, so nothing is denied and nothing is logged",
            _ => "no flow source is known for this CNI; set `relay` in sluice.yaml if there is one",
        };
        let fact = Fact::Cluster(cluster.name.clone(), bare("none", Link::None(Text::new(why))));
        // The engine itself reads the inbox, so it must not wait here.
        let sender = self.sender.clone();
        tokio::spawn(async move { sender.send(fact).await });
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

fn through_port_forward(access: crate::k8s::connect::Access) -> Dial {
    Arc::new(move || {
        let access = access.clone();
        async move { forward::relay(&access).await.map(|stream| Box::pin(stream) as BoxIo) }.boxed()
    })
}

fn last_words(cluster: &ClusterName) -> ClusterFact {
    bare("flow source", Link::Broken(own_fault(cluster, "its flow source")))
}

/// A source of which nothing is known but its link.
fn bare(name: &str, link: Link) -> ClusterFact {
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
