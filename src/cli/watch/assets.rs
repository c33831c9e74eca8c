//! The files that run `sluice watch` as data: what they start is a command that there is, what they name
//! is there, and the rights they bind are those that `sluice install` and the targets' roles give.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Parser as _;
use serde_json::{Value, json};

use crate::{
    cli::{
        args::{Cli, Command, Format, Global},
        install,
    },
    k8s::lease,
};

const MANIFEST: &str = include_str!("../../../assets/watch/sluice-watch.yaml");
const UNIT: &str = include_str!("../../../assets/watch/sluice-watch.service");
const ROLES: &str = include_str!("../../../assets/crds/roles.yaml");
const TARGET_ROLES: &str = include_str!("../../../assets/crds/roles-target.yaml");
const BINDINGS: &str = include_str!("../../../assets/crds/bindings.example.yaml");

fn objects(text: &str) -> Vec<Value> {
    serde_yaml::from_multiple(text).expect("YAML")
}

/// By kind; each is there once.
fn manifest() -> BTreeMap<String, Value> {
    let kind = |object: Value| (object["kind"].as_str().unwrap_or_default().to_owned(), object);
    objects(MANIFEST).into_iter().map(kind).collect()
}

/// Role by name, with its rules.
fn roles(text: &str) -> BTreeMap<String, Value> {
    let named = |role: Value| (role["metadata"]["name"].as_str().unwrap_or_default().to_owned(), role);
    objects(text).into_iter().map(named).collect()
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn parsed(line: &[&str]) -> Global {
    let cli = Cli::try_parse_from(line).expect("a valid command line");
    let Some(Command::Watch(watch)) = cli.command else { panic!("{line:?} is not watch") };
    assert_eq!(watch.output, Format::Json, "a log is for programs");
    cli.global
}

/// A setting of the unit; the last one of that name counts.
fn setting(key: &str) -> Option<&'static str> {
    let lines = UNIT.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(found, _)| *found == key).map(|(_, value)| value).next_back()
}

#[test]
fn the_deployment_starts_a_command_that_there_is_on_files_that_are_mounted() {
    let manifest = manifest();
    let kinds: Vec<_> = manifest.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["Deployment", "RoleBinding", "ServiceAccount"]);
    let spec = &manifest["Deployment"]["spec"];
    // Two at once would only wait for one another's Leases.
    assert_eq!((&spec["replicas"], &spec["strategy"]["type"]), (&json!(1), &json!("Recreate")));
    assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
    let pod = &spec["template"]["spec"];
    let container = &pod["containers"][0];
    let line = [words(&container["command"]), words(&container["args"])].concat();
    let global = parsed(&line);
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let is_mounted = |path: &Option<PathBuf>| {
        let path = path.as_ref().expect("it is named");
        mounts.iter().any(|mount| path.starts_with(mount["mountPath"].as_str().expect("a path")))
    };
    assert!(is_mounted(&global.kubeconfig) && is_mounted(&global.workspace), "{line:?}");
    let volumes: Vec<_> =
        pod["volumes"].as_array().expect("volumes").iter().map(|one| &one["name"]).collect();
    assert!(mounts.iter().all(|mount| volumes.contains(&&mount["name"])), "{mounts:?}");
    // What the head of the file says to create is what is mounted.
    let secret = pod["volumes"][0]["secret"]["secretName"].as_str().expect("a Secret");
    let map = pod["volumes"][1]["configMap"]["name"].as_str().expect("a ConfigMap");
    assert!(MANIFEST.contains(&format!("create secret generic {secret} --from-file=kubeconfig\n")));
    assert!(MANIFEST.contains(&format!("create configmap {map} --from-file=sluice.yaml\n")));
    assert!(MANIFEST.contains(&format!("Leases are {} s old", lease::DURATION.as_secs())));
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    assert!(
        grace > super::LEAVING.as_secs(),
        "it has time to write its evidence and to give its Leases back"
    );
}

