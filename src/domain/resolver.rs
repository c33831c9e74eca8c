//! How lookups of pods reach the DNS server whose answers are read. Where a cache on each node stands
//! in between, the client of an answer is the node, and no answer can be given to a pod. Said by the
//! cluster's objects, and seen in the answers themselves. Unknown is not "none".

use super::names::Text;

/// What the cluster's objects say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsPath {
    /// No cache was found among the DaemonSets.
    Direct {
        evidence: Text,
    },
    /// NodeLocal DNSCache asks in the pods' place.
    NodeCache {
        evidence: Text,
    },
    Unknown {
        evidence: Text,
    },
}

impl DnsPath {
    /// The mode whose change restarts soaks; `None` while it is not known.
    pub fn mode(&self) -> Option<&'static str> {
        match self {
            Self::Direct { .. } => Some("direct"),
            Self::NodeCache { .. } => Some("node cache"),
            Self::Unknown { .. } => None,
        }
    }

    /// What it means for the answers, in a sentence; `None` where nothing speaks against them.
    pub fn doubt(&self) -> Option<Text> {
        match self {
            Self::Direct { .. } => None,
            Self::NodeCache { evidence } => Some(Text::from(format!(
                "answers: NodeLocal DNSCache asks in the pods' place ({evidence}), so DNS answers cannot be \
                 given to pods, and names outside the cluster do not pass the DNS server at all"
            ))),
            Self::Unknown { evidence } => Some(Text::from(format!(
                "answers: whether a cache on the nodes stands before the DNS server is unknown ({evidence})"
            ))),
        }
    }
}

/// Answers by who their client's address belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Askers {
    pub pods: u64,
    pub nodes: u64,
    pub unknown: u64,
}

impl Askers {
    /// Fewer answers say nothing.
    const ENOUGH: u64 = 100;

    /// That the join does not work here, in a sentence. Some clients are nodes everywhere (pods with
    /// the host's network), so only a majority is told.
    pub fn doubt(self) -> Option<Text> {
        let all = self.pods.saturating_add(self.nodes).saturating_add(self.unknown);
        if all < Self::ENOUGH {
            return None;
        }
        let most = |part: u64| part > all / 2;
        let said = if most(self.nodes) {
            format!(
                "answers: the clients of {} of {all} are node addresses (a cache on each node, or source NAT), \
                 so those names cannot be given to pods",
                self.nodes
            )
        } else if most(self.unknown) {
            format!(
                "answers: the clients of {} of {all} are addresses of no pod and no node that is known, so \
                 those names cannot be given to pods",
                self.unknown
            )
        } else {
            return None;
        };
        Some(Text::from(said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_node_addresses_is_said_in_a_sentence() {
        for (askers, said) in [
            (Askers { pods: 0, nodes: 0, unknown: 0 }, None),
            (Askers { pods: 0, nodes: 99, unknown: 0 }, None),
            (Askers { pods: 900, nodes: 100, unknown: 50 }, None),
            (Askers { pods: 50, nodes: 50, unknown: 0 }, None),
            (
                Askers { pods: 10, nodes: 990, unknown: 0 },
                Some(
                    "answers: the clients of 990 of 1000 are node addresses (a cache on each node, or source NAT), \
                     so those names cannot be given to pods",
                ),
            ),
            (
                Askers { pods: 10, nodes: 90, unknown: 900 },
                Some(
                    "answers: the clients of 900 of 1000 are addresses of no pod and no node that is known, so \
                     those names cannot be given to pods",
                ),
            ),
        ] {
            assert_eq!(askers.doubt().as_ref().map(Text::as_str), said, "{askers:?}");
        }
    }
}
