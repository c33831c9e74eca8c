//! The catalogue of destinations that an owner must look at: classes, the names and networks of each,
//! and what is asked about them. Matches names and addresses; a list is only as good as its entries,
//! so a finding says which entry it came from. Built by `workspace`; reads no file itself.

mod reach;

use std::{cmp::Reverse, net::IpAddr};

use ipnet::IpNet;

use super::{
    destination::{Finding, Severity},
    edge::DnsName,
    lookup::{Names, Networks, Pattern},
    names::Text,
    range,
    registrable::registrable,
};

/// Every class with its entries, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    classes: Vec<Class>,
    groups: Vec<Group>,
    names: Names<u32>,
    networks: Networks<u32>,
    /// What a class does not concern although its networks hold it: class and ports.
    exclusions: Networks<u32>,
    excluded: Vec<(u32, Ports)>,
    pub hints: Hints,
}

/// One class of suspects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// `tunnel`.
    pub id: Text,
    pub title: Text,
    /// What makes such a destination one to look at: a clause that ends a sentence.
    pub what: Text,
    /// What the owner is asked, without the question mark.
    pub ask: Text,
    pub severity: Severity,
}

/// Names and networks of one operator, or of one feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub class: Text,
    /// `ngrok`; of a feed, its name.
    pub operator: Text,
    pub purpose: Purpose,
    pub severity: Severity,
    pub ports: Ports,
    /// Another question than the class's.
    pub ask: Option<Text>,
    /// Where the entries stand: `built-in catalogue`, a feed with its date.
    pub source: Text,
}

/// What a group's names serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Nearly only what the class says.
    Dedicated,
    /// Ordinary traffic too: the finding is a question.
    Shared,
    /// Customers' own content: the label left of the ending says whose.
    Platform,
}

impl Purpose {
    pub const ALL: [Self; 3] = [Self::Dedicated, Self::Shared, Self::Platform];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dedicated => "dedicated",
            Self::Shared => "shared",
            Self::Platform => "platform",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == raw)
    }
}

/// Ports that an entry is narrowed to; empty: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(pub Vec<u16>);

impl Ports {
    pub fn hold(&self, port: u16) -> bool {
        self.0.is_empty() || self.0.contains(&port)
    }
}

/// Names and networks of a group or of a category.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// At label boundaries.
    pub suffixes: Vec<DnsName>,
    pub exact: Vec<DnsName>,
    pub patterns: Vec<Pattern>,
    pub networks: Vec<IpNet>,
}

/// The catalogue's rules that need no list of names: see `behaviour` for what they do. A rule that
/// is left out does not fire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    pub public_no_name: Option<Hint>,
    pub private_no_name: Option<Hint>,
    pub port_of_interest: Option<Hint>,
    pub reserved: Option<Hint>,
    pub direct_smtp: Option<Hint>,
    pub foreign_resolver: Option<Hint>,
    pub stratum_port: Option<Hint>,
    pub access_line: Option<Hint>,
}

/// One of these rules: under which class it is told, and what narrows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub class: Text,
    pub severity: Severity,
    pub ports: Ports,
    pub networks: Vec<IpNet>,
    /// Parts of a reverse name.
    pub words: Vec<Text>,
}

/// What is known of a destination when the catalogue is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The asked name as it stands.
    pub asked: Option<&'a str>,
    /// The asked name without search suffixes.
    pub name: Option<&'a str>,
    /// Names that may be meant instead.
    pub also: &'a [&'a str],
    /// Owner names on the CNAME chain.
    pub chain: &'a [&'a str],
    pub addresses: &'a [IpAddr],
    pub port: u16,
}

/// One entry that fits, before it is worded.
#[derive(Clone, Copy)]
struct Hit<'a> {
    group: u32,
    how: How<'a>,
    /// Longer fits better.
    weight: usize,
}

#[derive(Clone, Copy)]
enum How<'a> {
    Asked(&'a str, Part<'a>),
    Also(&'a str, Part<'a>),
    Chained(&'a str, Part<'a>),
    Address { address: IpAddr, network: IpNet },
}

/// The matched part of a name, and what stands left of it.
#[derive(Clone, Copy)]
struct Part<'a> {
    part: &'a str,
    left: &'a str,
}

