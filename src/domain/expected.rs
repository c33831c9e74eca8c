//! Denials that people closed: an unexpired waiver, or a review that was turned down, for exactly that
//! workload, destination and port. A rejected network, pattern or span of ports was too wide a question
//! to say anything of its parts. Names and addresses come from clusters and are compared, nothing more.
//! Time is an argument, and should be the API server's.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    edge::DnsName,
    grant::{Opening, PortSpan, Review},
    hold::{DenialKey, Subject, Waiver, not_for},
    names::Text,
    policy::Labels,
    range,
    rollout::Target,
    time::Timestamp,
    wildcard::Wildcard,
};

/// For which rollout it is asked, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub target: &'a Target,
    /// Of the cluster.
    pub uid: &'a Text,
    /// Names that are of one person each: nobody closes a denial by turning down what he asked for.
    pub people: &'a [Vec<Text>],
    pub now: Timestamp,
}

/// What holds for one rollout at a moment.
#[derive(Clone, Debug, Default)]
pub struct Closings<'a> {
    waivers: Vec<&'a Waiver>,
    rejected: Vec<&'a Review>,
}

impl<'a> Closings<'a> {
    /// Those of a rollout that are valid now.
    pub fn of(
        asked: Asked<'_>,
        waivers: impl Iterator<Item = &'a Waiver>,
        reviews: impl Iterator<Item = &'a Review>,
    ) -> Self {
        let Asked { target, uid, people, now } = asked;
        let is_rejected = |review: &&Review| {
            review.grant.ns == target.ns
                && review.grant.direction == target.direction
                && review.is_turned_down(uid, Some(now), people)
        };
        Self {
            waivers: waivers
                .filter(|waiver| waiver.target == *target && now < waiver.expires)
                .filter(|waiver| not_for(waiver.uid.as_ref(), Some(uid)).is_none())
                .collect(),
            rejected: reviews.filter(is_rejected).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waivers.is_empty() && self.rejected.is_empty()
    }

    /// Is exactly this denial expected? `labels`: of each of the workload's pods; none: they are not
    /// known, and then only a review of all pods speaks for it.
    pub fn expects<'l>(&self, key: &DenialKey, labels: impl Fn() -> Vec<&'l Labels>) -> bool {
        self.waivers.iter().any(|waiver| waiver.subject == Subject::Denial(key.clone()))
            || self.rejected.iter().any(|review| is_for(review, key, &labels))
    }

    pub fn waives_quiet(&self) -> bool {
        self.waivers.iter().any(|waiver| waiver.subject == Subject::Quiet)
    }

    pub fn waives_job(&self, name: &Text) -> bool {
        self.waivers.iter().any(|waiver| matches!(&waiver.subject, Subject::CronJob(job) if job == name))
    }
}

/// Was it asked for exactly this: one of its ports alone, one name or address, all pods of the workload?
fn is_for<'l>(review: &Review, key: &DenialKey, labels: &impl Fn() -> Vec<&'l Labels>) -> bool {
    let grant = &review.grant;
    let port = PortSpan { protocol: key.protocol, from: key.port, to: key.port };
    let selects = || {
        let labels = labels();
        !labels.is_empty() && labels.iter().all(|labels| grant.selector.matches(labels))
    };
    grant.ports.contains(&port)
        && is_exactly(&grant.destination, key.destination.as_str())
        && (grant.selector.is_everything() || selects())
}

