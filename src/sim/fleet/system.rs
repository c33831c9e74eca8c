//! What every cluster has of its own: the network plugin as its makers ship it (names, labels,
//! containers and config maps by which it can be recognised), the resolver, Hubble Relay.
//! Data and nothing else.

use crate::sim::fleet::{
    aggregator,
    generate::NewWorkload,
    plan::{Container, Labels, Port, Protocol},
    scenario::{Answers, Cni, CollectorSpec, Kind},
};

pub const COLLECTOR_NAMESPACE: &str = "sluice";
pub const COLLECTOR: &str = "sluice-collect";
pub const COLLECTOR_PORT: u16 = 7117;

/// Namespaces that belong to the cluster itself.
pub fn namespaces(cni: Cni) -> Vec<&'static str> {
    let mut all = vec!["default", "kube-node-lease", "kube-public", "kube-system"];
    match cni {
        Cni::Cilium | Cni::Calico | Cni::Antrea | Cni::Aws | Cni::Kindnet => {}
        Cni::CalicoOperator => all.extend(["calico-system", "tigera-operator"]),
        Cni::Flannel => all.push("kube-flannel"),
    }
    all
}

/// Workloads that belong to the cluster itself.
pub fn workloads(cni: Cni) -> Vec<NewWorkload> {
    let mut all = vec![coredns()];
    match cni {
        Cni::Cilium => all.extend(cilium()),
        Cni::Calico => all.extend(calico("kube-system")),
        Cni::CalicoOperator => {
            all.extend(calico("calico-system").into_iter().chain([tigera_operator(), goldmane()]));
        }
        Cni::Antrea => all.extend(antrea()),
        Cni::Flannel => all.push(flannel()),
        Cni::Aws => all.push(aws()),
        Cni::Kindnet => all.push(kindnet()),
    }
    if cni != Cni::Cilium {
        let labels = [("k8s-app", "kube-proxy")];
        all.push(host(
            Kind::DaemonSet,
            "kube-system",
            "kube-proxy",
            &labels,
            &[("kube-proxy", "registry.k8s.io/kube-proxy:v1.36.2")],
        ));
    }
    all
}

/// A config map: namespace, name, data.
pub type ConfigMap = (&'static str, &'static str, Vec<(&'static str, &'static str)>);

/// Config maps by which the plugin and its settings can be read.
pub fn config_maps(cni: Cni) -> Vec<ConfigMap> {
    let mut all = vec![("kube-system", "coredns", vec![("Corefile", COREFILE)])];
    match cni {
        Cni::Cilium => all.push(("kube-system", "cilium-config", CILIUM_CONFIG.to_vec())),
        Cni::Calico => all.push((
            "kube-system",
            "calico-config",
            vec![("calico_backend", "bird"), ("typha_service_name", "none"), ("veth_mtu", "0")],
        )),
        Cni::CalicoOperator | Cni::Kindnet => {}
        Cni::Aws => all.push((
            "kube-system",
            "amazon-vpc-cni",
            vec![("enable-network-policy-controller", "true")],
        )),
        Cni::Antrea => all.push(("kube-system", "antrea-config", vec![
            ("antrea-agent.conf", "featureGates:\n  AntreaPolicy: true\n  FlowExporter: false\ntrafficEncapMode: encap\n"),
            ("antrea-controller.conf", "featureGates:\n  AntreaPolicy: true\n"),
            ("antrea-cni.conflist", "{\"cniVersion\":\"0.3.0\",\"name\":\"antrea\",\"plugins\":[{\"type\":\"antrea\"}]}"),
        ])),
        Cni::Flannel => all.push(("kube-flannel", "kube-flannel-cfg", vec![
            ("cni-conf.json", "{\"name\":\"cbr0\",\"cniVersion\":\"0.3.1\",\"plugins\":[{\"type\":\"flannel\"}]}"),
            ("net-conf.json", "{\"Network\":\"10.66.0.0/16\",\"EnableNFTables\":false,\"Backend\":{\"Type\":\"vxlan\"}}"),
        ])),
    }
    all
}

/// The config map that a workload's pods mount, by its volume's name: as Antrea's manifests do.
pub fn mounted(namespace: &str, name: &str) -> Option<&'static str> {
    match (namespace, name) {
        ("kube-system", "antrea-agent" | "antrea-controller") => Some("antrea-config"),
        _ => None,
    }
}

