//! Calico's staged NetworkPolicies: kept, never enforced. What they would do is the naive evaluator's
//! opinion of the cluster as if each stood in the place of the live one of its name.

use std::sync::Arc;

use serde_json::Value;

use crate::sim::{
    api::cluster::Cluster,
    fleet::{verdict::View, views::namespace_of},
};

pub const GROUP_VERSION: (&str, &str) = ("projectcalico.org", "v3");
pub const PLURAL: &str = "stagedkubernetesnetworkpolicies";
pub const KIND: &str = "StagedKubernetesNetworkPolicy";

/// The staged policies of a cluster, as the API server holds them.
pub fn objects(server: &Cluster) -> Vec<Arc<Value>> {
    let (group, version) = GROUP_VERSION;
    server.objects(&format!("{group}/{version}"), KIND)
}

/// The view as it would be; `None`: nothing is staged.
pub fn view(live: &View, server: &Cluster) -> Option<View> {
    let staged = objects(server);
    if staged.is_empty() {
        return None;
    }
    let mut view = live.clone();
    let mut namespaces: Vec<&str> = staged.iter().map(|policy| namespace_of(policy)).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in namespaces {
        let mut policies: Vec<Arc<Value>> = Vec::new();
        for policy in staged.iter().filter(|policy| namespace_of(policy) == namespace) {
            // Nothing but the kind tells it from the policy that it stands for, and its action.
            let mut as_live = Value::clone(policy);
            as_live["apiVersion"] = "networking.k8s.io/v1".into();
            as_live["kind"] = "NetworkPolicy".into();
            if policy["spec"]["stagedAction"] != "Delete" {
                policies.push(Arc::new(as_live));
            }
        }
        let is_staged = |live: &Arc<Value>| {
            staged.iter().any(|policy| {
                namespace_of(policy) == namespace && policy["metadata"]["name"] == live["metadata"]["name"]
            })
        };
        let live = server.policies().into_iter().filter(|live| namespace_of(live) == namespace);
        policies.extend(live.filter(|live| !is_staged(live)));
        view.set_policies(namespace, &policies);
    }
    Some(view)
}
