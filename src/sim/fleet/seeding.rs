//! What a simulated API server is told from outside: its first objects and resources, and which of
//! its faults are in force. Never reads back.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::sim::{
    api::{
        cluster::Cluster,
        faults::{Denial, Faults, Reach, Refusal},
        resources::Resource,
    },
    fleet::{
        aggregator,
        faults::Fault,
        kyverno::Kyverno,
        objects,
        past::{Past, Way},
        people::{self, Person},
        plan::Plan,
        scenario::{ClusterSpec, Cni, Records},
        shared_state, staged, system, workspace,
    },
};

pub fn extra_resources(spec: &ClusterSpec) -> Vec<Resource> {
    let mut all = spec.kyverno.map(Kyverno::resources).unwrap_or_default();
    match spec.cni {
        Cni::Cilium => {
            all.push(Resource::custom("cilium.io", "v2", "ciliumnetworkpolicies", "CiliumNetworkPolicy"));
        }
        Cni::CalicoOperator => {
            let (group, version) = staged::GROUP_VERSION;
            all.push(Resource::custom(group, version, staged::PLURAL, staged::KIND));
        }
        Cni::Calico | Cni::Antrea | Cni::Flannel | Cni::Aws | Cni::Kindnet => {}
    }
    all
}

/// Everything the cluster holds at the start.
pub fn seed_objects(server: &Cluster, plan: &Plan, (spec, past): (&ClusterSpec, &Past), now: DateTime<Utc>) {
    let created = now - chrono::Duration::days(40);
    let created = &created.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    for object in objects::all(plan, created, now) {
        server.seed(object);
    }
    if spec.agent.records == Some(Records::HubbleStdout) {
        seed_own(
            server,
            &serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "namespace": "kube-system", "name": "cilium-config" },
                "data": { "hubble-export-file-path": "stdout" },
            }),
        );
    }
    for own in &spec.objects {
        seed_own(server, own);
    }
    let plugin: Vec<&str> = system::namespaces(spec.cni)
        .into_iter()
        .filter(|ns| !matches!(*ns, "default" | "kube-node-lease" | "kube-public"))
        // The team reads collectors through their pods' ports.
        .chain(spec.collector.is_some().then_some(system::COLLECTOR_NAMESPACE))
        .chain(spec.agent.records.and_then(Records::printed).map(|_| system::PRINTER_NAMESPACE))
        .chain((spec.agent.records == Some(Records::FlowStream)).then_some(aggregator::NAMESPACE))
        .collect();
    for object in people::roles(&plugin) {
        server.seed(object);
    }
    if spec.state {
        shared_state::install(server);
    }
    // Namespaces of one pattern have the same rules: each text is read once.
    let mut read: HashMap<String, Value> = HashMap::new();
    for namespace in plan.namespaces.iter().filter(|ns| !ns.system) {
        for name in workspace::PINNED.iter().take(spec.policies) {
            let text = workspace::policy(plan, &namespace.name, name);
            let text = text.replacen(&format!("  namespace: {}\n", namespace.name), "", 1);
            let known = read.entry(text).or_insert_with_key(|text| applied(text, created));
            let mut policy = known.clone();
            policy["metadata"]["namespace"] = namespace.name.as_str().into();
            server.seed(policy);
        }
    }
    for direction in Way::ALL.map(Way::as_str) {
        let live: Vec<_> = past.live(&spec.name, now).filter(|(way, ..)| way.as_str() == direction).collect();
        for (_, namespace, since) in &live {
            let since = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            for name in workspace::PINNED.iter().filter(|name| name.contains(direction)) {
                server.seed(applied(&workspace::policy(plan, namespace, name), &since));
            }
        }
        let live: Vec<&str> = live.into_iter().map(|(_, namespace, _)| namespace).collect();
        if let Some(kyverno) = spec.kyverno.filter(|_| !live.is_empty()) {
            server.seed(kyverno.policy(direction, &live));
        }
    }
    if plan.namespaces.iter().any(|ns| ns.name == people::BOUND) {
        server.seed(people::bound());
    }
}

/// An object of the scenario: merged into what is there of that name, else new.
fn seed_own(server: &Cluster, own: &Value) {
    let text = |path: &str| own.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let all = server.objects(text("/apiVersion"), text("/kind"));
    let is_same = |it: &Value| {
        ["name", "namespace"].into_iter().all(|part| it["metadata"][part] == own["metadata"][part])
    };
    let found = all.into_iter().find(|it| is_same(it));
    let mut object = found.map_or(Value::Null, |it| Value::clone(&it));
    json_patch::merge(&mut object, own);
    server.seed(object);
}

/// A policy as it looks after the rollout's tool applied it.
fn applied(text: &str, at: &str) -> Value {
    let mut policy: Value = serde_yaml::from_str(text).expect("the workspace's own texts are YAML");
    let fields = policy["spec"].as_object().into_iter().flatten();
    let owned: serde_json::Map<String, Value> =
        fields.map(|(name, _)| (format!("f:{name}"), serde_json::json!({}))).collect();
    policy["metadata"]["generation"] = 1.into();
    policy["metadata"]["creationTimestamp"] = at.into();
    policy["metadata"]["managedFields"] = serde_json::json!([{
        "manager": "sluice", "operation": "Apply", "apiVersion": policy["apiVersion"], "time": at,
        "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": owned },
    }]);
    policy
}

/// The part of the faults that the API server acts out.
pub fn of_server(faults: &[Fault]) -> Faults {
    let mut all = Faults::default();
    for fault in faults {
        match fault {
            Fault::Dead => all.reach = Reach::Breaks,
            Fault::Slow { answer } => all.latency = *answer,
            Fault::WatchExpiry => all.expire_watches = true,
            Fault::TooManyRequests => all.refusals.push(Refusal { user: String::new(), retry_after_secs: 1 }),
            Fault::ExpiredCertificate => all.expired_certificates = true,
            Fault::MissingRights => all.denials.extend(missing_rights()),
            Fault::AnswersLost => all.lose_write_answers = true,
            Fault::Garbage => all.garbage = true,
            Fault::NodeLost { .. }
            | Fault::NodeDown { .. }
            | Fault::ClockSkew { .. }
            | Fault::OddFlows
            | Fault::Disorder
            | Fault::LostEvents { .. }
            | Fault::RelayAway
            | Fault::LogAway { .. }
            | Fault::LogRotated { .. }
            | Fault::SilentLoss { .. }
            | Fault::LateFlows { .. }
            | Fault::StuckTerminating { .. }
            | Fault::Restart { .. } => {}
        }
    }
    all
}

/// What is taken from everybody but the admin: to write policies, and to reach the relay.
fn missing_rights() -> Vec<Denial> {
    let mut all = Vec::new();
    for person in Person::ALL.into_iter().filter(|person| *person != Person::Admin) {
        for (resource, verbs) in [
            ("networkpolicies", &["create", "update", "patch", "delete"][..]),
            ("pods/portforward", &["get", "create"][..]),
            ("pods/log", &["get"][..]),
        ] {
            all.extend(verbs.iter().map(|verb| Denial {
                user: person.name().to_owned(),
                verb: (*verb).to_owned(),
                resource: resource.to_owned(),
                namespace: String::new(),
            }));
        }
    }
    all
}
