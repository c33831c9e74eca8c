//! Scenario files: which clusters a simulated fleet has, what runs in them, whom they call, and
//! which faults come when. Text in, checked values out; never reads a clock or makes an object.
//! Input: `assets/scenarios/*.toml` (built in), a file named by the caller, or `scale`.

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

use crate::sim::fleet::{
    faults::TimedFault,
    kyverno::Kyverno,
    past::Past,
    scale::{Scale, scaled},
    scenario_file::{ClusterFile, File},
};

/// Why a scenario cannot be used: which file, what is wrong in it.
#[derive(Debug, thiserror::Error)]
#[error("scenario {name}: {why}")]
pub struct BadScenario {
    pub name: String,
    pub why: String,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub clusters: Vec<ClusterSpec>,
    pub patterns: Vec<Pattern>,
    pub externals: Vec<External>,
    /// What the team did before.
    pub past: Past,
}

#[derive(Clone, Debug)]
pub struct ClusterSpec {
    pub name: String,
    pub environment: Environment,
    pub cni: Cni,
    pub nodes: usize,
    /// Pattern names; `name=pattern` gives a namespace of another name.
    pub namespaces: Vec<String>,
    /// Every Deployment has this many times its pattern's replicas.
    pub replicas: usize,
    /// Every call happens this many times as often.
    pub rate: f64,
    /// How many of the pinned policies each namespace has from the start.
    pub policies: usize,
    pub agent: AgentSpec,
    /// Its `sluice-collect`, if it has one.
    pub collector: Option<CollectorSpec>,
    /// The team keeps its shared state here: definitions, policies and roles are installed, and each
    /// person has the roles of their part.
    pub state: bool,
    /// Externals that its allowlists open although the pattern calls them forgotten.
    pub granted: Vec<String>,
    /// The workspace switches probes on here.
    pub probes: bool,
    /// Its Kyverno, if it has one.
    pub kyverno: Option<Kyverno>,
    pub faults: Vec<TimedFault>,
    /// Objects that it has of its own: merged into those of the same name, or new.
    pub objects: Vec<Value>,
}

/// What a cluster's collector has seen when the scenario begins.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectorSpec {
    /// Days of history; fewer than seven: it is still collecting.
    #[serde(default = "seven")]
    pub days: u32,
    #[serde(default)]
    pub answers: Answers,
    /// A node reported nothing for some hours.
    pub hole: Option<HoleSpec>,
    /// Each node's agent lost events about so many times a day.
    #[serde(default)]
    pub losses_a_day: f64,
}

/// How the plugin's agents are set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgentSpec {
    /// They show DNS answers (L7) and names of addresses.
    pub dns_visibility: bool,
    /// Cilium only says what it would drop.
    pub audit: bool,
    /// Where denials can be read beside what the plugin always brings.
    pub records: Option<Records>,
}

/// What a cluster was set up to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Records {
    /// Antrea's flow aggregator runs and serves FlowStreamService.
    FlowStream,
    /// A pod of each node prints Antrea's `np.log`.
    AntreaLog,
    /// A pod of each node prints what Calico's `Log` rules behind the policies leave in the kernel's log.
    KernelLog,
    /// A pod of each node prints Calico Enterprise's `flows.log`.
    CalicoJson,
    /// Hubble exports to the logs of Cilium's own agents.
    HubbleStdout,
}

impl Records {
    /// What pods of their own print, by the name that the product knows it by.
    pub fn printed(self) -> Option<&'static str> {
        match self {
            Self::FlowStream | Self::HubbleStdout => None,
            Self::AntreaLog => Some("antrea-log"),
            Self::KernelLog => Some("kernel-log"),
            Self::CalicoJson => Some("calico-json"),
        }
    }
}

/// Where the collector's DNS answers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answers {
    #[default]
    Dnstap,
    /// From Hubble's L7 flows.
    Hubble,
    /// From dnstap behind NodeLocal DNSCache: the client is a node there.
    NodeCache,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoleSpec {
    pub node: String,
    /// When it began, before the scenario does.
    pub hours_ago: u32,
    pub hours: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    Staging,
    Production,
}

