//! Checks of the flow records, for each engine its own settings: are they on, are allowed flows kept
//! with what a policy needs, how far back do they reach (options: each project's current templates). Pure.

use super::{
    check::{Check, CheckId as Id, Evidence, Verdict},
    enforcement::named,
    engines::{Engine, EngineKind, Found},
    reading::{COLLECTOR, Known, Measured, Object, Reading, Record, Workload},
    relay,
};
use crate::domain::{
    names::{Text, plural},
    source::SourceKind,
};

/// Hours of a week.
const WEEK: i64 = 7 * 24;

pub fn checks(reading: &Reading, found: &Found) -> Vec<Check> {
    let mut out = match found.only() {
        Some(engine) => of_engine(reading, engine),
        None => without(reading, found),
    };
    let flows = out.iter().find(|check| check.id == Id::Flows).map(|check| check.verdict);
    out.push(week(reading, found, flows));
    out
}

/// Flow sources that run in the cluster, by the workload that serves them; the one that tells most first.
pub fn offers(reading: &Reading) -> Vec<SourceKind> {
    const SERVED: [(&str, SourceKind); 3] = [
        ("hubble-relay", SourceKind::Hubble),
        ("goldmane", SourceKind::Goldmane),
        ("flow-aggregator", SourceKind::AntreaFlows),
    ];
    let runs = |(name, _): &(&str, SourceKind)| reading.workload("", name).is_some();
    let served = SERVED.into_iter().filter(runs).map(|(_, kind)| kind);
    let is_calico = || ["calico-node", "canal"].iter().any(|name| reading.workload("", name).is_some());
    let printed = printers(reading).filter_map(|(_, prints)| match prints {
        "antrea-log" | "antrea-csv" => Some(SourceKind::AntreaLog),
        "calico-json" => Some(SourceKind::CalicoFiles),
        "kernel-log" if is_calico() => Some(SourceKind::CalicoLog),
        "kernel-log" => Some(SourceKind::KernelLog),
        _ => None,
    });
    served.chain(printed).collect()
}

/// Workloads whose pods print flow records to their logs, and in which form.
pub fn printers(reading: &Reading) -> impl Iterator<Item = (&Workload, &str)> {
    let all = reading.daemonsets.list().iter().chain(reading.workloads.list());
    all.filter_map(|one| Some((one, one.pod_labels.get("sluice.dev/prints")?.as_str())))
}

/// Where Hubble exports to the logs of Cilium's agents: their namespace.
pub fn printing(reading: &Reading, found: &Found) -> Option<Text> {
    let engine = found.only().filter(|engine| engine.kind == EngineKind::Cilium)?;
    let ns = &engine.object.ns;
    let Known::Read(map) = reading.config_maps.get(ns.as_str(), "cilium-config") else { return None };
    (map?.get("hubble-export-file-path") == Some("stdout")).then(|| ns.clone())
}

fn of_engine(reading: &Reading, engine: &Engine) -> Vec<Check> {
    match engine.kind {
        EngineKind::Cilium => cilium(reading, engine),
        EngineKind::Calico => calico(reading, engine),
        EngineKind::Antrea => antrea(reading, engine),
        EngineKind::Aws => aws(reading, engine),
        EngineKind::OvnKubernetes => ovn(reading, engine),
        EngineKind::NetworkPolicies | EngineKind::Kindnet => {
            none(engine, "logs only pods that a policy selects already: nothing before a roll-out")
        }
        EngineKind::KubeRouter | EngineKind::K3s => {
            none(engine, "tells denied packets only, on the node itself")
        }
        EngineKind::Weave => none(engine, "logs denied packets only"),
        EngineKind::AzureNpm => none(engine, "records no flows"),
    }
}

const BRING: &str = "Bring a collector of flows (eBPF or conntrack) to each node for the window, or migrate to a CNI that records them.";

