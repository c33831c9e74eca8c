//! What is known of an engine beside the evaluator's table ([`Plugin::traits`]): what its version says
//! of endPort, what becomes of live connections, families, and a few sentences. Also how versions are
//! read. Pure; each row from the engine's documentation and source.

use crate::domain::eval::plugin::{Holds, Plugin, Traits};

use super::engines::{Engine, EngineKind};

/// What an engine does with the parts of the API in which engines differ. `None`: not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviations {
    pub traits: Traits,
    pub end_port: Option<bool>,
    /// A new deny cuts connections that are there already.
    pub cuts_live: Option<bool>,
    /// Both families of a dual-stack cluster.
    pub both_families: bool,
    /// What else is known, a sentence each.
    pub notes: &'static [&'static str],
}

pub fn of(engine: &Engine) -> Deviations {
    let version = engine.version.as_ref().and_then(|version| version_of(version.as_str()));
    let traits = Plugin::of(engine.kind.cni()).traits();
    let end_port = match (engine.kind, traits.end_port) {
        // It came with 1.16 (cilium/cilium issue 16622); before, it is ignored (issue 28684).
        (EngineKind::Cilium, _) => version.map(|version| version >= (1, 16)),
        (_, Holds::Yes) => Some(true),
        (_, Holds::No) => Some(false),
        (_, Holds::Unsure) => None,
    };
    let plain = Deviations { traits, end_port, cuts_live: Some(false), both_families: true, notes: &[] };
    const OPEN: &[&str] = &["it fails open: while its agent is down, everything is allowed"];
    match engine.kind {
        EngineKind::Calico | EngineKind::KubeRouter | EngineKind::K3s => plain,
        EngineKind::Cilium => {
            let notes = &["an ipBlock never selects pods: name them by labels"];
            Deviations { cuts_live: Some(true), notes, ..plain }
        }
        EngineKind::Antrea => Deviations { cuts_live: Some(true), ..plain },
        EngineKind::NetworkPolicies => Deviations { cuts_live: Some(true), notes: OPEN, ..plain },
        EngineKind::Kindnet => Deviations { cuts_live: None, notes: OPEN, ..plain },
        EngineKind::Weave => {
            Deviations { notes: &["its project is archived: migrate to Calico or Cilium"], ..plain }
        }
        EngineKind::Aws => Deviations {
            cuts_live: None,
            both_families: false,
            notes: &[
                "pods without an owner, on Fargate and on Windows are not covered",
                "a Service's port must equal its pods' port",
            ],
            ..plain
        },
        EngineKind::AzureNpm => Deviations { notes: &["it is being retired in favour of Cilium"], ..plain },
        EngineKind::OvnKubernetes => Deviations {
            cuts_live: Some(true),
            notes: &["a peer with an empty namespaceSelector and no podSelector includes the host's network"],
            ..plain
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
