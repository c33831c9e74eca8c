//! A served fleet on loopback: the kubeconfigs work, by token and by certificate, and a dead cluster
//! or an expired certificate fails as it would anywhere. Real sockets, so real time; nothing waits.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use sluice::{
    pb::observer::{ServerStatusRequest, observer_client::ObserverClient},
    sim::fleet::{
        people::Person,
        serve::{ServeOptions, Served, serve},
    },
};
use tonic::transport::Endpoint;

use super::fleet;

async fn served(scenario: &str, folder: &std::path::Path) -> (sluice::sim::fleet::running::Fleet, Served) {
    // Another test may have been first; the provider is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fleet = fleet(scenario);
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let options = ServeOptions { directory: folder.to_owned(), relay_address: Some(any_port) };
    let served = serve(&fleet, &options).await.expect("served");
    (fleet, served)
}

/// How many namespaces a person sees in a context, or why none.
async fn namespaces(served: &Served, person: Person, context: &str) -> Result<usize, String> {
    let file = Kubeconfig::read_from(served.kubeconfig(person).expect("a file")).expect("a kubeconfig");
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(file, &options).await.expect("a context");
    let client = Client::try_from(config).expect("a client");
    let list = Api::<Namespace>::all(client).list(&ListParams::default()).await;
    list.map(|l| l.items.len()).map_err(|e| format!("{e:?}"))
}

#[tokio::test]
async fn every_person_has_a_private_file_with_all_contexts() {
    let folder = tempfile::tempdir().expect("a folder");
    let (fleet, served) = served("demo", folder.path()).await;
    for (person, path) in &served.kubeconfigs {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{person:?}");
    }
    let file = Kubeconfig::read_from(served.kubeconfig(Person::Lead).expect("a file")).expect("a kubeconfig");
    let contexts: Vec<&str> = file.contexts.iter().map(|c| c.name.as_str()).collect();
    let clusters: Vec<&str> = fleet.clusters().iter().map(|c| c.name()).collect();
    assert_eq!(contexts, clusters);
    assert_eq!(file.current_context.as_deref(), Some("staging-eu"));
    // By token, and (every fifth cluster) by certificate.
    assert_eq!(namespaces(&served, Person::Lead, "staging-eu").await, Ok(17));
    assert_eq!(namespaces(&served, Person::Viewer, "prod-eu-central").await, Ok(20));
}

#[tokio::test]
async fn relays_listen_where_they_are_asked_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_fleet, served) = served("two", folder.path()).await;
    let names: Vec<&str> = served.relays.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["east", "west"]);
    let address = format!("http://{}", served.relays[1].1);
    let channel = Endpoint::from_shared(address).expect("an address").connect().await.expect("a connection");
    let status = ObserverClient::new(channel).server_status(ServerStatusRequest {}).await.expect("a status");
    assert_eq!(status.into_inner().num_connected_nodes, Some(3));
}

#[tokio::test]
async fn a_dead_cluster_refuses_and_an_expired_one_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_fleet, served) = served("faults", folder.path()).await;
    assert_eq!(namespaces(&served, Person::Lead, "well").await, Ok(7), "it keeps the team's state too");
    let dead = namespaces(&served, Person::Lead, "dead").await.expect_err("nothing listens");
    assert!(dead.contains("ConnectionRefused"), "{dead}");
    let expired = namespaces(&served, Person::Lead, "expired-certificate").await.expect_err("expired");
    assert!(expired.contains("Expired"), "{expired}");
}