impl Environment {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

/// The network plugins a cluster can have. `CalicoOperator` is Calico as its operator installs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cni {
    Cilium,
    Calico,
    CalicoOperator,
    Antrea,
    Flannel,
    /// The AWS VPC CNI with its network policy agent.
    Aws,
    /// kind's, of a release that enforces nothing.
    Kindnet,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    pub name: String,
    pub owner: String,
    pub contact: String,
    #[serde(default)]
    pub workloads: Vec<WorkloadSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    pub name: String,
    #[serde(default = "deployment")]
    pub kind: Kind,
    #[serde(default = "one")]
    pub replicas: usize,
    /// `NAME NUMBER`; TCP.
    #[serde(default)]
    pub ports: Vec<String>,
    #[serde(default)]
    pub host_network: bool,
    pub schedule: Option<String>,
    #[serde(default)]
    pub calls: Vec<String>,
    /// As `calls`, but the other end calls this workload.
    #[serde(default)]
    pub callers: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    Deployment,
    DaemonSet,
    CronJob,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::DaemonSet => "DaemonSet",
            Self::CronJob => "CronJob",
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    pub name: String,
    /// Absent: called by its address, without any DNS question.
    pub host: Option<String>,
    #[serde(default)]
    pub class: Class,
    #[serde(default = "https")]
    pub port: u16,
    /// Each DNS answer has other addresses of the list.
    #[serde(default)]
    pub churns: bool,
    /// Where the host's CNAME leads, in order.
    #[serde(default)]
    pub cnames: Vec<String>,
    pub addresses: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    #[default]
    Public,
    Vendor,
    Registry,
    Suspect,
}

/// One line of `calls`, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub target: Target,
    pub port: Option<u16>,
    pub per_second: f64,
    pub keep: bool,
    pub forgotten: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    Workload {
        namespace: Option<String>,
        name: String,
    },
    External(String),
    Api,
    Nodes,
    /// Every workload that has a port of this name.
    EveryPort(String),
    Ping {
        namespace: String,
        name: String,
    },
}

impl Scenario {
    /// A scenario that is built in: `demo`, `two`, `dead`, `faults` or `stories`.
    pub fn named(name: &str) -> Result<Self, BadScenario> {
        let text = match name {
            "demo" => include_str!("../../../assets/scenarios/demo.toml"),
            "two" => include_str!("../../../assets/scenarios/two.toml"),
            "dead" => include_str!("../../../assets/scenarios/dead.toml"),
            "faults" => include_str!("../../../assets/scenarios/faults.toml"),
            "stories" => include_str!("../../../assets/scenarios/stories.toml"),
            _ => {
                let why = "there is no such scenario; built in are demo, two, dead, faults, stories";
                return Err(bad(name, why));
            }
        };
        Self::parse(name, text)
    }

    /// A built-in name, the path of a file, or `scale:CLUSTERSxNAMESPACESxPOLICIES[:DENIED]` for a
    /// generated fleet, with so many denied flows a second in its first cluster.
    pub fn load(name_or_path: &str) -> Result<Self, BadScenario> {
        if let Some(size) = name_or_path.strip_prefix("scale:") {
            let scale =
                Scale::parse(size).ok_or_else(|| bad(name_or_path, "write it like scale:13x500x5:50000"))?;
            return Ok(scaled(scale));
        }
        if !name_or_path.ends_with(".toml") {
            return Self::named(name_or_path);
        }
        let text =
            fs::read_to_string(Path::new(name_or_path)).map_err(|e| bad(name_or_path, &e.to_string()))?;
        Self::parse(name_or_path, &text)
    }

