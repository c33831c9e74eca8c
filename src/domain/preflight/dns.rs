//! Checks of the DNS answers: which resolver the pods ask, whether it exports whole answers (CoreDNS's
//! dnstap with `full`, or Cilium's DNS proxy), and whether a cache on each node hides the pods. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    check::{Check, CheckId as Id, Evidence},
    corefile::{self, Around, Block, Plugin},
    engines::{EngineKind, Found},
    gaps::patch_of,
    reading::{Container, Known, Object, Reading, Record, Service, Workload},
};

/// What answers the pods' lookups.
#[derive(Clone, Debug)]
enum Resolver<'a> {
    CoreDns(&'a Service, &'a Workload, &'a Container),
    KubeDns(&'a Service, &'a Workload),
    OpenShift(&'a Service, &'a Workload),
    /// Something behind a Service that is not known.
    Other(&'a Service, Option<&'a Workload>),
}

impl Resolver<'_> {
    fn service(&self) -> &Service {
        match self {
            Self::CoreDns(service, ..)
            | Self::KubeDns(service, _)
            | Self::OpenShift(service, _)
            | Self::Other(service, _) => service,
        }
    }

    /// What it is called, and what runs it.
    fn named(&self) -> (String, Option<&Workload>) {
        match self {
            Self::CoreDns(_, workload, container) => {
                let version = container.version().map_or_else(String::new, |version| format!(" {version}"));
                (format!("CoreDNS{version}"), Some(*workload))
            }
            Self::KubeDns(_, workload) => ("kube-dns".to_owned(), Some(*workload)),
            Self::OpenShift(_, workload) => ("OpenShift's CoreDNS".to_owned(), Some(*workload)),
            Self::Other(_, workload) => ("a resolver that is not known".to_owned(), *workload),
        }
    }
}

pub fn checks(reading: &Reading, found: &Found) -> Vec<Check> {
    let resolver = find(reading);
    vec![
        resolver_check(reading, resolver.as_ref()),
        answers(reading, found, resolver.as_ref()),
        cache(reading, found),
    ]
}

/// The Service of the resolver: names and labels differ between distributions.
pub fn service(reading: &Reading) -> Option<&Service> {
    let serves =
        |service: &&Service| service.ports.iter().any(|port| port.port == 53 && port.protocol == "UDP");
    let rank = |service: &Service| {
        let label = service.labels.get("k8s-app").map(String::as_str);
        let (ns, name) = (service.object.ns.as_str(), service.object.name.as_str());
        match (label, ns) {
            (Some("kube-dns"), "kube-system") if name == "kube-dns" => 0,
            (Some("kube-dns"), "kube-system") if !name.contains("upstream") => 1,
            (_, "openshift-dns") => 2,
            (Some("kube-dns"), _) => 3,
            (_, "kube-system") if name != "kube-dns-upstream" => 4,
            _ => 9,
        }
    };
    let all = reading.services.list().iter().filter(serves);
    let first = all.min_by_key(|one| (rank(one), one.selector.is_empty(), &one.object));
    first.filter(|service| rank(service) < 9)
}

fn find(reading: &Reading) -> Option<Resolver<'_>> {
    let service = service(reading)?;
    let all = || reading.workloads.list().iter().chain(reading.daemonsets.list());
    let workload = all().find(|one| {
        one.object.ns == service.object.ns && one.is_selected(&service.selector) && !is_cache(one)
    });
    let Some(workload) = workload else { return Some(Resolver::Other(service, None)) };
    let core = workload.containers.iter().find(|one| {
        one.name == "coredns" || one.path().rsplit('/').next().is_some_and(|tail| tail.contains("coredns"))
    });
    Some(match core {
        _ if service.object.ns.as_str() == "openshift-dns" => Resolver::OpenShift(service, workload),
        Some(container) => Resolver::CoreDns(service, workload, container),
        None if workload.containers.iter().any(|one| matches!(one.name.as_str(), "kubedns" | "dnsmasq")) => {
            Resolver::KubeDns(service, workload)
        }
        None => Resolver::Other(service, Some(workload)),
    })
}

