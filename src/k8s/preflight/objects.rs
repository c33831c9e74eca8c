//! Kubernetes objects as JSON into what a pre-flight reads. Pure and total: what is missing or of
//! another shape becomes nothing, values are bounded, and no field beyond the needed ones is kept.

use serde_json::{Map, Value};

use crate::domain::{
    names::Text,
    preflight::reading::{Container, Hook, Node, Object, Pairs, Record, Service, ServicePort, Workload},
};

/// Longest value kept; a ConfigMap has at most 1 MiB in all.
const VALUE: usize = 1 << 20;
/// Fields kept of one object.
const FIELDS: usize = 2_000;
/// Depth of fields.
const DEPTH: usize = 12;

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(VALUE).collect(),
        Value::Number(number) => number.to_string(),
        Value::Bool(bool) => bool.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn pairs(value: &Value) -> Pairs {
    let map = value.as_object().into_iter().flatten();
    map.take(FIELDS).map(|(key, value)| (key.clone(), text(value))).collect()
}

fn number(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

pub fn reference(kind: &str, value: &Value) -> Object {
    let meta = &value["metadata"];
    let part = |key: &str| meta[key].as_str().unwrap_or_default();
    Object::new(kind, part("namespace"), part("name"))
}

pub fn workload(kind: &str, value: &Value) -> Workload {
    let (spec, status) = (&value["spec"], &value["status"]);
    let (template, pod) = (&spec["template"], &spec["template"]["spec"]);
    let counts = match kind {
        "DaemonSet" => (number(&status["desiredNumberScheduled"]), number(&status["numberReady"])),
        // The server leaves a count of 0 out once it has looked at the object at all.
        _ if !status["observedGeneration"].is_null() => {
            (number(&spec["replicas"]), Some(number(&status["readyReplicas"]).unwrap_or(0)))
        }
        _ => (None, None),
    };
    let volumes = || list(&pod["volumes"]);
    let own = volumes().filter_map(|volume| volume["configMap"]["name"].as_str());
    let projected = volumes()
        .flat_map(|volume| list(&volume["projected"]["sources"]))
        .filter_map(|source| source["configMap"]["name"].as_str());
    Workload {
        object: reference(kind, value),
        labels: pairs(&value["metadata"]["labels"]),
        pod_labels: pairs(&template["metadata"]["labels"]),
        containers: list(&pod["containers"]).map(container).collect(),
        host_network: pod["hostNetwork"] == true,
        desired: counts.0,
        ready: counts.1,
        node_selector: pairs(&pod["nodeSelector"]),
        config_maps: own.chain(projected).map(str::to_owned).collect(),
    }
}

fn container(value: &Value) -> Container {
    let env = list(&value["env"]).filter_map(|one| {
        let name = one["name"].as_str()?.to_owned();
        let elsewhere = one.get("valueFrom").is_some();
        Some((name, (!elsewhere).then(|| text(&one["value"]))))
    });
    Container {
        name: text(&value["name"]),
        image: text(&value["image"]),
        words: list(&value["command"]).chain(list(&value["args"])).map(text).collect(),
        env: env.collect(),
    }
}

pub fn config_map(value: &Value) -> Record {
    Record { fields: pairs(&value["data"]), ..marks("ConfigMap", value) }
}

/// The marks of an object, without its fields.
pub fn marks(kind: &str, value: &Value) -> Record {
    Record {
        object: reference(kind, value),
        labels: pairs(&value["metadata"]["labels"]),
        annotations: pairs(&value["metadata"]["annotations"]),
        fields: Pairs::new(),
    }
}

/// With the fields of `spec`, `specs` and `status`.
pub fn record(kind: &str, value: &Value) -> Record {
    let mut record = marks(kind, value);
    for part in ["spec", "specs", "status"] {
        flatten(part.to_owned(), &value[part], 0, &mut record.fields);
    }
    record
}

fn flatten(path: String, value: &Value, depth: usize, out: &mut Pairs) {
    if depth > DEPTH || out.len() >= FIELDS {
        return;
    }
    match value {
        // `{}` of a selector is everything, which is more than nothing.
        Value::Object(map) if map.is_empty() => {
            out.insert(path, "{}".to_owned());
        }
        Value::Object(map) => {
            for (key, value) in map {
                flatten(format!("{path}.{key}"), value, depth + 1, out);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                flatten(format!("{path}.{at}"), value, depth + 1, out);
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.insert(path, text(value));
        }
    }
}

pub fn service(value: &Value) -> Service {
    let spec = &value["spec"];
    let addresses: Vec<String> = match list(&spec["clusterIPs"]).next() {
        Some(_) => list(&spec["clusterIPs"]).map(text).collect(),
        None => spec["clusterIP"].as_str().map(str::to_owned).into_iter().collect(),
    };
    let port = |port: &Value| {
        let number = u16::try_from(port["port"].as_u64()?).ok()?;
        let target = text(&port["targetPort"]);
        let protocol = text(&port["protocol"]);
        Some(ServicePort {
            name: text(&port["name"]),
            protocol: if protocol.is_empty() { "TCP".to_owned() } else { protocol },
            port: number,
            target: if target.is_empty() || target == "0" { number.to_string() } else { target },
        })
    };
    Service {
        object: reference("Service", value),
        labels: pairs(&value["metadata"]["labels"]),
        selector: pairs(&spec["selector"]),
        addresses: addresses.into_iter().filter(|address| address != "None" && !address.is_empty()).collect(),
        ports: list(&spec["ports"]).filter_map(port).collect(),
    }
}

pub fn node(value: &Value) -> Node {
    let (meta, spec, status) = (&value["metadata"], &value["spec"], &value["status"]);
    let cidrs: Vec<String> = match list(&spec["podCIDRs"]).next() {
        Some(_) => list(&spec["podCIDRs"]).map(text).collect(),
        None => spec["podCIDR"].as_str().map(str::to_owned).into_iter().collect(),
    };
    Node {
        name: text(&meta["name"]),
        labels: pairs(&meta["labels"]),
        annotations: pairs(&meta["annotations"]),
        version: text(&status["nodeInfo"]["kubeletVersion"]),
        provider: text(&spec["providerID"]),
        addresses: list(&status["addresses"]).map(|one| text(&one["address"])).collect(),
        taints: list(&spec["taints"]).map(|one| text(&one["key"])).collect(),
        pod_cidrs: cidrs,
    }
}

/// Callbacks of a webhook configuration, an APIService or a CustomResourceDefinition, into the cluster.
pub fn hooks(kind: &str, value: &Value) -> Vec<Hook> {
    let object = reference(kind, value);
    let hook = |name: &str, service: &Value, policy: Option<Text>| {
        Some(Hook {
            object: object.clone(),
            name: Text::new(name),
            ns: service["namespace"].as_str()?.to_owned(),
            service: service["name"].as_str()?.to_owned(),
            port: service["port"].as_u64().map_or(Some(443), |port| u16::try_from(port).ok())?,
            policy,
        })
    };
    match kind {
        "APIService" => hook("aggregated API", &value["spec"]["service"], None).into_iter().collect(),
        "CustomResourceDefinition" => {
            let service = &value["spec"]["conversion"]["webhook"]["clientConfig"]["service"];
            hook("conversion", service, None).into_iter().collect()
        }
        _ => list(&value["webhooks"])
            .filter_map(|webhook| {
                let policy = webhook["failurePolicy"].as_str().unwrap_or("Fail");
                let name = webhook["name"].as_str().unwrap_or_default();
                hook(name, &webhook["clientConfig"]["service"], Some(Text::new(policy)))
            })
            .collect(),
    }
}

/// What an object calls itself.
pub fn identity(value: &Value) -> Option<(&str, &str)> {
    let object: &Map<String, Value> = value.as_object()?;
    let version = object.get("apiVersion")?.as_str()?;
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    Some((group, object.get("kind")?.as_str()?))
}
