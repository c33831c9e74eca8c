//! Which denials hurt: each file of `tests/cases/triage` tells what flows and pods do, and after
//! `groups`, `minutes`, `totals`, `sluice-says` or `older` what is made of it (`=>`), in the order of the screen.

use std::{fmt::Write as _, fs, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sluice::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        ports::{Change, ClusterFact, Fact},
        world::World,
    },
    domain::{
        denial::Group,
        fleet::{Cni, CniKind, Enforcement, Environment, NamespaceSeen, Pod},
        flow::{Direction, End, Flow, FlowId, Protocol, Verdict},
        names::{ClusterName, NsName, PodName, Text, Workload},
        policy::{Policy, PolicyKind},
        preflight::{
            check::{Check, CheckId},
            report::Report,
        },
        rollout::Target,
    },
};

#[test]
fn denials_are_classed_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/triage");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file");
        let actual = Story::new().play(&text);
        let diff = similar::TextDiff::from_lines(&text, &actual);
        let diff = diff.unified_diff().context_radius(4).header("written", "played").to_string();
        assert!(text == actual, "{} differs:\n{diff}", file.display());
    }
}

struct Story {
    world: World,
    cluster: ClusterName,
    flows: u64,
}

impl Story {
    fn new() -> Self {
        let cluster = ClusterName::parse("east").expect("a name");
        let mut story = Self { world: World::new(clock("00:00:00")), cluster, flows: 0 };
        let entry = ClusterEntry {
            name: story.cluster.clone(),
            context: Text::new("east"),
            environment: Environment::Staging,
            relay: None,
            flows: Default::default(),
            collector: None,
        };
        story.world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
        let seen = NamespaceSeen {
            name: ns("shop"),
            labels: Default::default(),
            owner: None,
            contact: None,
            terminating: false,
        };
        story.tell(ClusterFact::Namespaces(Change::Reset(vec![seen])));
        story
    }

