//! Pods: defaults, what admission adds, and the few checks scene 85 shows. Nothing schedules or runs
//! here; the simulated fleet writes the status. The order of keys does not matter.

use serde_json::{Value, json};

use super::errors::FieldError;

/// What may still change in a pod's spec, in the server's words.
const MAY_CHANGE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Fills in what a pod leaves out.
pub fn default(pod: &mut Value) {
    let spec = &mut pod["spec"];
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("securityContext", json!({})),
        ("schedulerName", json!("default-scheduler")),
        ("enableServiceLinks", json!(true)),
    ] {
        fill(spec, field, value);
    }
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            default_container(container);
        }
    }
}

fn default_container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let latest = !image.contains('@') && matches!(tag, None | Some("latest"));
    let pull = if latest { "Always" } else { "IfNotPresent" };
    fill(container, "imagePullPolicy", json!(pull));
    fill(container, "terminationMessagePath", json!("/dev/termination-log"));
    fill(container, "terminationMessagePolicy", json!("File"));
    fill(container, "resources", json!({}));
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        fill(port, "protocol", json!("TCP"));
    }
}

/// What the default admission plugins and the server add to a new pod.
pub fn complete_new(pod: &mut Value) {
    let spec = &mut pod["spec"];
    fill(spec, "serviceAccountName", json!("default"));
    let account = spec["serviceAccountName"].clone();
    fill(spec, "serviceAccount", account);
    fill(spec, "priority", json!(0));
    fill(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    if !spec["tolerations"].is_array() {
        spec["tolerations"] = json!([]);
    }
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let Some(list) = spec["tolerations"].as_array_mut() else { continue };
        if list.iter().all(|one| one["key"] != key) {
            list.push(
                json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}),
            );
        }
    }
    pod["status"] = json!({"phase": "Pending", "qosClass": quality(&pod["spec"])});
}

/// The pod's class of service: by requests and limits of its containers.
fn quality(spec: &Value) -> &'static str {
    let containers: Vec<&Value> = spec["containers"].as_array().into_iter().flatten().collect();
    let of = |container: &Value, what: &str, name: &str| container["resources"][what][name].clone();
    let none = containers.iter().all(|one| {
        one["resources"]["limits"].as_object().is_none_or(serde_json::Map::is_empty)
            && one["resources"]["requests"].as_object().is_none_or(serde_json::Map::is_empty)
    });
    let all = containers.iter().all(|one| {
        ["cpu", "memory"].iter().all(|name| {
            let (limit, request) = (of(one, "limits", name), of(one, "requests", name));
            !limit.is_null() && (request.is_null() || request == limit)
        })
    });
    match (none, all) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}

/// What is wrong with a new pod's spec.
pub fn validate_spec(pod: &Value) -> Vec<FieldError> {
    let containers = pod["spec"]["containers"].as_array();
    let Some(containers) = containers.filter(|list| !list.is_empty()) else {
        return vec![FieldError::required("spec.containers", "")];
    };
    let mut errors = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if container[field].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(format!("spec.containers[{index}].{field}"), ""));
            }
        }
    }
    errors
}

/// What may not change in a pod once it is made.
pub fn validate_update(new: &Value, old: &Value) -> Option<FieldError> {
    let fixed = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        for list in ["initContainers", "containers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                container["image"] = Value::Null;
            }
        }
        for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
            spec.as_object_mut().and_then(|spec| spec.remove(field));
        }
        spec
    };
    (fixed(new) != fixed(old)).then(|| {
        let said = format!("{MAY_CHANGE}\n{}", difference(&new["spec"], &old["spec"]));
        FieldError::forbidden("spec", said)
    })
}

/// The excerpt of the change. The real one compares internal forms line by line; only a change of
/// the node, which scene 85 recorded, is shown the same way.
fn difference(new: &Value, old: &Value) -> String {
    let mut moved = new.clone();
    moved["nodeName"] = old["nodeName"].clone();
    if &moved != old {
        return String::new();
    }
    let shown = |spec: &Value| super::errors::quote(spec["nodeName"].as_str().unwrap_or_default());
    format!(
        "@@ -50,7 +50,7 @@\n  \"NodeSelector\": null,\n  \"ServiceAccountName\": {},\n  \"AutomountServiceAccountToken\": {},\n- \"NodeName\": {},\n+ \"NodeName\": {},\n  \"SecurityContext\": {{\n   \"HostNetwork\": false,\n   \"HostPID\": false,\n",
        old["serviceAccountName"],
        old["automountServiceAccountToken"],
        shown(old),
        shown(new)
    )
}

fn fill(of: &mut Value, field: &str, value: Value) {
    if of[field].is_null() {
        of[field] = value;
    }
}
