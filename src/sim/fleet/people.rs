//! The people of a simulated fleet: their accounts and what each may do in a cluster. Data only;
//! the API server's own rules decide by it.

use serde_json::{Value, json};

use crate::sim::{api::cluster::Account, fleet::plan::hash64};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Person {
    Lead,
    OnCall,
    Security,
    Viewer,
    Admin,
    /// On call for the namespace shop alone, by a RoleBinding in it.
    ShopOnCall,
}

impl Person {
    pub const ALL: [Self; 6] =
        [Self::Lead, Self::OnCall, Self::Security, Self::Viewer, Self::Admin, Self::ShopOnCall];

    /// The name they sign in with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::OnCall => "oncall",
            Self::Security => "security",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
            Self::ShopOnCall => "shop-oncall",
        }
    }

    pub fn groups(self) -> Vec<String> {
        match self {
            Self::Admin => vec!["system:masters".to_owned()],
            Self::Lead | Self::OnCall | Self::Security | Self::Viewer | Self::ShopOnCall => {
                vec!["sluice:team".to_owned()]
            }
        }
    }

    /// Their bearer token in one cluster.
    pub fn token(self, cluster: &str, seed: u64) -> String {
        let part = |n: u8| hash64(&format!("token/{n}/{seed}/{cluster}/{}", self.name()));
        format!("{}-{:016x}{:016x}", self.name(), part(0), part(1))
    }

    fn account(self, cluster: &str, seed: u64) -> Account {
        Account {
            name: self.name().to_owned(),
            groups: self.groups(),
            uid: format!("uid-{}", self.name()),
            token: self.token(cluster, seed),
        }
    }
}

pub fn accounts(cluster: &str, seed: u64) -> Vec<Account> {
    Person::ALL.iter().map(|person| person.account(cluster, seed)).collect()
}

/// The roles that are installed in real clusters.
const ROLES: &str = include_str!("../../../assets/crds/roles-target.yaml");

/// Roles and bindings: everybody of the team reads, and reaches the plugin's pods and the collector; the
/// lead writes policies, and starts the pods of probes; on-call takes policies back.
pub fn roles(plugin_namespaces: &[&str]) -> Vec<Value> {
    let team = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "sluice:team" });
    let user = |person: Person| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person.name() });
    let mut objects: Vec<Value> = serde_yaml::from_multiple(ROLES).expect("the file is YAML");
    objects.extend([
        cluster_binding("sluice-target-viewer", &team),
        cluster_binding("sluice-target-lead", &user(Person::Lead)),
        cluster_binding("sluice-target-oncall", &user(Person::OnCall)),
        cluster_binding("sluice-target-probe", &user(Person::Lead)),
    ]);
    for namespace in plugin_namespaces {
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "sluice-target-watch", "namespace": namespace },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice-target-watch",
            },
            "subjects": [team],
        }));
    }
    if plugin_namespaces.contains(&"calico-system") {
        // Goldmane talks only to holders of a certificate.
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "sluice-target-goldmane", "namespace": "calico-system" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice-target-goldmane",
            },
            "subjects": [team],
        }));
    }
    objects
}

/// Of who is on call for one namespace.
pub const BOUND: &str = "shop";

/// What binds them there: the role that on-call has in all namespaces, in this one alone.
pub fn bound() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "sluice-target-oncall", "namespace": BOUND },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice-target-oncall",
        },
        "subjects": [{
            "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": Person::ShopOnCall.name(),
        }],
    })
}

fn cluster_binding(role: &str, subject: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": role },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [subject],
    })
}
