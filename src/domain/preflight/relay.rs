//! Hubble Relay's Service as it tells how it is served: with TLS it listens on 443, which sluice.yaml
//! has to know of. Pure.

use super::{
    check::{Check, CheckId as Id, Evidence},
    reading::{Reading, Service},
};

/// What a person does about a relay with TLS of which nothing is said.
pub const TLS_NEXT: &str = "Write `relay: {tls: true, ca: FILE}` for this cluster into sluice.yaml, with `cert` and `key` where it asks for a client certificate (`sluice collect`: --hubble-ca, --hubble-cert, --hubble-key).";

/// Cilium's chart serves it on 443 with `hubble.relay.tls.server.enabled`, else on 80.
pub fn speaks_tls(port: u16, name: &str) -> bool {
    port == 443 || matches!(name, "https" | "grpcs" | "tls")
}

/// It speaks TLS, and sluice.yaml, which was read, says nothing of it.
pub(super) fn unsaid_tls(reading: &Reading) -> Option<Check> {
    let is_relay = |one: &&Service| one.object.name.as_str() == "hubble-relay";
    let service = reading.services.list().iter().find(is_relay)?;
    let port = service.ports.iter().find(|port| speaks_tls(port.port, &port.name))?;
    if reading.said.relay != Some(false) {
        return None;
    }
    let ns = &service.object.ns;
    let seen = Evidence::new(&service.object, "spec.ports", format!("{} {}", port.name, port.port).trim());
    let words = "Hubble Relay is served with TLS, and sluice.yaml does not say whom to believe.";
    Some(Check::fail(Id::Flows, words).seen([seen]).fixed(
        TLS_NEXT,
        &[format!(
            "kubectl get secret hubble-relay-server-certs -n {ns} -o jsonpath='{{.data.ca\\.crt}}' | base64 -d > hubble-ca.pem"
        )],
    ))
}
