//! The simulation's own opinion on NetworkPolicies: slow, simple, and written from the API's
//! documentation alone, so that it can disagree with the product. Pure. Input: policy objects as
//! the API server stores them, labels of namespaces, and the two ends of a connection.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use serde_json::Value;

use crate::sim::fleet::{
    cilium,
    filter::glob,
    plan::{Labels, Port, Protocol},
    scenario::Cni,
};

/// How a network plugin differs from the others.
#[derive(Clone, Copy, Debug)]
pub struct Enforcement {
    pub enforces: bool,
    pub ip_block_selects_pods: bool,
    pub ip_block_selects_nodes: bool,
    /// A new deny ends connections that are open already.
    pub cuts_established: bool,
}

impl Enforcement {
    pub fn of(cni: Cni) -> Self {
        match cni {
            Cni::Cilium => Self::new(true, false, true),
            Cni::Calico | Cni::CalicoOperator => Self::new(true, true, false),
            Cni::Antrea => Self::new(true, true, true),
            Cni::Aws => Self::new(true, true, false),
            Cni::Flannel | Cni::Kindnet => Self::new(false, false, false),
        }
    }

    fn new(enforces: bool, ip_block_selects_all: bool, cuts_established: bool) -> Self {
        Self {
            enforces,
            ip_block_selects_pods: ip_block_selects_all,
            ip_block_selects_nodes: ip_block_selects_all,
            cuts_established,
        }
    }
}

/// What the evaluator knows of a cluster now. Cheap to clone; a change replaces one namespace.
#[derive(Clone, Debug)]
pub struct View {
    pub enforcement: Enforcement,
    pub namespaces: HashMap<String, Arc<Labels>>,
    pub policies: HashMap<String, Arc<Vec<Policy>>>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Peer<'a> {
    Pod(PodPeer<'a>),
    /// A node's own address; `node` is its name.
    Node {
        name: &'a str,
        address: IpAddr,
    },
    /// Outside the cluster; `host` is the name by which it was asked for.
    External {
        address: IpAddr,
        host: Option<&'a str>,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct PodPeer<'a> {
    pub namespace: &'a str,
    pub labels: &'a Labels,
    pub ports: &'a [Port],
    pub address: IpAddr,
    pub node: &'a str,
    pub host_network: bool,
}

/// What one end says to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// No policy isolates it in this direction.
    Open,
    /// Isolated, and these policies allow it.
    Allowed(Vec<PolicyRef>),
    /// Isolated by these policies, and none allows it.
    Denied(Vec<PolicyRef>),
}

/// Which policy, within the namespace of the pod that it selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRef {
    pub kind: &'static str,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    pub egress: Side,
    pub ingress: Side,
}

impl Ruling {
    pub fn allowed(&self) -> bool {
        !matches!(self.egress, Side::Denied(_)) && !matches!(self.ingress, Side::Denied(_))
    }
}

/// A policy as the evaluator reads it.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) subject: Selector,
    /// `None`: says nothing about this direction.
    pub(super) ingress: Option<Vec<Rule>>,
    pub(super) egress: Option<Vec<Rule>>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Empty: anybody.
    pub(super) peers: Vec<PeerRule>,
    /// Empty: any port of any protocol.
    pub(super) ports: Vec<PortRule>,
}

#[derive(Clone, Debug)]
pub(super) enum PeerRule {
    Block {
        cidr: Option<IpNet>,
        except: Vec<IpNet>,
    },
    Selected {
        namespaces: Option<Selector>,
        pods: Option<Selector>,
    },
    /// A host name, `*` for any part of it. Only CiliumNetworkPolicies have it.
    Name(String),
    /// One of Cilium's names for a kind of peer.
    Entity(String),
    Nobody,
}

#[derive(Clone, Debug)]
pub(super) struct PortRule {
    /// Absent: any.
    pub(super) protocol: Option<String>,
    pub(super) port: PortChoice,
}

#[derive(Clone, Debug)]
pub(super) enum PortChoice {
    Any,
    Range(u16, u16),
    Named(String),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    pub(super) labels: BTreeMap<String, String>,
    expressions: Vec<(String, String, Vec<String>)>,
}

