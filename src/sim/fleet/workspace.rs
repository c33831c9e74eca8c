//! A workspace for a simulated fleet, as its team would have authored it: `sluice.yaml` and the
//! pinned policies of every namespace. They cover what the workloads do, save the dependencies that
//! the scenario calls forgotten. Texts are pure; [`write()`] writes only below the given directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs, io,
    path::Path,
};

use crate::sim::fleet::{
    plan::{Edge, End, Plan, Protocol, Workload},
    running::Fleet,
    shared_state, system,
};

/// The pinned policies of a namespace in the order of their files.
pub const PINNED: [&str; 5] = [
    "default-deny-egress",
    "egress-baseline-allow",
    "egress-allowlist",
    "default-deny-ingress",
    "ingress-allowlist",
];

/// Writes `sluice.yaml` and `network-policies/<cluster>/<namespace>/*.yaml`.
pub fn write(fleet: &Fleet, directory: &Path) -> io::Result<()> {
    fs::write(directory.join("sluice.yaml"), sluice_yaml(fleet))?;
    for member in fleet.clusters() {
        let plan = member.plan();
        for namespace in plan.namespaces.iter().filter(|ns| !ns.system) {
            let folder = directory.join("network-policies").join(member.name()).join(&namespace.name);
            fs::create_dir_all(&folder)?;
            for name in PINNED {
                fs::write(folder.join(format!("{name}.yaml")), policy(plan, &namespace.name, name))?;
            }
        }
    }
    Ok(())
}

pub fn sluice_yaml(fleet: &Fleet) -> String {
    let mut text = String::from("# The fleet of the demo.\nclusters:\n");
    let mut owners: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut excluded: BTreeSet<&str> = BTreeSet::new();
    for member in fleet.clusters() {
        let environment = member.spec().environment.as_str();
        let name = member.name();
        put(
            &mut text,
            format_args!("  - name: {name}\n    context: {name}\n    environment: {environment}\n"),
        );
        excluded.extend(system::namespaces(member.spec().cni));
        for namespace in &member.plan().namespaces {
            let note = |key: &str| namespace.annotations.get(key).map(String::as_str);
            if let (Some(owner), Some(contact)) = (note(OWNER), note(CONTACT)) {
                owners.entry((owner, contact)).or_default().insert(&namespace.name);
            }
        }
    }
    if let Some(state) = fleet.clusters().iter().find(|member| member.spec().state) {
        let (cluster, ns) = (state.name(), shared_state::NAMESPACE);
        excluded.insert(ns);
        put(&mut text, format_args!("\nstate:\n  cluster: {cluster}\n  namespace: {ns}\n"));
    }
    text.push_str("\nescalation: [\"#oncall-platform\", \"platform lead, +31 20 555 0100\"]\n");
    let hosts = fleet.clusters().iter().flat_map(|member| &member.plan().externals);
    let relays: BTreeSet<&str> =
        hosts.filter_map(|it| it.host.as_deref()).filter(|host| host.starts_with("smtp.")).collect();
    if !relays.is_empty() {
        put(
            &mut text,
            format_args!(
                "\ncategories:\n  - category: infra\n    label: our mail relay\n    names: [{}]\n",
                join(relays)
            ),
        );
    }
    let probed: Vec<&str> =
        fleet.clusters().iter().filter(|member| member.spec().probes).map(|member| member.name()).collect();
    if !probed.is_empty() {
        text.push_str("\nprobes:\n");
    }
    for cluster in probed {
        put(
            &mut text,
            format_args!(
                "  - cluster: {cluster}\n    image: registry.example.net/tools/sluice:0.1.0\n    \
                 destination: 192.0.2.1\n    port: 9\n    from: default\n"
            ),
        );
    }
    text.push_str("\nnamespaces:\n");
    put(&mut text, format_args!("  exclude: [{}]\n\nowners:\n", join(excluded)));
    for ((owner, contact), namespaces) in owners {
        put(
            &mut text,
            format_args!(
                "  - namespaces: [{}]\n    owner: {owner}\n    contact: \"{contact}\"\n",
                join(namespaces)
            ),
        );
    }
    text
}

/// Annotations by which a namespace names its owner itself.
pub const OWNER: &str = "sluice.example.com/owner";
pub const CONTACT: &str = "sluice.example.com/contact";