    fn play(mut self, text: &str) -> String {
        let mut out = String::new();
        for line in text.lines().filter(|line| !line.starts_with("=>")) {
            let _ = writeln!(out, "{line}");
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                [] | ["#", ..] => {}
                ["groups"] => self.groups(&mut out),
                ["minutes"] => self.minutes(&mut out),
                ["totals"] => self.totals(&mut out),
                ["sluice-says"] => self.says(&mut out),
                ["older"] => self.older(&mut out),
                [at, rest @ ..] => {
                    self.world.absorb(Fact::Tick(clock(at)));
                    self.happen(clock(at), rest);
                }
            }
        }
        out
    }

    fn happen(&mut self, at: DateTime<Utc>, words: &[&str]) {
        match words {
            ["pod", name, "started", started] => self.pod(name, started, None),
            ["pod", name, "started", started, "ready", ready] => self.pod(name, started, Some(ready)),
            ["relisted", name, "started", started, "ready", ready] => {
                let pods = vec![pod_of(name, started, Some(ready))];
                self.tell(ClusterFact::Pods(Change::Reset(pods)));
            }
            ["listed", pods @ ..] => self.listed(pods),
            ["looked"] => {
                let checks = vec![Check::pass(CheckId::Foreign, "nothing")];
                let report =
                    Report { checks, engine: None, dns_mode: None, offers: Vec::new(), printing: None };
                self.tell(ClusterFact::Preflight(Box::new(report)));
            }
            ["policies", opened @ ..] => {
                let policies = ["default-deny-egress", "egress-baseline-allow", "egress-allowlist"];
                let policies = policies.map(|name| policy(name, opened)).to_vec();
                self.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(policies)));
            }
            ["taken-back"] => {
                self.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new())));
            }
            [verb @ ("deny" | "allow" | "audit"), pod, "->", target, more @ ..] => {
                let (target, ports) = target.rsplit_once(':').unwrap_or((target, "0"));
                let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
                let ports = from.parse().expect("a port")..=to.parse().expect("a port");
                let flows = ports.map(|port| self.flow(at, verb, pod, target, port, more)).collect();
                self.tell(ClusterFact::Flows(flows));
            }
            other => panic!("{other:?} is no line of a story"),
        }
    }

    fn flow(
        &mut self,
        now: DateTime<Utc>,
        verb: &str,
        pod: &str,
        target: &str,
        port: u16,
        more: &[&str],
    ) -> Flow {
        self.flows += 1;
        let has = |word: &str| more.contains(&word);
        let shifted = |sign: &str| {
            let word = more.iter().find_map(|word| word.strip_prefix(sign))?;
            Some(TimeDelta::seconds(word.parse().expect("seconds")))
        };
        let verdict = match verb {
            "deny" => Verdict::Denied { said: Text::new("POLICY_DENIED"), by: Vec::new() },
            "allow" => Verdict::Allowed { by: Vec::new() },
            _ => Verdict::Audit { said: Text::new("AUDIT"), by: Vec::new() },
        };
        let ours = if has("outside") { End::default() } else { pod_end(pod) };
        let theirs = match target.rsplit_once('=') {
            Some((name, address)) if name.contains('/') => {
                let (ns_name, pod) = name.split_once('/').expect("a slash");
                End { address: address.parse().ok(), ns: Some(ns(ns_name)), ..pod_end(pod) }
            }
            Some((name, address)) => {
                End { address: address.parse().ok(), names: vec![Text::new(name)], ..End::default() }
            }
            None => End { address: target.parse().ok(), ..End::default() },
        };
        let ingress = has("ingress");
        let (source, destination) = if ingress { (theirs, ours) } else { (ours, theirs) };
        Flow {
            id: FlowId(self.flows.to_string().into()),
            at: now + shifted("ahead=").unwrap_or_default() - shifted("late=").unwrap_or_default(),
            node: None,
            direction: if ingress { Direction::Ingress } else { Direction::Egress },
            verdict,
            source,
            destination,
            protocol: if has("icmp") {
                Protocol::Icmp
            } else if has("udp") {
                Protocol::Udp
            } else {
                Protocol::Tcp
            },
            source_port: 40_000,
            port,
            reply: has("reply").then_some(true),
            closing: has("closing"),
        }
    }

    /// Everything that is watched was read once: these are the pods.
    fn listed(&mut self, pods: &[&str]) {
        let uid = Some(Text::new("uid-east"));
        self.tell(ClusterFact::Met { uid, version: Text::new("v1.33.1"), kinds: Vec::new() });
        self.tell(ClusterFact::Cni(Cni {
            kind: CniKind::Cilium,
            version: Some(Text::new("v1.17.2")),
            enforcement: Enforcement::Enforces,
            evidence: Text::new("DaemonSet kube-system/cilium"),
        }));
        let pods = pods.iter().map(|name| pod_of(name, "08:00:00", Some("08:00:10"))).collect();
        self.tell(ClusterFact::Pods(Change::Reset(pods)));
    }

    /// Our evaluator's word beside the data plane's.
    fn says(&self, out: &mut String) {
        for group in self.world.denials().groups() {
            let (key, said) = (&group.key, &group.said);
            let ours = group.ours.as_ref().map_or_else(
                || "not asked yet".to_owned(),
                |ours| {
                    let when = if ours.of_then { "of then" } else { "of now" };
                    format!("{} ({when})", ours.opinion.words())
                },
            );
            let differ = if group.disagrees() { ", DISAGREES" } else { "" };
            let _ = writeln!(out, "=> {} {}/{}: {said}; {ours}{differ}", key.peer, key.protocol, key.port);
        }
    }

    /// Connections older than the policies that would not surely pass if they reconnected.
    fn older(&self, out: &mut String) {
        let target = Target { cluster: self.cluster.clone(), ns: ns("shop"), direction: Direction::Egress };
        let row = self.world.soaks().row(&target, &self.world).expect("its set is live");
        for one in &row.unseen {
            let (destination, port, last) = (&one.destination, one.port, one.last.format("%H:%M:%S"));
            let _ =
                writeln!(out, "=> {destination} {}/{port}, last {last}: {}", one.protocol, one.ours.words());
        }
        if !row.unseen.is_empty() {
            let _ = writeln!(out, "=> {}", row.old_words());
        }
    }

    fn pod(&mut self, name: &str, started: &str, ready: Option<&str>) {
        self.tell(ClusterFact::Pods(Change::Put(pod_of(name, started, ready))));
    }

    fn tell(&mut self, fact: ClusterFact) {
        self.world.absorb(Fact::Cluster(self.cluster.clone(), fact));
        self.world.settle();
    }

    fn groups(&self, out: &mut String) {
        let denials = self.world.denials();
        let shown = denials.groups().len().min(6);
        denials.groups().take(shown).for_each(|group| group_text(group, out));
        if denials.groups().len() > shown {
            let _ = writeln!(out, "=> and {} more", denials.groups().len() - shown);
        }
    }

    fn minutes(&self, out: &mut String) {
        for direction in Direction::ALL {
            let Some(minutes) = self.world.denials().minutes(&self.cluster, &ns("shop"), direction) else {
                continue;
            };
            let counts = minutes.at(self.world.now());
            let _ = writeln!(out, "=> {direction} {:?} in the last five minutes", &counts[25..]);
        }
    }

    fn totals(&self, out: &mut String) {
        let denials = self.world.denials();
        let _ = writeln!(
            out,
            "=> {} denials, {} live, {} in {} groups, {} forgotten, {} outside",
            denials.total(),
            denials.live().len(),
            denials.groups().map(|group| group.count).sum::<u64>(),
            denials.groups().len(),
            denials.forgotten(),
            denials.outside(),
        );
    }
}

