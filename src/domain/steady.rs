//! Steady state: is the default deny of a namespace there, in its exact shape, and does Kyverno say
//! so too? Two words stand beside each other and never stand in for one another: what the watch shows
//! (now), and what Kyverno's background scan found (up to an hour ago). Facts of Kyverno: 1.19.

use std::{collections::BTreeMap, fmt};

use super::{
    fleet::{Cluster, Health, Listed, Namespace, Part},
    flow::Direction,
    names::{NsName, Text},
    policy::{Pinned, Spec},
    time::Timestamp,
};

/// What of Kyverno a cluster serves, and so which form of policy it can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Generation {
    /// `policies.kyverno.io` in this version: ValidatingPolicy, with CEL.
    Validating(Text),
    /// `kyverno.io/v1` alone: ClusterPolicy, which Kyverno 1.20 is to remove.
    Legacy,
    /// No Kyverno: sluice's own check is all there is.
    Absent,
    /// Not known, and why.
    Unknown(Text),
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validating(version) => write!(f, "ValidatingPolicy (policies.kyverno.io/{version})"),
            Self::Legacy => f.write_str("ClusterPolicy (kyverno.io/v1)"),
            Self::Absent => f.write_str("no Kyverno"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

/// One result of a report, of the newest scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub result: Outcome,
    /// What Kyverno says to it.
    pub message: Text,
    /// When it was scanned; a report without a time proves nothing of now.
    pub at: Option<Timestamp>,
}

/// `result` of a report. Unknown words of later versions are [`Outcome::Error`]: never a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    Fail,
    /// A policy that is marked as not scored turns a failure into this.
    Warn,
    Error,
    /// A PolicyException holds it.
    Skip,
}

impl Outcome {
    pub fn parse(raw: &str) -> Self {
        match raw {
            "pass" => Self::Pass,
            "fail" => Self::Fail,
            "warn" => Self::Warn,
            "skip" => Self::Skip,
            _ => Self::Error,
        }
    }
}

/// What was read of a cluster's Kyverno.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kyverno {
    pub generation: Generation,
    /// Our policies that are there, by direction. `None`: not known.
    pub asserted: Option<BTreeMap<Direction, Asserted>>,
    pub findings: BTreeMap<(NsName, Direction), Finding>,
    /// Why reports could not be read.
    pub trouble: Option<Text>,
}

/// A policy of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asserted {
    /// The namespaces that it names.
    pub names: Vec<NsName>,
    /// When it was created: a result of before is one of another policy of that name.
    pub since: Option<Timestamp>,
}

impl Kyverno {
    pub fn absent() -> Self {
        Self {
            generation: Generation::Absent,
            asserted: Some(BTreeMap::new()),
            findings: BTreeMap::new(),
            trouble: None,
        }
    }
}

/// Name of the Kyverno policy that asserts the default deny of a direction.
pub fn policy_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "sluice-default-deny-egress",
        Direction::Ingress => "sluice-default-deny-ingress",
    }
}

/// A report older than this says nothing of now: three scans at the chart's default of one an hour.
pub const STALE: chrono::TimeDelta = chrono::TimeDelta::hours(3);

/// One word on one default deny.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Pass,
    Fail(Text),
    /// Kept out on purpose, by whom or what.
    Exempt(Text),
    /// Never good, never drawn as good.
    Unknown(Text),
}

impl Word {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::Exempt(_) => "exempt",
            Self::Unknown(_) => "unknown",
        }
    }

    pub fn why(&self) -> Option<&Text> {
        match self {
            Self::Pass => None,
            Self::Fail(why) | Self::Exempt(why) | Self::Unknown(why) => Some(why),
        }
    }
}

