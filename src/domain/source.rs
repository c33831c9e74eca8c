//! What each kind of flow source can prove: the one table. A soak's credit rests on it: where the node or
//! a loss is not known, "no news" proves nothing, and only the heartbeat does. No clock, no I/O.

/// A kind of flow source that judged flows are read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// Hubble Relay of Cilium.
    Hubble,
    /// Goldmane of Calico's operator, 3.30 and later.
    Goldmane,
    /// Lines of Calico's `Log` rules, out of the nodes' kernel logs.
    CalicoLog,
    /// Flow-log files of Calico Enterprise, on each node.
    CalicoFiles,
    /// FlowStreamService of Antrea's flow aggregator, 2.7 and later.
    AntreaFlows,
    /// Antrea's audit log `np.log`, on each node.
    AntreaLog,
    /// Lines of a netfilter `LOG` rule that somebody else set.
    KernelLog,
    /// Anything of which nothing is known: it can prove nothing.
    #[default]
    Unknown,
}

/// What a kind of source can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ability {
    /// Each event names its node, and signs of each node are told.
    pub node: bool,
    /// It reports its own losses.
    pub loss: bool,
    /// Denials are told as denials, with the pod or workload that was denied.
    pub denied: bool,
    /// How far back it can be read again, in words.
    pub history: &'static str,
    /// Who the other end can be called, in words.
    pub names: &'static str,
    /// Seconds from what happened until it is told, at the most, if all is well.
    pub late_secs: u32,
    /// What must be known of it before its figures are read, as sentences without a full stop.
    pub limits: &'static [&'static str],
}

const HUBBLE: Ability = Ability {
    node: true,
    loss: true,
    denied: true,
    history: "the last events of each node, minutes",
    names: "address, pod, DNS name where Cilium sees lookups",
    late_secs: 20,
    limits: &[],
};

const GOLDMANE: Ability = Ability {
    node: false,
    loss: false,
    denied: true,
    history: "one hour, in memory; none after its restart",
    names: "workload, network set, else only public or private; never an address",
    late_secs: 75,
    limits: &[
        "no addresses and no DNS names: outside peers are only public or private, or a network set",
        "counts are flows of 15 s, not connections, and come 15 to 45 s late",
        "it forgets after one hour, and everything when it restarts",
        "what it loses it does not tell: a soak rests on probes, and a week gathered from it alone needs an override of coverage",
    ],
};

const CALICO_LOG: Ability = Ability {
    node: true,
    loss: false,
    denied: false,
    history: "as long as the node keeps its log",
    names: "address",
    late_secs: 20,
    limits: &[
        "only what a policy's Log rule matches",
        "addresses only: pods are found by their address",
        "the kernel drops lines above its rate without a word",
    ],
};

const CALICO_FILES: Ability = Ability {
    node: true,
    loss: false,
    denied: true,
    history: "what the node's files hold, by default five of 100 MB",
    names: "address, pod or workload, domain",
    late_secs: 330,
    limits: &[
        "flows of one interval are one record, five minutes by default",
        "allowed flows are aggregated more than denied ones",
        "what a full file loses it does not tell",
    ],
};

const ANTREA_FLOWS: Ability = Ability {
    node: true,
    loss: false,
    denied: true,
    history: "the aggregator's buffer; none after its restart",
    names: "address, pod",
    late_secs: 120,
    limits: &[
        "a default drop names no policy",
        "a drop of ingress between two nodes may come late or not at all",
        "it counts what the aggregator dropped, not what the agents lost before",
    ],
};

const ANTREA_LOG: Ability = Ability {
    node: true,
    loss: false,
    denied: true,
    history: "what the node's files hold",
    names: "address, pod of one side",
    late_secs: 20,
    limits: &[
        "only namespaces with logging switched on",
        "a default drop names no policy",
        "best effort: what it drops it does not tell",
    ],
};

const KERNEL_LOG: Ability = Ability {
    node: true,
    loss: false,
    denied: false,
    history: "as long as the node keeps its log",
    names: "address",
    late_secs: 20,
    limits: &[
        "addresses only, and no policy is named",
        "the kernel drops lines above its rate without a word",
    ],
};

const UNKNOWN: Ability = Ability {
    node: false,
    loss: false,
    denied: false,
    history: "not known",
    names: "not known",
    late_secs: 20,
    limits: &[],
};

impl SourceKind {
    pub const ALL: [Self; 8] = [
        Self::Hubble,
        Self::Goldmane,
        Self::CalicoLog,
        Self::CalicoFiles,
        Self::AntreaFlows,
        Self::AntreaLog,
        Self::KernelLog,
        Self::Unknown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hubble => "Hubble",
            Self::Goldmane => "Goldmane",
            Self::CalicoLog => "Calico Log rules",
            Self::CalicoFiles => "Calico flow-log files",
            Self::AntreaFlows => "Antrea flow aggregator",
            Self::AntreaLog => "Antrea np.log",
            Self::KernelLog => "kernel log",
            Self::Unknown => "unknown",
        }
    }

    /// Its row of the table.
    pub fn ability(self) -> Ability {
        match self {
            Self::Hubble => HUBBLE,
            Self::Goldmane => GOLDMANE,
            Self::CalicoLog => CALICO_LOG,
            Self::CalicoFiles => CALICO_FILES,
            Self::AntreaFlows => ANTREA_FLOWS,
            Self::AntreaLog => ANTREA_LOG,
            Self::KernelLog => KERNEL_LOG,
            Self::Unknown => UNKNOWN,
        }
    }

    /// Its silence proves nothing: credit needs a probe that must be denied, from every node.
    pub fn needs_heartbeat(self) -> bool {
        let Ability { node, loss, .. } = self.ability();
        !(node && loss)
    }
}

/// What `flows:` of a cluster in sluice.yaml asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// What the pre-flight finds in the cluster.
    #[default]
    Auto,
    Hubble,
    Goldmane,
    CalicoFiles,
    Antrea,
    KernelLog,
    /// Nothing is read, and the cluster's rows say so.
    None,
}

impl Wanted {
    pub const ALL: [Self; 7] = [
        Self::Auto,
        Self::Hubble,
        Self::Goldmane,
        Self::CalicoFiles,
        Self::Antrea,
        Self::KernelLog,
        Self::None,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Hubble => "hubble",
            Self::Goldmane => "goldmane",
            Self::CalicoFiles => "calico-files",
            Self::Antrea => "antrea",
            Self::KernelLog => "kernel-log",
            Self::None => "none",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wanted| wanted.as_str() == raw)
    }
}
