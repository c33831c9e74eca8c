//! The axis of a rollout as JSON and as text: changes and denials in one order, each group with the
//! change nearest before it. Both are made of [`timeline::row`], which the screen reads too.

use serde::Serialize;

use super::{
    table::Table,
    wire::{TargetOut, pretty, time},
};
use crate::{
    cockpit::timeline::{GroupMark, Mark, TimelineRow},
    domain::time::{Timestamp, age, span},
};

#[derive(Debug, Serialize)]
struct TimelineOut {
    target: TargetOut,
    from: String,
    until: String,
    /// Since when changes of this cluster are noticed; `null`: not yet.
    noticed_since: Option<String>,
    marks: Vec<MarkOut>,
    denials: Vec<GroupOut>,
}

#[derive(Debug, Serialize)]
struct MarkOut {
    at: String,
    until: String,
    /// `apply`, `rollback`, `deploy`, `cni`, `dns`, `node`, `policy`, `act`.
    kind: &'static str,
    text: String,
    by: Option<String>,
}

#[derive(Debug, Serialize)]
struct GroupOut {
    class: &'static str,
    text: String,
    count: u64,
    first: String,
    last: String,
    /// The change nearest before the first denial: not always its cause.
    nearest_change: Option<NearestOut>,
}

#[derive(Debug, Serialize)]
struct NearestOut {
    /// Its place in `marks`, counted from 0.
    mark: usize,
    seconds_before: i64,
}

pub fn json(row: &TimelineRow) -> String {
    pretty(&TimelineOut {
        target: (&row.target).into(),
        from: time(row.from),
        until: time(row.until),
        noticed_since: row.noticed_since.map(time),
        marks: row.marks.iter().map(mark_out).collect(),
        denials: row.groups.iter().map(group_out).collect(),
    })
}

fn mark_out(mark: &Mark) -> MarkOut {
    MarkOut {
        at: time(mark.at),
        until: time(mark.until),
        kind: mark.kind.as_str(),
        text: mark.words.to_string(),
        by: mark.by.as_ref().map(ToString::to_string),
    }
}

fn group_out(group: &GroupMark) -> GroupOut {
    GroupOut {
        class: group.class.word(),
        text: group.words.to_string(),
        count: group.count,
        first: time(group.first),
        last: time(group.last),
        nearest_change: group
            .before
            .map(|(mark, gap)| NearestOut { mark, seconds_before: gap.num_seconds() }),
    }
}