impl View {
    pub fn new(enforcement: Enforcement) -> Self {
        Self { enforcement, namespaces: HashMap::new(), policies: HashMap::new() }
    }

    /// Takes a namespace's policies as they are now, in place of those it knew.
    pub fn set_policies(&mut self, namespace: &str, objects: &[Arc<Value>]) {
        let policies: Vec<Policy> = objects.iter().map(|object| read(object)).collect();
        if policies.is_empty() {
            self.policies.remove(namespace);
        } else {
            self.policies.insert(namespace.to_owned(), Arc::new(policies));
        }
    }

    /// May `from` open a connection to `to`? `port` is the port behind any Service.
    pub fn judge(&self, from: &Peer<'_>, to: &Peer<'_>, port: u16, protocol: Protocol) -> Ruling {
        let ports = (port, protocol);
        let egress = self.side(from, to, ports, to, |policy| policy.egress.as_ref());
        let ingress = match (from, to) {
            (Peer::Node { name, .. }, Peer::Pod(pod)) if *name == pod.node => Side::Open,
            _ => self.side(to, from, ports, to, |policy| policy.ingress.as_ref()),
        };
        Ruling { egress, ingress }
    }

    fn side(
        &self,
        subject: &Peer<'_>,
        other: &Peer<'_>,
        ports: (u16, Protocol),
        destination: &Peer<'_>,
        rules: impl Fn(&Policy) -> Option<&Vec<Rule>>,
    ) -> Side {
        let Peer::Pod(pod) = subject else { return Side::Open };
        if pod.host_network || !self.enforcement.enforces {
            return Side::Open;
        }
        let Some(policies) = self.policies.get(pod.namespace) else { return Side::Open };
        let (mut isolating, mut allowing) = (Vec::new(), Vec::new());
        for policy in policies.iter().filter(|p| p.subject.matches(pod.labels)) {
            let Some(rules) = rules(policy) else { continue };
            isolating.push(policy.reference());
            let fits = |rule: &Rule| {
                rule.peer_fits(self, pod.namespace, other) && rule.port_fits(ports.0, ports.1, destination)
            };
            if rules.iter().any(fits) {
                allowing.push(policy.reference());
            }
        }
        match (isolating.is_empty(), allowing.is_empty()) {
            (true, _) => Side::Open,
            (false, false) => Side::Allowed(allowing),
            (false, true) => Side::Denied(isolating),
        }
    }
}

impl Rule {
    fn peer_fits(&self, view: &View, own_namespace: &str, other: &Peer<'_>) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|peer| peer.fits(view, own_namespace, other))
    }

    fn port_fits(&self, port: u16, protocol: Protocol, destination: &Peer<'_>) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|rule| rule.fits(port, protocol, destination))
    }
}

impl PeerRule {
    fn fits(&self, view: &View, own_namespace: &str, other: &Peer<'_>) -> bool {
        match self {
            Self::Block { cidr, except } => {
                let (address, eligible) = match other {
                    Peer::Pod(pod) if pod.host_network => {
                        (pod.address, view.enforcement.ip_block_selects_nodes)
                    }
                    Peer::Pod(pod) => (pod.address, view.enforcement.ip_block_selects_pods),
                    Peer::Node { address, .. } => (*address, view.enforcement.ip_block_selects_nodes),
                    Peer::External { address, .. } => (*address, true),
                };
                let inside = |net: &IpNet| net.contains(&address);
                eligible && cidr.as_ref().is_some_and(inside) && !except.iter().any(inside)
            }
            Self::Selected { namespaces, pods } => {
                let Peer::Pod(pod) = other else { return false };
                if pod.host_network {
                    return false;
                }
                let namespace_fits = match namespaces {
                    None => pod.namespace == own_namespace,
                    Some(selector) => {
                        view.namespaces.get(pod.namespace).is_some_and(|labels| selector.matches(labels))
                    }
                };
                namespace_fits && pods.as_ref().is_none_or(|selector| selector.matches(pod.labels))
            }
            Self::Name(pattern) => match other {
                Peer::External { host: Some(host), .. } => glob(pattern, host),
                Peer::External { host: None, .. } | Peer::Pod(_) | Peer::Node { .. } => false,
            },
            Self::Entity(entity) => cilium::is_entity(entity, other),
            Self::Nobody => false,
        }
    }
}

