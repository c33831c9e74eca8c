//! What a preview shows a person before a yes: diff, commands, isolation, warnings, refusals.

use std::collections::BTreeMap;

use chrono::{TimeZone as _, Utc};
use serde_json::{Value, json};
use sluice::{
    cockpit::orders::{OrderId, Origin, Preview, PreviewOrder, Sign, Target},
    domain::{
        flow::Direction,
        names::{ClusterName, NsName},
    },
    k8s::{connect::Access, write},
    manifest,
    sim::api::{
        clock::Clock,
        cluster::{CertName, Cluster, ClusterSetup, Peer},
    },
};

use crate::support;

fn cluster() -> Cluster {
    let start = Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, 0).single().expect("a valid time");
    let cluster = Cluster::new(ClusterSetup {
        accounts: Vec::new(),
        extra_resources: Vec::new(),
        controllers: true,
        clock: Clock::new(start, 1.0),
        seed: 7,
        address: "127.0.0.1:6443".to_owned(),
    });
    cluster.seed_namespace("shop");
    cluster.seed(json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": "calico-node", "namespace": "kube-system" },
        "spec": { "template": { "spec": { "containers": [{ "name": "calico-node", "image": "calico:v3.30.1" }] } } },
        "status": { "desiredNumberScheduled": 2, "numberReady": 2 },
    }));
    for app in ["api", "db"] {
        cluster.seed(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": format!("{app}-1"), "namespace": "shop", "labels": { "app": app } },
            "spec": { "containers": [{ "name": "c", "image": "c:1" }] }, "status": { "phase": "Running" },
        }));
    }
    cluster
}

fn files() -> BTreeMap<&'static str, Value> {
    let policy = |name: &str, spec: Value| json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": name }, "spec": spec });
    BTreeMap::from([
        (
            "default-deny-ingress",
            policy("default-deny-ingress", json!({ "podSelector": {}, "policyTypes": ["Ingress"] })),
        ),
        (
            "ingress-allowlist",
            policy(
                "ingress-allowlist",
                json!({ "podSelector": { "matchLabels": { "app": "api" } }, "policyTypes": ["Ingress"],
                    "ingress": [{ "ports": [{ "port": 8080 }] }] }),
            ),
        ),
    ])
}

async fn preview(cluster: &Cluster, files: &BTreeMap<&'static str, Value>) -> Preview {
    let order = PreviewOrder {
        origin: Origin::Workspace,
        id: OrderId(1),
        target: Target {
            cluster: ClusterName::parse("prod-1").expect("a name"),
            ns: NsName::parse("shop").expect("a name"),
            direction: Direction::Ingress,
        },
        wanted: files.iter().map(|(name, file)| (*name, manifest::policy(file).expect("valid"))).collect(),
        manifests: files.iter().map(|(name, file)| (*name, file.to_string().into())).collect(),
    };
    let access = Access::Client(client(cluster));
    write::preview(&access, &order, "admin@prod 1").await.expect("a preview")
}

fn client(cluster: &Cluster) -> kube::Client {
    let cluster = cluster.clone();
    support::client_with("Bearer none".to_owned(), move || {
        let (near, far) = tokio::io::duplex(1 << 16);
        let groups = vec!["system:masters".to_owned()];
        let peer = Peer { certificate: Some(CertName { user: "lead".to_owned(), groups }) };
        let service = cluster.service(peer);
        tokio::spawn(async move {
            let far = hyper_util::rt::TokioIo::new(far);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(far, service).await;
        });
        Ok(near)
    })
}

fn text(preview: &Preview) -> String {
    let mut out = format!(
        "{} of {} pods isolated, then {} of {}\n",
        preview.before.isolated, preview.before.pods, preview.after.isolated, preview.after.pods
    );
    for line in &preview.diff {
        let sign = match line.sign {
            Sign::Object => "#",
            Sign::Same => " ",
            Sign::Added => "+",
            Sign::Removed => "-",
        };
        out.push_str(&format!("{sign} {}\n", line.text));
    }
    for (title, lines) in [
        ("commands", preview.commands.clone()),
        ("warnings", preview.warnings.iter().map(ToString::to_string).collect()),
        ("refusals", preview.refusals.iter().map(ToString::to_string).collect()),
    ] {
        out.push_str(&format!("{title}:\n"));
        lines.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
    out
}

#[tokio::test(start_paused = true)]
async fn a_first_apply() {
    insta::assert_snapshot!(text(&preview(&cluster(), &files()).await));
}

#[tokio::test(start_paused = true)]
async fn an_update_of_what_others_own() {
    let cluster = cluster();
    for (name, mut file) in files() {
        file["metadata"] = json!({
            "name": name, "namespace": "shop",
            "annotations": { "argocd.argoproj.io/tracking-id": format!("shop:networking.k8s.io/NetworkPolicy:shop/{name}") },
            "managedFields": [{
                "manager": "argocd-controller", "operation": "Apply", "apiVersion": "networking.k8s.io/v1",
                "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": { "f:spec": { "f:podSelector": {}, "f:policyTypes": {}, "f:ingress": {} } },
            }],
        });
        cluster.seed(file);
    }
    cluster.seed(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "theirs", "namespace": "shop" },
        "spec": { "podSelector": { "matchLabels": { "app": "db" } }, "policyTypes": ["Ingress"] },
    }));
    let mut files = files();
    files.get_mut("ingress-allowlist").expect("a file")["spec"]["ingress"] =
        json!([{ "ports": [{ "port": 8081 }] }]);
    insta::assert_snapshot!(text(&preview(&cluster, &files).await));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_would_refuse() {
    let mut files = files();
    let allow = files.get_mut("ingress-allowlist").expect("a file");
    allow["spec"]["ingress"] = json!([{ "from": [{ "ipBlock": { "cidr": "300.0.0.0/8" } }] }]);
    let deny = files.get_mut("default-deny-ingress").expect("a file");
    deny["spec"]["policyTypes"] = json!(["Ingress", "Egress"]);
    insta::assert_snapshot!(text(&preview(&cluster(), &files).await));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_warns_of_is_said_once() {
    let cluster = cluster();
    cluster.seed(json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "owners" },
        "spec": {
            "matchConstraints": { "resourceRules": [{ "apiGroups": ["networking.k8s.io"],
                "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["networkpolicies"] }] },
            "validations": [{ "expression": "has(object.metadata.labels)", "message": "say who owns it" }],
        },
    }));
    cluster.seed(json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "all" }, "spec": { "policyName": "owners", "validationActions": ["Warn"] },
    }));
    let preview = preview(&cluster, &files()).await;
    let told = preview.warnings.iter().map(ToString::to_string);
    let said: Vec<_> = told.filter(|one| one.contains("warns")).collect();
    assert_eq!(
        said,
        [
            "the API server warns: Validation failed for ValidatingAdmissionPolicy 'owners' with binding 'all': say who owns it"
        ]
    );
    assert_eq!(preview.refusals, []);
}
