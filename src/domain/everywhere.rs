//! What the whole fleet shows: by how many workloads of how many clusters each registrable name is
//! used. Built from the edges of all clusters; forgets who, keeps how many.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash},
};

use compact_str::CompactString;
use foldhash::fast::FixedState;

use super::{
    edge::{Edge, EdgeKey},
    flow::Direction,
    names::ClusterName,
    registrable::registrable,
};

/// Use of registrable names in the fleet.
#[derive(Clone, Debug, Default)]
pub struct Everywhere {
    /// Prints of workloads, sorted, at most [`Everywhere::USERS`] a name.
    names: HashMap<CompactString, Vec<u64>, FixedState>,
    workloads: HashSet<u64, FixedState>,
}

impl Everywhere {
    /// Users of one name that are told apart; more are counted as so many.
    pub const USERS: usize = 32;

    /// Takes in the edges of one cluster. Telling the same twice changes nothing.
    pub fn note<'e>(&mut self, cluster: &ClusterName, edges: impl Iterator<Item = (&'e EdgeKey, &'e Edge)>) {
        let state = FixedState::default();
        let cluster = state.hash_one(cluster);
        let egress = edges.filter(|(key, _)| key.direction == Direction::Egress);
        for (key, edge) in egress {
            let user = print(&state, &(cluster, &key.ns, &key.workload));
            self.workloads.insert(user);
            for name in key.name.iter().chain(&edge.also) {
                if let Some(name) = registrable(name.as_str()) {
                    self.put(name, user);
                }
            }
        }
    }

    /// Both together.
    pub fn merge(&mut self, other: &Self) {
        self.workloads.extend(&other.workloads);
        for (name, users) in &other.names {
            users.iter().for_each(|user| self.put(name, *user));
        }
    }

    /// Workloads of all clusters that used names under this one, at most [`Everywhere::USERS`];
    /// 0 where it was never seen.
    pub fn users(&self, registrable: &str) -> usize {
        self.names.get(registrable).map_or(0, Vec::len)
    }

    /// Workloads with any egress, in all clusters.
    pub fn workloads(&self) -> usize {
        self.workloads.len()
    }

    fn put(&mut self, name: &str, user: u64) {
        let users = match self.names.get_mut(name) {
            Some(users) => users,
            None => self.names.entry(CompactString::from(name)).or_default(),
        };
        if let Err(at) = users.binary_search(&user)
            && users.len() < Self::USERS
        {
            users.insert(at, user);
        }
    }
}

fn print(state: &FixedState, whose: &impl Hash) -> u64 {
    state.hash_one(whose)
}
