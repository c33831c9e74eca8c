//! Denials that people closed: an unexpired waiver, or a review that was rejected, for exactly that
//! workload, destination and port. Names and addresses come from clusters and are compared, nothing
//! more. Time is an argument, and should be the API server's.

use std::net::IpAddr;

use super::{
    flow::Direction,
    grant::{Decision, DecisionVerdict, Opening, Review},
    hold::{DenialKey, Subject, Waiver, not_for},
    names::{NsName, Text},
    policy::Labels,
    rollout::Target,
    time::Timestamp,
};

/// What holds for one rollout at a moment.
#[derive(Clone, Debug, Default)]
pub struct Closings<'a> {
    waivers: Vec<&'a Waiver>,
    rejected: Vec<&'a Review>,
}

impl<'a> Closings<'a> {
    /// Those of a rollout that are valid now. `uid`: of the cluster.
    pub fn of(
        target: &Target,
        uid: &Text,
        waivers: impl Iterator<Item = &'a Waiver>,
        reviews: impl Iterator<Item = &'a Review>,
        now: Timestamp,
    ) -> Self {
        Self {
            waivers: waivers
                .filter(|waiver| waiver.target == *target && now < waiver.expires)
                .filter(|waiver| not_for(waiver.uid.as_ref(), Some(uid)).is_none())
                .collect(),
            rejected: reviews
                .filter(|review| is_rejected(review, (&target.ns, target.direction), uid, now))
                .collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waivers.is_empty() && self.rejected.is_empty()
    }

    /// Is exactly this denial expected? `labels`: of the workload's pods; `None`: not known, and then
    /// only a review of all pods speaks for it.
    pub fn expects(&self, key: &DenialKey, labels: Option<&Labels>) -> bool {
        self.waivers.iter().any(|waiver| waiver.subject == Subject::Denial(key.clone()))
            || self.rejected.iter().any(|review| is_for(review, key, labels))
    }

    pub fn waives_quiet(&self) -> bool {
        self.waivers.iter().any(|waiver| waiver.subject == Subject::Quiet)
    }

    pub fn waives_job(&self, name: &Text) -> bool {
        self.waivers.iter().any(|waiver| matches!(&waiver.subject, Subject::CronJob(job) if job == name))
    }
}

/// The decision that counts for a cluster: the last one that names it.
pub fn decision<'a>(review: &'a Review, uid: &Text) -> Option<&'a Decision> {
    review.decisions.iter().rev().find(|decision| decision.clusters.contains(uid))
}

fn is_rejected(review: &Review, (ns, direction): (&NsName, Direction), uid: &Text, now: Timestamp) -> bool {
    let grant = &review.grant;
    grant.ns == *ns
        && grant.direction == direction
        && grant.clusters.contains(uid)
        && now < grant.expires
        && decision(review, uid).is_some_and(|decision| {
            decision.verdict == DecisionVerdict::Rejected
                && decision.expires.is_none_or(|expires| now < expires)
        })
}

fn is_for(review: &Review, key: &DenialKey, labels: Option<&Labels>) -> bool {
    let grant = &review.grant;
    let selects =
        grant.selector.is_everything() || labels.is_some_and(|labels| grant.selector.matches(labels));
    let port = |span: &super::grant::PortSpan| {
        span.protocol == key.protocol && (span.from..=span.to).contains(&key.port)
    };
    selects && grant.ports.iter().any(port) && is_destination(&grant.destination, key.destination.as_str())
}

fn is_destination(opening: &Opening, destination: &str) -> bool {
    match opening {
        Opening::Name(name) => {
            destination.trim_end_matches('.').eq_ignore_ascii_case(name.as_str().trim_end_matches('.'))
        }
        Opening::Networks(networks) => destination
            .parse::<IpAddr>()
            .is_ok_and(|address| networks.iter().any(|network| network.contains(&address))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::{
        edge::DnsName,
        flow::Protocol,
        grant::{Grant, PortSpan},
        names::{ClusterName, Workload},
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
            let of =
                Closings::of(target, &Text::new("uid-1"), std::iter::once(&waiver), std::iter::empty(), now);
            of.expects(key, None)
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
            let of = Closings::of(&target("shop"), &Text::new(there), one, std::iter::empty(), at(9));
            assert_eq!(of.expects(&key, None), counts, "{made:?} {there}");
        }
    }

    #[test]
    fn the_last_decision_for_the_cluster_counts_and_pods_nobody_knows_are_not_meant() {
        use DecisionVerdict::{Approved, Rejected};
        let labels = |app: &str| Labels::new(vec![("app".into(), app.into())]);
        let name = Opening::Name(DnsName::parse("hooks.example").expect("a name"));
        let closes = |decisions: &[(DecisionVerdict, &str)], key: &DenialKey, labels: Option<&Labels>| {
            let review = review(name.clone(), decisions);
            let none = std::iter::empty();
            Closings::of(&target("shop"), &Text::new("uid-1"), none, std::iter::once(&review), at(50))
                .expects(key, labels)
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

    #[test]
    fn an_address_inside_the_networks_was_rejected_with_them() {
        let review = review(
            Opening::Networks(vec!["203.0.113.0/28".parse().expect("a network")]),
            &[(DecisionVerdict::Rejected, "uid-1")],
        );
        let none = std::iter::empty();
        let of = Closings::of(&target("shop"), &Text::new("uid-1"), none, std::iter::once(&review), at(50));
        let labels = Labels::new(vec![("app".into(), "cart".into())]);
        assert!(of.expects(&key("203.0.113.9", 443), Some(&labels)));
        assert!(!of.expects(&key("203.0.113.99", 443), Some(&labels)));
        assert!(!of.expects(&key("hooks.example", 443), Some(&labels)));
    }
}