/// One of the pinned policies of a namespace, as a file's text.
pub fn policy(plan: &Plan, namespace: &str, name: &str) -> String {
    let direction = if name.contains("ingress") { "Ingress" } else { "Egress" };
    let mut text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {name}\n  namespace: {namespace}\n\
         spec:\n  podSelector: {{}}\n  policyTypes: [{direction}]\n"
    );
    let rules = match name {
        "egress-baseline-allow" => baseline(),
        "egress-allowlist" => egress(plan, namespace),
        "ingress-allowlist" => ingress(plan, namespace),
        _ => return text,
    };
    let section = direction.to_lowercase();
    if rules.is_empty() {
        put(&mut text, format_args!("  {section}: []\n"));
    } else {
        put(&mut text, format_args!("  {section}:\n{}", rules.concat()));
    }
    text
}

/// The resolver, time, and pods of the cluster among themselves.
fn baseline() -> Vec<String> {
    let text = "    - to: # the cluster's resolver
        - namespaceSelector:
            matchLabels: { kubernetes.io/metadata.name: kube-system }
          podSelector:
            matchLabels: { k8s-app: kube-dns }
      ports:
        - { protocol: UDP, port: 53 }
        - { protocol: TCP, port: 53 }
    - to: # time
        - ipBlock: { cidr: 0.0.0.0/0, except: [169.254.0.0/16] }
      ports:
        - { protocol: UDP, port: 123 }
    - to: # pods of this cluster
        - namespaceSelector: {}
";
    vec![text.to_owned()]
}

/// Destinations outside the cluster's pods that were not forgotten: one rule each.
fn egress(plan: &Plan, namespace: &str) -> Vec<String> {
    let mut rules = BTreeSet::new();
    for edge in plan.edges.iter().filter(|e| !e.forgotten) {
        let Some(caller) = workload_in(plan, edge.from, namespace) else { continue };
        rules.extend(egress_rule(plan, edge, &caller.name));
    }
    rules.into_iter().collect()
}

fn egress_rule(plan: &Plan, edge: &Edge, caller: &str) -> Option<String> {
    let port = edge.port;
    match edge.to {
        End::External(external) => {
            let it = &plan.externals[external];
            let what = it.host.as_deref().unwrap_or("an address without a name");
            let mut rule = format!("    - to: # {what}, called by {caller}\n");
            for address in &it.addresses {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                put(&mut rule, format_args!("        - ipBlock: {{ cidr: {address}/{bits} }}\n"));
            }
            Some(rule + &ports(port))
        }
        // No address: on some plugins a node is no member of any ipBlock.
        End::Api => Some(format!("    - ports: # the API server, called by {caller}\n{}", port_line(port))),
        End::Nodes => Some(format!("    - ports: # nodes, called by {caller}\n{}", port_line(port))),
        End::Workload(_) => None,
    }
}

/// Callers of this namespace's workloads: one rule for each caller and port.
fn ingress(plan: &Plan, namespace: &str) -> Vec<String> {
    let mut rules = BTreeSet::new();
    for edge in plan.edges.iter().filter(|e| !e.forgotten && e.protocol == Protocol::Tcp) {
        let Some(callee) = workload_in(plan, edge.to, namespace) else { continue };
        rules.insert(match edge.from {
            End::Workload(from) => from_workload(&plan.workloads[from], callee, edge.port),
            End::External(_) => format!(
                "    - from: # the world, to {}\n        - ipBlock: {{ cidr: 0.0.0.0/0 }}\n{}",
                callee.name,
                ports(edge.port)
            ),
            End::Api | End::Nodes => {
                format!("    - ports: # the API server, to {}\n{}", callee.name, port_line(edge.port))
            }
        });
    }
    rules.into_iter().collect()
}

fn from_workload(caller: &Workload, callee: &Workload, port: u16) -> String {
    let mut rule = format!(
        "    - from: # {}/{}, to {}\n        - namespaceSelector:\n            matchLabels: {{ kubernetes.io/metadata.name: {} }}\n",
        caller.namespace, caller.name, callee.name, caller.namespace
    );
    if let Some(app) = caller.labels.get("app") {
        put(&mut rule, format_args!("          podSelector:\n            matchLabels: {{ app: {app} }}\n"));
    }
    rule + &ports(port)
}

fn workload_in<'a>(plan: &'a Plan, end: End, namespace: &str) -> Option<&'a Workload> {
    let End::Workload(index) = end else { return None };
    Some(&plan.workloads[index]).filter(|w| w.namespace == namespace)
}

fn ports(port: u16) -> String {
    format!("      ports:\n{}", port_line(port))
}

fn port_line(port: u16) -> String {
    format!("        - {{ protocol: TCP, port: {port} }}\n")
}

fn join(words: BTreeSet<&str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("writing to a String cannot fail");
}