fn is_exactly(opening: &Opening, destination: &str) -> bool {
    match opening {
        Opening::Name(name) => {
            Wildcard::of(name).is_none() && DnsName::parse(destination).as_ref() == Some(name)
        }
        Opening::Networks(networks) => destination
            .parse::<IpAddr>()
            .is_ok_and(|address| networks.contains(&IpNet::from(range::fold(address)))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::{
        flow::{Direction, Protocol},
        grant::{Decision, DecisionVerdict, Grant},
        names::{ClusterName, NsName, Workload},
        policy::{Requirement, Selector},
        rollout::Stamp,
    };

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_timestamp(hour * 3_600, 0).expect("in range")
    }

    fn target(ns: &str) -> Target {
        Target {
            cluster: ClusterName::parse("east").expect("a name"),
            ns: NsName::parse(ns).expect("a name"),
            direction: Direction::Egress,
        }
    }

    fn asked(target: &Target, now: Timestamp) -> Asked<'_> {
        static UID: std::sync::LazyLock<Text> = std::sync::LazyLock::new(|| Text::new("uid-1"));
        Asked { target, uid: &UID, people: &[], now }
    }

    fn key(destination: &str, port: u16) -> DenialKey {
        DenialKey {
            workload: Some(Workload::new("Deployment", "cart")),
            destination: Text::new(destination),
            port,
            protocol: Protocol::Tcp,
        }
    }

    fn stamp(hour: i64) -> Stamp {
        Stamp { by: Text::new("sec"), at: at(hour) }
    }

    fn review(destination: Opening, decisions: &[(DecisionVerdict, &str)]) -> Review {
        let decision = |(verdict, uid): &(DecisionVerdict, &str)| Decision {
            verdict: *verdict,
            stamp: stamp(1),
            reason: Text::new("no"),
            ticket: None,
            clusters: BTreeSet::from([Text::new(uid)]),
            expires: None,
        };
        Review {
            requested_by: Text::new("lead"),
            aliases: Vec::new(),
            grant: Grant {
                clusters: ["uid-1", "uid-2"].map(Text::new).into(),
                ns: target("shop").ns,
                selector: Selector(vec![Requirement::In { key: "app".into(), values: vec!["cart".into()] }]),
                direction: Direction::Egress,
                destination,
                ports: vec![PortSpan { protocol: Protocol::Tcp, from: 443, to: 443 }],
                expires: at(100),
            },
            findings: Vec::new(),
            purpose: Text::default(),
            decisions: decisions.iter().map(decision).collect(),
        }
    }

    #[test]
    fn a_waiver_closes_exactly_what_it_names_until_it_expires() {
        let waiver = Waiver {
            target: target("shop"),
            uid: Some(Text::new("uid-1")),
            subject: Subject::Denial(key("api.example", 443)),
            reason: Text::new("known"),
            stamp: stamp(0),
            expires: at(10),
        };
        let closes = |target: &Target, key: &DenialKey, now| {
            Closings::of(asked(target, now), std::iter::once(&waiver), std::iter::empty())
                .expects(key, Vec::new)
        };
        assert!(closes(&target("shop"), &key("api.example", 443), at(9)));
        assert!(!closes(&target("shop"), &key("api.example", 443), at(10)), "expired");
        assert!(!closes(&target("shop"), &key("api.example", 80), at(9)));
        assert!(!closes(&target("shop"), &key("other.example", 443), at(9)));
        assert!(!closes(&target("pay"), &key("api.example", 443), at(9)));
        let other = DenialKey { workload: None, ..key("api.example", 443) };
        assert!(!closes(&target("shop"), &other, at(9)), "another workload");
        // Of the same name, and built anew; and one that says for none.
        let key = key("api.example", 443);
        for (made, there, counts) in
            [(Some("uid-1"), "uid-1", true), (Some("uid-1"), "uid-2", false), (None, "uid-1", false)]
        {
            let waiver = Waiver { uid: made.map(Text::new), ..waiver.clone() };
            let one = std::iter::once(&waiver);
            let (target, uid) = (target("shop"), Text::new(there));
            let of = Closings::of(Asked { uid: &uid, ..asked(&target, at(9)) }, one, std::iter::empty());
            assert_eq!(of.expects(&key, Vec::new), counts, "{made:?} {there}");
        }
    }

    #[test]
    fn the_last_decision_for_the_cluster_counts_and_pods_nobody_knows_are_not_meant() {
        use DecisionVerdict::{Approved, Rejected};
        let labels = |app: &str| Labels::new(vec![("app".into(), app.into())]);
        let name = Opening::Name(DnsName::parse("hooks.example").expect("a name"));
        let closes = |decisions: &[(DecisionVerdict, &str)], key: &DenialKey, labels: Option<&Labels>| {
            let review = review(name.clone(), decisions);
            Closings::of(asked(&target("shop"), at(50)), std::iter::empty(), std::iter::once(&review))
                .expects(key, || labels.into_iter().collect())
        };
        let key = key("hooks.example.", 443);
        assert!(closes(&[(Rejected, "uid-1")], &key, Some(&labels("cart"))));
        assert!(!closes(&[(Rejected, "uid-2")], &key, Some(&labels("cart"))), "another cluster");
        assert!(!closes(&[(Rejected, "uid-1"), (Approved, "uid-1")], &key, Some(&labels("cart"))));
        assert!(closes(&[(Rejected, "uid-1"), (Approved, "uid-2")], &key, Some(&labels("cart"))));
        assert!(!closes(&[(Rejected, "uid-1")], &key, Some(&labels("web"))));
        assert!(!closes(&[(Rejected, "uid-1")], &key, None));
        assert!(!closes(&[], &key, Some(&labels("cart"))));
    }

    /// Found by reading: a rejected `0.0.0.0/0` made every denial of the namespace expected.
    #[test]
    fn what_was_turned_down_as_too_wide_closes_none_of_its_parts() {
        let of_cart = Labels::new(vec![("app".into(), "cart".into())]);
        let of_web = Labels::new(vec![("app".into(), "web".into())]);
        let closes = |destination: Opening, (from, to), labels: &[&Labels]| {
            let rejected = [(DecisionVerdict::Rejected, "uid-1")];
            let mut review = review(destination, &rejected);
            review.grant.ports = vec![PortSpan { protocol: Protocol::Tcp, from, to }];
            let target = target("shop");
            let of = Closings::of(asked(&target, at(50)), std::iter::empty(), std::iter::once(&review));
            of.expects(&key("203.0.113.9", 443), || labels.to_vec())
        };
        let networks =
            |all: &[&str]| Opening::Networks(all.iter().map(|raw| raw.parse().expect("a network")).collect());
        assert!(closes(networks(&["203.0.113.9/32"]), (443, 443), &[&of_cart]));
        assert!(closes(networks(&["203.0.113.8/32", "203.0.113.9/32"]), (443, 443), &[&of_cart, &of_cart]));
        for wide in ["0.0.0.0/0", "203.0.113.0/28", "203.0.113.8/31"] {
            assert!(!closes(networks(&[wide]), (443, 443), &[&of_cart]), "{wide}");
        }
        assert!(!closes(networks(&["203.0.113.8/32"]), (443, 443), &[&of_cart]), "another address");
        assert!(!closes(networks(&["203.0.113.9/32"]), (440, 450), &[&of_cart]), "a span of ports");
        assert!(!closes(networks(&["203.0.113.9/32"]), (443, 443), &[&of_cart, &of_web]), "some of its pods");
        let every = Opening::Name(DnsName::parse("*").expect("a pattern"));
        assert!(!closes(every, (443, 443), &[&of_cart]));
    }

    #[test]
    fn whoever_asked_turns_nothing_down() {
        let mut own = review(
            Opening::Networks(vec!["203.0.113.9/32".parse().expect("a network")]),
            &[(DecisionVerdict::Rejected, "uid-1")],
        );
        let labels = Labels::new(vec![("app".into(), "cart".into())]);
        let closes = |review: &Review, people: &[Vec<Text>]| {
            let target = target("shop");
            let asked = Asked { people, ..asked(&target, at(50)) };
            Closings::of(asked, std::iter::empty(), std::iter::once(review))
                .expects(&key("203.0.113.9", 443), || vec![&labels])
        };
        assert!(closes(&own, &[]));
        assert!(!closes(&own, &[vec![Text::new("lead"), Text::new("sec")]]), "the same person");
        own.requested_by = Text::new("sec");
        assert!(!closes(&own, &[]));
    }
}
