//! What the fleet is meant to be: the contents of `sluice.yaml` and the policy files of the
//! workspace, as values. `crate::workspace` reads them from disk.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::domain::{
    destination::{Category, Severity},
    flagged::Flagged,
    fleet::Environment,
    flow::Direction,
    manifest::Manifests,
    names::{ClusterName, NsName, Text, in_scope},
    preflight::reading::{Probing, Said},
    source::Wanted,
    suspect::Entries,
    valve::Set,
};

use super::settings::Settings;

/// The fleet: from `sluice.yaml`, or from the kubeconfig's contexts where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetFile {
    /// Path of the file as shown to people; `None` without a workspace: nothing can be applied then.
    pub path: Option<Text>,
    pub clusters: Vec<ClusterEntry>,
    /// Those of the file that this run was asked to leave out: of plans it sees a part only.
    pub beside: Vec<ClusterEntry>,
    /// Namespaces that no policy is ever applied to.
    pub excluded: Vec<NsName>,
    /// Where it is not empty, every other namespace is left out.
    pub included: Vec<NsName>,
    pub owners: Vec<OwnerEntry>,
    /// What destinations are, before the built-in rules.
    pub categories: Vec<CategoryEntry>,
    /// Lists of suspects beside the built-in catalogue.
    pub feeds: Vec<FeedEntry>,
    /// How the rollout is meant to go.
    pub settings: Settings,
}

/// Names, networks and namespaces that are of one category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryEntry {
    pub category: Category,
    /// The rule in words, as documents show it.
    pub label: Text,
    pub entries: Entries,
    pub namespaces: Vec<NsName>,
    /// Empty: any.
    pub ports: Vec<u16>,
}

/// A file with one name or network a line. What is left out here stands in the file's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Relative to `sluice.yaml`.
    pub file: Text,
    pub name: Option<Text>,
    pub class: Option<Text>,
    pub severity: Option<Severity>,
    pub origin: Option<Text>,
    pub date: Option<NaiveDate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEntry {
    pub name: ClusterName,
    /// Context of the kubeconfig.
    pub context: Text,
    pub environment: Environment,
    /// Which source its flows are read from.
    pub flows: Wanted,
    /// The way to its Hubble Relay; `None`: found in the cluster, reached by port-forward, in the clear.
    pub relay: Option<RelayWay>,
    /// Where its `sluice collect` listens; `None`: found by its label and reached by port-forward.
    pub collector: Option<RelayAddress>,
}

/// How a Hubble Relay is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayWay {
    Address(RelayAddress),
    /// Found in the cluster and reached by port-forward, with TLS inside of it or, as was said, without.
    Forward(Option<TlsFiles>),
}

impl RelayWay {
    /// The files of its TLS.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut Text> {
        let files = match self {
            Self::Address(RelayAddress { tls, .. }) | Self::Forward(tls) => tls.as_mut(),
        };
        files.into_iter().flat_map(|TlsFiles { ca, shown }| {
            let shown = shown.iter_mut().flat_map(|ShownFiles { cert, key }| [cert, key]);
            ca.iter_mut().chain(shown)
        })
    }
}

/// An address of a Hubble Relay, or of a collector, that is reached without the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayAddress {
    pub host: Text,
    pub port: u16,
    /// `None`: in the clear.
    pub tls: Option<TlsFiles>,
}

/// Files of TLS, as PEM: they are read anew for each attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that signed the other side's certificate; `None`: the system's.
    pub ca: Option<Text>,
    /// What is shown to whoever asks for a client certificate.
    pub shown: Option<ShownFiles>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownFiles {
    pub cert: Text,
    pub key: Text,
}

/// Who answers for namespaces. The first entry that names the namespace wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerEntry {
    pub namespaces: Vec<NsName>,
    pub owner: Text,
    pub contact: Option<Text>,
}

impl FleetFile {
    /// Every cluster of the file is looked at: what is said of the whole fleet is true.
    pub fn is_whole(&self) -> bool {
        self.beside.is_empty()
    }

    /// The file has this cluster, and this run was asked to leave it out: nothing is known of it.
    pub fn leaves_out(&self, cluster: &ClusterName) -> bool {
        self.beside.iter().any(|entry| entry.name == *cluster)
    }

    /// Is this namespace left out of the rollout by the file?
    pub fn excludes(&self, ns: &NsName) -> bool {
        !in_scope(&self.excluded, &self.included, ns.as_str())
    }

    /// What a cluster's pre-flight asks of the file.
    pub fn said(&self, cluster: &ClusterEntry) -> Said {
        let is_on = self.settings.probes.iter().any(|entry| entry.cluster == cluster.name);
        let probing = || Probing { excluded: self.excluded.clone(), included: self.included.clone() };
        Said { probes: is_on.then(probing), relay: Some(cluster.relay.is_some()) }
    }

    pub fn owner_of(&self, ns: &NsName) -> Option<&OwnerEntry> {
        self.owners.iter().find(|entry| entry.namespaces.contains(ns))
    }

    /// The same of all namespaces at once, for whoever asks for many.
    pub fn owners_by_ns(&self) -> BTreeMap<&NsName, &OwnerEntry> {
        // Of two entries that name a namespace the first one stays.
        let all = self.owners.iter().rev();
        all.flat_map(|entry| entry.namespaces.iter().map(move |ns| (ns, entry))).collect()
    }
}

/// The policy files of the workspace, by cluster, namespace and direction. Files that could not be
/// read are not here but in the complaints, which name file and fact.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyFiles {
    /// They are still being read: a set that is not here may be there.
    pub pending: bool,
    pub sets: BTreeMap<(ClusterName, NsName, Direction), Authored>,
    /// Read after the policies, because it needs the rules of meaning; `None`: not yet.
    pub flagged: Option<FlaggedFiles>,
}

impl PolicyFiles {
    /// Where policies were written for, by cluster; of each the first so many. One pass, for a fleet may
    /// have a hundred thousand of them.
    pub fn namespaces(&self, most: usize) -> BTreeMap<ClusterName, BTreeSet<NsName>> {
        let mut out: Vec<(&ClusterName, BTreeSet<NsName>)> = Vec::new();
        for (cluster, ns, _) in self.sets.keys() {
            if out.last().is_none_or(|(last, _)| *last != cluster) {
                out.push((cluster, BTreeSet::new()));
            }
            if let Some((_, all)) = out.last_mut().filter(|(_, all)| all.len() < most) {
                all.insert(ns.clone());
            }
        }
        out.into_iter().map(|(cluster, all)| (cluster.clone(), all)).collect()
    }
}

/// Flagged destinations by the companions of the discovery documents. A namespace that is not here
/// has no evidence in the workspace; one with an empty list has, and nothing of it is flagged.
pub type FlaggedFiles = BTreeMap<(ClusterName, NsName), Vec<Flagged>>;

/// The files of one rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Authored {
    pub set: Set,
    /// Each file's policy as JSON text, ready to send, by pinned name.
    pub manifests: Manifests,
    /// Folder as shown to people.
    pub folder: Text,
    /// What is wrong with files of this rollout. Not empty: it cannot be applied.
    pub complaints: Vec<Text>,
    /// What authoring left out and why, as the files say.
    pub left_out: Vec<Text>,
}
