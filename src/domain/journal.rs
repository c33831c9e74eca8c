//! The journal: what was done to clusters, by whom, and how it ended. Each entry holds the hash of the
//! one before it, so that a copy can be verified offline. Append-only; entries are never changed.

use sha2::{Digest as _, Sha256};

use super::{names::Text, rollout::Stamp};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    Apply,
    Rollback,
    Revert,
    Advance,
    Abort,
    Install,
    Decision,
    Hold,
    Waiver,
    Override,
    /// Noticed, not done by us: drift, a policy that went live by other means.
    Incident,
}

impl Act {
    pub const ALL: [Self; 11] = [
        Self::Apply,
        Self::Rollback,
        Self::Revert,
        Self::Advance,
        Self::Abort,
        Self::Install,
        Self::Decision,
        Self::Hold,
        Self::Waiver,
        Self::Override,
        Self::Incident,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Rollback => "rollback",
            Self::Revert => "revert",
            Self::Advance => "advance",
            Self::Abort => "abort",
            Self::Install => "install",
            Self::Decision => "decision",
            Self::Hold => "hold",
            Self::Waiver => "waiver",
            Self::Override => "override",
            Self::Incident => "incident",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == raw)
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1 without a hole.
    pub number: u64,
    /// Hash of the entry before; of the first, of nothing.
    pub previous: Hash,
    pub stamp: Stamp,
    pub act: Act,
    /// What it was done to: `east/shop egress`, a cluster, the fleet.
    pub object: Text,
    /// The equivalent kubectl commands, digest, and how it ended, one fact a line.
    pub facts: Vec<Text>,
}

/// SHA-256 (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What stands before the first entry.
    pub const NOTHING: Self = Self([0; 32]);

    /// 64 hexadecimal digits.
    pub fn parse(raw: &str) -> Option<Self> {
        let raw = raw.as_bytes();
        if raw.len() != 64 {
            return None;
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(raw.chunks_exact(2)) {
            let digit = |b: u8| char::from(b).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(Self(out))
    }
}

impl Hash {
    pub(super) fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Entry {
    /// Over every field, each with its length before it, in the order of the struct; times as
    /// microseconds since 1970.
    pub fn hash(&self) -> Hash {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(&self.number.to_be_bytes());
        part(&self.previous.0);
        part(self.stamp.by.as_str().as_bytes());
        part(&self.stamp.at.timestamp_micros().to_be_bytes());
        part(self.act.as_str().as_bytes());
        part(self.object.as_str().as_bytes());
        part(&(self.facts.len() as u64).to_be_bytes());
        self.facts.iter().for_each(|fact| part(fact.as_str().as_bytes()));
        Hash(hash.finalize().into())
    }
}

/// Where a copy of the journal does not hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("entry {0} is missing or out of order")]
    Missing(u64),
    #[error("entry {0} does not follow from the one before it: one of them was changed")]
    Changed(u64),
}

/// Checks a copy from its first entry on; answers the hash that the next entry must name.
pub fn verify<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Result<Hash, Broken> {
    let (mut number, mut previous) = (1, Hash::NOTHING);
    for entry in entries {
        if entry.number != number {
            return Err(Broken::Missing(number));
        }
        if entry.previous != previous {
            return Err(Broken::Changed(number));
        }
        previous = entry.hash();
        number += 1;
    }
    Ok(previous)
}
