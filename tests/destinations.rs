//! Edges taken together: what becomes one destination, what the window cuts, how the addresses of a
//! name change, in which order the list stands; and the behaviours that need no list, each firing and
//! not firing. Expected values are written down.

use chrono::{DateTime, TimeDelta, Utc};
use sluice::{
    domain::{
        destination::{Category, Destination, Severity},
        discovery::{Everywhere, Rules, assemble},
        edge::{DnsName, Edge, EdgeKey, Grade, Hours, Peer, Window, hour_of},
        flow::{Direction, Protocol},
        names::{ClusterName, NsName, Workload},
        sighting::Outcome,
        suspect::asked_only,
    },
    workspace,
};

type Told = (EdgeKey, Edge);

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_409_600, 0).expect("a time")
}

fn window() -> Window {
    Window { from: start(), to: start() + TimeDelta::days(7) }
}

fn dns(raw: &str) -> DnsName {
    DnsName::parse(raw).expect("a name")
}

/// An egress edge of `shop/WORKLOAD` to a name (`-`: none) at an address, in these hours of the window.
fn edge(workload: &str, name: &str, address: &str, hours: impl IntoIterator<Item = i64>) -> Told {
    let hours: Hours = hours.into_iter().map(|hour| hour_of(start()) + hour).collect();
    let at = |hour: Option<i64>, minutes| {
        let hour = hour.expect("an hour") - hour_of(start());
        start() + TimeDelta::hours(hour) + TimeDelta::minutes(minutes)
    };
    let (first, last) = (at(hours.iter().next(), 10), at(hours.iter().last(), 50));
    let name = Some(name).filter(|name| *name != "-").map(dns);
    let key = EdgeKey {
        ns: NsName::parse("shop").expect("a namespace"),
        workload: Workload::new("Deployment", workload),
        direction: Direction::Egress,
        peer: Peer::Address(address.parse().expect("an address")),
        protocol: Protocol::Tcp,
        port: 443,
        outcome: Outcome::Allowed,
        name,
    };
    let fresh = u64::from(key.name.is_some()) * 2;
    let (also, chain) = (Vec::new(), Vec::new());
    let edge = Edge {
        flows: 2,
        first,
        last,
        hours,
        fresh,
        stale: 0,
        ambiguous: 0,
        also,
        chain,
        ttl_secs: Some(300),
    };
    (key, edge)
}

fn with(told: Told, change: impl FnOnce(&mut EdgeKey, &mut Edge)) -> Told {
    let (mut key, mut edge) = told;
    change(&mut key, &mut edge);
    (key, edge)
}

fn everywhere(edges: &[Told]) -> Everywhere {
    let mut out = Everywhere::default();
    out.note(&ClusterName::parse("east").expect("a name"), edges.iter().map(|(key, edge)| (key, edge)));
    out
}

fn judged(edges: &[Told], everywhere: &Everywhere) -> Vec<Destination> {
    let (rules, troubles) = workspace::rules(None);
    assert_eq!(troubles, []);
    assemble(edges.iter().map(|(key, edge)| (key, edge)), &rules, everywhere, window())
}

fn plain(edges: &[Told]) -> Vec<Destination> {
    let edges = edges.iter().map(|(key, edge)| (key, edge));
    assemble(edges, &Rules::default(), &Everywhere::default(), window())
}

/// Findings of the destination with that name, as `severity class: reason`.
fn said(destinations: &[Destination], name: &str) -> Vec<String> {
    let wanted = Some(name).filter(|name| *name != "-");
    let found = destinations.iter().find(|it| it.name.as_ref().map(DnsName::as_str) == wanted);
    let findings = &found.expect("the destination").meaning.findings;
    findings.iter().map(|it| format!("{} {}: {}", it.severity.as_str(), it.class, it.reason)).collect()
}

