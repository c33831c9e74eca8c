//! Destinations of a namespace's evidence that an owner must look at, with every address and name by
//! which a policy could open them. Made from edges and what they mean; forgets the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    destination::{Destination, Finding},
    discovery::Rules,
    edge::{DnsName, Edge, EdgeKey, Peer},
    flow::{Direction, Protocol},
    lookup::spellings,
    names::Workload,
    opened::{Ports, What},
    range,
    ranges::Ranges,
    wildcard::Wildcard,
};

/// One destination with a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flagged {
    pub workload: Workload,
    /// The name asked, as it may have been meant, those that may be meant instead, and those of the
    /// CNAME chain; sorted.
    pub names: Vec<DnsName>,
    /// All that were seen, IPv4 in IPv6 as IPv4; sorted.
    pub addresses: Vec<IpAddr>,
    pub protocol: Protocol,
    pub port: u16,
    /// Most severe first, never empty.
    pub findings: Vec<Finding>,
}

/// What makes edges one place, beside the workload.
type Place<'e> = (&'e Workload, &'e DnsName, Protocol, u16);

/// The flagged ones among the destinations that these edges became.
pub fn flagged<'e>(
    edges: impl Iterator<Item = (&'e EdgeKey, &'e Edge)>,
    destinations: &[Destination],
    rules: &Rules,
) -> Vec<Flagged> {
    let suspects: Vec<_> = destinations
        .iter()
        .filter(|one| one.direction == Direction::Egress && one.suspect().is_some())
        .collect();
    if suspects.is_empty() {
        return Vec::new();
    }
    let mut by_name: BTreeMap<Place<'_>, BTreeSet<IpAddr>> = BTreeMap::new();
    for (key, _) in edges {
        if let (Direction::Egress, Some(name), Peer::Address(address)) = (key.direction, &key.name, &key.peer)
        {
            let place = (&key.workload, name, key.protocol, key.port);
            by_name.entry(place).or_default().insert(range::fold(*address));
        }
    }
    suspects.into_iter().map(|one| of(one, &by_name, rules)).collect()
}

fn of(one: &Destination, by_name: &BTreeMap<Place<'_>, BTreeSet<IpAddr>>, rules: &Rules) -> Flagged {
    let asked = one.name.iter().chain(&one.also);
    let spelled = asked.flat_map(|name| spellings(name.as_str(), &rules.search));
    let mut names: BTreeSet<DnsName> = spelled.filter_map(DnsName::parse).collect();
    names.extend(one.chain.iter().cloned());
    let mut addresses: BTreeSet<IpAddr> = one.addresses.iter().map(|address| range::fold(*address)).collect();
    // Those of other names that may be meant are not its own.
    if let Some(name) = &one.name {
        let place = (&one.workload, name, one.protocol, one.port);
        addresses.extend(by_name.get(&place).into_iter().flatten());
    }
    Flagged {
        workload: one.workload.clone(),
        names: names.into_iter().collect(),
        addresses: addresses.into_iter().collect(),
        protocol: one.protocol,
        port: one.port,
        findings: one.meaning.findings.clone(),
    }
}

impl Flagged {
    /// Would such a rule let it through? `opened` are the addresses that the rule means.
    pub fn lies_in(&self, what: &What, opened: Option<&Ranges>, ports: &Ports) -> bool {
        if !ports.may_hold(self.protocol, self.port) {
            return false;
        }
        match what {
            What::Name(name) => match Wildcard::of(name) {
                Some(wildcard) => self.names.iter().any(|mine| wildcard.matches(mine.as_str())),
                None => self.names.contains(name),
            },
            What::Everything => true,
            What::Block { network, .. } => {
                // Where no address was told, a rule for a whole family opens it all the same.
                let unsaid = self.addresses.is_empty() && network.prefix_len() == 0;
                unsaid || opened.is_some_and(|opened| self.addresses.iter().any(|one| opened.contains(*one)))
            }
            What::Inside | What::Unknown(_) => false,
        }
    }
}
