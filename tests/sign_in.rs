//! A person signs in while the cockpit runs: the kubeconfig gets another token, and the cluster whose
//! server refused the one before comes back by itself. Real sockets, so real time; nothing waits.

use std::sync::Arc;

use sluice::{
    cockpit::ports::{ClusterFact, Fact, Trouble},
    domain::names::ClusterName,
    k8s::{
        connect::{Contexts, Proxies},
        watch,
    },
    sim::fleet::{
        people::Person,
        serve::{ServeOptions, serve},
    },
};
use tokio::sync::{Notify, mpsc};

use super::support;

#[tokio::test]
async fn a_token_renewed_in_the_file_is_taken_up() {
    // Another test may have been first; the provider is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = support::fleet("two", 7);
    let options = ServeOptions { directory: folder.path().to_owned(), relay_address: None };
    let served = serve(&fleet, &options).await.expect("served");
    let good = std::fs::read_to_string(served.kubeconfig(Person::Lead).expect("a file")).expect("there");
    let token = fleet.cluster("east").expect("east").token(Person::Lead);
    assert!(good.contains(&token));
    let path = folder.path().join("mine");
    std::fs::write(&path, good.replace(&token, "ended")).expect("written");
    let contexts = Contexts::read(vec![path.clone()], Proxies::default()).expect("a kubeconfig");

    let (sender, mut inbox) = mpsc::channel(64);
    let (again, name) = (Arc::new(Notify::new()), ClusterName::parse("east").expect("a name"));
    let (_asks, asks) = tokio::sync::watch::channel(watch::Asks::default());
    let wishes = watch::Wishes { again: again.clone(), asks, bodies: watch::SharedBodies::default() };
    tokio::spawn(watch::run(name, contexts.access("east"), sender, wishes));

    let refused = away(&mut inbox).await;
    assert_eq!(
        refused.to_string(),
        "east: refused with HTTP 401: Unauthorized. The credentials are not accepted: sign in again or renew the token of this context.",
    );
    std::fs::write(&path, &good).expect("written");
    again.notify_one();
    while let Some(Fact::Cluster(_, fact)) = inbox.recv().await {
        match fact {
            ClusterFact::Met { .. } => return,
            ClusterFact::Away(trouble) => panic!("{trouble}"),
            _ => {}
        }
    }
    panic!("the watch ended");
}

async fn away(inbox: &mut mpsc::Receiver<Fact>) -> Trouble {
    match inbox.recv().await {
        Some(Fact::Cluster(_, ClusterFact::Away(trouble))) => trouble,
        other => panic!("{other:?}"),
    }
}