fn resolver_check(reading: &Reading, resolver: Option<&Resolver<'_>>) -> Check {
    if let Known::Unknown(_) = reading.services {
        return Check::unread(Id::Resolver, "Services of all namespaces", &reading.services);
    }
    let Some(resolver) = resolver else {
        return Check::unknown(
            Id::Resolver,
            "No Service answers on UDP 53: a resolver outside the cluster or on the nodes, such as Cloud DNS.",
        )
        .fixed("Read /etc/resolv.conf of a pod, and allow that address in the baseline.", &[
            "kubectl exec POD -n NAMESPACE -- cat /etc/resolv.conf".to_owned(),
        ]);
    };
    let service = resolver.service();
    let targets = |protocol: &str| {
        let port = service.ports.iter().find(|port| port.port == 53 && port.protocol == protocol);
        port.map_or("-", |port| port.target.as_str())
    };
    let seen = vec![
        Evidence::new(&service.object, "spec.clusterIPs", &service.addresses.join(",")),
        Evidence::new(
            &service.object,
            "targetPort",
            &format!("UDP {}, TCP {}", targets("UDP"), targets("TCP")),
        ),
    ];
    let (what, workload) = resolver.named();
    match workload {
        Some(workload) => {
            let labels: Vec<String> =
                service.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let words = format!("Pods ask {what} ({}) behind {}.", workload.object, service.object);
            Check::pass(Id::Resolver, words).seen(seen).seen([Evidence::new(
                &service.object,
                "spec.selector",
                &labels.join(","),
            )])
        }
        None => match reading.workloads.why().or(reading.daemonsets.why()) {
            Some(why) => Check::unknown(
                Id::Resolver,
                format!(
                    "Workloads cannot be read, so who answers behind {} is not known: {why}.",
                    service.object
                ),
            )
            .seen(seen)
            .fixed("Give the reader of this cluster list on Deployments and DaemonSets.", &[]),
            None if service.selector.is_empty() => Check::unknown(
                Id::Resolver,
                format!("{} selects no pods: who answers stands in its EndpointSlices.", service.object),
            )
            .seen(seen)
            .fixed("Find what answers on that address, and allow it in the baseline.", &[endpoints(service)]),
            None => Check::fail(
                Id::Resolver,
                format!(
                    "No workload has the labels that {} selects, so a rule by those labels matches nothing.",
                    service.object
                ),
            )
            .seen(seen)
            .fixed("Find what answers on that address.", &[endpoints(service)]),
        },
    }
}

fn endpoints(service: &Service) -> String {
    let Object { ns, name, .. } = &service.object;
    format!("kubectl get endpointslices -n {ns} -l kubernetes.io/service-name={name}")
}

fn answers(reading: &Reading, found: &Found, resolver: Option<&Resolver<'_>>) -> Check {
    if let Some(check) = proxied(reading, found) {
        return check;
    }
    let by_proxy = found.has(EngineKind::Cilium);
    let instead = if by_proxy {
        " Or let Cilium's DNS proxy see them: a policy with rules.dns and an allow-all egress beside it."
    } else {
        ""
    };
    match resolver {
        Some(Resolver::CoreDns(_, workload, container)) => coredns(reading, workload, container, instead),
        Some(Resolver::KubeDns(_, workload)) => {
            Check::fail(Id::Answers, "kube-dns answers, which has no dnstap: its answers cannot be exported.")
                .seen([Evidence::new(&workload.object, "containers", &container_names(workload))])
                .fixed(format!("Answer by CoreDNS, or use a sensor of DNS on the nodes.{instead}"), &[])
        }
        Some(Resolver::OpenShift(_, workload)) => Check::fail(
            Id::Answers,
            "OpenShift's DNS operator writes the Corefile, and its template has no dnstap.",
        )
        .seen([Evidence::new(&workload.object, "containers", &container_names(workload))])
        .fixed("Set the operator to Unmanaged for the window and add dnstap by hand, or use a sensor of DNS on the nodes.", &[
            "oc patch dns.operator/default --type merge -p '{\"spec\":{\"managementState\":\"Unmanaged\"}}'".to_owned(),
        ]),
        Some(Resolver::Other(service, _)) => {
            Check::unknown(Id::Answers, format!("What answers behind {} is not known, so what it exports is not, either.", service.object))
                .fixed(format!("Find out whether it can export answers.{instead}"), &[])
        }
        None => match reading.services {
            Known::Unknown(_) => Check::unread(Id::Answers, "Services of all namespaces", &reading.services),
            Known::Read(_) => Check::unknown(Id::Answers, "The resolver is not known, so what it exports is not, either.")
                .fixed(format!("Find the resolver; a cloud's own logs its answers by a feature of the cloud.{instead}"), &[]),
        },
    }
}

