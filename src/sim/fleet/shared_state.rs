//! A cluster in which somebody ran the installation of the team's shared state, by the files that are
//! installed in real clusters too, and in which everybody has the roles of their part. Data only.

use serde_json::{Value, json};

use crate::sim::{api::cluster::Cluster, fleet::people::Person};

/// Where the shared objects are kept.
pub const NAMESPACE: &str = "sluice";

const FILES: [&str; 10] = [
    include_str!("../../../assets/crds/rollouts.yaml"),
    include_str!("../../../assets/crds/evidence.yaml"),
    include_str!("../../../assets/crds/reviews.yaml"),
    include_str!("../../../assets/crds/holds.yaml"),
    include_str!("../../../assets/crds/exclusions.yaml"),
    include_str!("../../../assets/crds/waivers.yaml"),
    include_str!("../../../assets/crds/overrides.yaml"),
    include_str!("../../../assets/crds/journalentries.yaml"),
    include_str!("../../../assets/crds/policies.yaml"),
    include_str!("../../../assets/crds/roles.yaml"),
];

/// Puts everything in, as it stands after a while.
pub fn install(server: &Cluster) {
    let has_namespace =
        server.objects("v1", "Namespace").iter().any(|it| it["metadata"]["name"] == NAMESPACE);
    if !has_namespace {
        server.seed_namespace(NAMESPACE);
    }
    for text in FILES {
        let objects: Vec<Value> = serde_yaml::from_multiple(text).expect("the files are YAML");
        objects
            .into_iter()
            .filter(|object| object["kind"] != "Namespace")
            .for_each(|object| server.seed(object));
    }
    bindings().into_iter().for_each(|binding| server.seed(binding));
}

fn bindings() -> Vec<Value> {
    let user = |person: Person| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person.name() });
    let team = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "sluice:team" });
    let (lead, oncall, security) = (user(Person::Lead), user(Person::OnCall), user(Person::Security));
    [
        ("sluice-viewer", vec![team]),
        ("sluice-writer", vec![lead.clone(), oncall.clone()]),
        ("sluice-lead", vec![lead]),
        ("sluice-oncall", vec![oncall.clone()]),
        ("sluice-security", vec![security.clone()]),
        ("sluice-confirmer", vec![oncall, security]),
    ]
    .into_iter()
    .map(|(role, subjects)| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": role, "namespace": NAMESPACE },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role },
            "subjects": subjects,
        })
    })
    .collect()
}
