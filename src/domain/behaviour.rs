//! Suspicion that needs no list of names: what a destination looks like in the window and in the
//! fleet. Also the catalogue's rules on bare addresses and ports. Each finding says its numbers in one
//! sentence; what is common in honest traffic is low, and what a rule of the workspace names is left
//! alone. Knows no clock and no list.

use std::net::IpAddr;

use chrono::TimeDelta;

use super::{
    destination::{Category, Churn, Finding, Severity},
    edge::{Peer, Window},
    flow::Protocol,
    names::Text,
    range::{self, Space},
    suspect::{Catalogue, Hint},
    time::{self, Timestamp},
};

/// Where such findings say they come from.
pub const SOURCE: &str = "behaviour";

/// Lifetime of an answer up to which its addresses are held to change fast, seconds.
pub const SHORT_TTL_SECS: u32 = 60;
/// Addresses that make a change of addresses one to look at; two are a pair behind a balancer.
const CHANGING_ADDRESSES: usize = 3;
/// Workloads that the fleet must show before "only one uses it" says anything.
const FLEET: usize = 5;
/// What appears after so much of the window is new.
const SETTLED: TimeDelta = TimeDelta::days(3);
/// A workload this much older than the destination is not simply new itself.
const OLDER: TimeDelta = TimeDelta::days(1);
/// A label of this length carries more than a name.
const LONG_LABEL: usize = 30;
/// Distinct long labels under one parent that make a tunnel's shape.
const TUNNEL_NAMES: u32 = 20;

/// What one egress destination shows.
#[derive(Clone, Copy, Debug)]
pub struct Signs<'a> {
    pub name: Option<&'a str>,
    /// The registrable part of the name.
    pub parent: Option<&'a str>,
    pub fleet: Fleet,
    /// Distinct names with a long label that the workload used under the parent.
    pub long_labels: u32,
    pub peer: &'a Peer,
    pub addresses: &'a [IpAddr],
    pub port: u16,
    pub protocol: Protocol,
    /// Surely within the cluster or a private range.
    pub inside: bool,
    pub category: Category,
    /// A rule of the workspace named it.
    pub own: bool,
    pub churn: Churn,
    pub ttl_secs: Option<u32>,
    pub times: Times,
}

/// Who uses the registrable name.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Workloads that use it, in all clusters; 0 where that is not known.
    pub users: usize,
    /// All workloads with any egress.
    pub workloads: usize,
}

/// When things were first seen.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub window: Window,
    /// The destination.
    pub since: Timestamp,
    /// The workload, on any edge.
    pub workload: Timestamp,
}

/// Adds what the signs say to what the catalogue found.
pub fn findings(signs: &Signs<'_>, catalogue: &Catalogue, found: &mut Vec<Finding>) {
    if signs.own {
        return;
    }
    by_address(signs, catalogue, found);
    by_port(signs, catalogue, found);
    let behaviours = [tunnel_shaped(signs), one_workload(signs), fast_changing(signs), mid_window(signs)];
    found.extend(behaviours.into_iter().flatten());
}

/// Has the name a label that could carry data?
pub fn is_long(name: &str) -> bool {
    name.len() > LONG_LABEL && name.split('.').any(|label| label.len() >= LONG_LABEL)
}

