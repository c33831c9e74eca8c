//! Policy files for namespaces that their cluster does not have. Worked out once a batch for clusters of
//! which something came, never while drawing: a fleet may have a hundred thousand files.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::{plan::PolicyFiles, ports::Trouble};
use crate::domain::{
    fleet::Cluster,
    names::{ClusterName, NsName, Text},
};

#[derive(Clone, Debug, Default)]
pub struct Strangers {
    /// Namespaces of files, each once, with their folder.
    written: BTreeMap<ClusterName, BTreeMap<NsName, Text>>,
    found: BTreeMap<ClusterName, Vec<Trouble>>,
    touched: BTreeSet<ClusterName>,
}

impl Strangers {
    /// By cluster and namespace.
    pub fn iter(&self) -> impl Iterator<Item = &Trouble> {
        self.found.values().flatten()
    }

    /// Its namespaces changed, or may be complete now.
    pub(super) fn touch(&mut self, cluster: &ClusterName) {
        if self.written.contains_key(cluster) && !self.touched.contains(cluster) {
            self.touched.insert(cluster.clone());
        }
    }

    /// The fleet is another.
    pub(super) fn touch_all(&mut self) {
        self.touched = self.written.keys().cloned().collect();
    }

    /// The files were read.
    pub(super) fn read(&mut self, files: &PolicyFiles) {
        self.written.clear();
        self.found.clear();
        for ((cluster, ns, _), authored) in &files.sets {
            if !self.written.contains_key(cluster) {
                self.written.insert(cluster.clone(), BTreeMap::new());
            }
            if let Some(all) = self.written.get_mut(cluster).filter(|all| !all.contains_key(ns)) {
                all.insert(ns.clone(), authored.folder.clone());
            }
        }
        self.touch_all();
    }

    pub(super) fn settle(&mut self, clusters: &IndexMap<ClusterName, Cluster>) {
        for name in std::mem::take(&mut self.touched) {
            let known = clusters.get(&name).filter(|cluster| cluster.is_complete());
            let written = self.written.get(&name).into_iter().flatten();
            let strange = |cluster: &Cluster| -> Vec<Trouble> {
                let absent = written.filter(|(ns, _)| !cluster.namespaces.contains_key(*ns));
                absent.map(|(ns, folder)| trouble(&name, ns, folder)).collect()
            };
            match known.map(strange).filter(|found| !found.is_empty()) {
                Some(found) => drop(self.found.insert(name.clone(), found)),
                None => drop(self.found.remove(&name)),
            }
        }
    }
}

fn trouble(cluster: &ClusterName, ns: &NsName, folder: &Text) -> Trouble {
    Trouble::new(
        folder.as_str(),
        &format!("cluster {cluster} has no namespace {ns}, so these files are not used"),
        "Create the namespace, or correct the folder's name.",
    )
}
