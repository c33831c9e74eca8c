//! Runs one probe: a small pod, pinned to a node, that dials once and says what came of it. Created,
//! waited for, read and always deleted; what a crash left behind is swept. What it proves is decided
//! elsewhere. The pod asks for little, may do nothing, and has no credentials.

use std::{net::SocketAddr, time::Duration};

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    cockpit::ports::Trouble,
    domain::{
        names::{NodeName, NsName, PodName, Text},
        probe::{self, Aim, Exit, To},
    },
};

use super::{
    connect::Access,
    decode::Meta,
    follow::escaped,
    identity,
    wire::{Call, JSON, Server},
};

/// How long the pod dials.
pub const WITHIN: Duration = Duration::from_secs(5);
/// Scheduling, pulling and dialling may take this long; the kubelet ends it then, too.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(2);
const CONTAINER: &str = "probe";
/// Whoever may create and delete its pods.
const ROLE: &str = "sluice-target-probe";

/// One probe to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub aim: Aim,
    /// The pod's name, in the namespace that the aim says.
    pub pod: PodName,
    pub image: Text,
    /// Who asks, for people who find the pod.
    pub observer: Text,
}

/// The way to one cluster, kept for many probes.
#[derive(Clone)]
pub struct Runner {
    server: Server,
}

impl Runner {
    pub async fn open(access: &Access) -> Result<Self, Trouble> {
        Ok(Self { server: access.server().await? })
    }

    /// What came of it. Its pod is gone afterwards, also if this is dropped half-way.
    pub async fn run(&self, probe: &Probe) -> Exit {
        match self.try_run(probe).await {
            Ok(exit) => exit,
            Err(trouble) => Exit::CouldNotRun(Text::from(trouble.to_string())),
        }
    }

    async fn try_run(&self, probe: &Probe) -> Result<Exit, Trouble> {
        self.may_run(&probe.aim.from).await?;
        let to = self.address(&probe.aim).await?;
        let object = format!("the probe's pod in {}", probe.aim.from);
        let mut made =
            Made { runner: self.clone(), ns: probe.aim.from.clone(), pod: Some(probe.pod.clone()) };
        let body = manifest(probe, to);
        let path = format!("/api/v1/namespaces/{}/pods", probe.aim.from);
        let created = self.server.bytes(Call::send(Method::POST, path, JSON, &body)).await;
        let exit = match created {
            Ok(_) => self.wait(&probe.aim, &probe.pod).await,
            Err(failure) if failure.may_have_landed() => Err(failure.trouble(&object)),
            Err(failure) => {
                // There is nothing to delete.
                made.pod = None;
                Err(failure.trouble(&object))
            }
        };
        if made.pod.take().is_some() {
            self.delete(&probe.aim.from, &probe.pod).await;
        }
        exit
    }

    async fn may_run(&self, ns: &NsName) -> Result<(), Trouble> {
        for verb in ["create", "delete"] {
            let object = format!("pods of {ns}");
            let may = identity::may_in(&self.server, ns.as_str(), verb, ("", "pods", "")).await;
            if !may.map_err(|failure| failure.trouble(&object))? {
                let next =
                    format!("Bind the ClusterRole {ROLE} there, or take `probes:` out of sluice.yaml.");
                return Err(Trouble::new(&object, &format!("you may not {verb} them"), &next));
            }
        }
        Ok(())
    }

    async fn address(&self, aim: &Aim) -> Result<SocketAddr, Trouble> {
        let address = match &aim.to {
            To::Address(address) => *address,
            To::Pod(pod) => {
                let object = format!("pod {}/{pod}", aim.ns);
                let path = format!("/api/v1/namespaces/{}/pods/{pod}", aim.ns);
                let found: PodWire =
                    self.server.ask(Call::get(path)).await.map_err(|failure| failure.trouble(&object))?;
                let address = found.status.pod_ip.parse().ok();
                address.ok_or_else(|| Trouble::new(&object, "it has no address yet", "Nothing to do."))?
            }
        };
        Ok(SocketAddr::new(address, aim.port))
    }

    async fn wait(&self, aim: &Aim, pod: &PodName) -> Result<Exit, Trouble> {
        let object = format!("the probe's pod in {}", aim.from);
        let path = format!("/api/v1/namespaces/{}/pods/{pod}", aim.from);
        let until = Instant::now() + PATIENCE;
        loop {
            sleep(LOOK).await;
            let looked = self.server.ask::<PodWire>(Call::get(path.as_str())).await;
            let stands = match looked {
                Ok(found) => match read(&found, aim) {
                    Stands::Ended(exit) => return Ok(exit),
                    Stands::Waits(why) => Trouble::new(&object, why.as_str(), "Look at it with kubectl."),
                },
                Err(failure) if failure.code() == Some(404) => {
                    return Err(Trouble::new(
                        &object,
                        "somebody deleted it",
                        "The next one comes by itself.",
                    ));
                }
                // One look that failed costs nothing but time.
                Err(failure) => failure.trouble(&object),
            };
            if Instant::now() >= until {
                let fact = format!("not through after {} s: {}", PATIENCE.as_secs(), stands.fact);
                return Err(Trouble { fact: Text::from(fact), ..stands });
            }
        }
    }

