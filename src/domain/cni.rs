//! Network plugins: which one enforces NetworkPolicies in a cluster, and whether it does. Values only;
//! `preflight::cni` recognises them.

use super::names::Text;

/// The enforcing network plugin, recognised from the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CniKind {
    Cilium,
    Calico,
    Antrea,
    /// Connects pods and enforces nothing.
    Flannel,
    NetworkPolicies,
    KubeRouter,
    K3s,
    Weave,
    /// The network policy agent of the AWS VPC CNI.
    Aws,
    AzureNpm,
    OvnKubernetes,
    Kindnet,
    /// None that is known, or none that enforces.
    Other,
}

impl CniKind {
    pub const ALL: [Self; 13] = [
        Self::Cilium,
        Self::Calico,
        Self::Antrea,
        Self::Flannel,
        Self::NetworkPolicies,
        Self::KubeRouter,
        Self::K3s,
        Self::Weave,
        Self::Aws,
        Self::AzureNpm,
        Self::OvnKubernetes,
        Self::Kindnet,
        Self::Other,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cilium => "Cilium",
            Self::Calico => "Calico",
            Self::Antrea => "Antrea",
            Self::Flannel => "flannel",
            Self::NetworkPolicies => "kube-network-policies",
            Self::KubeRouter => "kube-router",
            Self::K3s => "k3s",
            Self::Weave => "Weave Net",
            Self::Aws => "AWS VPC CNI",
            Self::AzureNpm => "Azure NPM",
            Self::OvnKubernetes => "OVN-Kubernetes",
            Self::Kindnet => "kindnet",
            Self::Other => "other",
        }
    }
}

/// Whether NetworkPolicies take effect. Unknown never passes for yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Enforcement {
    Enforces,
    DoesNot,
    /// They are judged and told, and nothing is dropped: Cilium's `policy-audit-mode`.
    Audits,
    Unknown,
}

impl Enforcement {
    /// It is known that nothing is dropped.
    pub fn is_off(self) -> bool {
        matches!(self, Self::DoesNot | Self::Audits)
    }
}

/// What was found out about the CNI, with the evidence in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cni {
    pub kind: CniKind,
    pub version: Option<Text>,
    pub enforcement: Enforcement,
    /// Object, field and value that the finding rests on.
    pub evidence: Text,
}
