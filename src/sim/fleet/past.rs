//! What a team did before a scenario begins, as its file tells it: rows that were applied, reviews,
//! holds. Text in, checked values out; `past::shared` and `past::evidence` write it as objects.

pub mod evidence;
pub mod shared;

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, DurationRound as _, Utc};
use serde::Deserialize;

use crate::sim::fleet::scenario::{ClusterSpec, External};

/// Everything of before. Without any, the state cluster is as it is right after its installation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Past {
    #[serde(rename = "row")]
    pub rows: Vec<RowSpec>,
    #[serde(rename = "review")]
    pub reviews: Vec<ReviewSpec>,
    #[serde(rename = "hold")]
    pub holds: Vec<HoldSpec>,
    #[serde(rename = "document")]
    pub documents: Vec<DocumentSpec>,
}

/// A discovery document that was written long before the scenario begins.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentSpec {
    pub namespace: String,
    pub days_ago: u32,
    /// Names of hosts that nobody had called by then.
    #[serde(default)]
    pub unseen: Vec<String>,
    /// A host that was called then and is not any more.
    pub stopped: Option<String>,
    /// Where the namespace is gone by now: the clusters that had it.
    #[serde(default)]
    pub clusters: Vec<String>,
}

/// A direction of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    #[default]
    Egress,
    Ingress,
}

impl Way {
    pub const ALL: [Self; 2] = [Self::Egress, Self::Ingress];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }
}

/// Namespaces of one cluster of which a direction was applied at the same time. What was not taken back is
/// live when the scenario begins, and was watched without a break but for `silent`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowSpec {
    pub cluster: String,
    pub namespaces: Vec<String>,
    #[serde(default)]
    pub direction: Way,
    pub wave: u32,
    pub applied_hours_ago: u32,
    pub rolled_back: Option<RolledBackSpec>,
    #[serde(default)]
    pub denied: Vec<DeniedSpec>,
    /// The first of its nodes said nothing for a while.
    pub silent: Option<SilentSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolledBackSpec {
    pub hours_ago: u32,
    pub reason: String,
}

/// Calls to an external that were denied since some minutes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeniedSpec {
    pub workload: String,
    pub to: String,
    pub minutes_ago: u32,
    pub count: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilentSpec {
    pub hours_ago: u32,
    pub minutes: u32,
}

/// A question to security about one external, and what was decided.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewSpec {
    pub clusters: Vec<String>,
    pub namespace: String,
    /// Name of an external.
    pub to: String,
    /// Asked for its addresses instead of its name.
    #[serde(default)]
    pub by_address: bool,
    pub asked_hours_ago: u32,
    pub expires_in_days: i64,
    pub findings: Vec<String>,
    pub purpose: String,
    pub decision: Option<DecisionSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionSpec {
    pub verdict: String,
    pub hours_ago: u32,
    pub reason: String,
    pub ticket: Option<String>,
}

/// A hold, or an exclusion.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldSpec {
    #[serde(default)]
    pub exclusion: bool,
    pub by: String,
    pub reason: String,
    pub cluster: String,
    pub namespace: Option<String>,
    pub hours_ago: u32,
    pub expires_in_hours: i64,
}

impl Past {
    /// Rows of a cluster that are live at the beginning, with since when.
    pub fn live<'p>(
        &'p self,
        cluster: &'p str,
        start: DateTime<Utc>,
    ) -> impl Iterator<Item = (Way, &'p str, DateTime<Utc>)> {
        let rows = self.rows.iter().filter(move |row| row.cluster == cluster && row.rolled_back.is_none());
        rows.flat_map(move |row| {
            let at = hours_before(start, row.applied_hours_ago);
            row.namespaces.iter().map(move |ns| (row.direction, ns.as_str(), at))
        })
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.reviews.is_empty() && self.holds.is_empty()
    }

    /// Does everything that is named exist, and each row once?
    pub fn check(&self, clusters: &[ClusterSpec], externals: &[External]) -> Result<(), String> {
        let cluster = |name: &str| {
            let found = clusters.iter().find(|cluster| cluster.name == name);
            found.ok_or_else(|| format!("past: there is no cluster {name}"))
        };
        let external = |name: &str| {
            let found = externals.iter().any(|external| external.name == name);
            found.then_some(()).ok_or_else(|| format!("past: there is no external {name}"))
        };
        let mut rows = BTreeSet::new();
        for row in &self.rows {
            let known = &cluster(&row.cluster)?.namespaces;
            for ns in &row.namespaces {
                if !known.iter().any(|entry| super::scenario::namespace_and_pattern(entry).0 == ns) {
                    return Err(format!("past: {} has no namespace {ns}", row.cluster));
                }
                if !rows.insert((&row.cluster, ns, row.direction)) {
                    let way = row.direction.as_str();
                    return Err(format!("past: {way} of {} {ns} is told twice", row.cluster));
                }
            }
            row.denied.iter().try_for_each(|denied| external(&denied.to))?;
        }
        for review in &self.reviews {
            review.clusters.iter().try_for_each(|name| cluster(name).map(drop))?;
            external(&review.to)?;
        }
        self.holds.iter().try_for_each(|hold| cluster(&hold.cluster).map(drop))?;
        if self.is_empty() || clusters.iter().any(|cluster| cluster.state) {
            Ok(())
        } else {
            Err("past: no cluster keeps the team's state".to_owned())
        }
    }
}

/// A whole minute some hours before the beginning.
pub fn hours_before(start: DateTime<Utc>, hours: u32) -> DateTime<Utc> {
    minutes_before(start, hours * 60)
}

pub fn minutes_before(start: DateTime<Utc>, minutes: u32) -> DateTime<Utc> {
    let start = start.duration_trunc(Duration::minutes(1)).unwrap_or(start);
    start - Duration::minutes(i64::from(minutes))
}
