//! Parts that several kinds have in common, as they are stored: rollouts, scopes, workloads, denials,
//! selectors. Pure and total.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::domain::{
    flow::{Direction, Protocol},
    hold::{DenialKey, Scope},
    names::{Text, Workload},
    policy::{PolicyDigest, Requirement, Selector},
    rollout::Target,
};

use super::object::{bounded, need_cluster, need_ns};

/// A rollout.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetWire {
    pub cluster: String,
    pub namespace: String,
    pub direction: String,
}

impl TargetWire {
    pub fn of(target: &Target) -> Self {
        Self {
            cluster: target.cluster.to_string(),
            namespace: target.ns.to_string(),
            direction: target.direction.to_string(),
        }
    }

    pub fn read(&self) -> Result<Target, String> {
        Ok(Target {
            cluster: need_cluster(&self.cluster)?,
            ns: need_ns(&self.namespace)?,
            direction: direction(&self.direction)?,
        })
    }
}

pub fn direction(raw: &str) -> Result<Direction, String> {
    Direction::parse(raw)
        .ok_or_else(|| format!("direction is neither egress nor ingress: {}", Text::new(raw)))
}

pub fn protocol(raw: &str) -> Result<Protocol, String> {
    Protocol::parse(raw).ok_or_else(|| format!("protocol is none that is known: {}", Text::new(raw)))
}

pub fn digest(raw: &str) -> Result<PolicyDigest, String> {
    PolicyDigest::parse(raw).ok_or_else(|| format!("digest is none: {}", Text::new(raw)))
}

/// From wide to narrow: nothing is the fleet, then a cluster, a namespace of it, a rollout.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScopeWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
}

impl ScopeWire {
    pub fn of(scope: &Scope) -> Self {
        match scope {
            Scope::Fleet => Self::default(),
            Scope::Cluster(cluster) => Self { cluster: Some(cluster.to_string()), ..Self::default() },
            Scope::Namespace(cluster, ns) => Self {
                cluster: Some(cluster.to_string()),
                namespace: Some(ns.to_string()),
                ..Self::default()
            },
            Scope::Rollout(target) => Self {
                cluster: Some(target.cluster.to_string()),
                namespace: Some(target.ns.to_string()),
                direction: Some(target.direction.to_string()),
            },
        }
    }

    pub fn read(&self) -> Result<Scope, String> {
        match (&self.cluster, &self.namespace, &self.direction) {
            (None, None, None) => Ok(Scope::Fleet),
            (Some(cluster), None, None) => Ok(Scope::Cluster(need_cluster(cluster)?)),
            (Some(cluster), Some(ns), None) => Ok(Scope::Namespace(need_cluster(cluster)?, need_ns(ns)?)),
            (Some(cluster), Some(ns), Some(way)) => Ok(Scope::Rollout(Target {
                cluster: need_cluster(cluster)?,
                ns: need_ns(ns)?,
                direction: direction(way)?,
            })),
            (_, _, Some(_)) => Err("a direction needs cluster and namespace".to_owned()),
            (None, Some(_), None) => Err("a namespace needs its cluster".to_owned()),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkloadWire {
    pub kind: String,
    pub name: String,
}

impl WorkloadWire {
    pub fn of(workload: &Workload) -> Self {
        Self { kind: workload.kind.to_string(), name: workload.name.to_string() }
    }

    pub fn read(&self) -> Workload {
        Workload::new(&self.kind, &self.name)
    }
}

/// What a denial group is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DenialWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadWire>,
    pub destination: String,
    pub port: u16,
    pub protocol: String,
}

impl DenialWire {
    pub fn of(key: &DenialKey) -> Self {
        Self {
            workload: key.workload.as_ref().map(WorkloadWire::of),
            destination: key.destination.to_string(),
            port: key.port,
            protocol: key.protocol.to_string(),
        }
    }

    pub fn read(&self) -> Result<DenialKey, String> {
        Ok(DenialKey {
            workload: self.workload.as_ref().map(WorkloadWire::read),
            destination: Text::new(&self.destination),
            port: self.port,
            protocol: protocol(&self.protocol)?,
        })
    }
}

/// One requirement of a label selector, in the words of Kubernetes' matchExpressions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequirementWire {
    pub key: String,
    pub operator: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// Requirements and values that a selector may have.
const REQUIREMENTS: usize = 32;

pub fn selector_wire(selector: &Selector) -> Vec<RequirementWire> {
    let wire = |key: &CompactString, operator: &str, values: &[CompactString]| RequirementWire {
        key: key.to_string(),
        operator: operator.to_owned(),
        values: values.iter().map(ToString::to_string).collect(),
    };
    let requirements = selector.0.iter().map(|requirement| match requirement {
        Requirement::In { key, values } => wire(key, "In", values),
        Requirement::NotIn { key, values } => wire(key, "NotIn", values),
        Requirement::Exists { key } => wire(key, "Exists", &[]),
        Requirement::DoesNotExist { key } => wire(key, "DoesNotExist", &[]),
    });
    requirements.collect()
}

pub fn read_selector(wire: &[RequirementWire]) -> Result<Selector, String> {
    bounded("selector", wire, REQUIREMENTS)?;
    let requirements = wire.iter().map(|requirement| {
        bounded("selector values", &requirement.values, REQUIREMENTS)?;
        let key = label(&requirement.key)?;
        let values = || requirement.values.iter().map(|value| label(value)).collect::<Result<Vec<_>, _>>();
        Ok(match requirement.operator.as_str() {
            "In" => Requirement::In { key, values: values()? },
            "NotIn" => Requirement::NotIn { key, values: values()? },
            "Exists" => Requirement::Exists { key },
            "DoesNotExist" => Requirement::DoesNotExist { key },
            other => return Err(format!("selector has the operator {}", Text::new(other))),
        })
    });
    requirements.collect::<Result<Vec<_>, _>>().map(Selector)
}

/// A label's key or value; what Kubernetes would not take as one is no selector of anything.
fn label(raw: &str) -> Result<CompactString, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    if raw.len() <= 317 && raw.bytes().all(good) {
        Ok(CompactString::new(raw))
    } else {
        Err(format!("selector has what is no label: {}", Text::new(raw)))
    }
}