const COREFILE: &str = ".:53 {\n    errors\n    health {\n       lameduck 5s\n    }\n    ready\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n       pods insecure\n    }\n    prometheus :9153\n    forward . /etc/resolv.conf\n    cache 30\n    loop\n    reload\n    loadbalance\n}\n";

const CILIUM_CONFIG: &[(&str, &str)] = &[
    ("cluster-name", "default"),
    ("enable-hubble", "true"),
    ("enable-ipv4", "true"),
    ("enable-ipv6", "false"),
    ("enable-k8s-networkpolicy", "true"),
    ("enable-policy", "default"),
    ("hubble-event-buffer-capacity", "4095"),
    ("hubble-listen-address", ":4244"),
    ("identity-allocation-mode", "crd"),
    ("kube-proxy-replacement", "true"),
    ("monitor-aggregation", "medium"),
    ("policy-audit-mode", "false"),
    ("policy-cidr-match-mode", ""),
    ("routing-mode", "tunnel"),
];

fn coredns() -> NewWorkload {
    let mut dns = host(
        Kind::Deployment,
        "kube-system",
        "coredns",
        &[("k8s-app", "kube-dns")],
        &[("coredns", "registry.k8s.io/coredns/coredns:v1.12.1")],
    );
    dns.host_network = false;
    dns.replicas = 2;
    dns.ports = vec![
        port("dns", 53, Protocol::Udp),
        port("dns-tcp", 53, Protocol::Tcp),
        port("metrics", 9153, Protocol::Tcp),
    ];
    dns
}

fn cilium() -> Vec<NewWorkload> {
    let agent = host(
        Kind::DaemonSet,
        "kube-system",
        "cilium",
        &[
            ("k8s-app", "cilium"),
            ("app.kubernetes.io/name", "cilium-agent"),
            ("app.kubernetes.io/part-of", "cilium"),
        ],
        &[("cilium-agent", "quay.io/cilium/cilium:v1.19.4")],
    );
    let mut operator = host(
        Kind::Deployment,
        "kube-system",
        "cilium-operator",
        &[("io.cilium/app", "operator"), ("name", "cilium-operator")],
        &[("cilium-operator", "quay.io/cilium/operator-generic:v1.19.4")],
    );
    operator.replicas = 1;
    let mut relay = host(
        Kind::Deployment,
        "kube-system",
        "hubble-relay",
        &[
            ("k8s-app", "hubble-relay"),
            ("app.kubernetes.io/name", "hubble-relay"),
            ("app.kubernetes.io/part-of", "cilium"),
        ],
        &[("hubble-relay", "quay.io/cilium/hubble-relay:v1.19.4")],
    );
    relay.host_network = false;
    relay.ports = vec![port("grpc", 4245, Protocol::Tcp)];
    vec![agent, operator, relay]
}

/// The collector, and the cache on each node that its answers come through.
pub fn collector(spec: &CollectorSpec) -> Vec<NewWorkload> {
    let image = [("sluice", "registry.corp.example/sluice/sluice:0.1.0")];
    let labels = [("app.kubernetes.io/name", COLLECTOR)];
    let mut collector = host(Kind::Deployment, COLLECTOR_NAMESPACE, COLLECTOR, &labels, &image);
    collector.host_network = false;
    collector.ports = vec![port("http", COLLECTOR_PORT, Protocol::Tcp)];
    let mut all = vec![collector];
    if spec.answers == Answers::NodeCache {
        let cache = [("node-cache", "registry.k8s.io/dns/k8s-dns-node-cache:1.26.5")];
        let labels = [("k8s-app", "node-local-dns")];
        all.push(host(Kind::DaemonSet, "kube-system", "node-local-dns", &labels, &cache));
    }
    all
}

pub const PRINTER_NAMESPACE: &str = "sluice-printers";
pub const PRINTER: &str = "sluice-printer";

/// Prints a file of its node to its own log.
pub fn printer(prints: &'static str) -> NewWorkload {
    let labels =
        [("app.kubernetes.io/name", PRINTER), ("sluice.dev/logged", "denied"), ("sluice.dev/prints", prints)];
    let containers = [("print", "registry.corp.example/library/busybox:1.37")];
    let mut printer = host(Kind::DaemonSet, PRINTER_NAMESPACE, PRINTER, &labels, &containers);
    printer.host_network = false;
    printer
}

