//! How the rollout is meant to go: the settings of `sluice.yaml` beside clusters and owners, as
//! values. `crate::workspace` reads them; the defaults are those of the product.

use chrono::TimeDelta;
use ipnet::IpNet;

use crate::domain::{
    author::settings as author,
    names::{ClusterName, NsName, Text},
};

pub use crate::domain::{
    author::settings::{Harbor, Published},
    calendar::{BlockedDays, WorkingHours},
    wave::{WaveSettings, WaveSize},
};

/// Everything that `sluice.yaml` says about the rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the team's state is kept; `None`: nowhere, and then nothing can be applied or advanced.
    pub state: Option<StatePlace>,
    pub soak: SoakSettings,
    /// Credited days of evidence that a row needs before its first apply; zero: none is asked for.
    pub baseline: TimeDelta,
    pub egress: WaveSettings,
    pub ingress: WaveSettings,
    pub risks: Vec<RiskEntry>,
    pub dependencies: Vec<Dependency>,
    /// When rows may be applied; `None`: always.
    pub hours: Option<WorkingHours>,
    /// Days on which nothing is applied, such as a freeze.
    pub blocked: Vec<BlockedDays>,
    /// Other user names of one person: `[ann, ann@corp]`. None of them may decide for another.
    pub people: Vec<Vec<Text>>,
    pub escalation: Vec<Text>,
    pub notify: Option<Notify>,
    /// Clusters whose namespaces get the probe.
    pub probes: Vec<ProbeEntry>,
    pub author: AuthorSettings,
}

/// How policies are written from evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorSettings {
    /// The baseline lets pods of a cluster reach each other.
    pub pod_to_pod: bool,
    /// The first entry that names the cluster, or none, wins.
    pub harbor: Vec<HarborEntry>,
    pub published: Vec<Published>,
}

/// Harbor of some clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HarborEntry {
    /// Empty: all.
    pub clusters: Vec<ClusterName>,
    pub harbor: Harbor,
}

impl Default for AuthorSettings {
    fn default() -> Self {
        Self { pod_to_pod: true, harbor: Vec::new(), published: Vec::new() }
    }
}

impl AuthorSettings {
    /// As they are for one cluster.
    pub fn of(&self, cluster: &ClusterName) -> author::Settings {
        let ours = |entry: &&HarborEntry| entry.clusters.is_empty() || entry.clusters.contains(cluster);
        let harbor = self.harbor.iter().find(ours).map(|entry| entry.harbor.clone());
        author::Settings { pod_to_pod: self.pod_to_pod, harbor, published: self.published.clone() }
    }
}

/// The state cluster and the namespace of sluice's custom resources in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePlace {
    pub cluster: ClusterName,
    pub ns: NsName,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoakSettings {
    /// Credited time that makes a soak clean.
    pub needed: TimeDelta,
    /// Credit older than this no longer counts.
    pub lapses: TimeDelta,
}

/// How much harm a namespace can do, where somebody said so. The first entry that names it wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskEntry {
    pub namespaces: Vec<NsName>,
    /// 0 (none) to 100; `None`: from evidence.
    pub risk: Option<u8>,
    /// 1 goes first within its risk; `None`: by evidence.
    pub priority: Option<u32>,
    /// Used by many: goes last.
    pub shared: bool,
}

/// A namespace that waits until others are clean, in the same cluster and direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub ns: NsName,
    pub after: Vec<NsName>,
}

/// Where page-worthy events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// An http or https URL; it may hold no secret: credentials come from the environment.
    pub webhook: Option<Text>,
    /// The JSON body with `{{field}}` places; `None`: the built-in one.
    pub body: Option<Text>,
    /// Terminal bell and OSC 9 in the cockpit.
    pub bell: bool,
}

/// One cluster's probes: a pod that must be denied, from each node that runs the namespace's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeEntry {
    pub cluster: ClusterName,
    pub image: Text,
    /// Where it tries to go; must not be allowed by any policy.
    pub destination: IpNet,
    /// Of the destination, and of the pods that are knocked at for ingress: no rule may open it.
    pub port: u16,
    /// Where probes of ingress run, outside of all namespaces in soak; `None`: ingress is not probed.
    pub from: Option<NsName>,
}

impl Default for Settings {
    fn default() -> Self {
        let rows = |sizes: &[u32]| sizes.iter().copied().map(WaveSize::Rows).collect::<Vec<_>>();
        let staging = vec![WaveSize::Rows(1), WaveSize::Rest];
        Self {
            state: None,
            soak: SoakSettings { needed: TimeDelta::hours(48), lapses: TimeDelta::days(14) },
            baseline: TimeDelta::days(7),
            egress: WaveSettings {
                staging: staging.clone(),
                production: rows(&[1, 2, 4, 8, 16]),
                at_most_percent: 20,
            },
            ingress: WaveSettings { staging, production: rows(&[1, 1, 1, 2, 3, 5]), at_most_percent: 10 },
            risks: Vec::new(),
            dependencies: Vec::new(),
            hours: None,
            blocked: Vec::new(),
            people: Vec::new(),
            escalation: Vec::new(),
            notify: None,
            probes: Vec::new(),
            author: AuthorSettings::default(),
        }
    }
}
