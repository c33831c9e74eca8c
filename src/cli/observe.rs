//! As what this process observes: who it is on the Leases, and which soak clocks it publishes.

use crate::{
    domain::names::Text,
    engine::Soaks,
    k8s::lease::{Claims, Role},
};

/// The rollouts whose evidence is published. None are kept by the world yet: the soak clocks name
/// them here.
pub const SOAKS: Soaks = Soaks { targets: |_, _| Vec::new(), evidence: |_, _| None };

pub fn claims(role: Role) -> Claims {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let nonce = format!("{:08x}", fastrand::u32(..));
    Claims { role: Some(role), host: Text::from(host), nonce: Text::from(nonce), ..Claims::default() }
}
