//! Pods that somebody creates in a running fleet, beside those of the scenario: scheduled, started and
//! ended, as long as the one program in them is `sluice probe`, of which the arguments are all that is
//! known here. Where it gets to is the naive evaluator's word. Other pods are left as they are.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    pb::flow::{
        self as pb, CiliumEventType, Endpoint, Flow, FlowType, Ip, IpVersion, Layer4, TrafficDirection,
        Verdict, layer4,
    },
    sim::{
        api::{clock::Clock, cluster::Cluster},
        fleet::{
            agents::Agents,
            event::{Direction, POLICY_DENIED, Place},
            flows::{EVENT_DROP, EVENT_VERDICT, endpoint, node_name, timestamp},
            plan::{Labels, Plan, Protocol},
            relay::Relay,
            traffic::peer,
            verdict::{Peer, PodPeer, PolicyRef, Side},
        },
    },
};

/// Scheduling and starting take this long each, in the scenario's time.
const STEP: Duration = Duration::from_millis(700);
/// An image of this tag cannot be pulled.
const ABSENT: &str = ":absent";

/// Looks after created pods for as long as the cluster is there.
pub async fn keep(plan: Arc<Plan>, server: Cluster, relay: Relay, clock: Clock, speed: f64) {
    let mut changes = server.subscribe();
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut running = JoinSet::new();
    loop {
        let pods = server.objects("v1", "Pod");
        let is_new = |pod: &&Arc<Value>| pod["status"]["phase"] == "Pending" && arguments(pod).is_some();
        let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let mut seen = BTreeSet::new();
        for pod in pods.iter().filter(is_new) {
            seen.insert(uid(pod));
            if !known.contains(&uid(pod)) {
                let guest = Guest {
                    plan: plan.clone(),
                    server: server.clone(),
                    relay: relay.clone(),
                    clock: clock.clone(),
                    speed,
                    pod: Value::clone(pod),
                };
                running.spawn(guest.live());
            }
        }
        known = seen;
        while running.try_join_next().is_some() {}
        if changes.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where it dials, and how long it waits.
fn arguments(pod: &Value) -> Option<(SocketAddr, Duration)> {
    let container = &pod["spec"]["containers"][0];
    let words: Vec<&str> = container["args"].as_array()?.iter().filter_map(Value::as_str).collect();
    (container["command"] == json!(["sluice"]) && words.first() == Some(&"probe")).then_some(())?;
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    Some((value("--to=")?.parse().ok()?, Duration::from_secs(value("--within-secs=")?.parse().ok()?)))
}

struct Guest {
    plan: Arc<Plan>,
    server: Cluster,
    relay: Relay,
    clock: Clock,
    speed: f64,
    pod: Value,
}

impl Guest {
    async fn live(mut self) {
        self.pass(STEP).await;
        let Some(node) = self.schedule() else { return };
        self.pod["spec"]["nodeName"] = self.plan.nodes[node].name.as_str().into();
        if self.image().ends_with(ABSENT) {
            let message = format!("Back-off pulling image \"{}\"", self.image());
            let waiting = json!({ "waiting": { "reason": "ImagePullBackOff", "message": message } });
            self.show("Pending", &waiting);
            return;
        }
        let address = self.address();
        self.pod["status"]["podIP"] = address.to_string().into();
        self.pod["status"]["startTime"] = self.clock.stamp().into();
        self.show("Running", &json!({ "running": { "startedAt": self.clock.stamp() } }));
        self.pass(STEP).await;
        let Some((to, within)) = arguments(&self.pod) else { return };
        let word = self.dial(node, address.into(), to);
        if word == "silent" {
            self.pass(within).await;
        }
        let ended = json!({ "exitCode": 0, "reason": "Completed", "message": word });
        self.show("Succeeded", &json!({ "terminated": ended }));
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time.div_f64(self.speed)).await;
    }

    fn text(&self, path: &str) -> String {
        self.pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn image(&self) -> String {
        self.text("/spec/containers/0/image")
    }

    /// The node it asks for, if there is one that can take it; else any worker.
    fn schedule(&mut self) -> Option<usize> {
        let terms = self.pod.pointer(
            "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms",
        );
        let wanted = terms.and_then(|terms| terms[0]["matchFields"][0]["values"][0].as_str());
        let found = match wanted {
            Some(wanted) => self.plan.nodes.iter().position(|node| node.name == wanted),
            None => Some(self.plan.nodes.len() - 1),
        };
        let is_down = |node: &usize| self.relay.agents().troubles().down.contains(node);
        let found = found.filter(|node| !is_down(node));
        if found.is_none() {
            let count = self.plan.nodes.len();
            let message = format!(
                "0/{count} nodes are available: {count} node(s) didn't match Pod's node affinity/selector."
            );
            self.pod["status"]["conditions"] = json!([{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
                "lastTransitionTime": self.clock.stamp(),
            }]);
            self.store();
        }
        found
    }

    /// One that no pod of the plan has.
    fn address(&self) -> Ipv4Addr {
        let uid = crate::sim::fleet::plan::hash64(&self.text("/metadata/uid"));
        Ipv4Addr::new(10, 254, (uid >> 8) as u8, uid as u8)
    }

    fn show(&mut self, phase: &str, state: &Value) {
        self.pod["status"]["phase"] = phase.into();
        self.pod["status"]["containerStatuses"] = json!([{
            "name": "probe", "image": self.image(), "imageID": "", "restartCount": 0,
            "ready": phase == "Running", "state": state,
        }]);
        self.store();
    }

    /// Unless somebody deleted it.
    fn store(&self) {
        let uid = &self.pod["metadata"]["uid"];
        if self.server.objects("v1", "Pod").iter().any(|pod| pod["metadata"]["uid"] == *uid) {
            self.server.seed(self.pod.clone());
        }
    }

    /// What becomes of its one connection; the nodes' agents see it.
    fn dial(&self, node: usize, address: IpAddr, to: SocketAddr) -> &'static str {
        let (namespace, labels) = (self.text("/metadata/namespace"), self.labels());
        let own = Peer::Pod(PodPeer {
            namespace: &namespace,
            labels: &labels,
            ports: &[],
            address,
            node: &self.plan.nodes[node].name,
            host_network: false,
        });
        let place = place_of(&self.plan, to.ip());
        let other = match place {
            Some(place) => peer(&self.plan, place),
            None => Peer::External { address: to.ip(), host: None },
        };
        let mut agents = self.relay.agents();
        let ruling = agents.traffic().view().judge(&own, &other, to.port(), Protocol::Tcp);
        let packet = Packet { guest: self, namespace: &namespace, labels: &labels, address, to, place };
        let at = self.clock.now().timestamp_nanos_opt().unwrap_or_default();
        let target = match place {
            Some(Place::Pod(pod)) => Some((self.plan.pods[pod].node, pod)),
            Some(Place::Node(_) | Place::External { .. }) | None => None,
        };
        let sides = [
            (Direction::Egress, &ruling.egress, Some(node)),
            (Direction::Ingress, &ruling.ingress, target.map(|(node, _)| node)),
        ];
        for (direction, side, node) in sides {
            let Some(node) = node else { continue };
            if !packet.show(&mut agents, (node, at), direction, side) {
                return "silent";
            }
        }
        match (place, target) {
            (_, Some((_, pod))) => {
                let ports = &self.plan.pod_workload(pod).ports;
                let listens = ports.iter().any(|port| port.number == to.port());
                if listens { "connected" } else { "refused" }
            }
            (Some(Place::External { .. }), None) => "connected",
            (Some(Place::Node(_) | Place::Pod(_)), None) => "refused",
            // Nobody has the address.
            (None, None) => "silent",
        }
    }

    fn labels(&self) -> Labels {
        let pairs = self.pod["metadata"]["labels"].as_object().into_iter().flatten();
        pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    }
}

fn place_of(plan: &Plan, address: IpAddr) -> Option<Place> {
    let pod = plan.pods.iter().position(|pod| IpAddr::from(pod.address) == address).map(Place::Pod);
    let node = || plan.nodes.iter().position(|node| IpAddr::from(node.address) == address).map(Place::Node);
    let external = || {
        plan.externals.iter().enumerate().find_map(|(external, it)| {
            let address = it.addresses.iter().position(|known| *known == address)?;
            Some(Place::External { external, address })
        })
    };
    pod.or_else(node).or_else(external)
}

/// The guest's first packet.
struct Packet<'g> {
    guest: &'g Guest,
    namespace: &'g str,
    labels: &'g Labels,
    address: IpAddr,
    to: SocketAddr,
    place: Option<Place>,
}