    pub fn parse(origin: &str, text: &str) -> Result<Self, BadScenario> {
        let file: File = toml::from_str(text).map_err(|e| bad(origin, &e.to_string()))?;
        let shared: File = toml::from_str(include_str!("../../../assets/scenarios/patterns.toml"))
            .map_err(|e| bad("patterns", &e.to_string()))?;
        let clusters: Result<Vec<_>, String> = file.clusters.into_iter().map(ClusterFile::check).collect();
        let scenario = Self {
            name: file.name,
            clusters: clusters.map_err(|why| bad(origin, &why))?,
            patterns: file.patterns.into_iter().chain(shared.patterns).collect(),
            externals: file.externals.into_iter().chain(shared.externals).collect(),
            past: file.past,
        };
        scenario.check().map_err(|why| bad(origin, &why))?;
        Ok(scenario)
    }

    pub fn pattern(&self, name: &str) -> Option<&Pattern> {
        self.patterns.iter().find(|p| p.name == name)
    }

    fn check(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        for cluster in &self.clusters {
            if !names.insert(&cluster.name) {
                return Err(format!("two clusters are called {}", cluster.name));
            }
            for entry in &cluster.namespaces {
                let (_, pattern) = namespace_and_pattern(entry);
                if self.pattern(pattern).is_none() {
                    return Err(format!("cluster {}: there is no pattern {pattern}", cluster.name));
                }
            }
        }
        self.past.check(&self.clusters, &self.externals)?;
        for workload in self.patterns.iter().flat_map(|p| &p.workloads) {
            for line in workload.calls.iter().chain(&workload.callers) {
                Call::parse(line).map_err(|why| format!("workload {}: {why}", workload.name))?;
            }
            for line in &workload.ports {
                parse_port(line).map_err(|why| format!("workload {}: {why}", workload.name))?;
            }
        }
        Ok(())
    }
}

/// `checkout-2=checkout` is a namespace `checkout-2` after the pattern `checkout`.
pub fn namespace_and_pattern(entry: &str) -> (&str, &str) {
    entry.split_once('=').unwrap_or((entry, entry))
}

/// `http 8080`
pub fn parse_port(line: &str) -> Result<(&str, u16), String> {
    let found = line.split_once(' ').and_then(|(name, number)| Some((name, number.parse().ok()?)));
    found.ok_or_else(|| format!("port {line:?} is not NAME NUMBER"))
}

impl Call {
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let (target, rate) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (target, port) = Target::parse(target);
        let mut call =
            Self { target, port, per_second: per_second(rate, line)?, keep: false, forgotten: false };
        for flag in words {
            match flag {
                "keep" => call.keep = true,
                "forgotten" => call.forgotten = true,
                other => return Err(format!("call {line:?}: {other:?} is neither keep nor forgotten")),
            }
        }
        Ok(call)
    }
}

impl Target {
    fn parse(raw: &str) -> (Self, Option<u16>) {
        if let Some(rest) = raw.strip_prefix("ping:") {
            let (namespace, name) = rest.split_once('/').unwrap_or(("default", rest));
            return (Self::Ping { namespace: namespace.to_owned(), name: name.to_owned() }, None);
        }
        if let Some(port) = raw.strip_prefix("*:") {
            return (Self::EveryPort(port.to_owned()), None);
        }
        let (raw, external) = raw.strip_prefix("ext:").map_or((raw, false), |rest| (rest, true));
        let (name, port) = match raw.split_once(':') {
            Some((name, port)) => (name, port.parse().ok()),
            None => (raw, None),
        };
        let target = match (external, name) {
            (true, _) => Self::External(name.to_owned()),
            (false, "api") => Self::Api,
            (false, "nodes") => Self::Nodes,
            (false, _) => match name.split_once('/') {
                Some((ns, name)) => Self::Workload { namespace: Some(ns.to_owned()), name: name.to_owned() },
                None => Self::Workload { namespace: None, name: name.to_owned() },
            },
        };
        (target, port)
    }
}

fn per_second(rate: &str, line: &str) -> Result<f64, String> {
    let parsed = rate.split_once('/').and_then(|(count, unit)| {
        let count: f64 = count.parse().ok()?;
        match unit {
            "s" => Some(count),
            "m" => Some(count / 60.0),
            "h" => Some(count / 3600.0),
            _ => None,
        }
    });
    parsed
        .filter(|r| *r > 0.0)
        .ok_or_else(|| format!("call {line:?}: {rate:?} is not a rate like 12/m or 3/h"))
}

