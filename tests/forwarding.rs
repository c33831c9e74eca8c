//! The way to Hubble Relay: found through its Service, and what is said when it is not there.

use crate::support;
use sluice::{
    k8s::{connect::Access, forward},
    sim::{
        api::faults::{Denial, Faults},
        fleet::{people::Person, running::Member},
    },
};

async fn said(member: &Member, person: Person) -> String {
    let access = Access::Client(support::client(member, person));
    forward::relay(&access, forward::Said::Nothing)
        .await
        .map_or_else(|trouble| trouble.to_string(), |_| "open".to_owned())
}

#[tokio::test(start_paused = true)]
async fn each_thing_that_may_be_missing_has_its_sentence() {
    let fleet = support::fleet("two", 1);
    let member = fleet.clusters().first().expect("a cluster");
    let server = member.server();
    assert_eq!(said(member, Person::Lead).await, "open");
    let denial = |user: &str| Denial {
        user: user.to_owned(),
        verb: "create".to_owned(),
        resource: "pods/portforward".to_owned(),
        namespace: String::new(),
    };
    server.set_faults(Faults { denials: vec![denial("viewer")], ..Faults::default() });
    let pods = server.objects("v1", "Pod");
    let names = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str());
    let relays: Vec<_> = names.filter(|name| name.starts_with("hubble-relay")).collect();
    let pod = relays.first().expect("a relay");
    assert_eq!(
        said(member, Person::Viewer).await,
        format!(
            "port-forward to pod kube-system/{pod}: refused with HTTP 403: pods \"{pod}\" is forbidden. Ask the cluster's admin for get and create on pods/portforward."
        )
    );
    for name in relays {
        server.unseed("v1", "Pod", "kube-system", name);
    }
    assert_eq!(
        said(member, Person::Lead).await,
        "Service kube-system/hubble-relay: it has no ready pod. Look at the relay's pods: `kubectl -n kube-system get pods -l k8s-app=hubble-relay`."
    );
    server.unseed("v1", "Service", "kube-system", "hubble-relay");
    assert_eq!(
        said(member, Person::Lead).await,
        "Service hubble-relay: there is none in this cluster. Switch Hubble Relay on (Helm value hubble.relay.enabled), or give its address in sluice.yaml."
    );
}