#[test]
fn edges_to_one_name_are_one_destination() {
    let edges = [
        edge("cart", "api.example.test", "203.0.113.2", [0, 30]),
        with(edge("cart", "api.example.test", "203.0.113.1", [0, 1]), |_, edge| {
            edge.fresh = 0;
            edge.stale = 2;
            edge.chain = vec![dns("edge.example.test")];
            edge.also = vec![dns("other.example.test")];
        }),
        edge("cart", "api.example.test", "203.0.113.3", [31]),
        with(edge("cart", "api.example.test", "203.0.113.1", [2]), |key, _| key.outcome = Outcome::Denied),
        edge("web", "api.example.test", "203.0.113.1", [2]),
        edge("cart", "-", "203.0.113.1", [2]),
    ];
    let found = plain(&edges);
    assert_eq!(found.len(), 4);
    let one = found
        .iter()
        .find(|it| it.addresses_total == 3)
        .unwrap_or_else(|| panic!("one with three addresses: {found:#?}"));
    let addresses: Vec<_> = one.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["203.0.113.1", "203.0.113.2", "203.0.113.3"]);
    assert_eq!((one.grade, one.seen.flows), (Grade::Fresh, 6));
    assert_eq!(
        (one.also.as_slice(), one.chain.as_slice()),
        (&[dns("other.example.test")][..], &[dns("edge.example.test")][..])
    );
    assert_eq!(one.seen.hours.len(), 4);
    assert_eq!(one.seen.first, start() + TimeDelta::minutes(10));
    // Two on the first day, two on the second; of the three later hours one brought a new address.
    assert_eq!(one.seen.churn.addresses_a_day, 2);
    assert!((one.seen.churn.new_share - 1.0 / 3.0).abs() < 1e-6);
}

#[test]
fn pods_are_one_destination_whatever_the_service_is_called() {
    let to_pods = |name: &str, hour| {
        with(edge("cart", name, "10.0.0.1", [hour]), |key, _| {
            key.peer = Peer::Pods {
                ns: NsName::parse("pay").expect("a namespace"),
                workload: Workload::new("Deployment", "api"),
            };
        })
    };
    let edges = [
        to_pods("-", 1),
        to_pods("api.pay.svc.cluster.local", 2),
        to_pods("api-headless.pay.svc.cluster.local", 3),
        to_pods("proxied.example.test", 4),
    ];
    // An outside name that led to a pod (an egress proxy) stays apart.
    let found = plain(&edges);
    let names: Vec<_> =
        found.iter().map(|it| (it.name.as_ref().map(DnsName::as_str), it.seen.flows)).collect();
    assert_eq!(names, [(Some("api-headless.pay.svc.cluster.local"), 6), (Some("proxied.example.test"), 2)]);
    assert_eq!(found[0].also, [dns("api.pay.svc.cluster.local")]);
}

#[test]
fn the_window_cuts_hours_and_drops_what_is_outside() {
    let edges = [
        edge("cart", "before.example.test", "203.0.113.1", [-30, -2]),
        edge("cart", "after.example.test", "203.0.113.1", [168, 170]),
        edge("cart", "across.example.test", "203.0.113.1", [-5, 3, 167, 169]),
        edge("cart", "around.example.test", "203.0.113.1", [-5, 200]),
    ];
    let found = plain(&edges);
    assert_eq!(found.len(), 1);
    let hours: Vec<_> = found[0].seen.hours.iter().map(|hour| hour - hour_of(start())).collect();
    assert_eq!(hours, [3, 167]);
    assert_eq!(found[0].seen.first, start() + TimeDelta::hours(3));
    assert_eq!(found[0].seen.last, window().to);
}

