//! The tables of a scenario file as they are written, and their checks. Text in, values out.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::sim::fleet::{
    faults::{Fault, TimedFault},
    kyverno::Kyverno,
    past::Past,
    scenario::{AgentSpec, ClusterSpec, Cni, CollectorSpec, Environment, External, Pattern, Records},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(default)]
    pub name: String,
    #[serde(default, rename = "cluster")]
    pub clusters: Vec<ClusterFile>,
    #[serde(default, rename = "pattern")]
    pub patterns: Vec<Pattern>,
    #[serde(default, rename = "external")]
    pub externals: Vec<External>,
    #[serde(default)]
    pub past: Past,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterFile {
    name: String,
    environment: Environment,
    cni: CniFile,
    nodes: usize,
    namespaces: Vec<String>,
    #[serde(default = "one")]
    replicas: usize,
    #[serde(default = "full_rate")]
    rate: f64,
    #[serde(default)]
    policies: usize,
    #[serde(default)]
    agent: AgentFile,
    collector: Option<CollectorSpec>,
    #[serde(default)]
    state: bool,
    #[serde(default)]
    granted: Vec<String>,
    #[serde(default)]
    probes: bool,
    kyverno: Option<Kyverno>,
    #[serde(default)]
    faults: Vec<FaultFile>,
    #[serde(default)]
    objects: String,
}

/// What the network plugin's agents are told.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AgentFile {
    dns_visibility: bool,
    audit: bool,
}

/// `"antrea"`, or `{ kind = "antrea", records = "flow-stream" }`.
#[derive(Deserialize)]
#[serde(untagged)]
enum CniFile {
    Plain(Cni),
    Recording { kind: Cni, records: Records },
}

impl ClusterFile {
    pub fn check(self) -> Result<ClusterSpec, String> {
        let name = self.name;
        let faults: Result<Vec<_>, String> = self.faults.into_iter().map(FaultFile::check).collect();
        if self.nodes == 0 || self.nodes > 200 {
            return Err(format!("cluster {name}: {} nodes are not between 1 and 200", self.nodes));
        }
        let objects = serde_yaml::from_multiple::<Value>(&self.objects)
            .map_err(|why| format!("cluster {name}: objects: {why}"))?;
        let (cni, records) = match self.cni {
            CniFile::Plain(cni) => (cni, None),
            CniFile::Recording { kind, records } => (kind, Some(records)),
        };
        Ok(ClusterSpec {
            objects,
            faults: faults.map_err(|why| format!("cluster {name}: {why}"))?,
            name,
            environment: self.environment,
            cni,
            nodes: self.nodes,
            namespaces: self.namespaces,
            replicas: self.replicas,
            rate: self.rate,
            policies: self.policies,
            agent: AgentSpec { dns_visibility: self.agent.dns_visibility, audit: self.agent.audit, records },
            collector: self.collector,
            state: self.state,
            granted: self.granted,
            probes: self.probes,
            kyverno: self.kyverno,
        })
    }
}

/// The members a fault needs beside `kind`, `at` and `for` depend on its kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultFile {
    kind: String,
    at: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    seconds: Option<i64>,
    count: Option<u64>,
    node: Option<String>,
    namespace: Option<String>,
    workload: Option<String>,
}

impl FaultFile {
    fn check(self) -> Result<TimedFault, String> {
        let at = self.at.as_deref().map_or(Ok(Duration::ZERO), parse_duration)?;
        let lasts = self.lasts.as_deref().map(parse_duration).transpose()?;
        Ok(TimedFault { at, lasts, fault: self.fault()? })
    }

    fn fault(self) -> Result<Fault, String> {
        let kind = self.kind;
        let need =
            |value: Option<String>, name: &str| value.ok_or_else(|| format!("fault {kind} needs `{name}`"));
        Ok(match kind.as_str() {
            "dead" => Fault::Dead,
            "slow" => Fault::Slow { answer: Duration::from_secs(self.seconds.unwrap_or(5).unsigned_abs()) },
            "node-lost" => Fault::NodeLost { node: need(self.node, "node")? },
            "node-down" => Fault::NodeDown { node: need(self.node, "node")? },
            "clock-skew" => {
                Fault::ClockSkew { node: need(self.node, "node")?, seconds: self.seconds.unwrap_or(90) }
            }
            "odd-flows" => Fault::OddFlows,
            "disorder" => Fault::Disorder,
            "lost-events" => Fault::LostEvents { count: self.count.unwrap_or(64) },
            "relay-away" => Fault::RelayAway,
            "log-away" => Fault::LogAway { node: need(self.node, "node")? },
            "log-rotated" => Fault::LogRotated { node: need(self.node, "node")? },
            "silent-loss" => Fault::SilentLoss { one_in: self.count.unwrap_or(10) },
            "late-flows" => Fault::LateFlows { one_in: self.count.unwrap_or(10) },
            "watch-expiry" => Fault::WatchExpiry,
            "too-many-requests" => Fault::TooManyRequests,
            "expired-certificate" => Fault::ExpiredCertificate,
            "missing-rights" => Fault::MissingRights,
            "stuck-terminating" => Fault::StuckTerminating { namespace: need(self.namespace, "namespace")? },
            "answers-lost" => Fault::AnswersLost,
            "garbage" => Fault::Garbage,
            "restart" => Fault::Restart {
                namespace: need(self.namespace, "namespace")?,
                workload: need(self.workload, "workload")?,
            },
            other => return Err(format!("there is no fault {other:?}")),
        })
    }
}

/// `30s`, `5m`, `2h`
fn parse_duration(raw: &str) -> Result<Duration, String> {
    let (number, unit) = raw.split_at(raw.len().saturating_sub(1));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => 0,
    };
    match number.parse::<u64>() {
        Ok(n) if seconds > 0 => Ok(Duration::from_secs(n * seconds)),
        _ => Err(format!("{raw:?} is not a duration like 30s, 5m or 2h")),
    }
}

fn one() -> usize {
    1
}

fn full_rate() -> f64 {
    1.0
}
