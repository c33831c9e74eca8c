//! What `sluice install --watch` prints, read as data: what it starts is a command that there is, what it
//! names is there, and its pod may do no more than it must.

use std::collections::BTreeSet;

use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::{
    cli::{
        args::{Cli, Command, Format},
        exit::Exit,
    },
    cockpit::{
        plan::ClusterEntry,
        settings::{Settings, StatePlace},
    },
    domain::{fleet::Environment, names::ClusterName},
};

const ARN: &str = "arn:aws:eks:eu-west-1:1:cluster/shop";

fn fleet() -> FleetFile {
    let entry = |name: &str, context: &str| ClusterEntry {
        name: ClusterName::parse(name).expect("a name"),
        context: Text::new(context),
        environment: Environment::Production,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    let state = StatePlace {
        cluster: ClusterName::parse("mgmt").expect("a name"),
        ns: NsName::parse("team-sluice").expect("a name"),
    };
    FleetFile {
        clusters: vec![entry("shop", ARN), entry("mgmt", "ops@mgmt")],
        settings: Settings { state: Some(state), ..Settings::default() },
        ..FleetFile::default()
    }
}

fn printed(cluster: &str) -> String {
    print(&fleet(), cluster, "registry.example/sluice:1").expect("it is a cluster of the fleet")
}

fn objects(text: &str) -> Vec<Value> {
    serde_yaml::from_multiple(text).expect("YAML")
}

fn of<'o>(all: &'o [Value], kind: &str) -> &'o Value {
    all.iter().find(|object| object["kind"] == kind).expect("it is there")
}

#[test]
fn names_are_filled_in_and_no_placeholder_is_left() {
    let text = printed("shop");
    for left in ["CLUSTER", "CONTEXT", "IMAGE", "STATE", "NAME"] {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        assert_eq!(words.filter(|word| *word == left).count(), 0, "{left}");
    }
    let comments: Vec<_> = text.lines().filter(|line| line.starts_with("#   ")).collect();
    insta::assert_snapshot!(comments.join("\n"));
    assert_eq!(text, printed(ARN), "its context names it as well");
    for object in objects(&text) {
        let (kind, metadata) = (object["kind"].as_str().expect("a kind"), &object["metadata"]);
        let ns = metadata["namespace"]
            .as_str()
            .or_else(|| metadata["name"].as_str().filter(|_| kind == "Namespace"));
        let expected = match (kind, metadata["name"].as_str()) {
            ("ClusterRoleBinding", _) => None,
            ("RoleBinding", _) if ns == Some("kube-system") => Some("kube-system"),
            _ => Some("team-sluice"),
        };
        assert_eq!(ns, expected, "{kind}");
    }
}

