//! Writes a cluster's inventory as Kubernetes objects, the way its controllers would have left
//! them: owners, addresses, labels, conditions. Pure: the plan and times in, JSON out.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::sim::fleet::{
    aggregator,
    flows::service_name,
    plan::{Container, Labels, Namespace, Node, Plan, Pod, Port, Workload, uid},
    scenario::{Cni, Kind},
    system,
};

/// Everything a cluster holds at the start.
pub fn all(plan: &Plan, created: &str, now: DateTime<Utc>) -> Vec<Value> {
    let maker = Maker { plan, created, now };
    let mut objects: Vec<Value> = plan.namespaces.iter().map(|ns| maker.namespace(ns)).collect();
    objects.extend(plan.nodes.iter().enumerate().map(|(index, node)| maker.node(index, node)));
    objects.extend(maker.config_maps());
    objects.extend(maker.api_service());
    for workload in &plan.workloads {
        objects.extend(maker.owners(workload));
        objects.extend(
            workload.pods.iter().map(|pod| maker.pod(workload, &plan.pods[*pod], first_phase(workload))),
        );
        objects.extend(maker.service(workload));
    }
    objects
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Running,
    Succeeded,
}

/// A pod that came into this phase at `at`.
pub fn pod_in(plan: &Plan, pod: usize, phase: Phase, at: &str) -> Value {
    let maker = Maker { plan, created: at, now: DateTime::default() };
    maker.pod(plan.pod_workload(pod), &plan.pods[pod], phase)
}

/// A CronJob that last ran at this moment.
pub fn cron_job_at(plan: &Plan, workload: usize, created: &str, at: DateTime<Utc>) -> Value {
    Maker { plan, created, now: at }.cron_job(&plan.workloads[workload], Some(at))
}

struct Maker<'a> {
    plan: &'a Plan,
    created: &'a str,
    /// CronJobs ran up to now.
    now: DateTime<Utc>,
}