fn group_text(group: &Group, out: &mut String) {
    let key = &group.key;
    let class = match group.class {
        sluice::domain::denial::Class::Noisy(noise) => format!("noisy ({})", noise.as_str()),
        class => class.word().to_owned(),
    };
    let workload = key.workload.as_ref().map_or("?".into(), |workload| workload.to_string());
    let pods: Vec<_> = group.pods.keys().map(|pod| pod.as_str()).collect();
    let _ = writeln!(
        out,
        "=> {class}: {} x {} {}/{workload} with {} {}/{}, {} to {}, pods {}{}",
        group.count,
        key.direction,
        key.ns,
        key.peer,
        key.protocol,
        key.port,
        group.first.format("%H:%M:%S"),
        group.last.format("%H:%M:%S"),
        pods.join(" "),
        if group.more_pods { " and more" } else { "" },
    );
}

/// `cart-1` is a pod of the workload `cart`.
fn pod_end(pod: &str) -> End {
    let workload = pod.rsplit_once('-').map(|(workload, _)| Workload::new("Deployment", workload));
    End { ns: Some(ns("shop")), pod: PodName::parse(pod).ok(), workload, ..End::default() }
}

fn pod_of(name: &str, started: &str, ready: Option<&str>) -> Pod {
    Pod {
        ns: ns("shop"),
        name: PodName::parse(name).expect("a name"),
        labels: Default::default(),
        workload: Workload::new("Deployment", "cart"),
        node: None,
        host_network: false,
        finished: false,
        started: Some(clock(started)),
        ready: ready.map(clock),
    }
}

/// A pinned policy of `shop`: DNS to anybody, and in the allowlist a rule for each `network:port`.
fn policy(name: &str, opened: &[&str]) -> Policy {
    let rules = match name {
        "egress-baseline-allow" => json!([{ "ports": [{ "protocol": "UDP", "port": 53 }] }]),
        "egress-allowlist" => opened.iter().map(|opened| {
            let (network, port) = opened.rsplit_once(':').expect("network:port");
            let port: u16 = port.parse().expect("a port");
            json!({ "to": [{ "ipBlock": { "cidr": network } }], "ports": [{ "protocol": "TCP", "port": port }] })
        }).collect(),
        _ => json!([]),
    };
    sluice::manifest::policy(&json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": name, "namespace": "shop", "resourceVersion": "9" },
        "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": rules },
    }))
    .expect("a policy")
}

fn ns(name: &str) -> NsName {
    NsName::parse(name).expect("a name")
}

fn clock(time: &str) -> DateTime<Utc> {
    format!("2026-03-02T{time}Z").parse().expect("a time of day")
}
