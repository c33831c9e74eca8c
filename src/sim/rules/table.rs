//! Tables as `kubectl get` asks for them: columns and cells (scenes 08, 85, 90). The columns of the
//! kinds that were recorded are data from there; other kinds have a name and an age, or what little
//! they need to be told apart. Rows and their objects are put together by the caller.

use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

const COLUMNS: &str = include_str!("../../../assets/sim/columns.json");
const NONE: &str = "<none>";

fn recorded() -> &'static Value {
    static RECORDED: OnceLock<Value> = OnceLock::new();
    RECORDED.get_or_init(|| serde_json::from_str(COLUMNS).unwrap_or_default())
}

/// What is said about a column that every kind has.
pub fn description(column: &str) -> String {
    let columns = recorded()["namespaces"].as_array().into_iter().flatten();
    let found = columns.into_iter().find(|one| one["name"] == column);
    found.map_or("", |one| one["description"].as_str().unwrap_or_default()).to_owned()
}

/// The column definitions of a resource.
pub fn columns(group: &str, plural: &str) -> Value {
    if matches!(
        (group, plural),
        ("", "namespaces" | "pods" | "configmaps" | "events")
            | ("networking.k8s.io", "networkpolicies")
            | ("coordination.k8s.io", "leases")
            | ("events.k8s.io", "events")
    ) {
        return recorded()[plural].clone();
    }
    let column = |name: &str, kind: &str| {
        let format = if name == "Name" { "name" } else { "" };
        json!({"name": name, "type": kind, "format": format, "description": name, "priority": 0})
    };
    let middle: &[&str] = match (group, plural) {
        ("", "nodes") => &["Status", "Roles", "Age", "Version"],
        ("", "services") => &["Type", "Cluster-IP", "External-IP", "Port(s)", "Age"],
        ("", "serviceaccounts") => &["Secrets", "Age"],
        ("apps", "deployments") => &["Ready", "Up-to-date", "Available", "Age"],
        ("apps", "daemonsets") => &["Desired", "Current", "Ready", "Age"],
        ("apps", "replicasets") => &["Desired", "Current", "Ready", "Age"],
        _ => return json!([column("Name", "string"), column("Created At", "date")]),
    };
    std::iter::once("Name").chain(middle.iter().copied()).map(|name| column(name, "string")).collect()
}

/// The cells of one object, one a column.
pub fn cells(group: &str, plural: &str, object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let name = object["metadata"]["name"].clone();
    let age = json!(age(&object["metadata"]["creationTimestamp"], now));
    let count = |value: &Value| json!(value.as_i64().unwrap_or_default());
    let (spec, status) = (&object["spec"], &object["status"]);
    match (group, plural) {
        ("", "namespaces") => vec![name, status["phase"].clone(), age],
        ("networking.k8s.io", "networkpolicies") => vec![name, json!(selector(&spec["podSelector"])), age],
        ("", "pods") => pod(name, object, age),
        ("", "nodes") => {
            vec![
                name,
                json!(node_status(object)),
                json!(roles(object)),
                age,
                status["nodeInfo"]["kubeletVersion"].clone(),
            ]
        }
        ("", "services") => service(name, spec, age),
        ("", "configmaps") => {
            let size = |field: &str| object[field].as_object().map_or(0, Map::len);
            vec![name, json!(size("data") + size("binaryData")), age]
        }
        ("coordination.k8s.io", "leases") => {
            vec![name, json!(spec["holderIdentity"].as_str().unwrap_or_default()), age]
        }
        ("" | "events.k8s.io", "events") => event(object, now),
        ("", "serviceaccounts") => vec![name, json!(object["secrets"].as_array().map_or(0, Vec::len)), age],
        ("apps", "deployments") => {
            let wanted = spec["replicas"].as_i64().unwrap_or(1);
            let ready = format!("{}/{wanted}", status["readyReplicas"].as_i64().unwrap_or_default());
            vec![
                name,
                json!(ready),
                count(&status["updatedReplicas"]),
                count(&status["availableReplicas"]),
                age,
            ]
        }
        ("apps", "daemonsets") => vec![
            name,
            count(&status["desiredNumberScheduled"]),
            count(&status["currentNumberScheduled"]),
            count(&status["numberReady"]),
            age,
        ],
        ("apps", "replicasets") => {
            vec![
                name,
                count(&spec["replicas"]),
                count(&status["replicas"]),
                count(&status["readyReplicas"]),
                age,
            ]
        }
        _ => vec![name, object["metadata"]["creationTimestamp"].clone()],
    }
}

/// An event of either group: fields go by one of two names.
fn event(event: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let either = |a: &str, b: &str| if event[a].is_null() { event[b].clone() } else { event[a].clone() };
    let about = either("involvedObject", "regarding");
    let of = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let source = either("source", "deprecatedSource");
    let reporter = either("reportingComponent", "reportingController");
    let named = if of(&source, "component").is_empty() {
        [reporter.as_str().unwrap_or_default().to_owned(), of(event, "reportingInstance")]
    } else {
        [of(&source, "component"), of(&source, "host")]
    };
    let named: Vec<String> = named.into_iter().filter(|text| !text.is_empty()).collect();
    let or_time = |time: Value| if time.is_null() { event["eventTime"].clone() } else { time };
    let first = or_time(either("firstTimestamp", "deprecatedFirstTimestamp"));
    let series = &event["series"];
    let last = if series.is_object() {
        series["lastObservedTime"].clone()
    } else {
        Some(either("lastTimestamp", "deprecatedLastTimestamp"))
            .filter(|t| !t.is_null())
            .unwrap_or(first.clone())
    };
    let count = series["count"].as_i64().or(either("count", "deprecatedCount").as_i64());
    let message = either("message", "note");
    vec![
        json!(age(&last, now)),
        json!(of(event, "type")),
        json!(of(event, "reason")),
        json!(format!("{}/{}", of(&about, "kind").to_lowercase(), of(&about, "name"))),
        json!(of(&about, "fieldPath")),
        json!(named.join(", ")),
        json!(message.as_str().unwrap_or_default().trim()),
        json!(age(&first, now)),
        json!(count.unwrap_or(1).max(1)),
        event["metadata"]["name"].clone(),
    ]
}

