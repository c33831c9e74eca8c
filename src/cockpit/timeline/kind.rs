//! Kinds of change on the axis of a rollout: their words, and which of them can change what is let
//! through.

/// Kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MarkKind {
    Apply,
    Rollback,
    Deploy,
    Cni,
    Dns,
    Node,
    Policy,
    Preflight,
    /// Holds, waivers, decisions and what else the journal tells.
    Act,
}

impl MarkKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Rollback => "rollback",
            Self::Deploy => "deploy",
            Self::Cni => "cni",
            Self::Dns => "dns",
            Self::Node => "node",
            Self::Policy => "policy",
            Self::Preflight => "preflight",
            Self::Act => "act",
        }
    }

    /// Can it change what is let through?
    pub(super) fn may_cause(self) -> bool {
        match self {
            Self::Apply
            | Self::Rollback
            | Self::Deploy
            | Self::Cni
            | Self::Dns
            | Self::Node
            | Self::Policy
            | Self::Preflight => true,
            Self::Act => false,
        }
    }
}