fn none(engine: &Engine, why: &str) -> Vec<Check> {
    let words = format!("{} {why}.", named(engine));
    vec![
        Check::fail(Id::Flows, words).seen([engine.evidence.clone()]).fixed(BRING, &[]),
        Check::fail(Id::Allowed, "No flows are recorded, so no allowed ones.").fixed(BRING, &[]),
    ]
}

fn without(reading: &Reading, found: &Found) -> Vec<Check> {
    let both = |check: fn(Id) -> Check| vec![check(Id::Flows), check(Id::Allowed)];
    match (&reading.daemonsets, found.engines.is_empty(), found.connects.first()) {
        (Known::Unknown(_), true, _) => [Id::Flows, Id::Allowed]
            .map(|id| Check::unread(id, "DaemonSets of all namespaces", &reading.daemonsets))
            .into(),
        (_, true, Some(connection)) => [Id::Flows, Id::Allowed]
            .map(|id| {
                Check::fail(id, format!("{} records no flows.", connection.what))
                    .seen([connection.evidence.clone()])
                    .fixed(BRING, &[])
            })
            .into(),
        (_, true, None) => both(|id| {
            Check::unknown(id, "The CNI is not known, so what it records is not, either.").fixed(BRING, &[])
        }),
        (_, false, _) => both(|id| {
            Check::unknown(id, "Several components enforce, so whose records count is not known.")
                .fixed("Resolve the two engines first.", &[])
        }),
    }
}

fn cilium(reading: &Reading, engine: &Engine) -> Vec<Check> {
    let ns = engine.object.ns.as_str();
    let config = Object::new("ConfigMap", ns, "cilium-config");
    let map = match reading.config_maps.get(ns, "cilium-config") {
        Known::Read(Some(map)) => map,
        Known::Read(None) => {
            return [Id::Flows, Id::Allowed]
                .map(|id| {
                    Check::unknown(id, format!("{config} is not there."))
                        .fixed("Find Cilium's configuration.", &[])
                })
                .into();
        }
        Known::Unknown(why) => {
            return [Id::Flows, Id::Allowed]
                .map(|id| {
                    Check::unknown(id, format!("{config} cannot be read: {why}"))
                        .fixed("Give the reader of this cluster get on it.", &[])
                })
                .into();
        }
    };
    let seen = |key: &str| Evidence::new(&config, key, map.get(key).unwrap_or("not set"));
    let upgrade =
        |set: &str| vec![format!("helm upgrade cilium cilium/cilium -n {ns} --reuse-values --set {set}")];
    let on = map.get("enable-hubble") == Some("true");
    let logging = reading.custom("networkloggings.networking.gke.io").first();
    let flows = if let (false, Some(logging)) = (on, logging) {
        Check::fail(Id::Flows, "Hubble is off, and GKE's network logging tells decisions of policies only: nothing before a roll-out.")
            .seen([seen("enable-hubble"), Evidence::new(&logging.object, "spec.cluster.allow.log", logging.get("spec.cluster.allow.log").unwrap_or("not set"))])
            .fixed("Switch the observability of Dataplane V2 on.", &[
                "gcloud container clusters update CLUSTER --enable-dataplane-v2-flow-observability".to_owned(),
            ])
    } else if !on {
        Check::fail(Id::Flows, "Hubble is off.").seen([seen("enable-hubble")]).fixed(
            "Switch Hubble and its relay on.",
            &upgrade("hubble.enabled=true,hubble.relay.enabled=true"),
        )
    } else if reading.workload("", "hubble-relay").is_none() && reading.workloads.why().is_none() {
        Check::fail(Id::Flows, "Hubble is on, and no Hubble Relay gathers what the agents tell.")
            .seen([seen("enable-hubble"), seen("hubble-listen-address")])
            .fixed("Switch the relay on.", &upgrade("hubble.relay.enabled=true"))
    } else if map.get("hubble-listen-address").is_none_or(str::is_empty) {
        Check::fail(Id::Flows, "Hubble's agents do not listen, so no relay can read them.")
            .seen([seen("hubble-listen-address")])
            .fixed("Let the agents listen.", &upgrade("hubble.listenAddress=:4244"))
    } else if let Some(why) = reading.workloads.why() {
        Check::unknown(
            Id::Flows,
            format!("Deployments cannot be read, so whether a Hubble Relay runs is not known: {why}"),
        )
        .seen([seen("enable-hubble")])
        .fixed("Give the reader of this cluster list on Deployments.", &[])
    } else if let Some(check) = relay::unsaid_tls(reading) {
        check
    } else {
        Check::pass(Id::Flows, "Hubble is on, and its relay runs.")
            .seen([seen("enable-hubble"), seen("hubble-listen-address")])
    };
    vec![flows, cilium_allowed(map, on, &upgrade)]
}