    async fn delete(&self, ns: &NsName, pod: &PodName) {
        let path = format!("/api/v1/namespaces/{ns}/pods/{pod}");
        let body = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0 });
        let deleted = self.server.bytes(Call::send(Method::DELETE, path, JSON, &body)).await;
        if let Err(failure) = deleted
            && failure.code() != Some(404)
        {
            // The next sweep takes it along.
            tracing::warn!(%ns, %pod, ?failure, "a probe's pod could not be deleted");
        }
    }

    /// Deletes pods of probes that nobody waits for: a sluice that crashed left them behind.
    pub async fn sweep(&self, is_ours: impl Fn(&str) -> bool) {
        let selector = escaped(&format!("{}={}", probe::LABEL, probe::NAME));
        let path = format!("/api/v1/pods?labelSelector={selector}");
        let list = match self.server.ask::<List>(Call::get(path)).await {
            Ok(list) => list,
            Err(failure) => {
                tracing::warn!(?failure, "pods of probes could not be listed");
                return;
            }
        };
        for found in list.items.unwrap_or_default() {
            let Meta { name, namespace, labels, .. } = found.metadata;
            let is_managed = labels
                .as_ref()
                .and_then(|labels| labels.get("app.kubernetes.io/managed-by"))
                .is_some_and(|by| by == "sluice");
            let (Ok(ns), Ok(pod)) = (NsName::parse(&namespace), PodName::parse(&name)) else { continue };
            if is_managed && probe::is_named(&pod) && !is_ours(&name) {
                self.delete(&ns, &pod).await;
            }
        }
    }
}

/// A pod that must not outlive who waits for it.
struct Made {
    runner: Runner,
    ns: NsName,
    pod: Option<PodName>,
}

impl Drop for Made {
    fn drop(&mut self) {
        let Some(pod) = self.pod.take() else { return };
        let (runner, ns) = (self.runner.clone(), self.ns.clone());
        // Without a runtime the program ends: then the next sweep does it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { runner.delete(&ns, &pod).await });
        }
    }
}

/// The pod as it is created.
pub fn manifest(probe: &Probe, to: SocketAddr) -> Value {
    let aim = &probe.aim;
    let mut labels: serde_json::Map<String, Value> =
        probe::labels().iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    // A sidecar would dial in its place, and outlive it.
    labels.insert("sidecar.istio.io/inject".to_owned(), "false".into());
    let (about, by) = (format!("{} {} on {}", aim.ns, aim.direction, aim.node), probe.observer.as_str());
    let seconds = PATIENCE.as_secs();
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": probe.pod.as_str(),
            "namespace": aim.from.as_str(),
            "labels": labels,
            "annotations": {
                "sluice.dev/proves": about,
                "sluice.dev/observer": by,
                "linkerd.io/inject": "disabled",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "tolerations": [{ "operator": "Exists" }],
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": CONTAINER,
                "image": probe.image.as_str(),
                "command": ["sluice"],
                "args": [
                    "probe",
                    format!("--to={to}"),
                    format!("--within-secs={}", WITHIN.as_secs()),
                    "--message=/dev/termination-log",
                ],
                "resources": {
                    "requests": { "cpu": "10m", "memory": "32Mi" },
                    "limits": { "cpu": "100m", "memory": "32Mi" },
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    });
    // Who knocks from outside may do so from any node: the node of the pod that is knocked at judges.
    if let To::Address(_) = aim.to {
        pod["spec"]["affinity"] = pinned_to(&aim.node);
    }
    pod
}

/// As DaemonSets do it: the scheduler says what stands in the way, and nothing else may take its place.
fn pinned_to(node: &NodeName) -> Value {
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{
        "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node.as_str()] }],
    }] } } })
}

/// How far a probe's pod is.
#[derive(Clone, Debug, PartialEq)]
enum Stands {
    Ended(Exit),
    /// What it waits for.
    Waits(Text),
}

/// Waiting for these lasts until somebody corrects something.
const HOPELESS: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