/// What the watch shows of the default deny of a direction. What was seen last, before the cluster or
/// its policies could not be read any more, is no word on now.
pub fn own(cluster: &Cluster, ns: &Namespace, direction: Direction) -> Word {
    let valve = Pinned::valve(direction);
    if let Health::Down(why) = &cluster.health {
        return Word::Unknown(why.clone());
    }
    if let Some(why) = cluster.troubles.get(&Part::Policies(valve.kind)) {
        return Word::Unknown(why.clone());
    }
    if !cluster.listed.contains(&Listed::Policies) {
        return Word::Unknown(Text::new("policies are not read yet"));
    }
    let Some(policy) = ns.pinned(valve) else {
        return Word::Fail(Text::from(format!("{} is not there", valve.name)));
    };
    let fail = |why: &str| Word::Fail(Text::from(format!("{} {why}", valve.name)));
    match &policy.spec {
        Spec::Opaque => Word::Unknown(Text::from(format!("{} is not understood", valve.name))),
        Spec::Network { selector, .. } if !selector.is_everything() => fail("does not select every pod"),
        Spec::Network { .. } => match policy.rules(direction) {
            None => fail(&format!("does not name {direction} in policyTypes")),
            Some([]) => Word::Pass,
            Some(_) => fail("has rules, so it lets something pass"),
        },
    }
}

