//! Whoever may not read Cilium's policies: where there are none, that is as good as reading them; where
//! there are, what they do is unknown and nobody says otherwise.

use serde_json::json;
use sluice::{
    cockpit::orders::{ApplyOrder, OrderId, Outcome, RollbackOrder},
    domain::{fleet::Isolation, flow::Direction, policy::PolicyKind},
    k8s::{connect::Access, write},
    sim::api::{
        cluster::{CertName, Cluster, Peer},
        resources::Resource,
    },
};
use tokio::sync::{mpsc, watch};

use super::{cluster_serving, preview_order, target};
use crate::support;

const CILIUM: [(&str, &str); 2] = [
    ("ciliumnetworkpolicies", "CiliumNetworkPolicy"),
    ("ciliumclusterwidenetworkpolicies", "CiliumClusterwideNetworkPolicy"),
];

/// Somebody with the rights of the built-in ClusterRole `edit`, as far as they matter here.
fn editor(cluster: &Cluster) -> Access {
    let rule = |group: &str, resource: &str| json!({ "apiGroups": [group], "resources": [resource], "verbs": ["*"] });
    cluster.seed(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "edit" },
        "rules": [rule("networking.k8s.io", "networkpolicies"), rule("", "pods")],
    }));
    cluster.seed(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "editors" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ed" }],
    }));
    let cluster = cluster.clone();
    Access::Client(support::client_with(String::new(), move || {
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = CertName { user: "ed".to_owned(), groups: Vec::new() };
        let service = cluster.service(Peer { certificate: Some(name) });
        tokio::spawn(async move {
            let far = hyper_util::rt::TokioIo::new(far);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(far, service).await;
        });
        Ok(near)
    }))
}

async fn rolled_back(access: &Access) -> Outcome {
    let order = RollbackOrder { id: OrderId(3), target: target(Direction::Egress), aborts: None };
    let (report, mut reports) = mpsc::channel(64);
    tokio::spawn(async move { while reports.recv().await.is_some() {} });
    write::rollback(access, &order, "one", &report).await
}

#[tokio::test(start_paused = true)]
async fn without_cilium_an_editor_applies_and_rolls_back() {
    let cluster = cluster_serving(Vec::new());
    let access = editor(&cluster);
    let shown = write::preview(&access, &preview_order(Direction::Egress, 443), "one").await;
    let shown = shown.expect("a preview");
    assert_eq!((shown.refusals.as_slice(), shown.after.unread.len()), (&[][..], 0));
    let order = ApplyOrder { id: OrderId(2), preview: Box::new(shown), after: None };
    let (_abort, aborted) = watch::channel(false);
    let (report, mut reports) = mpsc::channel(64);
    tokio::spawn(async move { while reports.recv().await.is_some() {} });
    let closed = Isolation { pods: 3, isolated: 3, ..Isolation::default() };
    match write::apply(&access, &order, "one", aborted, &report).await {
        Outcome::Done { isolation } => {
            assert_eq!(Isolation { by: Default::default(), ..isolation }, closed);
        }
        other => panic!("{other:?}"),
    }
    let open = Isolation { pods: 3, ..Isolation::default() };
    assert_eq!(rolled_back(&access).await, Outcome::Done { isolation: open });
}

#[tokio::test(start_paused = true)]
async fn with_cilium_what_may_not_be_read_is_unknown_and_said() {
    let resources = CILIUM.map(|(plural, kind)| Resource::custom("cilium.io", "v2", plural, kind));
    let cluster = cluster_serving(resources.into());
    let access = editor(&cluster);
    let shown = write::preview(&access, &preview_order(Direction::Egress, 443), "one").await;
    let shown = shown.expect("a preview");
    let unread = [PolicyKind::CiliumNetworkPolicy, PolicyKind::CiliumClusterwideNetworkPolicy];
    assert_eq!((&shown.before.unread, &shown.after.unread), (&unread.into(), &unread.into()));
    let refusals: Vec<_> = shown.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        refusals,
        [
            "CiliumNetworkPolicy shop/egress-allowlist-fqdn: whether it is there may not be read. Ask the cluster's admin for get and list on its kind."
        ]
    );
    let warnings: Vec<_> = shown.warnings.iter().map(ToString::to_string).collect();
    for kind in unread {
        let wanted = format!("{kind} may not be read: whether one isolates too is unknown");
        assert!(warnings.contains(&wanted), "{warnings:?}");
    }
    // Ingress has no policy of ours by name: nothing of it is hidden.
    let shown = write::preview(&access, &preview_order(Direction::Ingress, 8080), "one").await;
    let shown = shown.expect("a preview");
    assert_eq!((shown.refusals.as_slice(), shown.after.unread.len()), (&[][..], 2));
    assert_eq!(
        shown.before.words(Direction::Ingress),
        "no pod of 3 is isolated in ingress; perhaps by any CiliumNetworkPolicy (not readable), any CiliumClusterwideNetworkPolicy (not readable) too"
    );
}
