//! As what this process observes: who it is on the Leases, and which soak clocks it publishes.

use crate::{
    domain::names::Text,
    engine::Soaks,
    k8s::lease::{Claims, Role},
};

/// The rollouts whose evidence is published: those whose set is live and closed, in steady state too.
pub const SOAKS: Soaks = Soaks {
    targets: |world, cluster| world.soaks().targets_of(cluster).collect(),
    evidence: |world, target| world.soaks().evidence(target, world),
};

pub fn claims(role: Role) -> Claims {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let nonce = format!("{:08x}", fastrand::u32(..));
    Claims { role: Some(role), host: Text::from(host), nonce: Text::from(nonce), ..Claims::default() }
}
