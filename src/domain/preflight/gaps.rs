//! Where an engine does other than the NetworkPolicy API says, as data: one row an engine, from its
//! documentation and source. Also how versions are read. Pure.

use super::engines::{Engine, EngineKind};

/// Where a policy sees a connection to a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// The pod behind the Service and its own port.
    Backend,
    /// On egress the Service's address and port.
    ServiceOnEgress,
}

/// What an engine does with the parts of the API in which engines differ. `None`: not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviations {
    pub block_selects_pods: bool,
    /// `None`: by a setting, see [`Engine`].
    pub block_selects_nodes: Option<bool>,
    pub sees: Sees,
    pub end_port: Option<bool>,
    pub sctp: Option<bool>,
    pub named_ports: bool,
    /// A new deny cuts connections that are there already.
    pub cuts_live: Option<bool>,
    /// Both families of a dual-stack cluster.
    pub both_families: bool,
    /// What else is known, a sentence each.
    pub notes: &'static [&'static str],
}

const PLAIN: Deviations = Deviations {
    block_selects_pods: true,
    block_selects_nodes: Some(true),
    sees: Sees::Backend,
    end_port: Some(true),
    sctp: Some(true),
    named_ports: true,
    cuts_live: Some(false),
    both_families: true,
    notes: &[],
};

pub fn of(engine: &Engine) -> Deviations {
    let version = engine.version.as_ref().and_then(|version| version_of(version.as_str()));
    match engine.kind {
        EngineKind::Cilium => Deviations {
            block_selects_pods: false,
            block_selects_nodes: None,
            end_port: version.map(|version| version >= (1, 16)),
            sctp: Some(false),
            cuts_live: Some(true),
            notes: &["an ipBlock never selects pods: name them by labels"],
            ..PLAIN
        },
        EngineKind::Calico | EngineKind::KubeRouter | EngineKind::K3s => PLAIN,
        EngineKind::Antrea => Deviations { cuts_live: Some(true), ..PLAIN },
        EngineKind::NetworkPolicies => Deviations {
            cuts_live: Some(true),
            notes: &["it fails open: while its agent is down, everything is allowed"],
            ..PLAIN
        },
        EngineKind::Kindnet => Deviations {
            cuts_live: None,
            notes: &["it fails open: while its agent is down, everything is allowed"],
            ..PLAIN
        },
        EngineKind::Weave => Deviations {
            end_port: Some(false),
            sctp: Some(false),
            named_ports: false,
            notes: &["its project is archived: migrate to Calico or Cilium"],
            ..PLAIN
        },
        EngineKind::Aws => Deviations {
            sees: Sees::ServiceOnEgress,
            cuts_live: None,
            both_families: false,
            notes: &[
                "pods without an owner, on Fargate and on Windows are not covered",
                "a Service's port must equal its pods' port",
            ],
            ..PLAIN
        },
        EngineKind::AzureNpm => Deviations { notes: &["it is being retired in favour of Cilium"], ..PLAIN },
        EngineKind::OvnKubernetes => Deviations {
            cuts_live: Some(true),
            notes: &["a peer with an empty namespaceSelector and no podSelector includes the host's network"],
            ..PLAIN
        },
    }
}

/// Major and minor of `v1.17.2`, `1.16.0-rc.1`, `v3.30.1+x`.
pub fn version_of(raw: &str) -> Option<(u32, u32)> {
    let mut parts = raw.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// With the patch level; a missing one is 0.
pub fn patch_of(raw: &str) -> Option<(u32, u32, u32)> {
    let (major, minor) = version_of(raw)?;
    let mut parts = raw.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    Some((major, minor, parts.nth(2).and_then(|patch| patch.parse().ok()).unwrap_or(0)))
}
