//! What of the catalogue a policy would open: not one destination that was seen, but every name and
//! address that a rule lets through. A class is told once, by the entry that says most.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{Catalogue, Finding, Group, Part, Ports as Narrowed, Purpose, sort, subject};
use crate::domain::{
    edge::DnsName,
    names::Text,
    opened::{Ports, What},
    ranges::Ranges,
    wildcard::Wildcard,
};

/// An entry that is opened, and how that is said.
struct Reached {
    group: u32,
    subject: String,
    party: Option<Text>,
}

impl Catalogue {
    /// Findings on what a rule opens, most severe first: of each class the most severe entry.
    pub fn opens(&self, what: &What, ports: &Ports) -> Vec<Finding> {
        let mut reached = Vec::new();
        match what {
            What::Name(name) => self.reach_name(name, ports, &mut reached),
            What::Everything | What::Block { .. } => self.reach_addresses(what, ports, &mut reached),
            What::Inside | What::Unknown(_) => {}
        }
        let mut findings: Vec<_> = reached.into_iter().map(|entry| self.word_reached(entry)).collect();
        sort(&mut findings);
        let mut told: Vec<Text> = Vec::new();
        findings.retain(|finding| {
            let is_first = !told.contains(&finding.class);
            told.extend(is_first.then(|| finding.class.clone()));
            is_first
        });
        findings
    }

    fn reach_name(&self, name: &DnsName, ports: &Ports, out: &mut Vec<Reached>) {
        let opens = |group: u32| ports.meet(&self.groups[group as usize].ports.0);
        match Wildcard::of(name) {
            Some(wildcard) => self.names.each_reached(&wildcard, |entry, group| {
                if opens(group) {
                    let operator = &self.groups[group as usize].operator;
                    let subject = format!("{name} opens names of {entry} ({operator})");
                    out.push(Reached { group, subject, party: None });
                }
            }),
            None => self.names.each(name.as_str(), |found| {
                let group: &Group = &self.groups[found.value as usize];
                if opens(found.value) {
                    let part = Part { part: found.part, left: found.left };
                    let (subject, party) = subject(name.as_str(), part, group);
                    out.push(Reached { group: found.value, subject, party });
                }
            }),
        }
    }

    fn reach_addresses(&self, what: &What, ports: &Ports, out: &mut Vec<Reached>) {
        let Some(opened) = what.addresses().map(|ranges| ranges.meant()) else { return };
        // Of each group the lowest entry is told. Feeds are large: one that says no more is not looked at.
        let mut lowest: BTreeMap<u32, IpNet> = BTreeMap::new();
        for network in what.whole().meant().networks() {
            self.networks.each_meeting(network, |entry, group| {
                let told = lowest.get(&group).is_some_and(|told| *told <= entry);
                if !told && ports.meet(&self.groups[group as usize].ports.0) {
                    let inside = opened.and(&Ranges::of([&entry]));
                    if !inside.is_empty() && !self.is_harmless(group, &inside, ports) {
                        lowest.insert(group, entry);
                    }
                }
            });
        }
        for (group, entry) in lowest {
            let operator = &self.groups[group as usize].operator;
            out.push(Reached { group, subject: format!("{what} opens {entry} ({operator})"), party: None });
        }
    }

    /// Is all of it excluded from the class, on all ports that are open and that the entry is about?
    fn is_harmless(&self, group: u32, opened: &Ranges, ports: &Ports) -> bool {
        let group = &self.groups[group as usize];
        let mut left = opened.clone();
        for network in opened.networks() {
            self.exclusions.each_meeting(network, |excluded, id| {
                let (class, on) = &self.excluded[id as usize];
                let same = self.classes.get(*class as usize).is_some_and(|class| class.id == group.class);
                if same && (ports.lie_in(&on.0) || is_within(&group.ports, on)) {
                    left = left.minus(&Ranges::of([&excluded]));
                }
            });
        }
        left.is_empty()
    }

    fn word_reached(&self, Reached { group, subject, party }: Reached) -> Finding {
        let group = &self.groups[group as usize];
        let class = self.class(group.class.as_str());
        let what = class.map_or("", |class| class.what.as_str());
        let ask = group.ask.as_ref().or(class.map(|class| &class.ask)).map_or("", Text::as_str);
        let reason = match group.purpose {
            Purpose::Dedicated | Purpose::Platform => format!("{subject}: {what}."),
            Purpose::Shared => format!("{subject}, which carries ordinary traffic too: {ask}?"),
        };
        let (severity, class, source) = (group.severity, group.class.clone(), group.source.clone());
        Finding { severity, class, reason: Text::from(reason), source, party }
    }
}

/// Is every port that an entry is about one of these?
fn is_within(entry: &Narrowed, on: &Narrowed) -> bool {
    !entry.0.is_empty() && entry.0.iter().all(|port| on.hold(*port))
}
