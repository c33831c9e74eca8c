//! The hard cases of a generated week, one function each. Every one has workloads and destinations
//! of its own, so what must be made of it is plain from its manner.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    cases::{Builder, Case},
    inventory::{DAY, HOUR, Kind, MINUTE, Site, random_name},
    script::{Manner, Party, Protocol, Rhythm},
};

const NS: &str = "hard";

pub fn add(it: &mut Builder<'_>, case: Case) {
    match case {
        Case::SearchList => asks(it, "search-list", Manner::Searches),
        Case::CnameChain => cname_chain(it),
        Case::SharedAddress => shared_address(it),
        Case::AmbiguousAddress => ambiguous(it),
        Case::AskedByOthers => asks(it, "borrower", Manner::SomeAsk),
        Case::AddressReuse => address_reuse(it),
        Case::FlowsOverV6 => flows_over_v6(it),
        Case::LateAnswer => asks(it, "late-answer", Manner::AsksLate),
        Case::LongLived => long_lived(it),
        Case::Churn => churn(it),
        Case::Denied => denied(it),
        Case::Metadata => metadata(it),
        Case::HostNetwork => host_network(it),
        Case::OutsideCallers => outside_callers(it),
        Case::Rollout => rollout(it),
        Case::Icmp => icmp(it),
        Case::Sctp => sctp(it),
        Case::CronJob => cron_job(it),
        Case::NoTraffic => drop(it.workload(NS, "idle", Kind::Deployment, 2)),
        Case::Unclear => unclear(it),
        // These are nodes' affairs.
        Case::ClockSkew | Case::LostEvents | Case::SilentNode => {}
    }
}

/// A workload with a site of its own.
fn asks(it: &mut Builder<'_>, name: &str, manner: Manner) {
    let workload = it.workload(NS, name, Kind::Deployment, 4);
    let site = it.site(&format!("{name}.vendor.example"), 2);
    it.script(Party::Workload(workload), Party::Site(site), 443, manner);
}

fn cname_chain(it: &mut Builder<'_>) {
    let workload = it.workload(NS, "chain", Kind::StatefulSet, 2);
    for (host, chain) in [
        ("www.shop.example", &["www.shop.example.cdn.example", "edge-7.cdn.example"][..]),
        // A harmless name that leads into a tunnel.
        ("desk.partner.example", &["b3f1-desk.ngrok-free.app"][..]),
    ] {
        let addresses = vec![it.address(), it.address()];
        let chain = chain.iter().map(|name| (*name).to_owned()).collect();
        let site = it.add_site(Site { host: Some(host.to_owned()), chain, addresses, ttl: 60, turn: None });
        it.script(Party::Workload(workload), Party::Site(site), 443, Manner::Asks);
    }
}

/// Two names with one address.
fn twins(it: &mut Builder<'_>, one: &str, other: &str) -> (usize, usize) {
    let addresses = vec![it.address()];
    let mut named = |host: &str| {
        let (host, addresses) = (Some(host.to_owned()), addresses.clone());
        it.add_site(Site { host, chain: Vec::new(), addresses, ttl: 60, turn: None })
    };
    (named(one), named(other))
}

fn shared_address(it: &mut Builder<'_>) {
    let (one, other) = twins(it, "img.retail.example", "api.bank.example");
    for (name, site) in [("shares-a", one), ("shares-b", other)] {
        let workload = it.workload(NS, name, Kind::Deployment, 2);
        it.script(Party::Workload(workload), Party::Site(site), 443, Manner::Asks);
    }
    let silent = it.workload(NS, "shares-unasked", Kind::Deployment, 1);
    it.script(Party::Workload(silent), Party::Site(one), 443, Manner::Never);
}

fn ambiguous(it: &mut Builder<'_>) {
    let (site, other) = twins(it, "static.news.example", "feeds.news.example");
    let workload = it.workload(NS, "both-names", Kind::Deployment, 2);
    it.script(Party::Workload(workload), Party::Site(site), 443, Manner::AsksBoth { other });
}