fn container_names(workload: &Workload) -> String {
    workload.containers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(",")
}

/// Cilium's DNS proxy: a policy with DNS rules for every pod sees all lookups.
fn proxied(reading: &Reading, found: &Found) -> Option<Check> {
    let engine = found.engines.iter().find(|engine| engine.kind == EngineKind::Cilium)?;
    let kinds = ["ciliumclusterwidenetworkpolicies.cilium.io", "ciliumnetworkpolicies.cilium.io"];
    let policies: Vec<&Record> = kinds.iter().flat_map(|kind| reading.custom(kind)).collect();
    let dns = |record: &&Record| {
        record.fields.iter().any(|(field, value)| {
            field.contains(".rules.dns.") && field.ends_with("matchPattern") && value == "*"
        })
    };
    let with: Vec<&Record> = policies.into_iter().filter(dns).collect();
    let for_all = with.iter().find(|record| {
        let narrow = record.fields.keys().any(|field| field.starts_with("spec.endpointSelector.match"));
        record.object.ns.is_empty() && !narrow
    });
    let record = for_all?;
    if let Known::Read(Some(map)) = reading.config_maps.get(engine.object.ns.as_str(), "cilium-config")
        && map.get("enable-l7-proxy") == Some("false")
    {
        return Some(
            Check::fail(Id::Answers, format!("{} has DNS rules, and Cilium's proxy is switched off.", record.object))
                .seen([Evidence::new(&map.object, "enable-l7-proxy", "false")])
                .fixed("Switch the proxy on.", &[format!(
                    "kubectl patch configmap cilium-config -n {} --type merge -p '{{\"data\":{{\"enable-l7-proxy\":\"true\"}}}}'",
                    engine.object.ns
                )]),
        );
    }
    Some(
        Check::pass(
            Id::Answers,
            "Cilium's DNS proxy sees the lookups of every pod: answers come with the flows.",
        )
        .seen([Evidence::new(&record.object, "rules.dns", "matchPattern *")]),
    )
}

fn coredns(reading: &Reading, workload: &Workload, container: &Container, instead: &str) -> Check {
    let ns = workload.object.ns.as_str();
    let names: Vec<&str> = match workload.config_maps.is_empty() {
        true => vec![workload.object.name.as_str()],
        false => workload.config_maps.iter().map(String::as_str).collect(),
    };
    let mut files = BTreeMap::new();
    let mut main: Option<&Record> = None;
    for name in names {
        match reading.config_maps.get(ns, name) {
            Known::Unknown(why) => {
                let object = Object::new("ConfigMap", ns, name);
                return Check::unknown(Id::Answers, format!("{object} cannot be read: {why}"))
                    .fixed("Give the reader of this cluster get on it, then run the pre-flight again.", &[]);
            }
            Known::Read(None) => {}
            Known::Read(Some(map)) if map.get("Corefile").is_some() => main = main.or(Some(map)),
            // Mounted as `custom` below the Corefile's folder by every distribution that has it.
            Known::Read(Some(map)) => {
                files.extend(
                    map.fields.iter().map(|(key, text)| (format!("{FOLDER}/custom/{key}"), text.clone())),
                );
            }
        }
    }
    let Some(map) = main else {
        let words = format!("No ConfigMap of {} has the key Corefile.", workload.object);
        return Check::unknown(Id::Answers, words)
            .seen([Evidence::new(&workload.object, "volumes", &workload.config_maps.join(","))])
            .fixed("Find where its configuration comes from.", &[]);
    };
    files.extend(map.fields.iter().map(|(key, text)| (format!("{FOLDER}/{key}"), text.clone())));
    let around = Around { files: &files, env: &container.env, folder: FOLDER };
    let parsed = corefile::parse(map.get("Corefile").unwrap_or_default(), around);
    let file = match parsed {
        Ok(file) => file,
        Err(broken) => {
            return Check::unknown(
                Id::Answers,
                format!("The Corefile in {} cannot be read: {broken}.", map.object),
            )
            .seen([Evidence::new(&map.object, &broken.place.to_string(), broken.why.as_str())])
            .fixed("Correct it: CoreDNS would not start with it.", &[edit(&map.object)]);
        }
    };
    judged(&file.blocks, map, (workload, container), instead)
}