impl Packet<'_> {
    /// What the agent of one end tells. False if it was denied.
    fn show(&self, agents: &mut Agents, (node, at): (usize, i64), direction: Direction, side: &Side) -> bool {
        match side {
            Side::Open => {}
            Side::Allowed(by) => agents.tell(node, at, self.flow((node, at), direction, Some(by))),
            Side::Denied(_) => {
                agents.tell(node, at, self.flow((node, at), direction, None));
                let mut drop = self.flow((node, at), direction, None);
                drop.event_type = Some(CiliumEventType { r#type: EVENT_DROP, sub_type: 133 });
                agents.tell(node, at, drop);
                return false;
            }
        }
        true
    }

    fn flow(&self, (node, at): (usize, i64), direction: Direction, allowed: Option<&Vec<PolicyRef>>) -> Flow {
        let plan = &self.guest.plan;
        let subject = match (direction, self.place) {
            (Direction::Ingress, Some(Place::Pod(pod))) => plan.pod_workload(pod).namespace.as_str(),
            (Direction::Ingress | Direction::Egress, _) => self.namespace,
        };
        let policy = |it: &PolicyRef| pb::Policy {
            name: it.name.clone(),
            namespace: subject.to_owned(),
            labels: Vec::new(),
            revision: 2,
            kind: it.kind.to_owned(),
        };
        let policies: Vec<pb::Policy> = allowed.into_iter().flatten().map(policy).collect();
        let is_out = direction == Direction::Egress;
        let (egress_allowed_by, ingress_allowed_by) =
            if is_out { (policies, Vec::new()) } else { (Vec::new(), policies) };
        let verdict = if allowed.is_some() { Verdict::Forwarded } else { Verdict::Dropped };
        let reason = if allowed.is_some() { 0 } else { POLICY_DENIED };
        let side = if is_out { TrafficDirection::Egress } else { TrafficDirection::Ingress };
        Flow {
            time: Some(timestamp(at)),
            node_name: node_name(plan, node),
            verdict: verdict.into(),
            drop_reason: u32::from(reason),
            drop_reason_desc: i32::from(reason),
            is_reply: allowed.map(|_| false),
            policy_match_type: if allowed.is_some() { 4 } else { 0 },
            ip: Some(Ip {
                source: self.address.to_string(),
                destination: self.to.ip().to_string(),
                ip_version: IpVersion::IPv4.into(),
            }),
            l4: Some(Layer4 {
                protocol: Some(layer4::Protocol::Tcp(pb::Tcp {
                    source_port: 40_404,
                    destination_port: u32::from(self.to.port()),
                    flags: Some(pb::TcpFlags { syn: true, ..pb::TcpFlags::default() }),
                })),
            }),
            source: Some(self.own_end()),
            destination: Some(match self.place {
                Some(place) => endpoint(plan, place),
                None => {
                    Endpoint { identity: 2, labels: vec!["reserved:world".to_owned()], ..Endpoint::default() }
                }
            }),
            r#type: FlowType::L3L4.into(),
            event_type: Some(CiliumEventType { r#type: EVENT_VERDICT, sub_type: 0 }),
            traffic_direction: side.into(),
            egress_allowed_by,
            ingress_allowed_by,
            ..Flow::default()
        }
    }

    fn own_end(&self) -> Endpoint {
        let name = self.guest.text("/metadata/name");
        Endpoint {
            id: 7,
            identity: 54_321,
            namespace: self.namespace.to_owned(),
            labels: self.labels.iter().map(|(key, value)| format!("k8s:{key}={value}")).collect(),
            workloads: vec![pb::Workload { name: name.clone(), kind: "Pod".to_owned() }],
            pod_name: name,
            cluster_name: self.guest.plan.cluster.clone(),
        }
    }
}