/// Changes and denials in one list, oldest first.
pub fn text(row: &TimelineRow, zone: chrono::FixedOffset) -> String {
    let clock = |at: Timestamp| at.with_timezone(&zone).format("%m-%d %H:%M:%S").to_string();
    let mut lines: Vec<(Timestamp, [String; 3])> = Vec::new();
    for mark in &row.marks {
        let by = mark.by.as_ref().map_or(String::new(), |by| format!(", by {by}"));
        let long = mark.until - mark.at;
        let long = if long.num_seconds() > 0 { format!(", over {}", span(long)) } else { String::new() };
        let words = format!("{}{by}{long}", mark.words);
        lines.push((mark.at, [clock(mark.at), mark.kind.as_str().to_owned(), words]));
    }
    for group in &row.groups {
        let ago = span(age(group.last, row.until));
        let times = if group.count == 1 { "once".to_owned() } else { format!("{} times", group.count) };
        let mut words = format!("{} {}, {times}, last {ago} ago", group.class.word(), group.words);
        words.push_str(&match group.before {
            Some((mark, gap)) => format!("; {} after: {}", span(gap), row.marks[mark].words),
            None => "; no change is known before it".to_owned(),
        });
        lines.push((group.first, [clock(group.first), "DENIED".to_owned(), words]));
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut table = Table::new(&["TIME", "WHAT", ""]);
    lines.into_iter().for_each(|(_, cells)| table.row(cells));
    let known = match row.noticed_since {
        Some(since) => format!(
            "Changes are noticed since {} ({} ago); what was before is known from start times and the journal.\n",
            clock(since),
            span(age(since, row.until))
        ),
        None => "Changes of this cluster are not noticed yet.\n".to_owned(),
    };
    let (from, until) = (clock(row.from), clock(row.until));
    let mut out = format!("{} from {from} to {until} {zone}\n", row.target);
    if table.is_empty() {
        out.push_str("Nothing changed and nothing was denied, as far as is known.\n");
    } else {
        out.push_str(&table.text(""));
    }
    out + &known
}

#[cfg(test)]
mod tests {
    //! Facts of a day, told one after the other, and the axis that comes of them.

    use chrono::{FixedOffset, TimeDelta, TimeZone as _, Utc};
    use serde_json::json;

    use super::*;
    use crate::{
        cockpit::{
            orders::{OrderId, OrderKind, Outcome},
            plan::{ClusterEntry, FleetFile},
            ports::{Change, ClusterFact, Fact, Link, OrderFact},
            shared::SharedFact,
            timeline,
            world::World,
        },
        domain::{
            fleet::{Cni, CniKind, Enforcement, Environment, Isolation, NamespaceSeen, Pod},
            flow::{Direction, End, Flow, FlowId, Protocol, Verdict},
            journal::{Act, Entry, Hash},
            names::{ClusterName, NodeName, NsName, PodName, Text, Workload},
            policy::{Labels, Policy, PolicyKind},
            rollout::{Kept, Stamp, Target},
        },
        manifest,
    };

    fn at(minute: i64) -> Timestamp {
        Utc.with_ymd_and_hms(2026, 11, 23, 8, 0, 0).single().expect("a time") + TimeDelta::minutes(minute)
    }

    fn east() -> ClusterName {
        ClusterName::parse("east").expect("valid")
    }

    fn ns(name: &str) -> NsName {
        NsName::parse(name).expect("valid")
    }

    fn target() -> Target {
        Target { cluster: east(), ns: ns("shop"), direction: Direction::Egress }
    }

    /// `ns/name kind/owner node`, with one label.
    fn pod(what: &str, started: Timestamp, label: (&str, &str)) -> Pod {
        let words: Vec<_> = what.split(['/', ' ']).collect();
        let [space, name, kind, owner, node] = words[..] else { panic!("ns/name kind/owner node: {what}") };
        Pod {
            ns: ns(space),
            name: PodName::parse(name).expect("valid"),
            labels: Labels::new(vec![(label.0.into(), label.1.into())]),
            workload: Workload::new(kind, owner),
            node: NodeName::parse(node).ok(),
            host_network: false,
            finished: false,
            started: Some(started),
            ready: Some(started),
        }
    }

    fn policy(name: &str, port: u16) -> Policy {
        let object = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": "shop", "resourceVersion": "7"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": port}]}]},
        });
        manifest::policy(&object).expect("a policy")
    }

    fn denied(id: &str, port: u16, at: Timestamp) -> ClusterFact {
        ClusterFact::Flows(vec![Flow {
            id: FlowId(id.into()),
            at,
            node: None,
            direction: Direction::Egress,
            verdict: Verdict::Denied { said: Text::new("POLICY_DENIED"), by: Vec::new() },
            source: End {
                ns: Some(ns("shop")),
                workload: Some(Workload::new("Deployment", "web")),
                ..End::default()
            },
            destination: End { address: "203.0.113.7".parse().ok(), ..End::default() },
            protocol: Protocol::Tcp,
            source_port: 40_000,
            port,
            reply: Some(false),
            closing: false,
        }])
    }

    struct Day(World);

    impl Day {
        fn new() -> Self {
            let mut world = World::new(at(0));
            let entry = ClusterEntry {
                name: east(),
                context: Text::new("east"),
                environment: Environment::Production,
                relay: None,
                flows: Default::default(),
                collector: None,
            };
            world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
            Self(world)
        }

        fn fact(&mut self, minute: i64, fact: Fact) {
            self.0.absorb(Fact::Tick(at(minute)));
            self.0.absorb(fact);
            self.0.settle();
        }

        fn tell(&mut self, minute: i64, fact: ClusterFact) {
            self.fact(minute, Fact::Cluster(east(), fact));
        }

        fn put(&mut self, minute: i64, pod: Pod) {
            self.tell(minute, ClusterFact::Pods(Change::Put(pod)));
        }

        fn journal(&mut self, minute: i64, act: Act, object: &str, facts: &[&str]) {
            let entry = Entry {
                number: u64::try_from(minute).expect("after the start"),
                previous: Hash::NOTHING,
                stamp: Stamp { by: Text::new("ann@example.net"), at: at(minute) },
                act,
                object: Text::new(object),
                facts: facts.iter().map(|fact| Text::new(fact)).collect(),
            };
            let kept = Kept {
                name: Text::from(format!("entry-{minute:09}")),
                version: Text::new("1"),
                created: at(minute),
                value: entry,
            };
            self.fact(minute, Fact::Shared(SharedFact::Journal(Change::Put(kept))));
        }

        fn begin(&mut self) {
            let seen = NamespaceSeen {
                name: ns("shop"),
                labels: Labels::default(),
                owner: None,
                contact: None,
                terminating: false,
            };
            self.tell(0, ClusterFact::Namespaces(Change::Reset(vec![seen])));
            let none = ("app", "web");
            let pods = vec![
                pod("shop/web-1 Deployment/web node-1", at(-60 * 48), none),
                pod("shop/cart-1 Deployment/cart node-1", at(-90), none),
                pod("kube-system/cilium-1 DaemonSet/cilium node-1", at(-60 * 48), ("k8s-app", "cilium")),
                pod("kube-system/coredns-1 Deployment/coredns node-1", at(-60 * 48), ("k8s-app", "kube-dns")),
            ];
            self.tell(0, ClusterFact::Pods(Change::Reset(pods)));
            let policies = vec![policy("egress-allowlist", 443), policy("foreign", 1)];
            self.tell(0, ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(policies)));
            self.tell(0, ClusterFact::Cni(cni("1.16.3")));
        }
    }

    fn cni(version: &str) -> Cni {
        Cni {
            kind: CniKind::Cilium,
            version: Some(Text::new(version)),
            enforcement: Enforcement::Enforces,
            evidence: Text::new("DaemonSet kube-system/cilium"),
        }
    }

    /// An apply of ours, a deployment, a node, restarts of CNI and DNS, a colleague's rollback.
    fn day() -> World {
        let mut day = Day::new();
        day.begin();
        let none = ("app", "web");
        let started = OrderFact::Started { kind: OrderKind::Apply, target: target() };
        day.fact(10, Fact::Order(OrderId(1), started));
        // What the apply writes is the apply, what somebody else writes is not.
        day.tell(
            11,
            ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(policy("egress-allowlist", 444))),
        );
        let done = OrderFact::Ended(Outcome::Done { isolation: Isolation::default() });
        day.fact(12, Fact::Order(OrderId(1), done));
        day.tell(13, denied("a", 5432, at(13)));
        day.journal(12, Act::Apply, "east/shop egress", &["outcome: done"]);
        day.put(30, pod("shop/web-2 Deployment/web node-1", at(29), none));
        day.put(33, pod("shop/web-3 Deployment/web node-2", at(32), none));
        day.put(33, pod("shop/nightly-1 Job/nightly node-2", at(33), none));
        day.tell(35, denied("b", 6379, at(35)));
        let mut dns =
            pod("kube-system/coredns-1 Deployment/coredns node-1", at(-60 * 48), ("k8s-app", "kube-dns"));
        dns.ready = None;
        day.put(40, dns.clone());
        dns.ready = Some(at(41));
        day.put(41, dns);
        day.tell(50, ClusterFact::Cni(cni("1.16.4")));
        day.put(51, pod("kube-system/cilium-2 DaemonSet/cilium node-2", at(51), ("k8s-app", "cilium")));
        day.tell(
            55,
            ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(vec![policy("foreign", 2)])),
        );
        for gone in ["web-3", "nightly-1"] {
            let pod = PodName::parse(gone).expect("valid");
            day.tell(60, ClusterFact::Pods(Change::Gone((ns("shop"), pod))));
        }
        let cilium = PodName::parse("cilium-2").expect("valid");
        day.tell(60, ClusterFact::Pods(Change::Gone((ns("kube-system"), cilium))));
        day.fact(61, Fact::Shared(SharedFact::Link(Link::Live)));
        let began = ["begun: 2026-11-23T09:05:00.000Z", "outcome: done"];
        day.journal(66, Act::Rollback, "east/shop egress", &began);
        day.journal(67, Act::Rollback, "east/shop ingress", &[]);
        day.journal(68, Act::Hold, "cluster east", &[]);
        day.tell(70, denied("c", 443, at(66)));
        day.0
    }

    fn zone() -> FixedOffset {
        FixedOffset::east_opt(0).expect("in range")
    }

    #[test]
    fn a_day_on_one_axis() {
        let row = timeline::row(&day(), &target(), TimeDelta::hours(24));
        insta::assert_snapshot!("timeline.txt", text(&row, zone()));
        insta::assert_snapshot!("timeline.json", json(&row));
    }

    #[test]
    fn each_group_names_the_change_nearest_before_it() {
        let row = timeline::row(&day(), &target(), TimeDelta::hours(24));
        let named: Vec<_> = row
            .groups
            .iter()
            .map(|group| {
                let (mark, gap) = group.before.expect("something was before");
                (row.marks[mark].words.as_str(), gap.num_minutes())
            })
            .collect();
        assert_eq!(named, [("apply, done", 1), ("node node-2 came", 2), ("rollback, done", 0)]);
    }

    /// A waiver changes nothing in the cluster, and what is later than a denial did not cause it.
    #[test]
    fn acts_on_paper_and_later_changes_are_never_the_nearest() {
        let mut day = Day::new();
        day.begin();
        day.tell(5, denied("a", 1, at(5)));
        day.journal(6, Act::Waiver, "east/shop egress", &[]);
        day.tell(7, denied("b", 2, at(7)));
        day.put(8, pod("shop/web-2 Deployment/web node-1", at(8), ("app", "web")));
        let row = timeline::row(&day.0, &target(), TimeDelta::hours(24));
        let named: Vec<_> = row
            .groups
            .iter()
            .map(|group| group.before.map(|(mark, _)| row.marks[mark].words.as_str()))
            .collect();
        assert_eq!(named, [Some("1 pod of cart started"), Some("1 pod of cart started")]);
        let short = timeline::row(&day.0, &target(), TimeDelta::minutes(10));
        assert_eq!(short.groups.iter().filter_map(|group| group.before).count(), 0);
        assert!(text(&short, zone()).contains("no change is known before it"));
    }

    #[test]
    fn a_cluster_without_facts_has_an_empty_axis_that_says_so() {
        let shown = text(&timeline::row(&Day::new().0, &target(), TimeDelta::hours(1)), zone());
        insta::assert_snapshot!("timeline-empty.txt", shown);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut day = Day::new();
        day.begin();
        for n in 0..1_000 {
            let minute = 20 * n;
            day.put(
                minute,
                pod(&format!("shop/web-{} Deployment/web node-1", n + 10), at(minute), ("app", "web")),
            );
            let cilium = format!("kube-system/cilium-{n} DaemonSet/cilium node-{n}");
            day.put(minute, pod(&cilium, at(minute), ("k8s-app", "cilium")));
        }
        let row = timeline::row(&day.0, &target(), TimeDelta::days(365));
        assert_eq!(row.marks.len(), 500);
    }
}