impl PortRule {
    fn fits(&self, port: u16, protocol: Protocol, destination: &Peer<'_>) -> bool {
        if self.protocol.as_deref().is_some_and(|wanted| wanted != protocol.as_str()) {
            return false;
        }
        match &self.port {
            PortChoice::Any => true,
            PortChoice::Range(first, last) => (*first..=*last).contains(&port),
            PortChoice::Named(name) => match destination {
                Peer::Pod(pod) => {
                    pod.ports.iter().any(|p| p.name == *name && p.protocol == protocol && p.number == port)
                }
                Peer::Node { .. } | Peer::External { .. } => false,
            },
        }
    }
}

/// Reads what the API server has accepted, by its kind; what it cannot read selects nothing.
fn read(object: &Value) -> Policy {
    if object["kind"] == cilium::KIND { cilium::read(object) } else { Policy::read(object) }
}

impl Policy {
    fn reference(&self) -> PolicyRef {
        PolicyRef { kind: self.kind, name: self.name.clone() }
    }

    fn read(object: &Value) -> Self {
        let spec = &object["spec"];
        let types: Option<Vec<&str>> =
            spec["policyTypes"].as_array().map(|all| all.iter().filter_map(Value::as_str).collect());
        let has_egress = spec["egress"].as_array().is_some_and(|rules| !rules.is_empty());
        let types = types.filter(|t| !t.is_empty()).unwrap_or(if has_egress {
            vec!["Ingress", "Egress"]
        } else {
            vec!["Ingress"]
        });
        let rules = |kind: &str, list: &Value, peers: &str| {
            types.contains(&kind).then(|| items(list).map(|rule| Rule::read(rule, peers)).collect())
        };
        Self {
            kind: "NetworkPolicy",
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            subject: Selector::read(&spec["podSelector"]),
            ingress: rules("Ingress", &spec["ingress"], "from"),
            egress: rules("Egress", &spec["egress"], "to"),
        }
    }
}

impl Rule {
    fn read(rule: &Value, peers: &str) -> Self {
        Self {
            peers: items(&rule[peers]).map(PeerRule::read).collect(),
            ports: items(&rule["ports"]).map(PortRule::read).collect(),
        }
    }
}

impl PeerRule {
    fn read(peer: &Value) -> Self {
        let net = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        match peer.get("ipBlock") {
            Some(block) => Self::Block {
                cidr: net(&block["cidr"]),
                except: items(&block["except"]).filter_map(net).collect(),
            },
            None => Self::Selected {
                namespaces: peer.get("namespaceSelector").map(Selector::read),
                pods: peer.get("podSelector").map(Selector::read),
            },
        }
    }
}

impl PortRule {
    fn read(port: &Value) -> Self {
        let number = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok());
        let choice = match (number(&port["port"]), port["port"].as_str()) {
            (Some(first), _) => PortChoice::Range(first, number(&port["endPort"]).unwrap_or(first)),
            (None, Some(name)) => PortChoice::Named(name.to_owned()),
            (None, None) => PortChoice::Any,
        };
        Self { protocol: Some(port["protocol"].as_str().unwrap_or("TCP").to_owned()), port: choice }
    }
}

impl Selector {
    pub(super) fn read(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = value["matchLabels"].as_object().into_iter().flatten();
        let expression = |e: &Value| {
            (text(&e["key"]), text(&e["operator"]), items(&e["values"]).map(text).collect::<Vec<_>>())
        };
        Self {
            labels: labels.map(|(k, v)| (k.clone(), text(v))).collect(),
            expressions: items(&value["matchExpressions"]).map(expression).collect(),
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        let has = |(key, operator, values): &(String, String, Vec<String>)| {
            let value = labels.get(key);
            match operator.as_str() {
                "In" => value.is_some_and(|v| values.contains(v)),
                "NotIn" => !value.is_some_and(|v| values.contains(v)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        };
        self.labels.iter().all(|(k, v)| labels.get(k) == Some(v)) && self.expressions.iter().all(has)
    }
}

pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