/// The first owner asks until its end; the second has the address an hour later and never asks.
fn address_reuse(it: &mut Builder<'_>) {
    let site = it.site("reused.vendor.example", 1);
    let (window, half) = (it.window(), it.settings.start + it.settings.days * DAY / 2);
    for (name, life, manner) in [
        ("first-owner", window.start..half, Manner::Asks),
        ("second-owner", half + HOUR..window.end, Manner::Never),
    ] {
        let workload = it.workload(NS, name, Kind::Deployment, 0);
        let hash = random_name(&mut it.rng, 9);
        let pod = it.inventory.pod(&mut it.rng, workload, life, &hash);
        // Above all that are given out.
        it.inventory.pods[pod].v4 = Ipv4Addr::new(10, 127, 255, 1);
        it.script(Party::Workload(workload), Party::Site(site), 443, manner).visits_a_day *= 2.0;
    }
}

fn flows_over_v6(it: &mut Builder<'_>) {
    let workload = it.workload(NS, "dual-stack", Kind::Deployment, 2);
    for pod in it.inventory.workloads[workload].pods.clone() {
        it.inventory.pods[pod].v6 = Some(Ipv6Addr::new(0xfd00, 0x64, 0, 0, 0, 0, 0, 4 + pod as u16));
    }
    let addresses = vec![it.address_v6(), it.address_v6()];
    let host = Some("six.vendor.example".to_owned());
    let site = it.add_site(Site { host, chain: Vec::new(), addresses, ttl: 30, turn: None });
    it.script(Party::Workload(workload), Party::Site(site), 443, Manner::AsksForV6);
}

fn long_lived(it: &mut Builder<'_>) {
    for (name, manner) in [("long-lived", Manner::AsksOnce), ("asked-long-before", Manner::AsksLongBefore)] {
        let workload = it.workload(NS, name, Kind::Deployment, 2);
        let site = it.site(&format!("{name}.stream.example"), 1);
        it.script(Party::Workload(workload), Party::Site(site), 5671, manner).connections = 1;
    }
}

fn churn(it: &mut Builder<'_>) {
    let workload = it.workload(NS, "churns", Kind::Deployment, 2);
    let addresses: Vec<IpAddr> = (0..120).map(|_| it.address()).collect();
    let host = Some("objects.cloud.example".to_owned());
    let turn = Some(10 * MINUTE);
    let site = it.add_site(Site { host, chain: Vec::new(), addresses, ttl: 20, turn });
    it.script(Party::Workload(workload), Party::Site(site), 443, Manner::Asks).visits_a_day = 40.0;
}

/// Denied attempts beside allowed ones of the same workloads, to the same destination and others.
fn denied(it: &mut Builder<'_>) {
    let caller = it.workload(NS, "denied-caller", Kind::Deployment, 2);
    let callee = it.workload(NS, "guarded", Kind::Deployment, 2);
    let site = it.site("forbidden.vendor.example", 1);
    it.script(Party::Workload(caller), Party::Site(site), 443, Manner::DeniedLeaving);
    it.script(Party::Workload(caller), Party::Workload(callee), 9000, Manner::Never);
    it.script(Party::Workload(caller), Party::Workload(callee), 9001, Manner::DeniedLeaving);
    it.script(Party::Workload(caller), Party::Workload(callee), 9000, Manner::DeniedArriving);
    it.script(Party::Workload(caller), Party::Workload(callee), 9002, Manner::DeniedArriving);
}

fn metadata(it: &mut Builder<'_>) {
    let workload = it.workload(NS, "curious", Kind::Deployment, 2);
    let addresses = vec![IpAddr::from([169, 254, 169, 254])];
    let site = it.add_site(Site { host: None, chain: Vec::new(), addresses, ttl: 0, turn: None });
    it.script(Party::Workload(workload), Party::Site(site), 80, Manner::Never);
}

