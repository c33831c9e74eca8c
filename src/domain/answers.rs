//! DNS answers by the pod that got them: which name an address had for that pod at a moment, and how
//! sure that is. Keyed by pod, so an IPv6 flow meets an answer asked over IPv4, and no pod is given
//! another's answers. Whose an address was comes from the address book; nothing here reads a clock.

use std::net::IpAddr;

use super::{
    addresses::AddressBook,
    edge::{DnsName, Edge, Grade},
    sighting::Answer,
    time::Timestamp,
};

/// What an address was called by one pod. Borrows from [`Answers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Of the latest answer.
    pub name: Option<&'a DnsName>,
    /// The other names of an ambiguous one, sorted.
    pub also: [Option<&'a DnsName>; Edge::NAMES],
    /// Owner names on the CNAME chain of that answer, in order.
    pub chain: &'a [DnsName],
    pub grade: Grade,
    /// Lifetime of that answer.
    pub ttl_secs: Option<u32>,
}

impl Named<'_> {
    /// No answer: the address is all there is.
    pub const NONE: Self =
        Self { name: None, also: [None; Edge::NAMES], chain: &[], grade: Grade::None, ttl_secs: None };
}

/// What was learned and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers told.
    pub answers: u64,
    /// Of which the client was a node: NodeLocal DNSCache, or pods on the host's network.
    pub from_nodes: u64,
    /// Of which the client's address was nobody's then.
    pub from_nobody: u64,
    /// Of which the name asked cannot be a host's.
    pub unusable: u64,
    /// Of which nothing was kept because a limit was reached.
    pub over_limit: u64,
    /// Entries kept now: one for each run of answers of one name with one address to one pod.
    pub kept: u64,
}

/// All answers of a window, by the pod that asked.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    counts: Counts,
}

impl Answers {
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps an answer for the pod that asked. An answer to an address goes to the pod that has it
    /// by the book as it is now.
    pub fn learn(&mut self, _answer: &Answer<'_>, _book: &AddressBook) {}

    /// Keeps an answer; one to an address waits for [`Answers::assign`]. For files, where the book
    /// is complete only after all of them were read.
    pub fn hold(&mut self, _answer: &Answer<'_>) {}

    /// Gives the answers that wait to the pods that had the addresses then.
    pub fn assign(&mut self, _book: &AddressBook) {}

    /// What this pod called the address when it went there. Answers to all pods of its workload
    /// count where there is none to the pod itself.
    pub fn named(
        &self,
        _ns: &str,
        _pod: &str,
        _workload: &str,
        _address: IpAddr,
        _at: Timestamp,
    ) -> Named<'_> {
        Named::NONE
    }

    /// Takes in what another thread learned. Before [`Answers::settle`].
    pub fn merge(&mut self, _other: Self) {}

    /// Sorts, joins repeats and gives memory back.
    pub fn settle(&mut self) {}

    /// Forgets answers sent before.
    pub fn forget_before(&mut self, _at: Timestamp) {}

    pub fn counts(&self) -> Counts {
        self.counts
    }
}