impl Maker<'_> {
    fn meta(&self, kind: &str, namespace: &str, name: &str, labels: &Labels) -> Value {
        let mut meta = json!({
            "name": name,
            "uid": self.uid(kind, namespace, name),
            "creationTimestamp": self.created,
        });
        if !namespace.is_empty() {
            meta["namespace"] = json!(namespace);
        }
        if !labels.is_empty() {
            meta["labels"] = json!(labels);
        }
        meta
    }

    fn uid(&self, kind: &str, namespace: &str, name: &str) -> String {
        uid(&format!("{}/{}/{kind}/{namespace}/{name}", self.plan.seed, self.plan.cluster))
    }

    fn owner(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Value {
        json!([{
            "apiVersion": api_version, "kind": kind, "name": name, "uid": self.uid(kind, namespace, name),
            "controller": true, "blockOwnerDeletion": true,
        }])
    }

    fn namespace(&self, namespace: &Namespace) -> Value {
        let mut meta = self.meta("Namespace", "", &namespace.name, &namespace.labels);
        if !namespace.annotations.is_empty() {
            meta["annotations"] = json!(namespace.annotations);
        }
        json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": meta,
            "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
        })
    }

    fn node(&self, index: usize, node: &Node) -> Value {
        let mut labels = Labels::from([
            ("kubernetes.io/hostname".to_owned(), node.name.clone()),
            ("kubernetes.io/os".to_owned(), "linux".to_owned()),
            ("kubernetes.io/arch".to_owned(), "amd64".to_owned()),
        ]);
        if node.control_plane {
            labels.insert("node-role.kubernetes.io/control-plane".to_owned(), String::new());
        }
        let mut meta = self.meta("Node", "", &node.name, &labels);
        if self.plan.cni == Cni::Flannel {
            meta["annotations"] = json!({
                "flannel.alpha.coreos.com/backend-type": "vxlan",
                "flannel.alpha.coreos.com/kube-subnet-manager": "true",
                "flannel.alpha.coreos.com/public-ip": node.address.to_string(),
            });
        }
        let network = self.plan.nodes[index].address.octets()[2];
        let cidr = format!("10.{}.{index}.0/24", 64 + u32::from(network));
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": meta,
            "spec": { "podCIDR": cidr, "podCIDRs": [cidr] },
            "status": {
                "addresses": [
                    { "type": "InternalIP", "address": node.address.to_string() },
                    { "type": "Hostname", "address": node.name },
                ],
                "conditions": [self.network_condition(), condition("Ready", "True", "KubeletReady", self.created)],
                "nodeInfo": {
                    "kubeletVersion": "v1.36.2", "osImage": "Debian GNU/Linux 13 (trixie)", "kernelVersion": "6.12.41",
                    "containerRuntimeVersion": "containerd://2.1.4", "operatingSystem": "linux", "architecture": "amd64",
                },
            },
        })
    }

    fn network_condition(&self) -> Value {
        let reason = match self.plan.cni {
            Cni::Cilium => "CiliumIsUp",
            Cni::Calico | Cni::CalicoOperator => "CalicoIsUp",
            Cni::Antrea => "AntreaIsUp",
            Cni::Flannel => "FlannelIsUp",
            Cni::Aws | Cni::Kindnet => "",
        };
        condition("NetworkUnavailable", "False", reason, self.created)
    }

    fn config_maps(&self) -> Vec<Value> {
        let make = |(namespace, name, data): (&str, &str, Vec<(&str, &str)>)| {
            let mut data: serde_json::Map<String, Value> =
                data.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
            if name == "cilium-config" {
                data.insert("cluster-name".to_owned(), json!(self.plan.cluster));
                data.insert("policy-audit-mode".to_owned(), json!(self.plan.audit.to_string()));
            }
            let exports = self.plan.workloads.iter().any(|it| it.name == aggregator::NAME);
            if let Some(Value::String(conf)) = data.get_mut("antrea-agent.conf").filter(|_| exports) {
                *conf = conf.replacen("FlowExporter: false", "FlowExporter: true", 1);
                conf.push_str("flowExporter:\n  enable: true\n  flowCollectorAddr: \"flow-aggregator/flow-aggregator:14739:grpc\"\n");
            }
            // Whoever has a collector has his DNS answers sent to it.
            let is_collected = self.plan.workloads.iter().any(|it| it.name == system::COLLECTOR);
            if let Some(Value::String(corefile)) = data.get_mut("Corefile").filter(|_| is_collected) {
                let tap = format!(
                    "    dnstap tcp://{}.{}.svc:6000 full\n",
                    system::COLLECTOR,
                    system::COLLECTOR_NAMESPACE
                );
                *corefile = corefile.replacen("    errors\n", &format!("    errors\n{tap}"), 1);
            }
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": self.meta("ConfigMap", namespace, name, &Labels::new()), "data": data,
            })
        };
        system::config_maps(self.plan.cni).into_iter().map(make).collect()
    }

    /// `default/kubernetes`: a Service without pods, and where it leads.
    fn api_service(&self) -> Vec<Value> {
        let network = self.plan.nodes[0].address.octets()[2];
        let labels = Labels::from([("component".to_owned(), "apiserver".to_owned())]);
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": self.meta("Service", "default", "kubernetes", &labels),
            "spec": {
                "type": "ClusterIP", "clusterIP": format!("10.{}.0.1", 128 + u32::from(network)),
                "ports": [{ "name": "https", "port": 443, "targetPort": 6443, "protocol": "TCP" }],
            },
            "status": { "loadBalancer": {} },
        });
        let labels = Labels::from([("kubernetes.io/service-name".to_owned(), "kubernetes".to_owned())]);
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": self.meta("EndpointSlice", "default", "kubernetes", &labels),
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [self.plan.nodes[0].address.to_string()], "conditions": { "ready": true } }],
            "ports": [{ "name": "https", "port": 6443, "protocol": "TCP" }],
        });
        vec![service, slice]
    }

    /// The objects above a workload's pods.
    fn owners(&self, workload: &Workload) -> Vec<Value> {
        match workload.kind {
            Kind::Deployment => vec![self.deployment(workload), self.replica_set(workload)],
            Kind::DaemonSet => vec![self.daemon_set(workload)],
            Kind::CronJob => {
                let last_run = workload.schedule.as_ref().and_then(|cron| cron.last(self.now));
                vec![self.cron_job(workload, last_run), self.job(workload)]
            }
        }
    }

    fn deployment(&self, it: &Workload) -> Value {
        let count = it.pods.len();
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": self.generated(self.meta("Deployment", &it.namespace, &it.name, &it.labels)),
            "spec": { "replicas": count, "selector": { "matchLabels": selector(it) }, "template": template(it) },
            "status": { "replicas": count, "readyReplicas": count, "availableReplicas": count, "updatedReplicas": count, "observedGeneration": 1 },
        })
    }

    fn replica_set(&self, it: &Workload) -> Value {
        let name = self.replica_set_name(it);
        let mut meta = self.generated(self.meta("ReplicaSet", &it.namespace, &name, &it.labels));
        meta["ownerReferences"] = self.owner("apps/v1", "Deployment", &it.namespace, &it.name);
        let count = it.pods.len();
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta,
            "spec": { "replicas": count, "selector": { "matchLabels": selector(it) }, "template": template(it) },
            "status": { "replicas": count, "readyReplicas": count, "availableReplicas": count, "observedGeneration": 1 },
        })
    }

    fn daemon_set(&self, it: &Workload) -> Value {
        let count = it.pods.len();
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": self.generated(self.meta("DaemonSet", &it.namespace, &it.name, &it.labels)),
            "spec": { "selector": { "matchLabels": selector(it) }, "template": template(it) },
            "status": {
                "currentNumberScheduled": count, "desiredNumberScheduled": count, "numberReady": count,
                "numberAvailable": count, "updatedNumberScheduled": count, "numberMisscheduled": 0, "observedGeneration": 1,
            },
        })
    }

    fn cron_job(&self, it: &Workload, last_run: Option<DateTime<Utc>>) -> Value {
        let schedule = it.schedule.as_ref().map_or("@daily", |cron| cron.as_str());
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": self.generated(self.meta("CronJob", &it.namespace, &it.name, &it.labels)),
            "spec": { "schedule": schedule, "concurrencyPolicy": "Forbid", "jobTemplate": { "spec": { "template": template(it) } } },
            "status": last_run.map_or_else(|| json!({}), |at| {
                let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
                json!({ "lastScheduleTime": at, "lastSuccessfulTime": at })
            }),
        })
    }

    fn job(&self, it: &Workload) -> Value {
        let name = self.job_name(it);
        let mut meta = self.generated(self.meta("Job", &it.namespace, &name, &it.labels));
        meta["ownerReferences"] = self.owner("batch/v1", "CronJob", &it.namespace, &it.name);
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": meta,
            "spec": { "template": template(it), "completions": 1, "parallelism": 1 }, "status": { "succeeded": 1 },
        })
    }

    fn pod(&self, it: &Workload, pod: &Pod, phase: Phase) -> Value {
        let mut meta = self.meta("Pod", &it.namespace, &pod.name, &it.labels);
        meta["ownerReferences"] = match it.kind {
            Kind::Deployment => {
                self.owner("apps/v1", "ReplicaSet", &it.namespace, &self.replica_set_name(it))
            }
            Kind::DaemonSet => self.owner("apps/v1", "DaemonSet", &it.namespace, &it.name),
            Kind::CronJob => self.owner("batch/v1", "Job", &it.namespace, &self.job_name(it)),
        };
        let node = &self.plan.nodes[pod.node];
        let mut spec = template(it)["spec"].take();
        spec["nodeName"] = json!(node.name);
        let runs = phase != Phase::Succeeded;
        let state = if runs {
            json!({ "running": { "startedAt": self.created } })
        } else {
            json!({ "terminated": { "exitCode": 0, "reason": "Completed", "finishedAt": self.created } })
        };
        let container = |c: &Container| {
            json!({
                "name": c.name, "image": c.image, "imageID": c.image, "ready": runs, "started": runs,
                "restartCount": 0, "state": state,
            })
        };
        let ready = if runs { "True" } else { "False" };
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec,
            "status": {
                "phase": if runs { "Running" } else { "Succeeded" }, "qosClass": "BestEffort", "startTime": self.created,
                "hostIP": node.address.to_string(), "hostIPs": [{ "ip": node.address.to_string() }],
                "podIP": pod.address.to_string(), "podIPs": [{ "ip": pod.address.to_string() }],
                "conditions": [
                    condition("Ready", ready, "", self.created),
                    condition("PodScheduled", "True", "", self.created),
                ],
                "containerStatuses": it.containers.iter().map(container).collect::<Vec<_>>(),
            },
        })
    }

    /// The workload's Service and its EndpointSlice.
    fn service(&self, it: &Workload) -> Vec<Value> {
        let Some(address) = it.service else { return Vec::new() };
        let name = service_name(&it.name);
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": self.meta("Service", &it.namespace, name, &it.labels),
            "spec": {
                "type": "ClusterIP", "clusterIP": address.to_string(), "clusterIPs": [address.to_string()],
                "selector": selector(it), "ports": it.ports.iter().map(|p| service_port(it, p)).collect::<Vec<_>>(),
            },
            "status": { "loadBalancer": {} },
        });
        let mut labels = it.labels.clone();
        labels.insert("kubernetes.io/service-name".to_owned(), name.to_owned());
        let mut meta = self.meta("EndpointSlice", &it.namespace, &format!("{name}-abcde"), &labels);
        meta["ownerReferences"] = self.owner("v1", "Service", &it.namespace, name);
        let endpoint = |pod: &usize| {
            let pod = &self.plan.pods[*pod];
            json!({
                "addresses": [pod.address.to_string()], "conditions": { "ready": true },
                "nodeName": self.plan.nodes[pod.node].name,
                "targetRef": {
                    "kind": "Pod", "name": pod.name, "namespace": it.namespace,
                    "uid": self.uid("Pod", &it.namespace, &pod.name),
                },
            })
        };
        let port = |p: &Port| json!({ "name": p.name, "port": p.number, "protocol": p.protocol.as_str() });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta, "addressType": "IPv4",
            "endpoints": it.pods.iter().map(endpoint).collect::<Vec<_>>(),
            "ports": it.ports.iter().map(port).collect::<Vec<_>>(),
        });
        vec![service, slice]
    }

    fn generated(&self, mut meta: Value) -> Value {
        meta["generation"] = json!(1);
        meta
    }

    /// A pod's name less its last part is its ReplicaSet's or Job's.
    fn replica_set_name(&self, it: &Workload) -> String {
        let first = it.pods.first().map_or(it.name.as_str(), |pod| self.plan.pods[*pod].name.as_str());
        first.rsplit_once('-').map_or(first, |(head, _)| head).to_owned()
    }

    fn job_name(&self, it: &Workload) -> String {
        self.replica_set_name(it)
    }
}