/// Pods with their node's address ask, call and are called.
fn host_network(it: &mut Builder<'_>) {
    let agent = it.workload(NS, "node-agent", Kind::DaemonSet, 4);
    it.inventory.workloads[agent].host_network = true;
    let peer = it.workload(NS, "agent-store", Kind::Deployment, 2);
    let site = it.site("agents.vendor.example", 1);
    it.script(Party::Workload(agent), Party::Site(site), 443, Manner::Asks);
    it.script(Party::Workload(agent), Party::Workload(peer), 8086, Manner::Never);
    it.script(Party::Workload(peer), Party::Workload(agent), 9100, Manner::Never);
    it.script(Party::Workload(peer), Party::Api, 6443, Manner::Never);
    // The kubelet's probes.
    it.script(Party::Nodes, Party::Workload(peer), 8086, Manner::Never);
}

fn outside_callers(it: &mut Builder<'_>) {
    let workload = it.workload(NS, "front-door", Kind::Deployment, 2);
    let addresses = (0..5).map(|_| it.address()).collect();
    // It has a name, and nobody asked for it.
    let host = Some("customer.example".to_owned());
    let site = it.add_site(Site { host, chain: Vec::new(), addresses, ttl: 60, turn: None });
    it.script(Party::Site(site), Party::Workload(workload), 8443, Manner::Never);
}

/// Half way through the week all pods are replaced: other names, the same workload.
fn rollout(it: &mut Builder<'_>) {
    let workload = it.workload(NS, "rolled-out", Kind::Deployment, 0);
    let (window, half) = (it.window(), it.settings.start + it.settings.days * DAY / 2);
    for life in [window.start - DAY..half + MINUTE, half..window.end + DAY] {
        let hash = random_name(&mut it.rng, 10);
        for _ in 0..2 {
            it.inventory.pod(&mut it.rng, workload, life.clone(), &hash);
        }
    }
    it.service(workload);
    let site = it.site("rolled-out.vendor.example", 1);
    let caller = it.workload(NS, "its-caller", Kind::Deployment, 1);
    it.script(Party::Workload(workload), Party::Site(site), 443, Manner::Asks);
    it.script(Party::Workload(caller), Party::Workload(workload), 8080, Manner::Asks);
}

fn icmp(it: &mut Builder<'_>) {
    let prober = it.workload(NS, "prober", Kind::Deployment, 1);
    let target = it.workload(NS, "probed", Kind::Deployment, 1);
    let site = it.site("ping.vendor.example", 1);
    it.script(Party::Workload(prober), Party::Site(site), 0, Manner::Asks).protocol = Protocol::Icmp;
    it.script(Party::Workload(prober), Party::Workload(target), 0, Manner::Never).protocol = Protocol::Icmp;
}

fn sctp(it: &mut Builder<'_>) {
    let workload = it.workload(NS, "signalling", Kind::StatefulSet, 2);
    let site = it.site("sigtran.carrier.example", 1);
    it.script(Party::Workload(workload), Party::Site(site), 2905, Manner::Asks).protocol = Protocol::Sctp;
}

/// A pod for each run, which lives a minute; addresses go round among the runs.
fn cron_job(it: &mut Builder<'_>) {
    let workload = it.workload(NS, "report", Kind::CronJob, 0);
    let window = it.window();
    for (run, at) in (window.start + 17 * MINUTE..window.end).step_by(3 * HOUR as usize).enumerate() {
        let minutes = (at / MINUTE).to_string();
        let pod = it.inventory.pod(&mut it.rng, workload, at..at + MINUTE, &minutes);
        it.inventory.pods[pod].v4 = Ipv4Addr::new(10, 127, 254, 1 + (run % 3) as u8);
    }
    let site = it.site("reports.vendor.example", 1);
    it.script(Party::Workload(workload), Party::Site(site), 443, Manner::Asks).rhythm = Rhythm::WithPods;
}

fn unclear(it: &mut Builder<'_>) {
    let workload = it.workload(NS, "unclear", Kind::Deployment, 1);
    let site = it.site("unclear.vendor.example", 1);
    it.script(Party::Workload(workload), Party::Site(site), 443, Manner::Unclear);
}
