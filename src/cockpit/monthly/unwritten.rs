//! Discovery documents that nobody has written though there are policies or evidence: each a row like
//! any other, and in lists for people one line with how many and the command that writes them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{DocumentRow, Standing};
use crate::{
    cockpit::world::World,
    domain::{
        names::{ClusterName, NsName, Text, plural},
        valve::shell_word,
    },
};

/// Policies without a document or a companion.
pub(super) fn row(world: &World, ns: &NsName, policies: BTreeSet<ClusterName>) -> DocumentRow {
    let entry = world.plan().owner_of(ns);
    DocumentRow {
        ns: ns.clone(),
        path: Text::from(format!("network-policies/discovery/{ns}.md")),
        standing: Standing::Unwritten,
        due: None,
        reviewed: None,
        generated: None,
        parts: Vec::new(),
        policies,
        owner: entry.map(|entry| entry.owner.clone()),
        contact: entry.and_then(|entry| entry.contact.clone()),
    }
}

/// The documents that nobody has written, by cluster: in a new workspace all of them, so they are told in
/// one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritten {
    /// Never empty.
    pub clusters: BTreeMap<ClusterName, Vec<NsName>>,
}

impl Unwritten {
    const NAMED: usize = 4;

    /// Where they are: the cluster, or how many.
    pub fn place(&self) -> String {
        match self.only() {
            Some(cluster) => cluster.to_string(),
            None => plural(self.clusters.len(), "cluster"),
        }
    }

    /// The one cluster, if there is one.
    pub fn only(&self) -> Option<&ClusterName> {
        self.clusters.keys().next().filter(|_| self.clusters.len() == 1)
    }

    /// `12 namespaces have no discovery document (api, cart, data, front and 8 more)`; of several clusters
    /// with the number of each.
    pub fn words(&self) -> String {
        let namespaces = self.clusters.values().flatten().collect::<BTreeSet<_>>().len();
        let names: Vec<_> = match self.only().and_then(|name| self.clusters.get(name)) {
            Some(names) => names.iter().map(ToString::to_string).collect(),
            None => self.clusters.iter().map(|(name, all)| format!("{name} {}", all.len())).collect(),
        };
        let more = match names.len().saturating_sub(Self::NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let have = if namespaces == 1 { "has" } else { "have" };
        format!(
            "{} {have} no discovery document ({}{more})",
            plural(namespaces, "namespace"),
            names[..names.len().min(Self::NAMED)].join(", "),
        )
    }

    /// What writes them from the collector's week: of one namespace that alone, else cluster by cluster.
    pub fn command(&self) -> String {
        let of = match self.only().and_then(|name| self.clusters.get(name)).map(Vec::as_slice) {
            Some([ns]) => format!("-n {ns} "),
            _ => String::new(),
        };
        let cluster = self.only().map_or("CLUSTER".to_owned(), |name| shell_word(name.as_str()));
        format!("sluice discover {of}--cluster {cluster} --write")
    }

    /// Where, what and the command in a line.
    pub fn line(&self) -> String {
        format!("{}: {}: `{}`", self.place(), self.words(), self.command())
    }
}

/// What of these rows is not written; and the others.
pub fn folded(rows: Vec<DocumentRow>) -> (Vec<DocumentRow>, Option<Unwritten>) {
    let (missing, rest): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.standing == Standing::Unwritten);
    let mut clusters: BTreeMap<ClusterName, Vec<NsName>> = BTreeMap::new();
    for row in missing {
        let with_evidence = row.parts.into_iter().filter(|part| part.is_there != Some(false));
        let all: BTreeSet<_> = with_evidence.map(|part| part.cluster).chain(row.policies).collect();
        for cluster in all {
            clusters.entry(cluster).or_default().push(row.ns.clone());
        }
    }
    (rest, (!clusters.is_empty()).then_some(Unwritten { clusters }))
}