impl Catalogue {
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// A class that is there already keeps what it says.
    pub fn add_class(&mut self, class: Class) {
        if self.class(class.id.as_str()).is_none() {
            self.classes.push(class);
        }
    }

    /// The class of that id.
    pub fn class(&self, id: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.id.as_str() == id)
    }

    pub fn add_group(&mut self, group: Group, entries: &Entries) {
        let id = self.groups.len() as u32;
        self.groups.push(group);
        entries.suffixes.iter().for_each(|name| self.names.add_suffix(name.as_str(), id));
        entries.exact.iter().for_each(|name| self.names.add_exact(name.as_str(), id));
        entries.patterns.iter().for_each(|pattern| self.names.add_pattern(pattern.clone(), id));
        entries.networks.iter().for_each(|network| self.networks.add(*network, id));
    }

    /// These networks on these ports are none of the class's business.
    pub fn exclude(&mut self, class: &str, networks: &[IpNet], ports: &Ports) {
        let Some(class) = self.classes.iter().position(|other| other.id.as_str() == class) else { return };
        let id = self.excluded.len() as u32;
        self.excluded.push((class as u32, ports.clone()));
        networks.iter().for_each(|network| self.exclusions.add(*network, id));
    }

    /// Is this address on this port known to be harmless infrastructure (a node-local DNS cache, a
    /// cloud's resolver or clock)?
    pub fn excludes(&self, address: IpAddr, port: u16) -> bool {
        let mut found = false;
        self.each_exclusion(address, port, |_| found = true);
        found
    }

    /// Does any network of the catalogue hold the address on this port?
    pub fn lists(&self, address: IpAddr, port: u16) -> bool {
        let mut found = false;
        self.networks.each(range::fold(address), |_, group| {
            found |= self.groups[group as usize].ports.hold(port);
        });
        found
    }

    /// Everything that fits, most severe first: of each class the best entry, and one more for each
    /// party. The asked name goes before chain and addresses, unless those are more severe.
    pub fn findings(&self, question: &Question<'_>) -> Vec<Finding> {
        let port = question.port;
        let mut hits: Vec<Hit<'_>> = Vec::new();
        question.name.into_iter().for_each(|name| self.by_name(name, How::Asked, port, &mut hits));
        question.also.iter().for_each(|name| self.by_name(name, How::Also, port, &mut hits));
        let mut rest = Vec::new();
        question.chain.iter().for_each(|name| self.by_name(name, How::Chained, port, &mut rest));
        question.addresses.iter().for_each(|address| self.by_address(*address, port, &mut rest));
        for hit in rest {
            let covers = |other: &Hit<'_>| {
                self.class_of(other) == self.class_of(&hit) && self.severity(other) >= self.severity(&hit)
            };
            if !hits.iter().any(covers) {
                hits.retain(|other| self.class_of(other) != self.class_of(&hit));
                hits.push(hit);
            }
        }
        if hits.is_empty() {
            return Vec::new();
        }
        let shut = self.shut(question);
        hits.retain(|hit| !shut.contains(&self.class_of(hit).as_str()));
        let mut findings: Vec<_> = hits.iter().map(|hit| self.word(hit, question.asked)).collect();
        sort(&mut findings);
        findings
    }

    /// The best entry of each class for one name.
    fn by_name<'a>(
        &self,
        name: &'a str,
        how: impl Fn(&'a str, Part<'a>) -> How<'a>,
        port: u16,
        hits: &mut Vec<Hit<'a>>,
    ) {
        let from = hits.len();
        self.names.each(name, |found| {
            let part = Part { part: found.part, left: found.left };
            let hit = Hit { group: found.value, how: how(name, part), weight: found.part.len() };
            if self.groups[hit.group as usize].ports.hold(port) {
                self.keep_best(hit, from, hits);
            }
        });
    }

    fn by_address<'a>(&self, address: IpAddr, port: u16, hits: &mut Vec<Hit<'a>>) {
        let from = hits.len();
        self.networks.each(range::fold(address), |network, group| {
            if self.groups[group as usize].ports.hold(port) {
                let how = How::Address { address, network };
                self.keep_best(Hit { group, how, weight: usize::from(network.prefix_len()) }, from, hits);
            }
        });
    }

    /// The longer of two entries of one class, among those since `from`.
    fn keep_best<'a>(&self, hit: Hit<'a>, from: usize, hits: &mut Vec<Hit<'a>>) {
        match hits[from..].iter_mut().find(|other| self.class_of(other) == self.class_of(&hit)) {
            Some(other) if other.weight >= hit.weight => {}
            Some(other) => *other = hit,
            None => hits.push(hit),
        }
    }

    fn severity(&self, hit: &Hit<'_>) -> Severity {
        self.groups[hit.group as usize].severity
    }

    fn class_of(&self, hit: &Hit<'_>) -> &Text {
        &self.groups[hit.group as usize].class
    }

    /// Classes that all the addresses are excluded from.
    fn shut(&self, question: &Question<'_>) -> Vec<&str> {
        let mut shut: Option<Vec<u32>> = None;
        for address in question.addresses {
            let mut here = Vec::new();
            self.each_exclusion(*address, question.port, |class| here.push(class));
            shut = Some(match shut {
                Some(before) => before.into_iter().filter(|class| here.contains(class)).collect(),
                None => here,
            });
        }
        let name = |class: u32| self.classes.get(class as usize).map(|class| class.id.as_str());
        shut.into_iter().flatten().filter_map(name).collect()
    }

    fn each_exclusion(&self, address: IpAddr, port: u16, mut tell: impl FnMut(u32)) {
        self.exclusions.each(range::fold(address), |_, id| {
            let (class, ports) = &self.excluded[id as usize];
            if ports.hold(port) {
                tell(*class);
            }
        });
    }

    fn word(&self, hit: &Hit<'_>, asked: Option<&str>) -> Finding {
        let group = &self.groups[hit.group as usize];
        let class = self.class(group.class.as_str());
        let what = class.map_or("", |class| class.what.as_str());
        let ask = group.ask.as_ref().or(class.map(|class| &class.ask)).map_or("", Text::as_str);
        let asked = asked.unwrap_or("the asked name");
        let operator = &group.operator;
        let (subject, party) = match hit.how {
            How::Asked(name, part) => subject(name, part, group),
            How::Also(name, part) => {
                let (subject, party) = subject(name, part, group);
                (format!("The same address was asked for as {subject}"), party)
            }
            How::Chained(name, part) => {
                let (subject, party) = subject(name, part, group);
                (format!("{asked} leads by CNAME to {subject}"), party)
            }
            How::Address { address, network } if network.prefix_len() == network.max_prefix_len() => {
                (format!("{address} ({operator})"), None)
            }
            How::Address { address, network } => (format!("{address} in {network} ({operator})"), None),
        };
        let reason = match group.purpose {
            Purpose::Dedicated | Purpose::Platform => format!("{subject}: {what}."),
            Purpose::Shared => format!("{subject} carries ordinary traffic too: {ask}?"),
        };
        Finding {
            severity: group.severity,
            class: group.class.clone(),
            reason: Text::from(reason),
            source: group.source.clone(),
            party,
        }
    }
}

