//! Network plugins and where they leave the NetworkPolicy API, as one table. Facts: the plugins' own
//! documentation and code, by release as noted. What is not known of a plugin is [`Holds::Unsure`],
//! and a verdict that hangs on it is unknown.

use crate::domain::fleet::{Cni, CniKind, Enforcement};

/// Who enforces NetworkPolicies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plugin {
    /// No plugin is named: what the API says and Kubernetes' own end-to-end suite fixes.
    Reference,
    Cilium,
    Calico,
    Antrea,
    Flannel,
    /// kube-network-policies, and kindnet, which has its engine.
    KubeNetworkPolicies,
    /// kube-router, and k3s, which has its controller.
    KubeRouter,
    Weave,
    /// The network policy agent of the AWS VPC CNI.
    AwsVpc,
    AzureNpm,
    OvnKubernetes,
    /// There is one, and it is not known which.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    Yes,
    No,
    Unsure,
}

/// Which destination egress rules see when a connection goes to a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceView {
    /// The backend and its target port.
    Backend,
    /// The Service's own address and port; selectors find the Services of the pods that they select.
    Service,
    Unsure,
}

/// How one plugin differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    pub plugin: Plugin,
    /// As people write it on a command line.
    pub word: &'static str,
    pub enforces: Holds,
    pub block_matches_pods: Holds,
    pub block_matches_nodes: Holds,
    pub service: ServiceView,
    /// `endPort`; where it does not hold, only `port` itself counts.
    pub end_port: Holds,
    /// Named ports; where they do not hold, a policy with one is not applied at all.
    pub named_ports: Holds,
    pub sctp: Holds,
    /// Traffic of the pod's own node passes: kubelet probes.
    pub local_node_passes: Holds,
    /// An empty namespaceSelector without podSelector selects pods of the hosts' network.
    pub all_namespaces_have_hosts: Holds,
}

impl Plugin {
    pub const ALL: [Self; 12] = [
        Self::Reference,
        Self::Cilium,
        Self::Calico,
        Self::Antrea,
        Self::Flannel,
        Self::KubeNetworkPolicies,
        Self::KubeRouter,
        Self::Weave,
        Self::AwsVpc,
        Self::AzureNpm,
        Self::OvnKubernetes,
        Self::Unknown,
    ];

