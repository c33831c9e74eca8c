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
}

impl Person {
    pub const ALL: [Self; 5] = [Self::Lead, Self::OnCall, Self::Security, Self::Viewer, Self::Admin];

    /// The name they sign in with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::OnCall => "oncall",
            Self::Security => "security",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }

    pub fn groups(self) -> Vec<String> {
        match self {
            Self::Admin => vec!["system:masters".to_owned()],
            Self::Lead | Self::OnCall | Self::Security | Self::Viewer => vec!["sluice:team".to_owned()],
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

/// Roles and bindings: everybody of the team reads, and looks at the plugin's namespace more
/// closely; the lead writes policies; on-call takes them back.
pub fn roles(plugin_namespaces: &[&str]) -> Vec<Value> {
    let team = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "sluice:team" });
    let read = ["get", "list", "watch"];
    let mut objects = vec![
        cluster_role(
            "sluice-read",
            &[
                rule(&[""], &["namespaces", "nodes", "pods", "services", "endpoints", "events"], &read),
                rule(&["apps"], &["deployments", "daemonsets", "replicasets", "statefulsets"], &read),
                rule(&["batch"], &["cronjobs", "jobs"], &read),
                rule(&["discovery.k8s.io"], &["endpointslices"], &read),
                rule(&["networking.k8s.io"], &["networkpolicies"], &read),
                rule(&["cilium.io"], &["ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies"], &read),
                rule(&["projectcalico.org"], &["*"], &read),
                rule(
                    &["admissionregistration.k8s.io", "apiregistration.k8s.io", "apiextensions.k8s.io"],
                    &[
                        "validatingwebhookconfigurations",
                        "mutatingwebhookconfigurations",
                        "apiservices",
                        "customresourcedefinitions",
                    ],
                    &read,
                ),
            ],
        ),
        cluster_binding("sluice-read", "sluice-read", &team),
    ];
    for (person, name, verbs) in [
        (Person::Lead, "sluice-lead", &["create", "update", "patch", "delete"][..]),
        (Person::OnCall, "sluice-oncall", &["update", "patch", "delete"][..]),
    ] {
        let user = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person.name() });
        let rules = [
            rule(&["networking.k8s.io"], &["networkpolicies"], verbs),
            rule(&["cilium.io"], &["ciliumnetworkpolicies"], verbs),
        ];
        objects.extend([cluster_role(name, &rules), cluster_binding(name, name, &user)]);
    }
    // Who observes a cluster where probes are on starts their pods.
    let lead =
        json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": Person::Lead.name() });
    let pods = rule(&[""], &["pods"], &["get", "create", "delete"]);
    objects.extend([
        cluster_role("sluice-target-probe", &[pods]),
        cluster_binding("sluice-target-probe", "sluice-target-probe", &lead),
    ]);
    for namespace in plugin_namespaces {
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": { "name": "sluice-plugin", "namespace": namespace },
            "rules": plugin_rules(namespace),
        }));
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "sluice-plugin", "namespace": namespace },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "sluice-plugin" },
            "subjects": [team],
        }));
    }
    objects
}

/// The port-forward, what pre-flights read, and for Goldmane a certificate: the one that may least.
fn plugin_rules(namespace: &str) -> Vec<Value> {
    let mut rules = vec![
        rule(&[""], &["pods/portforward"], &["get", "create"]),
        rule(&[""], &["pods/log"], &["get"]),
        rule(&[""], &["configmaps"], &["get", "list", "watch"]),
    ];
    if namespace == "calico-system" {
        let mut secret = rule(&[""], &["secrets"], &["get"]);
        secret["resourceNames"] = json!(["whisker-backend-key-pair"]);
        rules.push(secret);
    }
    rules
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": groups, "resources": resources, "verbs": verbs })
}

fn cluster_role(name: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": name }, "rules": rules,
    })
}

fn cluster_binding(name: &str, role: &str, subject: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [subject],
    })
}
