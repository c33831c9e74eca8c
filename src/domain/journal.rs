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
    /// The workspace's policies were staged: judged by, and not enforced.
    Shadow,
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
    pub const ALL: [Self; 12] = [
        Self::Apply,
        Self::Rollback,
        Self::Revert,
        Self::Shadow,
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
            Self::Shadow => "shadow",
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

/// A chain of entries, followed from the first one on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Number of the next entry.
    pub number: u64,
    /// Hash that it must name.
    pub previous: Hash,
}

impl Default for Chain {
    fn default() -> Self {
        Self { number: 1, previous: Hash::NOTHING }
    }
}

impl Chain {
    /// The place after this entry.
    pub fn after(entry: &Entry) -> Self {
        Self { number: entry.number.saturating_add(1), previous: entry.hash() }
    }

    /// Takes the next entry.
    pub fn follow(&mut self, entry: &Entry) -> Result<(), Broken> {
        if entry.number != self.number {
            return Err(Broken::Missing(self.number));
        }
        if entry.previous != self.previous {
            return Err(Broken::Changed(self.number));
        }
        *self = Self::after(entry);
        Ok(())
    }
}

/// Checks a copy from its first entry on; answers the hash that the next entry must name.
pub fn verify<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Result<Hash, Broken> {
    let mut chain = Chain::default();
    entries.into_iter().try_for_each(|entry| chain.follow(entry))?;
    Ok(chain.previous)
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::time::Timestamp;

    fn at(micros: i64) -> Timestamp {
        let noon = 1_795_435_230_000_000; // 2026-11-23T12:00:30Z
        Timestamp::from_timestamp_micros(noon + micros).expect("in range")
    }

    fn entry(number: u64, previous: Hash, by: &str, at: Timestamp, act: Act, object: &str) -> Entry {
        let stamp = Stamp { by: Text::new(by), at };
        Entry { number, previous, stamp, act, object: Text::new(object), facts: Vec::new() }
    }

    /// Three entries. Their hashes were computed with Python's hashlib from the words of
    /// [`Entry::hash`]: big-endian lengths of 8 bytes, then the bytes.
    pub(crate) fn three() -> [(Entry, &'static str); 3] {
        let first = "80eba3721e5a038230e61665dac11ddfbaa7c5e1bcfdcf1f4c7716539b707b43";
        let second = "590b5d62714949d44156f43aacfb6140ce8db7165bde457836b655578a938832";
        let third = "59a8dbfb1cf44e6d6d97b514b58b9dae34d929c439260e91551ae04ac2192d6a";
        let hash = |raw| Hash::parse(raw).expect("64 digits");
        let shop = "east/shop egress";
        let mut a = entry(1, Hash::NOTHING, "lead@example.net", at(0), Act::Apply, shop);
        a.facts = vec![Text::new("digest 1f2e"), Text::new("done")];
        let b = entry(2, hash(first), "Zoë", at(90_000_001), Act::Rollback, shop);
        let before = Timestamp::UNIX_EPOCH - TimeDelta::microseconds(1);
        let mut c = entry(3, hash(second), "lead@example.net", before, Act::Hold, "the fleet");
        c.facts = vec![Text::default(), Text::new("reason: Café")];
        [(a, first), (b, second), (c, third)]
    }

    #[test]
    fn a_hash_is_what_an_independent_tool_computes() {
        for (entry, expected) in three() {
            assert_eq!(entry.hash().to_string(), expected, "entry {}", entry.number);
        }
    }

    #[test]
    fn a_whole_copy_answers_the_hash_that_the_next_entry_must_name() {
        let entries = three().map(|(entry, _)| entry);
        assert_eq!(verify(&entries).map(|hash| hash.to_string()), Ok(three()[2].1.to_owned()));
        assert_eq!(verify([]), Ok(Hash::NOTHING));
    }

    /// Every field that is changed breaks the chain where the next entry names the one before.
    #[test]
    fn tampering_is_found_at_the_entry_after() {
        let changes: [fn(&mut Entry); 7] = [
            |entry| entry.stamp.by = Text::new("Zoe"),
            |entry| entry.stamp.at += TimeDelta::microseconds(1),
            |entry| entry.act = Act::Revert,
            |entry| entry.object = Text::new("east/shop ingress"),
            |entry| entry.facts.push(Text::default()),
            // The same bytes, cut elsewhere.
            |entry| {
                entry.stamp.by = Text::new("Zo");
                entry.object = Text::new("ëeast/shop egress");
            },
            |entry| entry.facts = vec![Text::new("rollback")],
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut entries = three().map(|(entry, _)| entry);
            change(&mut entries[1]);
            assert_eq!(verify(&entries), Err(Broken::Changed(3)), "change {n}");
        }
        let mut entries = three().map(|(entry, _)| entry);
        entries[0].previous = entries[1].hash();
        assert_eq!(verify(&entries), Err(Broken::Changed(1)));
    }

    /// Nothing follows the last entry: who keeps its hash elsewhere sees a change there too.
    #[test]
    fn a_change_of_the_last_entry_shows_in_the_last_hash_only() {
        let mut entries = three().map(|(entry, _)| entry);
        entries[2].facts.clear();
        let head = verify(&entries).expect("the chain holds");
        assert_ne!(head.to_string(), three()[2].1);
    }

    #[test]
    fn holes_repeats_and_a_turned_order_are_found_at_the_first_place() {
        let [a, b, c] = three().map(|(entry, _)| entry);
        for (copy, missing) in [
            (vec![b.clone(), c.clone()], 1),
            (vec![a.clone(), c.clone()], 2),
            (vec![a.clone(), a.clone(), b.clone()], 2),
            (vec![a.clone(), b.clone(), b.clone()], 3),
            (vec![b, a, c], 1),
        ] {
            assert_eq!(verify(&copy), Err(Broken::Missing(missing)), "{copy:?}");
        }
    }

    #[test]
    fn hashes_and_acts_are_read_back() {
        let raw = three()[0].1;
        assert_eq!(Hash::parse(raw).map(|hash| hash.to_string()).as_deref(), Some(raw));
        for bad in ["", "80eb", &raw[1..], &format!("{raw}0"), &raw.replace('8', "g"), &"é".repeat(32)] {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
        for act in Act::ALL {
            assert_eq!(Act::parse(act.as_str()), Some(act));
        }
        assert_eq!(Act::parse("Apply"), None);
    }
}