#[test]
fn the_deployment_gives_the_least_rights() {
    let pod = &manifest()["Deployment"]["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let wanted = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(pod["containers"][0]["securityContext"], wanted);
    assert_eq!(pod["containers"][0]["resources"]["limits"]["memory"], "1Gi");
}

#[test]
fn the_service_account_has_the_role_of_those_who_write_records() {
    let manifest = manifest();
    let (binding, account) = (&manifest["RoleBinding"], &manifest["ServiceAccount"]["metadata"]);
    for object in manifest.values() {
        assert_eq!(object["metadata"]["namespace"], install::NAMESPACE, "{}", object["kind"]);
    }
    let subject = &binding["subjects"][0];
    assert_eq!((&subject["kind"], &subject["name"]), (&json!("ServiceAccount"), &account["name"]));
    assert_eq!(subject["namespace"], account["namespace"]);
    assert_eq!(manifest["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"], account["name"]);
    let roles = roles(ROLES);
    let role = &roles[binding["roleRef"]["name"].as_str().expect("a name")];
    assert_eq!(role["kind"], binding["roleRef"]["kind"]);
    let may = |group: &str, resource: &str, verb: &str| {
        role["rules"].as_array().into_iter().flatten().any(|rule| {
            words(&rule["apiGroups"]).contains(&group)
                && words(&rule["resources"]).contains(&resource)
                && words(&rule["verbs"]).contains(&verb)
        })
    };
    // What an observer does in the state cluster, and what it must never do.
    for (group, resource, verb) in [
        ("sluice.dev", "rollouts", "watch"),
        ("sluice.dev", "rollouts", "update"),
        ("sluice.dev", "rollouts/status", "update"),
        ("sluice.dev", "evidence", "create"),
        ("sluice.dev", "evidence", "update"),
        ("sluice.dev", "journalentries", "create"),
        ("coordination.k8s.io", "leases", "update"),
    ] {
        assert!(may(group, resource, verb), "{verb} {resource}");
    }
    for (resource, verb) in [
        ("reviews", "create"),
        ("reviews/status", "update"),
        ("overrides", "create"),
        ("waivers", "create"),
        ("holds", "delete"),
        ("journalentries", "update"),
        ("journalentries", "delete"),
    ] {
        assert!(!may("sluice.dev", resource, verb), "{verb} {resource}");
    }
}

/// Every role that a file names is one that another file defines.
#[test]
fn roles_that_are_named_are_there() {
    let (state, target) = (roles(ROLES), roles(TARGET_ROLES));
    for binding in objects(BINDINGS) {
        let name = binding["roleRef"]["name"].as_str().expect("a name");
        assert!(state.contains_key(name), "{name}");
    }
    for name in ["sluice-target-viewer", "sluice-target-watch"] {
        assert!(MANIFEST.contains(name) && target.contains_key(name), "{name}");
        let verbs =
            target[name]["rules"].as_array().into_iter().flatten().flat_map(|rule| words(&rule["verbs"]));
        let changes: Vec<_> = verbs
            .filter(|verb| matches!(*verb, "update" | "patch" | "delete" | "deletecollection" | "*"))
            .collect();
        assert_eq!(changes, Vec::<&str>::new(), "{name} changes nothing in a target");
    }
}

#[test]
fn the_unit_is_hardened_and_starts_what_there_is() {
    let start = setting("ExecStart").expect("it starts something");
    let global = parsed(&start.split(' ').collect::<Vec<_>>());
    let (name, file) = setting("LoadCredential").and_then(|one| one.split_once(':')).expect("a credential");
    assert_eq!(global.kubeconfig, Some(PathBuf::from(format!("%d/{name}"))));
    assert!(UNIT.contains(&format!("a kubeconfig into {file}")));
    let workspace = global.workspace.expect("one is named");
    assert!(UNIT.contains(&format!("put sluice.yaml into {}", workspace.display())));
    let state = setting("Environment").and_then(|one| one.strip_prefix("XDG_STATE_HOME=/var/lib/"));
    assert_eq!(setting("StateDirectory"), state, "the only place it can write to");
    let stop: u64 = setting("TimeoutStopSec").and_then(|one| one.parse().ok()).expect("seconds");
    assert!(stop > super::LEAVING.as_secs());
    for (key, wanted) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateDevices", "yes"),
        ("CapabilityBoundingSet", ""),
        ("KillSignal", "SIGTERM"),
        ("Restart", "always"),
        ("MemoryMax", "1G"),
    ] {
        assert_eq!(setting(key), Some(wanted), "{key}");
    }
}