const FOLDER: &str = "/etc/coredns";

fn edit(map: &Object) -> String {
    format!("kubectl edit configmap {} -n {}", map.name, map.ns)
}

/// Each block with clients needs a `dnstap` with `full`: the one with the longest zone serves a name.
fn judged(
    blocks: &[Block],
    map: &Record,
    (workload, container): (&Workload, &Container),
    instead: &str,
) -> Check {
    let served: Vec<&Block> = blocks.iter().filter(|block| !is_local(block)).collect();
    if served.is_empty() {
        return Check::unknown(Id::Answers, format!("The Corefile in {} has no server block.", map.object))
            .fixed("Look at how CoreDNS is configured.", &[edit(&map.object)]);
    }
    let (mut seen, mut bad): (Vec<Evidence>, Vec<String>) = (Vec::new(), Vec::new());
    for block in served {
        let zones = block.zones.join(" ");
        match tap(block, container) {
            Tap::Full(plugin) => {
                seen.push(Evidence::new(&map.object, &plugin.place.to_string(), &words(plugin)));
            }
            Tap::Wrong(plugin, why) => {
                seen.push(Evidence::new(&map.object, &plugin.place.to_string(), &words(plugin)));
                bad.push(format!("zone {zones}: {why}"));
            }
            Tap::None(log) => {
                let place = log.map_or(&block.place, |log| &log.place);
                let value = log.map_or_else(|| format!("{zones} without dnstap"), words);
                seen.push(Evidence::new(&map.object, &place.to_string(), &value));
                let log = if log.is_some() { ", and `log` has no answers" } else { "" };
                bad.push(format!("zone {zones}: no dnstap{log}"));
            }
        }
    }
    if bad.is_empty() {
        return Check::pass(
            Id::Answers,
            "CoreDNS exports whole answers for every zone; whether they arrive, the collector says.",
        )
        .seen(seen);
    }
    let Object { kind, ns, name } = &workload.object;
    let kind = kind.as_str().to_ascii_lowercase();
    Check::fail(Id::Answers, format!("Answers are not exported: {}.", bad.join("; "))).seen(seen).fixed(
        format!("Add `dnstap tcp://sluice-collect.sluice.svc:6000 full` to each block named.{instead}"),
        &[edit(&map.object), format!("kubectl rollout restart {kind}/{name} -n {ns}")],
    )
}

enum Tap<'a> {
    Full(&'a Plugin),
    Wrong(&'a Plugin, String),
    /// With its `log`, if there is one.
    None(Option<&'a Plugin>),
}

fn tap<'a>(block: &'a Block, container: &Container) -> Tap<'a> {
    let all = || block.plugins.iter().filter(|plugin| plugin.name == "dnstap");
    let mut wrong = None;
    for plugin in all() {
        match fault(plugin, container) {
            None => return Tap::Full(plugin),
            Some(why) => wrong = wrong.or(Some((plugin, why))),
        }
    }
    match wrong {
        Some((plugin, why)) => Tap::Wrong(plugin, why),
        None => Tap::None(block.plugins.iter().find(|plugin| plugin.name == "log")),
    }
}