/// What a sentence begins with, and whose label it is. The label is that of the registrable name
/// where the Public Suffix List knows the host, else the one left of the entry.
fn subject(name: &str, Part { part, left }: Part<'_>, group: &Group) -> (String, Option<Text>) {
    let operator = &group.operator;
    let registered = registrable(name).filter(|registered| registered.len() > part.len());
    let owned = registered.and_then(|registered| registered.split_once('.'));
    let label = left.rsplit('.').next().filter(|label| !label.is_empty());
    match (group.purpose, owned.or(label.map(|label| (label, part)))) {
        (Purpose::Platform, Some((label, host))) => {
            (format!("{name}, {label}'s under {host} ({operator})"), Some(Text::new(label)))
        }
        (Purpose::Platform, None) | (Purpose::Dedicated | Purpose::Shared, _) => {
            (format!("{name} ({operator})"), None)
        }
    }
}

/// Most severe first, then by class and party.
pub fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (Reverse(f.severity), f.class.clone(), f.party.clone(), f.reason.clone());
        key(a).cmp(&key(b))
    });
    findings.dedup_by(|b, a| a.class == b.class && a.party == b.party && a.reason == b.reason);
}

/// The same finding for a name that was asked without any connection after it: one step lower.
pub fn asked_only(mut finding: Finding) -> Finding {
    finding.severity = match finding.severity {
        Severity::Critical => Severity::High,
        Severity::High => Severity::Medium,
        Severity::Medium | Severity::Low => Severity::Low,
    };
    finding
}