/// What an export must keep for a policy to be written from it.
const MASK: [&str; 8] =
    ["time", "verdict", "ip", "l4", "source", "destination", "is_reply", "traffic_direction"];

fn cilium_allowed(map: &Record, on: bool, upgrade: &dyn Fn(&str) -> Vec<String>) -> Check {
    let seen = |key: &str| Evidence::new(&map.object, key, map.get(key).unwrap_or("not set"));
    if !on {
        return Check::fail(Id::Allowed, "Hubble is off, so no flows are kept.")
            .seen([seen("enable-hubble")])
            .fixed("Switch Hubble on.", &upgrade("hubble.enabled=true"));
    }
    let is = |key: &str, value: &str| map.get(key).is_some_and(|told| told.eq_ignore_ascii_case(value));
    if is("bpf-events-trace-enabled", "false") {
        return Check::fail(Id::Allowed, "Trace events are off: forwarded flows are not told at all.")
            .seen([seen("bpf-events-trace-enabled")])
            .fixed("Switch them on.", &upgrade("bpf.events.trace.enabled=true"));
    }
    if is("bpf-events-drop-enabled", "false") {
        return Check::fail(Id::Allowed, "Drop events are off: denials are not told at all.")
            .seen([seen("bpf-events-drop-enabled")])
            .fixed("Switch them on.", &upgrade("bpf.events.drop.enabled=true"));
    }
    let list = map.get("hubble-export-allowlist").unwrap_or_default();
    if list.contains("\"verdict\"") && !list.contains("FORWARDED") {
        return Check::fail(Id::Allowed, "The export's allow list keeps no forwarded flow.")
            .seen([seen("hubble-export-allowlist")])
            .fixed("Let the export keep FORWARDED.", &upgrade("hubble.export.static.allowList=null"));
    }
    if map.get("hubble-export-denylist").is_some_and(|list| list.contains("FORWARDED")) {
        return Check::fail(Id::Allowed, "The export's deny list leaves forwarded flows out.")
            .seen([seen("hubble-export-denylist")])
            .fixed("Let the export keep FORWARDED.", &upgrade("hubble.export.static.denyList=null"));
    }
    if let Some(mask) = map.get("hubble-export-fieldmask").filter(|mask| !mask.trim().is_empty()) {
        let kept: Vec<&str> = mask.split([',', ' ', '\n']).map(str::trim).collect();
        let lost: Vec<&str> = MASK
            .into_iter()
            .filter(|field| {
                !kept
                    .iter()
                    .any(|one| one.eq_ignore_ascii_case(field) || one.split('.').next() == Some(field))
            })
            .collect();
        if !lost.is_empty() {
            return Check::fail(
                Id::Allowed,
                format!("The export's field mask leaves out {}.", lost.join(", ")),
            )
            .seen([seen("hubble-export-fieldmask")])
            .fixed("Keep these fields.", &upgrade("hubble.export.static.fieldMask=null"));
        }
    }
    if map.get("hubble-export-fieldaggregate").is_some_and(|value| !value.trim().is_empty()) {
        return Check::fail(Id::Allowed, "The export keeps counts instead of flows.")
            .seen([seen("hubble-export-fieldaggregate"), seen("hubble-export-aggregation-interval")])
            .fixed("Export single flows.", &upgrade("hubble.export.static.fieldAggregate=null"));
    }
    Check::pass(Id::Allowed, "Forwarded and dropped flows are told, with addresses and ports.")
        .seen([seen("bpf-events-trace-enabled"), seen("monitor-aggregation")])
}