/// What Kyverno says of it, `read` being when that was asked.
pub fn word(kyverno: Option<&Kyverno>, ns: &NsName, direction: Direction, now: Timestamp) -> Word {
    let unknown = |why: String| Word::Unknown(Text::from(why));
    let Some(kyverno) = kyverno else { return unknown("Kyverno was not asked yet".to_owned()) };
    match &kyverno.generation {
        Generation::Absent => return unknown("no Kyverno in this cluster".to_owned()),
        Generation::Unknown(why) => return unknown(why.to_string()),
        Generation::Validating(_) | Generation::Legacy => {}
    }
    let name = policy_name(direction);
    let since = match &kyverno.asserted {
        None => return unknown(format!("whether policy {name} is there is not known")),
        Some(all) => match all.get(&direction) {
            None => return unknown(format!("policy {name} is not there")),
            Some(policy) if !policy.names.contains(ns) => {
                return unknown(format!("policy {name} does not name this namespace"));
            }
            Some(policy) => policy.since,
        },
    };
    if let Some(why) = &kyverno.trouble {
        return unknown(why.to_string());
    }
    let Some(finding) = kyverno.findings.get(&(ns.clone(), direction)) else {
        return unknown("no report yet".to_owned());
    };
    let Some(at) = finding.at else { return unknown("its report has no time".to_owned()) };
    if now - at > STALE {
        return unknown(format!("its last report is {} old", super::time::span(now - at)));
    }
    if since.is_some_and(|since| at < since) {
        return unknown(format!("its last report is older than policy {name}"));
    }
    match finding.result {
        Outcome::Pass => Word::Pass,
        Outcome::Fail | Outcome::Warn => Word::Fail(finding.message.clone()),
        Outcome::Skip => Word::Exempt(finding.message.clone()),
        Outcome::Error => unknown(format!("its scan failed: {}", finding.message)),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn now() -> Timestamp {
        DateTime::from_timestamp(1_772_409_600, 0).expect("valid")
    }

    fn shop() -> NsName {
        NsName::parse("shop").expect("valid")
    }

    fn kyverno(result: &str, age: Option<TimeDelta>) -> Kyverno {
        let finding = Finding {
            result: Outcome::parse(result),
            message: Text::new("as scanned"),
            at: age.map(|age| now() - age),
        };
        Kyverno {
            generation: Generation::Validating(Text::new("v1")),
            asserted: Some(BTreeMap::from([(Direction::Egress, policy(vec![shop()], None))])),
            findings: BTreeMap::from([((shop(), Direction::Egress), finding)]),
            trouble: None,
        }
    }

    fn policy(names: Vec<NsName>, since: Option<Timestamp>) -> Asserted {
        Asserted { names, since }
    }

    fn said(kyverno: Option<&Kyverno>) -> String {
        let word = word(kyverno, &shop(), Direction::Egress, now());
        match word.why() {
            None => word.as_str().to_owned(),
            Some(why) => format!("{}: {why}", word.as_str()),
        }
    }

    #[test]
    fn only_a_fresh_pass_passes() {
        let minutes = |minutes| Some(TimeDelta::minutes(minutes));
        for (result, age, expected) in [
            ("pass", minutes(59), "pass"),
            ("pass", minutes(180), "pass"),
            ("pass", minutes(181), "unknown: its last report is 3h01m old"),
            ("pass", None, "unknown: its report has no time"),
            ("fail", minutes(5), "fail: as scanned"),
            ("warn", minutes(5), "fail: as scanned"),
            ("skip", minutes(5), "exempt: as scanned"),
            ("error", minutes(5), "unknown: its scan failed: as scanned"),
            ("splendid", minutes(5), "unknown: its scan failed: as scanned"),
        ] {
            assert_eq!(said(Some(&kyverno(result, age))), expected, "{result} {age:?}");
        }
    }

    #[test]
    fn silence_is_unknown_and_says_of_what_kind() {
        let with = |change: fn(&mut Kyverno)| {
            let mut kyverno = kyverno("pass", Some(TimeDelta::zero()));
            change(&mut kyverno);
            said(Some(&kyverno))
        };
        assert_eq!(said(None), "unknown: Kyverno was not asked yet");
        assert_eq!(said(Some(&Kyverno::absent())), "unknown: no Kyverno in this cluster");
        assert_eq!(with(|it| it.findings.clear()), "unknown: no report yet");
        assert_eq!(
            with(|it| it.asserted = None),
            "unknown: whether policy sluice-default-deny-egress is there is not known"
        );
        assert_eq!(
            with(|it| it.asserted = Some(BTreeMap::new())),
            "unknown: policy sluice-default-deny-egress is not there"
        );
        assert_eq!(
            with(|it| it.asserted = Some(BTreeMap::from([(Direction::Egress, Asserted::default())]))),
            "unknown: policy sluice-default-deny-egress does not name this namespace"
        );
        let renewed = |minutes| {
            let mut kyverno = kyverno("pass", Some(TimeDelta::minutes(30)));
            let since = Some(now() - TimeDelta::minutes(minutes));
            kyverno.asserted = Some(BTreeMap::from([(Direction::Egress, policy(vec![shop()], since))]));
            said(Some(&kyverno))
        };
        assert_eq!(renewed(30), "pass");
        let other = "unknown: its last report is older than policy sluice-default-deny-egress";
        assert_eq!(renewed(29), other, "of a policy that was deleted and applied anew");
        assert_eq!(
            with(|it| it.trouble = Some(Text::new("reports: forbidden (HTTP 403)"))),
            "unknown: reports: forbidden (HTTP 403)"
        );
    }

    #[test]
    fn what_was_seen_before_the_watch_broke_is_no_word_on_now() {
        use crate::domain::{fleet::NamespaceSeen, names::ClusterName, policy::PolicyKind};

        let mut cluster = Cluster::new(ClusterName::parse("east").expect("valid"), Default::default());
        let seen = NamespaceSeen {
            name: shop(),
            labels: Default::default(),
            owner: None,
            contact: None,
            terminating: false,
        };
        cluster.reset_namespaces(vec![seen]);
        let said = |cluster: &Cluster| {
            let word = own(cluster, &cluster.namespaces[&shop()], Direction::Egress);
            format!("{}: {}", word.as_str(), word.why().map_or("", Text::as_str))
        };
        assert_eq!(said(&cluster), "unknown: policies are not read yet");
        cluster.reset_policies(PolicyKind::NetworkPolicy, Vec::new());
        assert_eq!(said(&cluster), "fail: default-deny-egress is not there");
        cluster
            .set_trouble(Part::Policies(PolicyKind::NetworkPolicy), Some(Text::new("forbidden (HTTP 403)")));
        assert_eq!(said(&cluster), "unknown: forbidden (HTTP 403)");
        cluster.set_trouble(Part::Policies(PolicyKind::NetworkPolicy), None);
        cluster.health = Health::Down(Text::new("connection refused"));
        assert_eq!(said(&cluster), "unknown: connection refused");
    }
}
