//! The files that install the collector: what they name is what the program listens on, is found by,
//! and may do.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice::{
    cli::collect,
    domain::preflight::rights::right_ns,
    flows::baseline::{serve, store},
};

const MANIFEST: &str = include_str!("../../assets/collect/sluice-collect.yaml");
const PRINTERS: &str = include_str!("../../assets/printers/sluice-printers.yaml");
const RIGHTS: &str = include_str!("../../assets/collect/sluice-collect-rights.yaml");
const WATCH: &str = include_str!("../../assets/watch/sluice-watch-cluster.yaml");
const UNIT: &str = include_str!("../../assets/collect/sluice-collect.service");

fn objects() -> BTreeMap<String, Value> {
    let objects: Vec<Value> = serde_yaml::from_multiple(MANIFEST).expect("YAML");
    objects
        .into_iter()
        .map(|object| (object["kind"].as_str().unwrap_or_default().to_owned(), object))
        .collect()
}

fn args(deployment: &Value) -> Vec<String> {
    let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().cloned();
    args.unwrap_or_default().iter().filter_map(|arg| arg.as_str().map(str::to_owned)).collect()
}

#[test]
fn the_manifest_names_what_the_program_knows() {
    let objects = objects();
    let kinds: Vec<_> = objects.keys().map(String::as_str).collect();
    assert_eq!(
        kinds,
        [
            "ClusterRole",
            "ClusterRoleBinding",
            "Deployment",
            "Namespace",
            "PersistentVolumeClaim",
            "Service",
            "ServiceAccount"
        ]
    );
    let (key, value) = serve::LABEL.split_once('=').expect("key=value");
    for object in objects.values() {
        assert_eq!(object["metadata"]["labels"][key], value, "{}", object["kind"]);
    }
    let deployment = &objects["Deployment"];
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"][key], value);
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], json!({ key: value }));
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    let args = args(deployment);
    assert!(args.contains(&format!("--listen=127.0.0.1:{}", serve::PORT)), "{args:?}");
    assert!(args.contains(&format!("--data={}", collect::SERVICE_DATA)), "{args:?}");
    let mount = &deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["mountPath"], collect::SERVICE_DATA);
    // The line for CoreDNS, the Service and the listener agree.
    let service = &objects["Service"];
    let port = service["spec"]["ports"][0]["port"].as_u64().expect("a port");
    assert!(args.contains(&format!("--dnstap=tcp:0.0.0.0:{port}")), "{args:?}");
    assert!(MANIFEST.contains(&format!("dnstap tcp://sluice-collect.sluice.svc:{port} full")));
    assert_eq!(service["spec"]["selector"], json!({ key: value }));
    assert_eq!(
        service["spec"]["ports"].as_array().map(Vec::len),
        Some(1),
        "the edges are not in the Service"
    );
}

#[test]
fn the_manifest_gives_the_least_rights() {
    let objects = objects();
    assert_eq!(
        objects["ClusterRole"]["rules"],
        json!([
            { "apiGroups": [""], "resources": ["pods", "nodes", "namespaces"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["get", "list", "watch"] },
        ])
    );
    assert_eq!(
        objects["ClusterRoleBinding"]["subjects"][0]["name"],
        objects["ServiceAccount"]["metadata"]["name"]
    );
    let pod = &objects["Deployment"]["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(
        *container,
        json!({ "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } })
    );
    assert_eq!(pod["containers"][0]["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(
        objects["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
}

/// Whoever applies one of these files again must not shut out what another has started: pods that read
/// their hosts stand where that is allowed, and nothing else does.
#[test]
fn no_file_takes_back_what_another_says_of_a_namespace() {
    let mut levels: Vec<(String, String)> = Vec::new();
    for text in [MANIFEST, WATCH, PRINTERS, MANIFEST] {
        let all: Vec<Value> = serde_yaml::from_multiple(text).expect("YAML");
        for ns in all.iter().filter(|object| object["kind"] == "Namespace") {
            let level = &ns["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
            let text = |value: &Value| value.as_str().expect("it says").to_owned();
            levels.push((text(&ns["metadata"]["name"]), text(level)));
        }
        let pods = all.iter().filter(|object| object["kind"] == "DaemonSet");
        for pod in pods {
            assert_eq!(pod["metadata"]["namespace"], right_ns("pods/log"));
            assert!(pod["spec"]["template"]["spec"]["volumes"][0]["hostPath"].is_object());
        }
    }
    levels.dedup();
    let pair = |(ns, level): (&str, &str)| (ns.to_owned(), level.to_owned());
    let (ours, printers) = (("sluice", "restricted"), ("sluice-printers", "privileged"));
    assert_eq!(levels, [ours, printers, ours].map(pair));
    // Who reads the logs may do so there and nowhere else.
    let rights: Vec<Value> = serde_yaml::from_multiple(RIGHTS).expect("YAML");
    let logs = rights.iter().filter(|one| one["metadata"]["labels"]["sluice.dev/reads"] == "logs");
    let places: Vec<_> = logs.map(|one| (&one["kind"], &one["metadata"]["namespace"])).collect();
    assert_eq!(json!(places), json!([["Role", "sluice-printers"], ["RoleBinding", "sluice-printers"]]));
}

#[test]
fn the_unit_is_hardened_and_starts_what_there_is() {
    let value = |key: &str| {
        let lines = UNIT.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(found, _)| *found == key).map(|(_, value)| value.to_owned()).next_back()
    };
    let start = value("ExecStart").expect("it starts something");
    let words: Vec<&str> = start.split(' ').collect();
    let parsed = <sluice::cli::args::Cli as clap::Parser>::try_parse_from(&words).expect("a valid command");
    let Some(sluice::cli::args::Command::Collect(parsed)) = parsed.command else { panic!("not collect") };
    assert_eq!(parsed.data.as_deref(), Some(std::path::Path::new(collect::SERVICE_DATA)));
    assert_eq!((parsed.listen.port(), parsed.listen.ip().is_loopback()), (serve::PORT, true));
    assert_eq!(value("StateDirectory").as_deref(), collect::SERVICE_DATA.strip_prefix("/var/lib/"));
    for (key, wanted) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
        ("Restart", "on-failure"),
    ] {
        assert_eq!(value(key).as_deref(), Some(wanted), "{key}");
    }
    assert!(store::FILE.ends_with(".redb"));
}