    pub fn as_str(self) -> &'static str {
        self.traits().word
    }

    pub fn parse(raw: &str) -> Option<Self> {
        let alias = match raw {
            "kindnet" => "kube-network-policies",
            "k3s" => "kube-router",
            "canal" => "calico",
            other => other,
        };
        Self::ALL.into_iter().find(|plugin| plugin.as_str() == alias)
    }

    /// The row of what was recognised in a cluster.
    pub fn of(kind: CniKind) -> Self {
        match kind {
            CniKind::Cilium => Self::Cilium,
            CniKind::Calico => Self::Calico,
            CniKind::Antrea => Self::Antrea,
            CniKind::Flannel => Self::Flannel,
            CniKind::NetworkPolicies | CniKind::Kindnet => Self::KubeNetworkPolicies,
            CniKind::KubeRouter | CniKind::K3s => Self::KubeRouter,
            CniKind::Weave => Self::Weave,
            CniKind::Aws => Self::AwsVpc,
            CniKind::AzureNpm => Self::AzureNpm,
            CniKind::OvnKubernetes => Self::OvnKubernetes,
            CniKind::Other => Self::Unknown,
        }
    }

    /// The table.
    pub fn traits(self) -> Traits {
        use Holds::{No, Unsure, Yes};
        let usual = Traits {
            plugin: self,
            word: "reference",
            enforces: Yes,
            block_matches_pods: Yes,
            block_matches_nodes: Yes,
            service: ServiceView::Backend,
            end_port: Yes,
            named_ports: Yes,
            sctp: Yes,
            local_node_passes: Yes,
            all_namespaces_have_hosts: No,
        };
        match self {
            Self::Reference => usual,
            // Identities win over networks: pods never, nodes only with policy-cidr-match-mode: nodes.
            // endPort since 1.16, SCTP with enable-sctp; probes unless allow-localhost: policy.
            Self::Cilium => Traits {
                word: "cilium",
                block_matches_pods: No,
                block_matches_nodes: Unsure,
                end_port: Unsure,
                sctp: Unsure,
                ..usual
            },
            Self::Calico => Traits { word: "calico", ..usual },
            Self::Antrea => Traits { word: "antrea", ..usual },
            // Alone it has no policy engine: policies are ignored.
            Self::Flannel => Traits { word: "flannel", enforces: No, ..usual },
            Self::KubeNetworkPolicies => Traits { word: "kube-network-policies", ..usual },
            Self::KubeRouter => Traits { word: "kube-router", ..usual },
            // Archived; weave-npc refuses named ports, knows no endPort, and nothing is said of SCTP.
            Self::Weave => Traits { word: "weave", end_port: No, named_ports: No, sctp: Unsure, ..usual },
            // Judges egress at the pod's veth, before kube-proxy.
            Self::AwsVpc => Traits { word: "aws-vpc-cni", service: ServiceView::Service, ..usual },
            // Linux; Windows refuses SCTP.
            Self::AzureNpm => Traits { word: "azure-npm", sctp: Unsure, ..usual },
            Self::OvnKubernetes => Traits { word: "ovn-kubernetes", all_namespaces_have_hosts: Yes, ..usual },
            Self::Unknown => Traits {
                word: "unknown",
                enforces: Unsure,
                block_matches_pods: Unsure,
                block_matches_nodes: Unsure,
                service: ServiceView::Unsure,
                end_port: Unsure,
                named_ports: Unsure,
                sctp: Unsure,
                all_namespaces_have_hosts: Unsure,
                ..usual
            },
        }
    }
}

/// Settings of a plugin that change what policies do there; `None`: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// `policy-cidr-match-mode` has `nodes`: an ipBlock selects nodes too.
    pub blocks_select_nodes: Option<bool>,
    /// `enable-sctp`.
    pub sctp: Option<bool>,
    /// `allow-localhost` is not `policy`: what comes from the pod's own node passes.
    pub local_node_passes: Option<bool>,
}

impl Switches {
    /// Out of the keys of `cilium-config`, with Cilium's defaults for those that are not there.
    pub fn of_cilium<'v>(get: impl Fn(&str) -> Option<&'v str>) -> Self {
        let modes = get("policy-cidr-match-mode").unwrap_or_default();
        Self {
            blocks_select_nodes: Some(modes.split([',', ' ']).any(|mode| mode == "nodes")),
            sctp: Some(get("enable-sctp").is_some_and(|value| value.eq_ignore_ascii_case("true"))),
            local_node_passes: Some(get("allow-localhost") != Some("policy")),
        }
    }
}

impl Traits {
    /// With what is known of Cilium's settings; other plugins have none of these.
    #[must_use]
    pub fn switched(self, switches: Switches) -> Self {
        if self.plugin != Plugin::Cilium {
            return self;
        }
        let or = |known: Option<bool>, table: Holds| match known {
            Some(true) => Holds::Yes,
            Some(false) => Holds::No,
            None => table,
        };
        Self {
            block_matches_nodes: or(switches.blocks_select_nodes, self.block_matches_nodes),
            sctp: or(switches.sctp, self.sctp),
            local_node_passes: or(switches.local_node_passes, self.local_node_passes),
            ..self
        }
    }

    /// Of the plugin that was recognised in a cluster, as far as it was.
    pub fn of(cni: &Cni) -> Self {
        let plugin = Plugin::of(cni.kind);
        let table = plugin.traits();
        let enforces = match cni.enforcement {
            Enforcement::Enforces => Holds::Yes,
            Enforcement::DoesNot | Enforcement::Audits => Holds::No,
            Enforcement::Unknown => Holds::Unsure,
        };
        let minor = cni.version.as_ref().and_then(|version| minor_of_one(version.as_str()));
        let end_port = match (plugin, minor) {
            (Plugin::Cilium, Some(16..)) => Holds::Yes,
            (Plugin::Cilium, Some(_)) => Holds::No,
            _ => table.end_port,
        };
        Self { enforces, end_port, ..table }
    }
}