#[test]
fn suspects_stand_first_and_the_order_of_the_edges_does_not_matter() {
    let mut edges = vec![
        edge("cart", "api.stripe.com", "203.0.113.1", [1]),
        edge("cart", "zzz.example.test", "203.0.113.1", [1]),
        edge("cart", "abc.ngrok.io", "203.0.113.1", [1]),
        edge("cart", "ghcr.io", "203.0.113.1", [1]),
        edge("cart", "discord.com", "203.0.113.1", [1]),
        edge("cart", "db.corp", "10.0.0.1", [1]),
        edge("cart", "ifconfig.me", "203.0.113.1", [1]),
    ];
    let found = judged(&edges, &Everywhere::default());
    let names: Vec<_> = found.iter().filter_map(|it| it.name.as_ref().map(DnsName::as_str)).collect();
    let order = [
        "abc.ngrok.io",
        "discord.com",
        "ifconfig.me",
        "db.corp",
        "api.stripe.com",
        "ghcr.io",
        "zzz.example.test",
    ];
    assert_eq!(names, order);
    assert_eq!(found[3].meaning.category, Category::Internal);
    edges.reverse();
    assert_eq!(judged(&edges, &Everywhere::default()), found);
}

#[test]
fn a_name_of_one_workload_in_the_whole_fleet_is_told_low() {
    let mut fleet: Vec<_> =
        (0..5).map(|i| edge(&format!("w{i}"), "api.common.com", "203.0.113.9", [1])).collect();
    fleet.push(edge("cart", "a.lonely.com", "203.0.113.1", [1]));
    fleet.push(edge("cart", "b.lonely.com", "203.0.113.2", [1]));
    fleet.push(edge("cart", "api.stripe.com", "203.0.113.2", [1]));
    let found = judged(&fleet, &everywhere(&fleet));
    let reason = "low one-workload: Of 6 workloads in the fleet, this is the only one that uses lonely.com.";
    assert_eq!(said(&found, "a.lonely.com"), [reason]);
    assert_eq!(said(&found, "b.lonely.com"), [reason]);
    // Others use it; a known service is left alone; one user elsewhere is enough; a fleet of two says nothing.
    assert_eq!(said(&found, "api.common.com"), [""; 0]);
    assert_eq!(said(&found, "api.stripe.com"), [""; 0]);
    let mut two = everywhere(&fleet);
    let elsewhere = [edge("cart", "c.lonely.com", "203.0.113.1", [1])];
    two.note(&ClusterName::parse("west").expect("a name"), elsewhere.iter().map(|(key, edge)| (key, edge)));
    assert_eq!(said(&judged(&fleet, &two), "a.lonely.com"), [""; 0]);
    assert_eq!(said(&judged(&fleet[5..], &everywhere(&fleet[5..])), "a.lonely.com"), [""; 0]);
}

#[test]
fn addresses_that_change_fast_are_told_low() {
    let churning = |name: &str, ttl, count: i64| -> Vec<Told> {
        let one = |i: i64| {
            let address = format!("203.0.113.{i}");
            with(edge("cart", name, &address, [i * 10]), |_, edge| edge.ttl_secs = Some(ttl))
        };
        (0..count).map(one).collect()
    };
    let mut edges = churning("fast.example.test", 30, 4);
    edges.extend(churning("slow.example.test", 61, 4));
    edges.extend(churning("pair.example.test", 30, 2));
    edges.extend(churning("api.stripe.com", 30, 4));
    // Three at once from the first hour on are a balancer, not a change.
    edges.extend((1..4).map(|i| {
        let address = format!("203.0.113.{i}");
        with(edge("cart", "steady.example.test", &address, [0, 9]), |_, edge| edge.ttl_secs = Some(30))
    }));
    let found = judged(&edges, &Everywhere::default());
    assert_eq!(
        said(&found, "fast.example.test"),
        [
            "low fast-changing: fast.example.test had 4 addresses in the window, new ones in 100 % of its hours, and answers that live 30 s."
        ]
    );
    for name in ["slow.example.test", "pair.example.test", "api.stripe.com", "steady.example.test"] {
        assert_eq!(said(&found, name), [""; 0], "{name}");
    }
}