/// Antrea's flow aggregator with FlowStreamService on.
pub fn aggregator() -> NewWorkload {
    let containers = [("flow-aggregator", "antrea/flow-aggregator:v2.7.0")];
    let labels = [("app", "flow-aggregator")];
    let mut aggregator =
        host(Kind::Deployment, aggregator::NAMESPACE, aggregator::NAME, &labels, &containers);
    aggregator.host_network = false;
    aggregator.ports = vec![
        port("ipfix-tcp", 4739, Protocol::Tcp),
        port("grpc", 14739, Protocol::Tcp),
        port("flowstream-grpc", aggregator::PORT, Protocol::Tcp),
    ];
    aggregator
}

fn calico(namespace: &str) -> Vec<NewWorkload> {
    let node = host(
        Kind::DaemonSet,
        namespace,
        "calico-node",
        &[("k8s-app", "calico-node")],
        &[("calico-node", "quay.io/calico/node:v3.31.2")],
    );
    let mut controllers = host(
        Kind::Deployment,
        namespace,
        "calico-kube-controllers",
        &[("k8s-app", "calico-kube-controllers")],
        &[("calico-kube-controllers", "quay.io/calico/kube-controllers:v3.31.2")],
    );
    controllers.host_network = false;
    vec![node, controllers]
}

fn tigera_operator() -> NewWorkload {
    let containers = [("tigera-operator", "quay.io/tigera/operator:v1.40.1")];
    host(
        Kind::Deployment,
        "tigera-operator",
        "tigera-operator",
        &[("k8s-app", "tigera-operator")],
        &containers,
    )
}

/// Gathers flows; the operator runs one of it.
fn goldmane() -> NewWorkload {
    let containers = [("goldmane", "quay.io/calico/goldmane:v3.31.2")];
    let mut goldmane = host(
        Kind::Deployment,
        "calico-system",
        "goldmane",
        &[("k8s-app", "goldmane"), ("app.kubernetes.io/name", "goldmane")],
        &containers,
    );
    goldmane.host_network = false;
    goldmane.ports = vec![port("goldmane", 7443, Protocol::Tcp)];
    goldmane
}

fn antrea() -> Vec<NewWorkload> {
    let agent = [
        ("antrea-agent", "antrea/antrea-agent-ubuntu:v2.5.0"),
        ("antrea-ovs", "antrea/antrea-agent-ubuntu:v2.5.0"),
    ];
    let controller = [("antrea-controller", "antrea/antrea-controller-ubuntu:v2.5.0")];
    vec![
        host(
            Kind::DaemonSet,
            "kube-system",
            "antrea-agent",
            &[("app", "antrea"), ("component", "antrea-agent")],
            &agent,
        ),
        host(
            Kind::Deployment,
            "kube-system",
            "antrea-controller",
            &[("app", "antrea"), ("component", "antrea-controller")],
            &controller,
        ),
    ]
}

fn flannel() -> NewWorkload {
    let containers = [("kube-flannel", "ghcr.io/flannel-io/flannel:v0.27.4")];
    let labels = [("app", "flannel"), ("k8s-app", "flannel"), ("tier", "node")];
    host(Kind::DaemonSet, "kube-flannel", "kube-flannel-ds", &labels, &containers)
}

/// Its agent is told by an argument to enforce, which the scenario adds.
fn aws() -> NewWorkload {
    let containers = [
        ("aws-node", "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.21.1"),
        (
            "aws-eks-nodeagent",
            "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon/aws-network-policy-agent:v1.3.1",
        ),
    ];
    host(Kind::DaemonSet, "kube-system", "aws-node", &[("k8s-app", "aws-node")], &containers)
}

fn kindnet() -> NewWorkload {
    let containers = [("kindnet-cni", "docker.io/kindest/kindnetd:v20240513-cbe9b1f2")];
    let labels = [("app", "kindnet"), ("k8s-app", "kindnet"), ("tier", "node")];
    host(Kind::DaemonSet, "kube-system", "kindnet", &labels, &containers)
}

/// A workload in the host's network, one replica, no ports.
fn host(
    kind: Kind,
    namespace: &str,
    name: &str,
    labels: &[(&str, &str)],
    containers: &[(&str, &str)],
) -> NewWorkload {
    NewWorkload {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind,
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Labels>(),
        containers: containers
            .iter()
            .map(|(name, image)| Container { name: (*name).to_owned(), image: (*image).to_owned() })
            .collect(),
        ports: Vec::new(),
        host_network: true,
        schedule: None,
        replicas: 1,
    }
}

fn port(name: &str, number: u16, protocol: Protocol) -> Port {
    Port { name: name.to_owned(), number, protocol }
}