/// A reverse name that looks like an access line, where the address has no other name: a hint only.
pub fn access_line(reverse: &str, hint: &Hint) -> Option<Finding> {
    let reverse = reverse.to_ascii_lowercase();
    let parts = || reverse.split(['.', '-']);
    let fits = |word: &&Text| {
        parts().any(|part| {
            part.strip_prefix(word.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    let word = hint.words.iter().find(fits)?;
    let reason = format!(
        "The reverse name {} has the part {word}, as the lines of households do.",
        Text::new(&reverse)
    );
    Some(finding(hint.class.as_str(), hint.severity, reason))
}

fn finding(class: &str, severity: Severity, reason: String) -> Finding {
    Finding {
        severity,
        class: Text::new(class),
        reason: Text::from(reason),
        source: SOURCE.into(),
        party: None,
    }
}

/// An address without any name: public, private or reserved.
fn by_address(signs: &Signs<'_>, catalogue: &Catalogue, found: &mut Vec<Finding>) {
    let (None, Peer::Address(address)) = (signs.name, signs.peer) else { return };
    let folded = range::fold(*address);
    let (port, hints) = (signs.port, &catalogue.hints);
    if catalogue.excludes(folded, port) || catalogue.lists(folded, port) {
        return;
    }
    let public = range::space(folded) == Space::Public;
    let interesting = hints.port_of_interest.as_ref().filter(|hint| public && hint.ports.hold(port));
    if let Some(hint) = interesting {
        let reason = format!("{address} has no name, is public, and port {port} is one of remote access.");
        found.push(finding(hint.class.as_str(), hint.severity, reason));
    } else if let Some(hint) = hints.public_no_name.as_ref().filter(|_| public) {
        let reason = format!("{address} is public and no answer to this workload had it: what is behind it?");
        found.push(finding(hint.class.as_str(), hint.severity, reason));
    }
    let holds = |hint: &&Hint| hint.networks.iter().any(|network| network.contains(&folded));
    if let Some(hint) = hints.reserved.as_ref().filter(holds) {
        let reason = format!("{address} is of a range that belongs to nobody on the internet.");
        found.push(finding(hint.class.as_str(), hint.severity, reason));
    }
    let private = range::space(folded) == Space::Private && signs.category != Category::Infra;
    if let Some(hint) = hints.private_no_name.as_ref().filter(|_| private) {
        let reason = format!("{address} is private, of no pod that the source named, and has no name.");
        found.push(finding(hint.class.as_str(), hint.severity, reason));
    }
    let miner = |hint: &&Hint| public && signs.protocol == Protocol::Tcp && hint.ports.hold(port);
    if let Some(hint) = hints.stratum_port.as_ref().filter(miner) {
        let reason = format!("{address} has no name and TCP port {port} is one that mining pools use.");
        found.push(finding(hint.class.as_str(), hint.severity, reason));
    }
}

/// Mail and name service that go past the ways meant for them.
fn by_port(signs: &Signs<'_>, catalogue: &Catalogue, found: &mut Vec<Finding>) {
    let away = |address: &IpAddr| {
        let folded = range::fold(*address);
        matches!(range::space(folded), Space::Public | Space::Reserved)
            && !catalogue.excludes(folded, signs.port)
    };
    if signs.inside || !signs.addresses.iter().any(away) {
        return;
    }
    let what = signs.name.map_or_else(|| signs.addresses[0].to_string(), str::to_owned);
    let port = signs.port;
    let hints = &catalogue.hints;
    let new = |hint: &&Hint, found: &[Finding]| {
        hint.ports.hold(port) && !found.iter().any(|finding| finding.class == hint.class)
    };
    if let Some(hint) = hints.direct_smtp.as_ref().filter(|hint| new(hint, found)) {
        let reason =
            format!("Mail goes straight to {what} on port {port}, not to a relay that a rule names.");
        found.push(finding(hint.class.as_str(), hint.severity, reason));
    }
    if let Some(hint) = hints.foreign_resolver.as_ref().filter(|hint| new(hint, found)) {
        let reason =
            format!("{what} on port {port} is a resolver outside the cluster, which the DNS log cannot see.");
        found.push(finding(hint.class.as_str(), hint.severity, reason));
    }
}

fn tunnel_shaped(signs: &Signs<'_>) -> Option<Finding> {
    let parent = signs.parent?;
    let many = signs.long_labels >= TUNNEL_NAMES && signs.category == Category::Unknown;
    many.then(|| {
        let count = signs.long_labels;
        let reason = format!(
            "{count} distinct names with a label of {LONG_LABEL} characters or more under {parent}: such names can carry data out."
        );
        finding("tunnel-shaped", Severity::High, reason)
    })
}

fn one_workload(signs: &Signs<'_>) -> Option<Finding> {
    let parent = signs.parent.filter(|_| !signs.inside && signs.category == Category::Unknown)?;
    let Fleet { users, workloads } = signs.fleet;
    (users == 1 && workloads >= FLEET).then(|| {
        let reason =
            format!("Of {workloads} workloads in the fleet, this is the only one that uses {parent}.");
        finding("one-workload", Severity::Low, reason)
    })
}

fn fast_changing(signs: &Signs<'_>) -> Option<Finding> {
    let name = signs.name.filter(|_| !signs.inside && signs.category == Category::Unknown)?;
    let ttl = signs.ttl_secs.filter(|ttl| *ttl <= SHORT_TTL_SECS)?;
    let count = signs.addresses.len();
    (count >= CHANGING_ADDRESSES && signs.churn.new_share > 0.0).then(|| {
        let share = (signs.churn.new_share * 100.0).ceil();
        let reason = format!(
            "{name} had {count} addresses in the window, new ones in {share} % of its hours, and answers that live {ttl} s."
        );
        finding("fast-changing", Severity::Low, reason)
    })
}

fn mid_window(signs: &Signs<'_>) -> Option<Finding> {
    let Times { window, since, workload } = signs.times;
    let settled = window.from + SETTLED;
    let outside = !signs.inside && signs.category == Category::Unknown;
    let late = since >= settled && since < window.to;
    let older = workload < settled && since - workload >= OLDER;
    (outside && late && older).then(|| {
        let after = time::span(since - window.from);
        let before = time::span(since - workload);
        let reason = format!(
            "First seen {after} into the window, while the workload had been talking to others for {before}."
        );
        finding("mid-window", Severity::Low, reason)
    })
}