/// What people call things may hold the words that stand for them in our file.
#[test]
fn a_name_that_looks_like_a_placeholder_stays_as_it_is() {
    let mut fleet = fleet();
    fleet.clusters[0].context = Text::new("PROD_CLUSTER");
    fleet.clusters[1].context = Text::new("NAME of STATE");
    let text =
        print(&fleet, "shop", "registry.example/IMAGES/CLUSTER:1").expect("it is a cluster of the fleet");
    let all = objects(&text);
    let kubeconfig = objects(of(&all, "ConfigMap")["data"]["kubeconfig"].as_str().expect("text"));
    assert_eq!(kubeconfig[0]["contexts"][0]["name"], "PROD_CLUSTER");
    let container = &of(&all, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example/IMAGES/CLUSTER:1");
    let command =
        "#   kubectl --context 'NAME of STATE' -n team-sluice create serviceaccount sluice-watch-shop\n";
    assert!(text.contains(command), "{text}");
}

#[test]
fn it_starts_a_watch_of_this_cluster_and_reaches_it_by_its_own_service_account() {
    let all = objects(&printed("shop"));
    let pod = &of(&all, "Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let words = |list: &Value| -> Vec<String> {
        list.as_array().expect("a list").iter().map(|it| it.as_str().expect("a word").to_owned()).collect()
    };
    let line = [words(&container["command"]), words(&container["args"])].concat();
    let cli = Cli::try_parse_from(&line).expect("a command line");
    assert_eq!(cli.global.contexts, ["shop"]);
    assert!(matches!(&cli.command, Some(Command::Watch(watch)) if watch.output == Format::Json));
    assert_eq!(container["image"], "registry.example/sluice:1");

    // The kubeconfig holds paths of files that are mounted, and no secret.
    let map = &of(&all, "ConfigMap")["data"]["kubeconfig"];
    let kubeconfig = objects(map.as_str().expect("text"));
    assert_eq!(kubeconfig[0]["contexts"][0]["name"], ARN);
    assert_eq!(kubeconfig[0]["users"][0]["user"], json!({ "tokenFile": "/var/run/secrets/sluice/token" }));
    let mounts: Vec<_> = container["volumeMounts"].as_array().expect("mounts").iter().collect();
    let mounted: BTreeSet<_> = mounts.iter().map(|mount| mount["name"].as_str().expect("a name")).collect();
    let volumes = pod["volumes"].as_array().expect("volumes");
    let named: BTreeSet<_> = volumes.iter().map(|one| one["name"].as_str().expect("a name")).collect();
    assert_eq!(mounted, named);
    let paths = container["env"][0]["value"].as_str().expect("KUBECONFIG").split(':');
    for path in paths.chain(["/var/run/secrets/sluice/token", "/etc/sluice/workspace"]) {
        let at = mounts.iter().filter(|mount| path.starts_with(mount["mountPath"].as_str().expect("a path")));
        assert_eq!(at.count(), 1, "{path}");
    }
    assert_eq!(all.iter().filter(|object| object["kind"] == "Secret").count(), 0);
}

#[test]
fn its_pod_may_do_the_least_and_is_not_cut_off_by_a_default_deny() {
    let all = objects(&printed("shop"));
    let deployment = of(&all, "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    assert_eq!(
        (&pod["securityContext"]["runAsNonRoot"], &pod["automountServiceAccountToken"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(pod["securityContext"]["seccompProfile"], json!({ "type": "RuntimeDefault" }));
    let container = &pod["containers"][0];
    let wanted = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(container["securityContext"], wanted);
    assert_eq!(container["resources"]["limits"], json!({ "memory": "256Mi" }));

    let policy = of(&all, "NetworkPolicy");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&policy["spec"]["podSelector"]["matchLabels"], labels);
    let rules = policy["spec"]["egress"].as_array().expect("rules");
    let ports: BTreeSet<_> = rules
        .iter()
        .flat_map(|rule| rule["ports"].as_array().expect("ports"))
        .map(|port| (port["port"].as_u64(), port["protocol"].as_str()))
        .collect();
    // DNS, also where it listens on 5353 (OpenShift), and API servers.
    let wanted = [(53, "UDP"), (53, "TCP"), (5353, "UDP"), (5353, "TCP"), (443, "TCP"), (6443, "TCP")];
    assert_eq!(ports, wanted.map(|(port, protocol)| (Some(port), Some(protocol))).into());
    assert_eq!(policy["spec"]["ingress"], json!([]));
}

#[test]
fn roles_that_are_bound_change_nothing() {
    let roles: Vec<Value> =
        serde_yaml::from_multiple(include_str!("../../../../assets/crds/roles-target.yaml")).expect("YAML");
    for object in objects(&printed("shop")) {
        let Some(name) = object["roleRef"]["name"].as_str() else { continue };
        let role = roles.iter().find(|role| role["metadata"]["name"] == name).expect("a role of ours");
        assert_eq!(role["kind"], object["roleRef"]["kind"]);
        let rules = role["rules"].as_array().expect("rules").iter();
        let verbs: BTreeSet<_> = rules
            .flat_map(|rule| rule["verbs"].as_array().expect("verbs"))
            .filter_map(Value::as_str)
            .collect();
        // `create` is that of a port-forward.
        assert!(verbs.is_subset(&["get", "list", "watch", "create"].into()), "{name}: {verbs:?}");
        assert_eq!(object["subjects"][0]["name"], "sluice-watch");
    }
}

#[test]
fn a_cluster_that_is_not_there_and_a_fleet_without_state_are_said() {
    let words = |fleet: &FleetFile, cluster: &str| {
        let stopped = print(fleet, cluster, "x").expect_err("it cannot be printed");
        (stopped.exit, stopped.troubles[0].fact.to_string())
    };
    assert_eq!(words(&fleet(), "shpo"), (Exit::Usage, "sluice.yaml has no cluster \"shpo\"".to_owned()));
    let alone = FleetFile { settings: Settings::default(), ..fleet() };
    assert_eq!(
        words(&alone, "shop").1,
        "sluice.yaml names no state cluster, so there is nothing to write to"
    );
}