fn read(pod: &PodWire, aim: &Aim) -> Stands {
    let status = &pod.status;
    let not = |why: String| Stands::Ended(Exit::CouldNotRun(Text::from(why)));
    let is_pinned = matches!(aim.to, To::Address(_));
    if let Some(node) = pod.spec.node_name.as_deref().filter(|node| is_pinned && *node != aim.node.as_str()) {
        return not(format!("it was put on node {}", Text::new(node)));
    }
    let ours = status.container_statuses.iter().flatten().filter(|one| one.name == CONTAINER);
    let states = ours.map(|one| &one.state);
    for state in states {
        if let Some(ended) = &state.terminated {
            return match Exit::parse(&ended.message) {
                Some(exit) => Stands::Ended(exit),
                None => not(format!(
                    "its container ended with code {} ({}) and said {:?}",
                    ended.exit_code,
                    Text::new(&ended.reason),
                    Text::new(&ended.message).as_str()
                )),
            };
        }
        if let Some(waiting) = state.waiting.as_ref().filter(|one| HOPELESS.contains(&one.reason.as_str())) {
            return not(format!("{}: {}", Text::new(&waiting.reason), Text::new(&waiting.message)));
        }
    }
    if matches!(status.phase.as_str(), "Failed" | "Succeeded") {
        return not(format!(
            "it ended without a word ({} {})",
            Text::new(&status.reason),
            Text::new(&status.message)
        ));
    }
    let unscheduled =
        status.conditions.iter().flatten().find(|c| c.r#type == "PodScheduled" && c.status == "False");
    Stands::Waits(match unscheduled {
        Some(why) => Text::from(format!("{}: {}", Text::new(&why.reason), Text::new(&why.message))),
        None => Text::from(format!("it is {}", Text::new(&status.phase))),
    })
}

#[derive(Deserialize)]
struct List {
    items: Option<Vec<Bare>>,
}

#[derive(Deserialize)]
struct Bare {
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodWire {
    spec: SpecWire,
    status: StatusWire,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecWire {
    node_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusWire {
    phase: String,
    reason: String,
    message: String,
    #[serde(rename = "podIP")]
    pod_ip: String,
    conditions: Option<Vec<ConditionWire>>,
    container_statuses: Option<Vec<ContainerWire>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConditionWire {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerWire {
    name: String,
    state: StateWire,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StateWire {
    waiting: Option<WaitingWire>,
    terminated: Option<TerminatedWire>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WaitingWire {
    reason: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TerminatedWire {
    exit_code: i64,
    reason: String,
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::flow::Direction;

    fn probe() -> Probe {
        Probe {
            aim: Aim {
                ns: NsName::parse("shop").expect("a name"),
                direction: Direction::Egress,
                node: NodeName::parse("worker-1").expect("a name"),
                from: NsName::parse("shop").expect("a name"),
                to: To::Address("192.0.2.1".parse().expect("an address")),
                port: 9,
            },
            pod: PodName::parse("sluice-probe-egress-0badcafe").expect("a name"),
            image: Text::new("registry.example/sluice:1"),
            observer: Text::new("watch on host"),
        }
    }

    #[test]
    fn the_pod_asks_for_little_and_may_do_nothing() {
        let pod = manifest(&probe(), "192.0.2.1:9".parse().expect("an address"));
        insta::assert_snapshot!("pod", serde_json::to_string_pretty(&pod).expect("JSON"));
        let to = To::Pod(PodName::parse("cart-0").expect("a name"));
        let probe = Probe { aim: Aim { to, direction: Direction::Ingress, ..probe().aim }, ..probe() };
        let outside = manifest(&probe, "[2001:db8::1]:9".parse().expect("an address"));
        assert_eq!(outside["spec"]["affinity"], Value::Null, "from any node");
        assert_eq!(outside["spec"]["containers"][0]["args"][1], "--to=[2001:db8::1]:9");
    }

    #[test]
    fn how_a_pod_stands_is_read_from_its_status() {
        let state = |state: Value| {
            json!({ "spec": { "nodeName": "worker-1" }, "status": {
                "phase": "Running", "containerStatuses": [{ "name": "sidecar" }, { "name": "probe", "state": state }],
            } })
        };
        let ended = |message: &str| {
            state(json!({ "terminated": { "exitCode": 1, "reason": "Error", "message": message } }))
        };
        let status = |status: Value| json!({ "status": status });
        for (pod, expected) in [
            (ended("silent"), "ended Silent"),
            (ended("connected\n"), "ended Connected"),
            (
                ended("exec: \"sluice\": not found"),
                r#"not run: its container ended with code 1 (Error) and said "exec: \"sluice\": not found""#,
            ),
            (
                state(json!({ "waiting": { "reason": "ErrImagePull", "message": "no such host" } })),
                "not run: ErrImagePull: no such host",
            ),
            (state(json!({ "waiting": { "reason": "ContainerCreating" } })), "waits it is Running"),
            (state(json!({ "running": {} })), "waits it is Running"),
            (
                json!({ "spec": { "nodeName": "worker-2" }, "status": { "phase": "Running" } }),
                "not run: it was put on node worker-2",
            ),
            (
                status(json!({ "phase": "Failed", "reason": "Evicted", "message": "memory" })),
                "not run: it ended without a word (Evicted memory)",
            ),
            (
                status(json!({ "phase": "Pending", "conditions": [
                    { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "cordoned" },
                ] })),
                "waits Unschedulable: cordoned",
            ),
            (status(json!({})), "waits it is "),
        ] {
            let wire: PodWire = serde_json::from_value(pod.clone()).expect("a pod");
            let said = match read(&wire, &probe().aim) {
                Stands::Ended(Exit::CouldNotRun(why)) => format!("not run: {why}"),
                Stands::Ended(exit) => format!("ended {exit:?}"),
                Stands::Waits(why) => format!("waits {why}"),
            };
            assert_eq!(said, expected, "{pod}");
        }
    }
}
