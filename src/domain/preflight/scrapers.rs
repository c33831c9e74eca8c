//! Check of what fetches metrics: who does, and in which namespaces a default deny for ingress would
//! blind it. A blind judge raises no alarm, so this is known before. Pure.

use std::collections::BTreeSet;

use crate::domain::names::plural;

use super::{
    around::is_system,
    check::{Check, CheckId as Id, Evidence},
    reading::{Container, Reading, Service, Workload},
};

/// Programs that fetch metrics from pods, by the name of their container or of their image.
const PROGRAMS: [(&str, &str); 5] = [
    ("prometheus", "Prometheus"),
    ("vmagent", "vmagent"),
    ("alloy", "Grafana Alloy"),
    ("grafana-agent", "Grafana Agent"),
    ("datadog-agent", "the Datadog agent"),
];

pub fn check(reading: &Reading) -> Check {
    if let Some(why) = reading.workloads.why().or(reading.daemonsets.why()) {
        return Check::unknown(Id::Scrapers, format!("Workloads cannot be read: {why}"))
            .fixed("Give the reader of this cluster list on DaemonSets, Deployments and StatefulSets.", &[]);
    }
    let all = reading.workloads.list().iter().chain(reading.daemonsets.list());
    let found: Vec<(&str, &Workload)> = all.filter_map(|one| Some((program(one)?, one))).collect();
    let Some((name, first)) = found.first() else {
        return Check::pass(Id::Scrapers, "Nothing that fetches metrics from pods is known here.");
    };
    let who = format!("{name} ({})", first.object);
    let scrapers = found.iter().map(|(name, one)| Evidence::new(&one.object, "fetches metrics", name));
    let homes: BTreeSet<&str> = found.iter().map(|(_, one)| one.object.ns.as_str()).collect();
    if let Some(why) = reading.services.why() {
        return Check::unknown(Id::Scrapers, format!("{who} is here; Services cannot be read: {why}"))
            .seen(scrapers)
            .fixed("Give the reader of this cluster list on Services.", &[]);
    }
    let outside = |service: &&Service| {
        let ns = service.object.ns.as_str();
        !is_system(ns) && !homes.contains(ns)
    };
    let ports = reading.services.list().iter().filter(outside).flat_map(|service| {
        let metrics = service.ports.iter().filter(|port| port.name.contains("metrics"));
        metrics.map(|port| Evidence::new(&service.object, &format!("port {}", port.name), &port.target))
    });
    let ports: Vec<Evidence> = ports.collect();
    if ports.is_empty() {
        return Check::unknown(
            Id::Scrapers,
            format!("{who} is here, and no Service of other namespaces names a port for metrics: what it reads is not known."),
        )
        .seen(scrapers)
        .fixed("Look at its targets.", &[]);
    }
    let namespaces: BTreeSet<&str> = ports.iter().map(|port| port.object.ns.as_str()).collect();
    let command = format!(
        "kubectl exec -n {} {}/{} -- promtool query instant http://localhost:9090 'sum(up)'",
        first.object.ns,
        first.object.kind.as_str().to_ascii_lowercase(),
        first.object.name
    );
    let commands = if *name == "Prometheus" { vec![command] } else { Vec::new() };
    Check::fail(
        Id::Scrapers,
        format!(
            "{who} reads metrics of {}: a default deny for ingress there blinds it, and its alerts go quiet.",
            plural(namespaces.len(), "namespace")
        ),
    )
    .seen(scrapers)
    .seen(ports)
    .fixed("Allow ingress from its namespace on the ports for metrics, and compare how many targets are up before and after.", &commands)
}

fn program(workload: &Workload) -> Option<&'static str> {
    let is = |container: &Container, word: &str| {
        container.name == word || container.path().rsplit('/').next() == Some(word)
    };
    PROGRAMS
        .into_iter()
        .find(|(word, _)| workload.containers.iter().any(|container| is(container, word)))
        .map(|(_, name)| name)
}
