//! Ids of the newest flows, as hashes: 8 bytes each instead of a text. Bounded, and it says how far
//! it reaches: reading again from before that could count something twice.

use std::{
    collections::{HashSet, VecDeque},
    hash::BuildHasher,
};

use foldhash::quality::FixedState;

use crate::domain::{flow::FlowId, time::Timestamp};

#[derive(Debug)]
pub struct Memory {
    room: usize,
    known: HashSet<u64, foldhash::fast::RandomState>,
    order: VecDeque<(u64, Timestamp)>,
    /// Newest time among what was forgotten.
    forgotten_until: Option<Timestamp>,
}

impl Memory {
    pub fn new(room: usize) -> Self {
        Self { room, known: HashSet::default(), order: VecDeque::new(), forgotten_until: None }
    }

    /// What an id is known by, the same in every run of the program.
    pub fn hash(id: &FlowId) -> u64 {
        FixedState::with_seed(0x5310_1ce5).hash_one(id.0.as_bytes())
    }

    /// False: it is known already.
    pub fn note(&mut self, hash: u64, at: Timestamp) -> bool {
        if !self.known.insert(hash) {
            return false;
        }
        if self.order.len() == self.room
            && let Some((old, at)) = self.order.pop_front()
        {
            self.known.remove(&old);
            self.forgotten_until = self.forgotten_until.max(Some(at));
        }
        self.order.push_back((hash, at));
        true
    }

    pub fn forgotten_until(&self) -> Option<Timestamp> {
        self.forgotten_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_says_how_far_it_reaches() {
        const ROOM: usize = 1_000;
        let mut memory = Memory::new(ROOM);
        let at = |n: usize| Timestamp::from_timestamp(n as i64, 0).expect("in range");
        let hash = |n: usize| Memory::hash(&FlowId(n.to_string().into()));
        for n in 0..ROOM + 10 {
            assert_eq!(memory.forgotten_until(), n.checked_sub(ROOM + 1).map(at));
            assert!(memory.note(hash(n), at(n)));
        }
        assert_eq!((memory.known.len(), memory.order.len()), (ROOM, ROOM));
        assert!(!memory.note(hash(ROOM), at(ROOM)), "still known");
    }
}
