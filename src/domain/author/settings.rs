//! What people decided about how policies are written: Harbor, published ranges, pods among
//! themselves, and rules of their own. Read by `workspace`; judges nothing.

use ipnet::IpNet;

use crate::domain::{
    edge::DnsName,
    names::{NsName, Text},
    opened::Opened,
    policy::{Labels, Rule},
};

/// Of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Pods may reach each other without evidence, by the baseline.
    pub pod_to_pod: bool,
    /// `None`: nobody said whether Harbor has landed, which counts as not.
    pub harbor: Option<Harbor>,
    pub published: Vec<Published>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { pod_to_pod: true, harbor: None, published: Vec::new() }
    }
}

/// The proxy cache of registries (DEVOP-589).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harbor {
    pub landed: bool,
    /// Names under which it is asked for.
    pub names: Vec<DnsName>,
    pub networks: Vec<IpNet>,
    /// Pods in this cluster that are it.
    pub ns: Option<NsName>,
    pub labels: Labels,
    pub port: u16,
}

/// Networks that a provider publishes for its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// With `*`: a pattern as in Cilium's rules.
    pub names: Vec<DnsName>,
    pub networks: Vec<IpNet>,
    /// Where they are published, with a date if there is one.
    pub source: Text,
}

/// A rule that a person added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Name of the pinned policy that it goes into.
    pub policy: &'static str,
    /// File and line.
    pub place: Text,
    pub why: Text,
    pub rule: Rule,
    /// What it opens.
    pub opens: Vec<Opened>,
}
