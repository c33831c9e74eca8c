//! What each kind of flow source can say: the one table. A soak's credit rests on it: where the node or
//! a loss is not known, "no news" proves nothing, and only the heartbeat does. No clock, no I/O.

/// A kind of flow source that judged flows are read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    Hubble,
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
    /// Denials are told as denials, with who was denied.
    pub denied: bool,
    /// It can be read again from an earlier moment.
    pub history: bool,
}

impl SourceKind {
    pub const ALL: [Self; 2] = [Self::Hubble, Self::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hubble => "Hubble",
            Self::Unknown => "unknown",
        }
    }

    pub fn ability(self) -> Ability {
        match self {
            Self::Hubble => Ability { node: true, loss: true, denied: true, history: true },
            Self::Unknown => Ability { node: false, loss: false, denied: false, history: false },
        }
    }

    /// Its silence proves nothing: credit needs a probe that must be denied, from every node.
    pub fn needs_heartbeat(self) -> bool {
        let Ability { node, loss, .. } = self.ability();
        !(node && loss)
    }
}