fn calico(reading: &Reading, engine: &Engine) -> Vec<Check> {
    let goldmane = reading.workload("", "goldmane");
    let felix = reading.custom("felixconfigurations.crd.projectcalico.org");
    let sends = felix.iter().find_map(|felix| {
        let value = felix.get("spec.flowLogsGoldmaneServer").filter(|value| !value.is_empty())?;
        Some(Evidence::new(&felix.object, "spec.flowLogsGoldmaneServer", value))
    });
    let local = felix.iter().find_map(|felix| {
        let value = felix.get("spec.flowLogsLocalReporter").filter(|value| *value == "Enabled")?;
        Some(Evidence::new(&felix.object, "spec.flowLogsLocalReporter", value))
    });
    let refused = reading.custom.get("felixconfigurations.crd.projectcalico.org").and_then(|list| list.why());
    let env = reading.workload(engine.object.ns.as_str(), engine.object.name.as_str()).and_then(|set| {
        let container = set.container("calico-node").or(set.containers.first())?;
        let value = container.env("FELIX_FLOWLOGSGOLDMANESERVER")?;
        Some(Evidence::new(&set.object, "env FELIX_FLOWLOGSGOLDMANESERVER", value))
    });
    let operator = reading.workload("", "tigera-operator").is_some()
        || !reading.custom("installations.operator.tigera.io").is_empty();
    let create = "kubectl apply -f - <<< '{\"apiVersion\":\"operator.tigera.io/v1\",\"kind\":\"Goldmane\",\"metadata\":{\"name\":\"default\"}}'";
    let flows = match (goldmane, sends.or(env).or(local)) {
        (Some(goldmane), Some(sends)) => Check::pass(Id::Flows, "Felix sends its flows to Goldmane.")
            .seen([Evidence::new(&goldmane.object, "kind", "Goldmane"), sends]),
        (None, Some(local)) if local.field.as_str() == "spec.flowLogsLocalReporter" => {
            Check::pass(Id::Flows, "Felix reports flows on each node.").seen([local])
        }
        (Some(goldmane), None) if refused.is_some() => {
            let why = refused.map_or("", |why| why.as_str());
            Check::unknown(Id::Flows, format!("Goldmane runs, and FelixConfigurations cannot be read: {why}"))
                .seen([Evidence::new(&goldmane.object, "kind", "Goldmane")])
                .fixed("Give the reader of this cluster list on them.", &[])
        }
        (Some(goldmane), None) => Check::fail(Id::Flows, "Goldmane runs, and Felix is not told to send to it.")
            .seen([Evidence::new(&goldmane.object, "kind", "Goldmane")])
            .fixed("Name Goldmane to Felix.", &["kubectl patch felixconfiguration default --type merge -p '{\"spec\":{\"flowLogsGoldmaneServer\":\"goldmane.calico-system.svc:7443\"}}'".to_owned()]),
        (None, _) if reading.workloads.why().is_some() => {
            Check::unread(Id::Flows, "Deployments", &reading.workloads)
        }
        (None, _) if operator => Check::fail(Id::Flows, "No Goldmane gathers flows.")
            .seen([engine.evidence.clone()])
            .fixed("Create the operator's Goldmane (Calico 3.30 and later).", &[create.to_owned()]),
        (None, _) => Check::fail(Id::Flows, "No Goldmane gathers flows, and installs by manifest have none.")
            .seen([engine.evidence.clone()])
            .fixed("Move the installation to the Tigera operator and create a Goldmane, or bring a collector of flows.", &[]),
    };
    let allowed = match flows.verdict {
        Verdict::Pass => Check::pass(Id::Allowed, "Allowed flows are kept with ports, but outside peers without addresses (`pub`, `pvt`): DNS answers or GlobalNetworkSets must name them.")
            .seen(flows.evidence.clone()),
        verdict => Check::new(Id::Allowed, verdict, "No flows are known to be recorded, so no allowed ones.").fixed("See the check `flows`.", &[]),
    };
    vec![flows, allowed]
}

