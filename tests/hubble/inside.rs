//! The simulated fleet's relay with TLS inside of the port-forward, as the engine reaches it: with and
//! without client certificates, and what is said where sluice.yaml does not fit it.

use std::sync::Arc;

use rustls::ServerConfig;
use sluice::{
    cockpit::{
        plan::{RelayWay, TlsFiles},
        ports::{Link, Trouble},
    },
    engine::relay_of,
    k8s::connect::Access,
    sim::fleet::{
        people::Person,
        running::{Fleet, Listener, Options},
        scenario::Scenario,
    },
};

use crate::fleet::client;

use super::{
    dial::{Asks, authority, files, server},
    follow_by,
    relay::START,
    wait,
};

const NAME: &str = "*.hubble-relay.cilium.io";

/// One cluster whose relay's Service has this port.
fn fleet(port: u16, tls: Option<Arc<ServerConfig>>) -> Fleet {
    let text = format!(
        "name = 'one'\n[[cluster]]\nname = 'east'\nenvironment = 'staging'\ncni = 'cilium'\nnodes = 2\n\
         namespaces = ['shop']\nobjects = '''\napiVersion: v1\nkind: Service\n\
         metadata: {{name: hubble-relay, namespace: kube-system}}\n\
         spec: {{ports: [{{port: {port}, targetPort: grpc, protocol: TCP}}]}}\n'''\n"
    );
    let scenario = Scenario::parse("one", &text).expect("a scenario");
    let start = START.parse().expect("a time");
    let fleet = Fleet::new(&scenario, Options { seed: 1, speed: 1.0, start });
    if let Some(config) = tls {
        let member = fleet.cluster("east").expect("a cluster");
        let relay = member.relay().expect("a relay").clone();
        let listener: Listener = Arc::new(move || relay.connect_tls(config.clone()));
        member.listen("kube-system", "hubble-relay", 4245, &listener);
    }
    fleet
}

/// How the source stands after ten seconds.
async fn link(fleet: &Fleet, way: Option<RelayWay>) -> Link {
    let access = Access::Client(client::kube_client(fleet, "east", Person::Lead));
    let told = follow_by(relay_of(way.as_ref(), access));
    wait(10).await;
    told.last_state().link
}

fn inside(files: TlsFiles) -> Option<RelayWay> {
    Some(RelayWay::Forward(Some(files)))
}

fn said(link: Link) -> String {
    let Link::Broken(Trouble { object, fact, next }) = link else { panic!("{link:?}") };
    format!("{object}: {fact}. {next}")
}

#[tokio::test(start_paused = true)]
async fn a_relay_with_tls_is_followed_through_the_port_forward() {
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), authority());
    let fleet = fleet(443, Some(server(&ca, NAME, Asks::Nothing)));
    let way = inside(files(folder.path(), &ca.pem(), None));
    assert_eq!(link(&fleet, way).await, Link::Live);
    let foreign = inside(files(folder.path(), &authority().pem(), None));
    let foreign = said(link(&fleet, foreign).await);
    assert!(
        foreign.starts_with("Hubble Relay by port-forward: TLS failed: invalid peer certificate"),
        "{foreign}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_asks_for_certificates_is_followed_with_one() {
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), authority());
    let fleet = fleet(443, Some(server(&ca, NAME, Asks::Certificate)));
    let without = inside(files(folder.path(), &ca.pem(), None));
    let without = said(link(&fleet, without).await);
    assert!(
        without.starts_with(
            "Hubble Relay by port-forward: TLS failed: it asks for a client certificate. Set `cert` and `key`"
        ),
        "{without}"
    );
    let way = inside(files(folder.path(), &ca.pem(), Some(&ca)));
    assert_eq!(link(&fleet, way).await, Link::Live);
}

#[tokio::test(start_paused = true)]
async fn a_relay_with_tls_of_which_nothing_is_said_is_told_as_that() {
    let fleet_tls = fleet(443, Some(server(&authority(), NAME, Asks::Nothing)));
    assert_eq!(
        said(link(&fleet_tls, None).await),
        "Service kube-system/hubble-relay: it is served with TLS, of which sluice.yaml says nothing. Write `relay: {tls: true, ca: FILE}` for this cluster into sluice.yaml, with `cert` and `key` where it asks for a client certificate (`sluice collect`: --hubble-ca, --hubble-cert, --hubble-key)."
    );
    let plain = fleet(443, None);
    assert_eq!(link(&plain, Some(RelayWay::Forward(None))).await, Link::Live, "whoever says that it is not");
    assert_eq!(link(&fleet(80, None), None).await, Link::Live);
}