fn bad(name: &str, why: &str) -> BadScenario {
    BadScenario { name: name.to_owned(), why: why.to_owned() }
}

fn deployment() -> Kind {
    Kind::Deployment
}

fn one() -> usize {
    1
}

fn seven() -> u32 {
    7
}

fn https() -> u16 {
    443
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_thirteen_clusters_and_about_150_namespaces() {
        let demo = Scenario::named("demo").expect("it parses");
        let count = |cni: &[Cni]| demo.clusters.iter().filter(|c| cni.contains(&c.cni)).count();
        let staging = demo.clusters.iter().filter(|c| c.environment == Environment::Staging).count();
        assert_eq!((demo.clusters.len(), staging), (13, 3));
        assert_eq!(
            (
                count(&[Cni::Cilium]),
                count(&[Cni::Calico, Cni::CalicoOperator]),
                count(&[Cni::Antrea]),
                count(&[Cni::Flannel])
            ),
            (8, 3, 1, 1)
        );
        assert_eq!(demo.clusters.iter().map(|c| c.namespaces.len() + 1).sum::<usize>(), 153);
    }

    #[test]
    fn every_built_in_scenario_parses_and_another_name_says_what_there_is() {
        for name in ["demo", "two", "dead", "faults", "stories"] {
            assert_eq!(Scenario::named(name).expect(name).name, name);
        }
        let scaled = Scenario::load("scale:2x10x5:500").expect("a size");
        assert_eq!((scaled.clusters.len(), scaled.clusters[1].namespaces.len()), (2, 10));
        let error = Scenario::load("scale:2x10").expect_err("half a size").to_string();
        assert_eq!(error, "scenario scale:2x10: write it like scale:13x500x5:50000");
        let error = Scenario::named("three").expect_err("there is none").to_string();
        assert_eq!(
            error,
            "scenario three: there is no such scenario; built in are demo, two, dead, faults, stories"
        );
    }

    #[test]
    fn a_call_is_a_target_a_rate_and_flags() {
        let call = |line: &str| Call::parse(line).expect(line);
        let redis = call("data/redis:6379 30/m keep");
        assert_eq!(redis.target, Target::Workload { namespace: Some("data".into()), name: "redis".into() });
        assert_eq!(
            (redis.port, redis.per_second, redis.keep, redis.forgotten),
            (Some(6379), 0.5, true, false)
        );
        assert_eq!(call("ext:smtp:587 3600/h forgotten").target, Target::External("smtp".into()));
        assert_eq!(call("*:metrics 2/m").target, Target::EveryPort("metrics".into()));
        for (line, why) in [
            ("cart", "call \"cart\": \"\" is not a rate like 12/m or 3/h"),
            ("cart 0/m", "call \"cart 0/m\": \"0/m\" is not a rate like 12/m or 3/h"),
            ("cart 1/m often", "call \"cart 1/m often\": \"often\" is neither keep nor forgotten"),
        ] {
            assert_eq!(Call::parse(line).expect_err(line), why);
        }
    }

    #[test]
    fn mistakes_in_a_file_name_the_cluster() {
        let wrong = |rest: &str| {
            let text = format!(
                "name = 'x'\n[[cluster]]\nname = 'a'\nenvironment = 'staging'\ncni = 'cilium'\nnodes = 1\n{rest}"
            );
            Scenario::parse("x.toml", &text).expect_err(rest).to_string()
        };
        assert_eq!(wrong("namespaces = ['nix']"), "scenario x.toml: cluster a: there is no pattern nix");
        assert_eq!(
            wrong("namespaces = []\nfaults = [{ kind = 'node-lost' }]"),
            "scenario x.toml: cluster a: fault node-lost needs `node`"
        );
        assert_eq!(
            wrong("namespaces = []\nfaults = [{ kind = 'dead', at = '5' }]"),
            "scenario x.toml: cluster a: \"5\" is not a duration like 30s, 5m or 2h"
        );
    }
}