/// A value of indented `key: value` lines, by the keys on its way: enough for the agents' own files.
fn conf<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    let mut depth: Vec<usize> = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let Some((key, value)) = bare.split_once(':') else { continue };
        if bare.starts_with('#') {
            continue;
        }
        let indent = line.len() - bare.len();
        while depth.last().is_some_and(|at| *at >= indent) {
            depth.pop();
        }
        if path.get(depth.len()) == Some(&key.trim()) && (!depth.is_empty() || indent == 0) {
            if depth.len() + 1 == path.len() {
                let value = value.split(" #").next().unwrap_or(value);
                return Some(value.trim().trim_matches(['"', '\'']));
            }
            depth.push(indent);
        }
    }
    None
}

fn antrea(reading: &Reading, engine: &Engine) -> Vec<Check> {
    let ns = engine.object.ns.as_str();
    let is =
        |record: &&Record| record.object.ns.as_str() == ns && record.fields.contains_key("antrea-agent.conf");
    let Some(map) = reading.config_maps.read.iter().find(is) else {
        let refused = reading
            .config_maps
            .refused
            .iter()
            .find(|(object, _)| object.name.as_str().starts_with("antrea-config"));
        let why = refused.map_or_else(
            || "no ConfigMap has the key antrea-agent.conf".to_owned(),
            |(object, why)| format!("{object} cannot be read: {why}"),
        );
        return [Id::Flows, Id::Allowed]
            .map(|id| {
                Check::unknown(id, format!("Antrea's settings are unknown: {why}."))
                    .fixed("Give the reader of this cluster get on its ConfigMap.", &[])
            })
            .into();
    };
    let text = map.get("antrea-agent.conf").unwrap_or_default();
    let gate = conf(text, &["featureGates", "FlowExporter"]).unwrap_or("not set");
    let on = conf(text, &["flowExporter", "enable"]).unwrap_or("not set");
    let seen = [
        Evidence::new(&map.object, "featureGates.FlowExporter", gate),
        Evidence::new(&map.object, "flowExporter.enable", on),
    ];
    let aggregator = reading.workload("flow-aggregator", "flow-aggregator");
    let upgrade = "helm upgrade antrea antrea/antrea -n kube-system --reuse-values --set featureGates.FlowExporter=true,flowExporter.enable=true";
    let flows = if gate != "true" || on != "true" {
        Check::fail(Id::Flows, "Antrea's flow exporter is off.")
            .seen(seen)
            .fixed("Switch it on; it takes both settings.", &[upgrade.to_owned()])
    } else if aggregator.is_none() && reading.workloads.why().is_none() {
        Check::fail(Id::Flows, "Antrea's flow exporter is on, and no flow aggregator takes its records.")
            .seen(seen)
            .fixed("Install the flow aggregator.", &["helm install flow-aggregator antrea/flow-aggregator -n flow-aggregator --create-namespace".to_owned()])
    } else if let Some(why) = reading.workloads.why() {
        Check::unknown(
            Id::Flows,
            format!("Deployments cannot be read, so whether a flow aggregator runs is not known: {why}"),
        )
        .seen(seen)
        .fixed("Give the reader of this cluster list on Deployments.", &[])
    } else {
        Check::pass(Id::Flows, "Antrea's flow exporter is on, and a flow aggregator takes its records.")
            .seen(seen)
    };
    let allowed = match flows.verdict {
        Verdict::Pass => {
            Check::pass(Id::Allowed, "Its records have addresses, ports and the action of the rule.")
        }
        verdict => Check::new(Id::Allowed, verdict, "No flows are known to be recorded, so no allowed ones.")
            .fixed("See the check `flows`.", &[]),
    };
    vec![flows, allowed]
}