/// A CronJob's pod has done its work until the next run.
fn first_phase(it: &Workload) -> Phase {
    if it.kind == Kind::CronJob { Phase::Succeeded } else { Phase::Running }
}

/// Labels by which a controller or Service finds its pods.
fn selector(it: &Workload) -> Labels {
    let keys = ["app", "k8s-app", "io.cilium/app", "component"];
    it.labels
        .iter()
        .filter(|(key, _)| keys.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn template(it: &Workload) -> Value {
    let port =
        |p: &Port| json!({ "name": p.name, "containerPort": p.number, "protocol": p.protocol.as_str() });
    let containers: Vec<Value> = it
        .containers
        .iter()
        .enumerate()
        .map(|(index, c)| {
            let mut container =
                json!({ "name": c.name, "image": c.image, "imagePullPolicy": "IfNotPresent" });
            if c.name == "calico-node" && it.namespace == "calico-system" {
                container["env"] = json!([
                    { "name": "FELIX_FLOWLOGSGOLDMANESERVER", "value": "goldmane.calico-system.svc:7443" },
                    { "name": "FELIX_FLOWLOGSFLUSHINTERVAL", "value": "15" },
                ]);
            }
            if index == 0 && !it.ports.is_empty() {
                container["ports"] = it.ports.iter().map(port).collect();
            }
            container
        })
        .collect();
    let restart = if it.kind == Kind::CronJob { "OnFailure" } else { "Always" };
    let mut spec = json!({ "containers": containers, "restartPolicy": restart, "dnsPolicy": "ClusterFirst" });
    if it.host_network {
        spec["hostNetwork"] = json!(true);
    }
    if let Some(name) = system::mounted(&it.namespace, &it.name) {
        spec["volumes"] = json!([{ "name": name, "configMap": { "name": name } }]);
        let folder = json!([{ "name": name, "mountPath": "/etc/antrea", "readOnly": true }]);
        let containers = spec["containers"].as_array_mut().into_iter().flatten();
        containers.take(1).for_each(|first| first["volumeMounts"] = folder.clone());
    }
    json!({ "metadata": { "labels": it.labels }, "spec": spec })
}

/// Services listen on 80 where their pods listen on a high port, the relay's among them.
fn service_port(it: &Workload, port: &Port) -> Value {
    let first = it.ports.first().is_some_and(|p| p.number == port.number);
    let outside = match (first, port.name.as_str()) {
        (true, "http" | "grpc") => 80,
        (true, "https") => 443,
        _ => port.number,
    };
    json!({ "name": port.name, "port": outside, "targetPort": port.name, "protocol": port.protocol.as_str() })
}

fn condition(kind: &str, status: &str, reason: &str, at: &str) -> Value {
    let mut condition = json!({ "type": kind, "status": status, "lastTransitionTime": at });
    if !reason.is_empty() {
        condition["reason"] = json!(reason);
    }
    condition
}