/// 16 of `v1.16.3`.
fn minor_of_one(version: &str) -> Option<u32> {
    version.trim_start_matches('v').strip_prefix("1.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::Text;

    #[test]
    fn cilium_knows_ranges_of_ports_since_1_16() {
        for (version, end_port) in [
            (Some("v1.16.3"), Holds::Yes),
            (Some("v1.15.9"), Holds::No),
            (Some("1.18.0-rc.1"), Holds::Yes),
            (Some("latest"), Holds::Unsure),
            (None, Holds::Unsure),
        ] {
            let cni = Cni {
                kind: CniKind::Cilium,
                version: version.map(Text::new),
                enforcement: Enforcement::Enforces,
                evidence: Text::default(),
            };
            assert_eq!(Traits::of(&cni).end_port, end_port, "{version:?}");
        }
    }

    /// Defaults as Cilium's documentation of `cilium-config` has them (1.19).
    #[test]
    fn settings_of_cilium_settle_what_the_table_leaves_open() {
        use Holds::{No, Unsure, Yes};
        let table = Plugin::Cilium.traits();
        let said = |traits: Traits| (traits.block_matches_nodes, traits.sctp, traits.local_node_passes);
        assert_eq!(said(table.switched(Switches::default())), (Unsure, Unsure, Yes), "nothing is known");
        for (pairs, expected) in [
            (&[][..], (No, No, Yes)),
            (&[("policy-cidr-match-mode", "nodes"), ("enable-sctp", "true")], (Yes, Yes, Yes)),
            (&[("policy-cidr-match-mode", "remote-node,nodes")], (Yes, No, Yes)),
            (&[("policy-cidr-match-mode", ""), ("allow-localhost", "policy")], (No, No, No)),
        ] {
            let get = |key: &str| pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
            assert_eq!(said(table.switched(Switches::of_cilium(get))), expected, "{pairs:?}");
        }
        let calico = Plugin::Calico.traits();
        let off = Switches { blocks_select_nodes: Some(false), sctp: Some(false), local_node_passes: None };
        assert_eq!(calico.switched(off), calico, "a setting of another plugin");
    }

    #[test]
    fn every_plugin_has_a_word_of_its_own() {
        for plugin in Plugin::ALL {
            assert_eq!(Plugin::parse(plugin.as_str()), Some(plugin));
        }
        assert_eq!(Plugin::parse("k3s"), Some(Plugin::KubeRouter));
        assert_eq!(Plugin::parse("Cilium"), None);
    }

    /// The preflight facts' summary table, line by line.
    #[test]
    fn the_table_says_what_the_facts_say() {
        use Holds::{No, Unsure, Yes};
        for (plugin, pods, nodes, end_port, sctp) in [
            (Plugin::Cilium, No, Unsure, Unsure, Unsure),
            (Plugin::Calico, Yes, Yes, Yes, Yes),
            (Plugin::Antrea, Yes, Yes, Yes, Yes),
            (Plugin::KubeNetworkPolicies, Yes, Yes, Yes, Yes),
            (Plugin::KubeRouter, Yes, Yes, Yes, Yes),
            (Plugin::Weave, Yes, Yes, No, Unsure),
            (Plugin::AwsVpc, Yes, Yes, Yes, Yes),
            (Plugin::AzureNpm, Yes, Yes, Yes, Unsure),
            (Plugin::OvnKubernetes, Yes, Yes, Yes, Yes),
        ] {
            let it = plugin.traits();
            let said = (it.block_matches_pods, it.block_matches_nodes, it.end_port, it.sctp);
            assert_eq!(said, (pods, nodes, end_port, sctp), "{plugin:?}");
        }
    }
}