fn aws(reading: &Reading, engine: &Engine) -> Vec<Check> {
    let set = reading.workload(engine.object.ns.as_str(), engine.object.name.as_str());
    let flag = |flag: &str| {
        let value =
            set.and_then(|set| set.containers.iter().find_map(|one| one.flag(flag))).unwrap_or("not set");
        Evidence::new(&engine.object, flag, value)
    };
    let (logs, cloud) = (flag("--enable-policy-event-logs"), flag("--enable-cloudwatch-logs"));
    let words = match logs.value.as_str() {
        "true" => {
            "Its agent logs decisions, but only of pods that a policy selects already: nothing before a roll-out."
        }
        _ => "Its agent logs no decisions, and would log only pods that a policy selects already.",
    };
    let text = "For the week before, read the VPC's flow logs and join them with the pods' addresses, or bring a collector of flows.";
    vec![
        Check::fail(Id::Flows, words).seen([logs, cloud]).fixed(text, &[]),
        Check::fail(
            Id::Allowed,
            "Accepted flows are logged only at level debug, and only of pods with a policy.",
        )
        .fixed(text, &[]),
    ]
}

fn ovn(reading: &Reading, engine: &Engine) -> Vec<Check> {
    let collectors = "flowcollectors.flows.netobserv.io";
    match (reading.custom(collectors).first(), reading.custom.get(collectors).and_then(|list| list.why())) {
        (Some(collector), _) => {
            let loki = Evidence::new(
                &collector.object,
                "spec.loki.enable",
                collector.get("spec.loki.enable").unwrap_or("true by default"),
            );
            vec![
                Check::pass(Id::Flows, "NetObserv collects flows.").seen([loki.clone()]),
                match loki.value.as_str() {
                    "false" => Check::fail(Id::Allowed, "NetObserv keeps metrics only: Loki is off.").seen([loki]).fixed("Let it keep flows in Loki.", &["oc patch flowcollector cluster --type merge -p '{\"spec\":{\"loki\":{\"enable\":true}}}'".to_owned()]),
                    _ => Check::pass(Id::Allowed, "NetObserv keeps flows with addresses and ports in Loki.").seen([loki]),
                },
            ]
        }
        (None, Some(why)) => [Id::Flows, Id::Allowed]
            .map(|id| {
                Check::unknown(id, format!("FlowCollectors cannot be read: {why}"))
                    .fixed("Give the reader of this cluster list on them.", &[])
            })
            .into(),
        (None, None) => {
            none(engine, "logs ACL hits of annotated namespaces only, and no NetObserv collects flows")
        }
    }
}

/// Settings cannot prove it: records can.
fn week(reading: &Reading, found: &Found, flows: Option<Verdict>) -> Check {
    match &reading.measured {
        Some(measured) => week_of(measured),
        None => week_by_settings(reading, found, flows),
    }
}

/// As measured, or why it could not be.
pub fn week_of(measured: &Known<Measured>) -> Check {
    match measured {
        Known::Read(measured) => measured_week(measured),
        Known::Unknown(why) => {
            let words = format!(
                "How far back records reach could not be measured: {}.",
                why.as_str().trim_end_matches('.')
            );
            Check::unknown(Id::Week, words).fixed("Mend that, then run the pre-flight again.", &[])
        }
    }
}

const COLLECT: &str =
    "Let `sluice collect` gather flows; the check passes once its window is seven days long.";