fn pod(name: Value, pod: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let containers = status["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ready = containers.iter().filter(|one| one["ready"] == true).count();
    let total = spec["containers"].as_array().map_or(0, Vec::len);
    let restarts: i64 = containers.iter().filter_map(|one| one["restartCount"].as_i64()).sum();
    let or_none = |value: &Value| json!(value.as_str().filter(|text| !text.is_empty()).unwrap_or(NONE));
    vec![
        name,
        json!(format!("{ready}/{total}")),
        json!(pod_status(pod, containers)),
        json!(restarts.to_string()),
        age,
        or_none(&status["podIP"]),
        or_none(&spec["nodeName"]),
        or_none(&status["nominatedNodeName"]),
        json!(NONE),
    ]
}

fn pod_status(pod: &Value, containers: &[Value]) -> String {
    let mut said = pod["status"]["reason"].as_str().or(pod["status"]["phase"].as_str()).unwrap_or_default();
    for container in containers.iter().rev() {
        let state = &container["state"];
        for sort in ["terminated", "waiting"] {
            said = state[sort]["reason"].as_str().filter(|reason| !reason.is_empty()).unwrap_or(said);
        }
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        said = "Terminating";
    }
    said.to_owned()
}

fn node_status(node: &Value) -> String {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().find(|one| one["type"] == "Ready");
    let mut said = match ready.and_then(|one| one["status"].as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node["spec"]["unschedulable"] == true {
        said.push_str(",SchedulingDisabled");
    }
    said
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let roles: Vec<&str> =
        labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/")).collect();
    if roles.is_empty() { NONE.to_owned() } else { roles.join(",") }
}

fn service(name: Value, spec: &Value, age: Value) -> Vec<Value> {
    let ports: Vec<String> = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP")))
        .collect();
    let ports = if ports.is_empty() { NONE.to_owned() } else { ports.join(",") };
    let kind = spec["type"].as_str().unwrap_or("ClusterIP");
    let ip = spec["clusterIP"].as_str().unwrap_or(NONE);
    vec![name, json!(kind), json!(ip), json!(NONE), json!(ports), age]
}

/// A label selector as one line.
fn selector(selector: &Value) -> String {
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push((key.clone(), format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for one in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = one["key"].as_str().unwrap_or_default().to_owned();
        let mut values: Vec<&str> =
            one["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let said = match one["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        };
        parts.push((key, said));
    }
    if parts.is_empty() {
        return NONE.to_owned();
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    parts.into_iter().map(|(_, said)| said).collect::<Vec<_>>().join(",")
}

/// How long ago something was made, as kubectl shows it.
pub fn age(since: &Value, now: DateTime<Utc>) -> String {
    let since = since.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    since.map_or_else(|| "<unknown>".to_owned(), |since| duration((now - since.to_utc()).num_seconds()))
}

fn duration(seconds: i64) -> String {
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::{cells, columns, duration};

    #[test]
    fn ages_are_shown_as_kubectl_shows_them() {
        let shown: Vec<String> =
            [-5, 0, 119, 120, 125, 3600, 10_799, 10_800, 14_700, 172_799, 172_800, 700_000, 63_072_000]
                .into_iter()
                .map(duration)
                .collect();
        assert_eq!(
            shown,
            ["<invalid>", "0s", "119s", "2m", "2m5s", "60m", "179m", "3h", "4h5m", "47h", "2d", "8d", "2y"]
        );
    }

    #[test]
    fn there_are_as_many_cells_as_columns() {
        let now = DateTime::UNIX_EPOCH;
        for (group, plural) in [
            ("", "namespaces"),
            ("", "pods"),
            ("", "nodes"),
            ("", "services"),
            ("", "configmaps"),
            ("", "serviceaccounts"),
            ("", "events"),
            ("events.k8s.io", "events"),
            ("coordination.k8s.io", "leases"),
            ("apps", "deployments"),
            ("apps", "daemonsets"),
            ("apps", "replicasets"),
            ("networking.k8s.io", "networkpolicies"),
            ("cilium.io", "ciliumnetworkpolicies"),
        ] {
            let object = json!({"metadata": {"name": "x"}});
            let count = columns(group, plural).as_array().map(Vec::len);
            assert_eq!(Some(cells(group, plural, &object, now).len()), count, "{plural}");
        }
    }

    #[test]
    fn a_policys_pods_are_one_line() {
        let policy = json!({"metadata": {"name": "expr"}, "spec": {"podSelector": {"matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["y", "x"]}, {"key": "z", "operator": "Exists"}]}}});
        let cells = cells("networking.k8s.io", "networkpolicies", &policy, DateTime::UNIX_EPOCH);
        assert_eq!(cells[1], "a=1,b=2,tier in (x,y),z");
    }
}