#[test]
fn what_an_old_workload_first_does_in_mid_window_is_told_low() {
    let edges = [
        edge("cart", "old.example.test", "203.0.113.1", [0, 160]),
        edge("cart", "new.example.test", "203.0.113.2", [80, 90]),
        edge("cart", "early.example.test", "203.0.113.2", [71]),
        edge("cart", "api.stripe.com", "203.0.113.2", [80]),
        edge("cart", "db.corp", "10.0.0.2", [80]),
        // Its address is new, its name is not: it was seen before the window.
        edge("cart", "known.example.test", "203.0.113.3", [100]),
        edge("cart", "known.example.test", "203.0.113.4", [-40]),
        // All of this workload is new.
        edge("young", "fresh.example.test", "203.0.113.2", [80]),
        edge("young", "later.example.test", "203.0.113.2", [120]),
    ];
    let found = judged(&edges, &Everywhere::default());
    assert_eq!(
        said(&found, "new.example.test"),
        [
            "low mid-window: First seen 3d08h into the window, while the workload had been talking to others for 5d00h."
        ]
    );
    let others = [
        "old.example.test",
        "early.example.test",
        "api.stripe.com",
        "db.corp",
        "known.example.test",
        "fresh.example.test",
        "later.example.test",
    ];
    for name in others {
        assert_eq!(said(&found, name), [""; 0], "{name}");
    }
}

#[test]
fn many_long_labels_under_one_parent_are_a_tunnels_shape() {
    let label = |i: u32| format!("{i:04}{}", "mzxw6ytboi".repeat(3));
    let many = |parent: &str, count| -> Vec<Told> {
        (0..count).map(|i| edge("cart", &format!("{}.{parent}", label(i)), "203.0.113.1", [1])).collect()
    };
    let mut edges = many("t.drain.com", 20);
    edges.extend(many("few.com", 19));
    edges.extend(many("eu-west-1.elb.example.net", 5));
    edges.extend((0..40).map(|i| edge("cart", &format!("shard-{i}.short.com"), "203.0.113.1", [1])));
    let found = judged(&edges, &Everywhere::default());
    assert_eq!(
        said(&found, &format!("{}.t.drain.com", label(7))),
        [
            "high tunnel-shaped: 20 distinct names with a label of 30 characters or more under drain.com: such names can carry data out."
        ]
    );
    assert_eq!(said(&found, &format!("{}.few.com", label(7))), [""; 0]);
    assert_eq!(said(&found, "shard-7.short.com"), [""; 0]);
}

#[test]
fn a_public_address_without_a_name_is_told_and_one_with_a_stale_name_is_not() {
    let edges = [
        edge("cart", "-", "93.184.215.14", [1]),
        with(edge("cart", "stale.example.test", "93.184.215.15", [1]), |_, edge| {
            edge.fresh = 0;
            edge.stale = 2;
        }),
    ];
    let found = judged(&edges, &Everywhere::default());
    assert_eq!(
        said(&found, "-"),
        [
            "high unresolved-ip: 93.184.215.14 is public and no answer to this workload had it: what is behind it?"
        ]
    );
    assert_eq!(found[0].meaning.findings[0].source.as_str(), "behaviour");
    assert_eq!(said(&found, "stale.example.test"), [""; 0]);
}

#[test]
fn a_name_that_was_only_asked_for_is_one_step_lower() {
    let found = judged(&[edge("cart", "abc.ngrok.io", "203.0.113.1", [1])], &Everywhere::default());
    let mut finding = found[0].meaning.findings[0].clone();
    for severity in [Severity::High, Severity::Medium, Severity::Low, Severity::Low] {
        finding = asked_only(finding);
        assert_eq!(finding.severity, severity);
    }
}

#[test]
fn a_reverse_name_of_an_access_line_is_a_hint() {
    let (rules, _) = workspace::rules(None);
    let hint = rules.catalogue.hints.access_line.as_ref().expect("the rule");
    for (reverse, fits) in [
        ("p5b0d1234.dip0.t-ipconnect.de", false),
        ("host-1-2.dyn.example.net", true),
        ("dsl-189-1.example.mx", true),
        ("dhcp12.example.net", true),
        ("pool-71-1-2-3.example.net", true),
        ("resolver.example.net", false),
        ("customerportal.example.net", false),
    ] {
        let found = sluice::domain::behaviour::access_line(reverse, hint);
        assert_eq!(found.is_some(), fits, "{reverse}");
    }
}