fn week_by_settings(reading: &Reading, found: &Found, flows: Option<Verdict>) -> Check {
    match found.only().map(|engine| (engine, engine.kind)) {
        Some((engine, EngineKind::Cilium)) => {
            let map = match reading.config_maps.get(engine.object.ns.as_str(), "cilium-config") {
                Known::Read(Some(map)) => map,
                Known::Read(None) | Known::Unknown(_) => {
                    return Check::unknown(Id::Week, "Nobody measured how far back records reach.")
                        .fixed(COLLECT, &[]);
                }
            };
            let seen = |key: &str| Evidence::new(&map.object, key, map.get(key).unwrap_or("not set"));
            let exports = ["hubble-export-file-path", "hubble-flowlogs-config-path"];
            match exports.into_iter().find(|key| map.get(key).is_some_and(|value| !value.is_empty())) {
                Some(key) => Check::unknown(Id::Week, "Hubble exports to files of each node, which rotate; how far back they reach was not measured.")
                    .seen([seen(key), seen("hubble-export-file-max-size-mb"), seen("hubble-export-file-max-backups")])
                    .fixed(format!("Ship the files to a store that keeps a week. {COLLECT}"), &[]),
                None => Check::fail(Id::Week, "Hubble keeps the last events of each node in memory: minutes, never seven days.")
                    .seen([seen("hubble-event-buffer-capacity")])
                    .fixed(COLLECT, &[]),
            }
        }
        Some((engine, EngineKind::Calico)) if reading.workload("", "goldmane").is_none() => Check::fail(
            Id::Week,
            "No Goldmane keeps flows here, and what nodes log of denials is no week of flows.",
        )
        .seen([engine.evidence.clone()])
        .fixed(COLLECT, &[]),
        Some((engine, EngineKind::Calico)) => {
            Check::fail(Id::Week, "Goldmane keeps about one hour in memory, never seven days.")
                .seen([engine.evidence.clone()])
                .fixed(COLLECT, &[])
        }
        _ if flows == Some(Verdict::Fail) => Check::fail(
            Id::Week,
            "Flows are not recorded as discovery needs them, so there is no week of them.",
        )
        .fixed("See the check `flows`.", &[]),
        _ => Check::unknown(Id::Week, "Nobody measured how far back records reach.").fixed(COLLECT, &[]),
    }
}

fn measured_week(measured: &Measured) -> Check {
    let reach = measured.to - measured.from;
    let (hours, minutes) = (reach.num_hours(), usize::try_from(reach.num_minutes()).unwrap_or(0));
    let missing = i64::from(measured.empty_hours);
    let source = Object::new("source", "", measured.source.as_str());
    let day = |at: crate::domain::time::Timestamp| at.format("%Y-%m-%d %H:%M UTC").to_string();
    let seen = [
        Evidence::new(&source, "oldest record", &day(measured.from)),
        Evidence::new(&source, "newest record", &day(measured.to)),
        Evidence::new(&source, "hours without records", &measured.empty_hours.to_string()),
    ];
    let mut words = match hours {
        0 => format!("Records reach back {}.", plural(minutes, "minute")),
        _ => format!("Records reach back {}d{:02}h.", hours / 24, hours % 24),
    };
    if missing > 0 {
        words.push_str(&format!(" Of these, {missing} hours have no record of any node."));
    }
    if measured.only_denials {
        words.push_str(" They tell what was denied and nothing else, which is no week of flows.");
        return Check::fail(Id::Week, words).seen(seen).fixed(COLLECT, &[]);
    }
    if hours - missing >= WEEK {
        return Check::pass(Id::Week, words).seen(seen);
    }
    let fix = match measured.source.as_str() {
        COLLECTOR => "Wait until the collector has gathered a week.",
        _ => COLLECT,
    };
    Check::fail(Id::Week, format!("{words} Seven days are needed.")).seen(seen).fixed(fix, &[])
}