/// Why a `dnstap` line exports no answers; `None`: it does.
fn fault(plugin: &Plugin, container: &Container) -> Option<String> {
    let listens = plugin.args.first().is_some_and(|word| word == "listen");
    if listens && let Some(version) = container.tag().and_then(patch_of) {
        if version < (1, 14, 4) {
            return Some("`dnstap listen` needs CoreDNS 1.14.5 or later".to_owned());
        }
        if version == (1, 14, 4) {
            return Some("`dnstap listen` can lock up CoreDNS 1.14.4: use 1.14.5 or later".to_owned());
        }
    }
    let args = &plugin.args[usize::from(listens).min(plugin.args.len())..];
    match (args.first(), args.get(1), args.iter().position(|word| word == "full")) {
        (None, ..) => Some("dnstap names no socket".to_owned()),
        (Some(_), Some(second), _) if second == "full" => None,
        (_, _, Some(at)) => {
            Some(format!("`full` is argument {} of dnstap and counts only as the second", at + 1))
        }
        (_, _, None) => Some("dnstap without `full` has no answers".to_owned()),
    }
}

fn words(plugin: &Plugin) -> String {
    let mut out = plugin.name.clone();
    for word in &plugin.args {
        out.push(' ');
        out.push_str(word);
    }
    out
}

/// Bound to loopback only: no pod asks it.
fn is_local(block: &Block) -> bool {
    let mut binds = block
        .plugins
        .iter()
        .filter(|plugin| plugin.name == "bind")
        .flat_map(|plugin| &plugin.args)
        .peekable();
    binds.peek().is_some() && binds.all(|address| matches!(address.as_str(), "127.0.0.1" | "::1" | "lo"))
}

/// By its names in the add-on and in Kubespray, or by its container, which other charts keep.
fn is_cache(set: &Workload) -> bool {
    let named = matches!(set.object.name.as_str(), "node-local-dns" | "nodelocaldns");
    (named && set.object.ns.as_str() == "kube-system") || set.container("node-cache").is_some()
}

fn cache(reading: &Reading, found: &Found) -> Check {
    if let Known::Unknown(_) = reading.daemonsets {
        return Check::unread(Id::Cache, "DaemonSets of all namespaces", &reading.daemonsets);
    }
    let Some(set) = caches(reading).next() else {
        return Check::pass(Id::Cache, "No NodeLocal DNSCache runs: pods ask the resolver themselves.");
    };
    let seen = [Evidence::new(&set.object, "-localip", listens_on(set).unwrap_or("not told"))];
    if let Some(pass) = proxied(reading, found).filter(|check| check.verdict == super::check::Verdict::Pass) {
        return Check::pass(
            Id::Cache,
            "NodeLocal DNSCache runs, and Cilium's DNS proxy sees the lookups before it.",
        )
        .seen(seen)
        .seen(pass.evidence);
    }
    let host = if found.has(EngineKind::Cilium) {
        " On Cilium an ipBlock does not match it: the baseline needs the entity `host`."
    } else {
        ""
    };
    Check::fail(
        Id::Cache,
        format!(
            "NodeLocal DNSCache asks in the pods' place and has no dnstap: answers cannot be given to pods, and names outside the cluster never reach CoreDNS.{host}"
        ),
    )
    .seen(seen)
    .fixed("Take the cache out of the path for the window, run a whole CoreDNS as the cache, or use a sensor of DNS on the nodes.", &[
        format!("kubectl get configmap node-local-dns -n {} -o yaml", set.object.ns),
    ])
}

/// Caches that run on the nodes.
pub fn caches(reading: &Reading) -> impl Iterator<Item = &Workload> {
    reading.daemonsets.list().iter().filter(|set| is_cache(set) && set.desired != Some(0))
}

/// Where a cache listens, as its argument says: addresses with commas between them.
pub fn listens_on(set: &Workload) -> Option<&str> {
    let container = set.container("node-cache").or(set.containers.first())?;
    container.flag("-localip").or(container.flag("--localip"))
}

/// Addresses on which a cache on each node listens; empty: there is no such cache.
pub fn node_local(reading: &Reading) -> BTreeSet<IpAddr> {
    let all = caches(reading).filter_map(listens_on).flat_map(|raw| raw.split(','));
    all.filter_map(|raw| raw.trim().parse().ok()).collect()
}
